import { expect, test } from "vitest"
import { compile } from "../compile/compile.ts"
import { parseAddress } from "../net/address.ts"
import { ObjectStore } from "../source/objects.ts"
import { readManifests } from "../source/yaml.ts"
import { effectiveRules } from "./effective.ts"
import { endpointRows, findEndpoint, identityRows, policyCounts } from "./lists.ts"

const text = `
apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {podCIDR: 10.244.1.0/24}
status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: red}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web, tier: front}}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
status: {podIPs: [{ip: 10.244.1.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web2, namespace: shop, labels: {app: web, tier: front}}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
status: {podIPs: [{ip: 10.244.1.3}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from:
        - podSelector: {matchLabels: {app: web}}
        - ipBlock: {cidr: 10.0.0.0/8, except: [10.244.0.0/16]}
      ports: [{port: 5432}, {port: 53, protocol: UDP}]
`
const store = new ObjectStore({ now: () => 0 })
for (const object of readManifests(text, "shop.yaml").objects) store.put(object)
store.setLocal("shop/db", { node: "n1", addresses: [parseAddress("10.244.1.9")] })
const cluster = store.cluster()
const compiled = compile(cluster, "n1")
const view = {
  node: "n1",
  generation: 3,
  digest: "d",
  cluster,
  verdicts: compiled.verdicts,
  ports: new Map([["shop/db", { ifindex: 7, mac: new Uint8Array([2, 0, 0, 0, 0, 255]), sandbox: "s" }]]),
}

test("endpoints are ready when they have an interface and are compiled", async () => {
  const rows = await endpointRows(view, compiled.endpoints)
  expect(rows.map((row) => [row.name, row.state, row.mac, row.ingress, row.egress])).toEqual(
    expect.arrayContaining([
      ["web", "waiting", "", [], []],
      ["db", "ready", "02:00:00:00:00:ff", ["db"], []],
    ]),
  )
})

test("identities are what the rules tell apart", () => {
  const rows = identityRows(cluster, compiled)
  const web = rows.find((row) => row.names.includes("shop/web"))
  expect(web?.names).toEqual(["shop/web", "shop/web2"])
  expect(web?.labels).toEqual({ app: "web", tier: "front" })
  expect(rows.some((row) => row.kind.includes("outside"))).toBe(true)
})

test("policies count what they select", async () => {
  expect((await policyCounts(cluster, "n1")).map((one) => [one.policy.name, one.selected, one.selectedHere])).toEqual([
    ["db", 1, 1],
  ])
  expect((await policyCounts(cluster, "n2"))[0]?.selectedHere).toBe(0)
})

test("what a pod enforces, in words and in order", () => {
  const endpoint = findEndpoint(cluster, "", "db")
  if (endpoint === undefined) throw new Error("wanted the pod db")
  const lines = effectiveRules(cluster, endpoint).map(
    (rule) => `${rule.direction} ${rule.action} ${rule.peer} | ${rule.ports} | ${rule.policy} ${rule.rule}`,
  )
  expect(lines).toMatchInlineSnapshot(`
    [
      "ingress allow (pods in namespace shop with app=web) or (addresses in 10.0.0.0/8 not (addresses in 10.244.0.0/16)) | TCP 5432; UDP 53 | NetworkPolicy shop/db ingress[0]",
      "ingress deny anyone else | any | NetworkPolicy shop/db default",
      "egress allow anyone else | any |  default",
    ]
  `)
})
