import { expect, test } from "vitest"
import { readLabManifests } from "./manifests.ts"
import { planLab } from "./plan.ts"

const options = { families: [4, 6] as const }

function plan(text: string, more: { nodes?: number } = {}) {
  return planLab(readLabManifests([{ file: "t.yaml", text }]).manifests, { ...options, ...more })
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec:
  replicas: 3
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers: [{ name: c, image: x, ports: [{ containerPort: 80 }] }]
`

test("a Deployment becomes pods that are spread over two nodes, and its namespace is made", () => {
  const state = plan(deployment)
  expect([...state.nodes.keys()]).toEqual(["node-1", "node-2"])
  expect([...state.pods].map(([key, pod]) => `${key} ${pod.node}`)).toEqual([
    "shop/web-0 node-1",
    "shop/web-1 node-2",
    "shop/web-2 node-1",
  ])
  expect(state.pods.get("shop/web-0")).toMatchObject({ addresses: [], listens: [{ port: 80, protocol: 6 }] })
  const kinds = state.objects.map(({ value }) => value["kind"])
  expect(kinds).toEqual(["Pod", "Pod", "Pod", "Namespace", "Node", "Node"])
})

test("the same manifests always give the same plan", () => {
  expect(JSON.stringify(plan(deployment).objects)).toBe(JSON.stringify(plan(deployment).objects))
})

test("stated nodes, addresses and ranges are kept, and given ones keep out of their way", () => {
  const state = plan(`
apiVersion: v1
kind: Node
metadata: { name: b }
spec: { podCIDR: 10.9.0.0/24, podCIDRs: [10.9.0.0/24] }
status: { addresses: [{ type: InternalIP, address: 172.18.0.2 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: p, namespace: x }
spec: { nodeName: a, containers: [{ name: c, image: i }] }
status: { podIPs: [{ ip: 10.9.0.7 }] }
`)
  expect(state.nodes.get("b")).toMatchObject({ addresses: ["172.18.0.2"], podPrefixes: ["10.9.0.0/24"] })
  expect(state.nodes.get("a")?.addresses[0]).not.toBe("172.18.0.2")
  expect(state.pods.get("x/p")).toMatchObject({ node: "a", addresses: ["10.9.0.7"] })
})

test("a host-network pod has its node's addresses; an ended pod is no pod of the lab", () => {
  const state = plan(`
apiVersion: v1
kind: Pod
metadata: { name: host, namespace: x }
spec: { hostNetwork: true, containers: [{ name: c, image: i }] }
---
apiVersion: v1
kind: Pod
metadata: { name: done, namespace: x }
spec: { containers: [{ name: c, image: i }] }
status: { phase: Succeeded }
`)
  expect(state.pods.get("x/host")?.addresses).toEqual(state.nodes.get("node-1")?.addresses)
  expect(state.pods.has("x/done")).toBe(false)
})

test("two manifests that make one pod are refused", () => {
  const pod = `
apiVersion: v1
kind: Pod
metadata: { name: web-0, namespace: shop }
spec: { containers: [{ name: c, image: i }] }
`
  expect(() => plan(`${deployment}---${pod}`)).toThrow(/two manifests make a pod of that name/)
})

test("every mistake of the manifests is told with its line", () => {
  const wrong = deployment.replace("replicas: 3", "replicaz: 3")
  expect(() => plan(wrong)).toThrow(/one mistake/)
})

test("hosts outside answer on the ports that egress rules name", () => {
  const state = plan(`
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: p, namespace: x }
spec:
  podSelector: {}
  egress: [{ ports: [{ port: 8443 }, { port: 9000, endPort: 9900, protocol: UDP }] }]
`)
  const ports = state.outsideListens.map(({ port, protocol }) => `${port}/${protocol}`)
  expect(ports).toEqual(expect.arrayContaining(["443/6", "8443/6", "9000/17", "9015/17"]))
  expect(ports).not.toContain("9016/17")
})
