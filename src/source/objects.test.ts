import { expect, test } from "vitest"
import { type ManifestObject, manifestAt } from "../model/manifest.ts"
import { changedKeys } from "../model/sharded-map.ts"
import type { Address, Prefix } from "../net/types.ts"
import { admit } from "./admit.ts"
import { checkManifests } from "./check.ts"
import { ObjectStore } from "./objects.ts"
import { readManifests } from "./yaml.ts"

const origin = { file: "api", line: 1, column: 1 }
const object = (value: unknown): ManifestObject => manifestAt(value, origin)
const pod = (
  name: string,
  rest: { namespace?: string; labels?: Record<string, string>; spec?: object; status?: object } = {},
) =>
  object({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: rest.namespace ?? "x", labels: rest.labels ?? {} },
    spec: { nodeName: "n1", containers: [{ name: "c" }], ...rest.spec },
    status: rest.status ?? {},
  })
const policy = (name: string, spec: unknown = {}) =>
  object({ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: { name, namespace: "x" }, spec })
const ref = (kind: string, name: string, namespace = "x") => ({
  apiVersion: kind === "NetworkPolicy" ? "networking.k8s.io/v1" : "v1",
  kind,
  namespace,
  name,
})
const store = (now = 0): ObjectStore => new ObjectStore({ now: () => now, clusterPrefixes: ["10.0.0.0/8" as Prefix] })

test("the cluster shares what did not change", () => {
  const objects = store()
  for (let i = 0; i < 50; i++) objects.put(pod(`p${i}`))
  objects.put(policy("a"))
  const before = objects.cluster()
  expect(objects.cluster()).toBe(before)
  objects.put(pod("p7"))
  expect(objects.cluster()).toBe(before)
  expect(objects.put(pod("p7", { labels: { a: "b" } })).outcome).toBe("accepted")
  const after = objects.cluster()
  expect(after).not.toBe(before)
  expect(after.policies).toBe(before.policies)
  expect([...changedKeys(before.endpoints, after.endpoints)]).toEqual(["x/p7"])
  expect(before.endpoints.get("x/p7")?.labels).toEqual({})
  for (const [key, value] of before.endpoints) if (key !== "x/p7") expect(after.endpoints.get(key)).toBe(value)
})

test("a change of the status that no policy can see leaves the endpoint as it is", () => {
  const objects = store()
  objects.put(pod("a", { status: { podIP: "10.0.0.1", phase: "Pending" } }))
  const before = objects.cluster()
  expect(objects.put(pod("a", { status: { podIP: "10.0.0.1", phase: "Running" } })).outcome).toBe("accepted")
  expect(objects.cluster()).toBe(before)
})

test("a pod whose object states no address has those that its node's network gave it, at once and without what is not settled", () => {
  const objects = store()
  const local = { node: "n1", addresses: ["10.0.0.9" as Address] }
  const addressOf = (name: string) => objects.settled.endpoints.get(`x/${name}`)?.addresses
  for (const name of ["a", "other"]) objects.put(pod(name))
  objects.put(pod("stated", { status: { podIP: "10.0.0.1" } }))
  objects.put(pod("elsewhere", { spec: { nodeName: "n2" } }))
  for (const name of ["a", "stated", "elsewhere", "late"]) objects.setLocal(`x/${name}`, local)
  const before = objects.cluster()
  expect(["a", "stated", "elsewhere", "other"].map(addressOf)).toEqual([["10.0.0.9"], ["10.0.0.1"], [], []])
  objects.put(policy("unsettled"))
  objects.put(pod("late"))
  objects.setLocal("x/a", { ...local, addresses: ["10.0.0.10" as Address] })
  expect(objects.settled.policies).toBe(before.policies)
  expect([addressOf("a"), addressOf("late")]).toEqual([["10.0.0.10"], undefined])
  expect(objects.cluster().policies.size).toBe(1)
  expect(addressOf("late")).toEqual(["10.0.0.9"])
  const located = objects.settled.endpoints.get("x/a")
  objects.put(pod("a", { status: { phase: "Running" } }))
  expect(objects.cluster().endpoints.get("x/a")).toBe(located)
  objects.put(pod("a", { labels: { a: "b" } }))
  objects.cluster()
  expect(addressOf("a")).toEqual(["10.0.0.10"])
  objects.put(pod("late", { status: { podIP: "10.0.0.2" } }))
  objects.setLocal("x/a", undefined)
  objects.setLocal("x/late", undefined)
  objects.cluster()
  expect([addressOf("a"), addressOf("late")]).toEqual([[], ["10.0.0.2"]])
})

test("namespaces that only pods use exist, with their name as label, as long as they do", () => {
  const objects = store()
  objects.put(pod("a"))
  objects.put(pod("b"))
  expect(objects.cluster().namespaces.get("x")).toEqual({ name: "x", labels: { "kubernetes.io/metadata.name": "x" } })
  objects.put(object({ apiVersion: "v1", kind: "Namespace", metadata: { name: "x", labels: { t: "red" } } }))
  expect(objects.cluster().namespaces.get("x")?.labels).toEqual({ t: "red", "kubernetes.io/metadata.name": "x" })
  objects.delete(ref("Namespace", "x", ""))
  expect(objects.cluster().namespaces.get("x")?.labels).toEqual({ "kubernetes.io/metadata.name": "x" })
  objects.delete(ref("Pod", "a"))
  objects.delete(ref("Pod", "b"))
  expect(objects.cluster().namespaces.size).toBe(0)
  expect(objects.cluster().endpoints.size).toBe(0)
})

test("nodes: declared, implied by pods, with the addresses of host-network pods", () => {
  const objects = store()
  objects.put(pod("a", { status: { hostIP: "192.0.2.9" } }))
  expect(objects.cluster().nodes.get("n1")).toEqual({
    name: "n1",
    labels: {},
    addresses: ["192.0.2.9"],
    podPrefixes: [],
  })
  objects.put(pod("proxy", { spec: { hostNetwork: true }, status: { podIP: "192.0.2.1" } }))
  expect(objects.cluster().nodes.get("n1")?.addresses).toEqual(["192.0.2.1"])
  expect(objects.cluster().endpoints.has("x/proxy")).toBe(false)
  const node = { apiVersion: "v1", kind: "Node", metadata: { name: "n1" }, spec: { podCIDRs: ["10.1.0.0/24"] } }
  objects.put(object({ ...node, status: { addresses: [{ type: "InternalIP", address: "192.0.2.2" }] } }))
  expect(objects.cluster().nodes.get("n1")?.addresses).toEqual(["192.0.2.2", "192.0.2.1"])
  expect(objects.cluster().clusterPrefixes).toEqual(["10.0.0.0/8", "10.1.0.0/24"])
  objects.delete(ref("Pod", "proxy"))
  expect(objects.cluster().nodes.get("n1")?.addresses).toEqual(["192.0.2.2"])
  objects.delete(ref("Node", "n1", ""))
  objects.delete(ref("Pod", "a"))
  expect(objects.cluster().nodes.size).toBe(0)
  expect(objects.cluster().clusterPrefixes).toEqual(["10.0.0.0/8"])
})

test("a pod that moves, ends, or joins the host's network", () => {
  const objects = store()
  objects.put(pod("a"))
  objects.put(pod("a", { spec: { nodeName: "n2" } }))
  expect([...objects.cluster().nodes.keys()]).toEqual(["n2"])
  objects.put(pod("a", { spec: { nodeName: "n2", hostNetwork: true }, status: { podIP: "192.0.2.1" } }))
  expect(objects.cluster().endpoints.size).toBe(0)
  expect(objects.cluster().nodes.get("n2")?.addresses).toEqual(["192.0.2.1"])
  objects.put(pod("a", { status: { phase: "Failed" } }))
  expect(objects.cluster().nodes.size).toBe(0)
  expect(objects.list("Pod")).toHaveLength(1)
})

test("the digest tells the set of accepted objects, not the way there", () => {
  const one = store()
  const two = store()
  for (const item of [pod("a"), pod("b"), policy("p")]) one.put(item)
  for (const item of [policy("p", { policyTypes: ["Egress"] }), policy("q"), pod("b"), pod("a"), policy("p")])
    two.put(item)
  expect(two.digest).not.toBe(one.digest)
  two.delete(ref("NetworkPolicy", "q"))
  expect(two.digest).toBe(one.digest)
  expect(two.cluster()).toEqual(one.cluster())
  const reordered = {
    spec: {},
    metadata: { namespace: "x", name: "p" },
    kind: "NetworkPolicy",
    apiVersion: "networking.k8s.io/v1",
  }
  expect(two.put(object(reordered)).outcome).toBe("unchanged")
})

test("a broken version is refused alone; the last good one stays, and is told with its time", () => {
  let now = new Date(2026, 10, 21, 12, 4).getTime()
  const objects = new ObjectStore({ now: () => now })
  objects.put(policy("a"))
  const { digest } = objects
  const cluster = objects.cluster()
  now = new Date(2026, 10, 21, 13, 0).getTime()
  const refused = objects.put(policy("a", { podSelectr: {} }))
  expect(refused).toMatchObject({ outcome: "refused", message: "NetworkPolicy x/a refused: kept the version of 12:04" })
  expect(objects.digest).toBe(digest)
  expect(objects.cluster()).toBe(cluster)
  const since = now
  now += 60_000
  objects.put(policy("a", { podSelectr: {} }))
  expect(objects.refusals()).toMatchObject([{ ref: { name: "a" }, refusal: { since } }])
  expect(objects.put(policy("b", { policyTypes: ["x"] })).message).toBe(
    "NetworkPolicy x/b refused: no earlier version is in force",
  )
  expect(objects.refusals()).toHaveLength(2)
  now = new Date(2026, 10, 22, 9, 0).getTime()
  expect(objects.put(policy("a", { podSelectr: {} })).message).toContain("kept the version of 2026-11-21 12:04")
  expect(objects.put(policy("a")).outcome).toBe("unchanged")
  objects.delete(ref("NetworkPolicy", "b"))
  expect(objects.refusals()).toEqual([])
})

test("a policy that moved in its file leads back to its new lines", () => {
  const objects = store()
  const text =
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: x}\nspec:\n  ingress:\n  - {}\n"
  const line = (): number | undefined => [...objects.cluster().policies.values()][0]?.ingress?.rules[0]?.origin.line
  const put = (manifests: string) => readManifests(manifests, "f").objects.map((item) => objects.put(item).outcome)
  expect(put(text)).toEqual(["accepted"])
  expect(line()).toBe(6)
  expect(put(text.replace("  ingress", "  # why\n  ingress"))).toEqual(["unchanged"])
  expect(line()).toBe(7)
})

test.each([
  [{ apiVersion: "example.com/v1", kind: "Widget", metadata: { name: "a" } }, "ignored", "warning"],
  [{ apiVersion: "v1", kind: "Event", metadata: { name: "a" } }, "ignored", "warning"],
  [{ apiVersion: "serving.knative.dev/v1", kind: "Service", metadata: { name: "a" } }, "ignored", "warning"],
  [{ apiVersion: "extensions/v1beta1", kind: "NetworkPolicy", metadata: { name: "a" } }, "refused", "error"],
  [{ apiVersion: "v1", kind: "NetworkPolicy", metadata: { name: "a" } }, "refused", "error"],
  [{ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolcy", metadata: { name: "a" } }, "refused", "error"],
  [{ apiVersion: "networking.k8s.io/v1", kind: "Firewall", metadata: { name: "a" } }, "refused", "error"],
  [{ apiVersion: "cilium.io/v9", kind: "CiliumNetworkPolicy", metadata: { name: "a" } }, "refused", "error"],
  [{ apiVersion: "crd.projectcalico.org/v9", kind: "NetworkPolicy", metadata: { name: "a" } }, "refused", "error"],
  [{ kind: "Pod", metadata: { name: "a" } }, "refused", "error"],
  [{ apiVersion: "v1", metadata: { name: "a" } }, "refused", "error"],
  ["text", "refused", "error"],
])("kinds that are not known: %j", (value, outcome, severity) => {
  const answer = store().put(object(value))
  expect(answer).toMatchObject({ outcome, problems: [{ severity }] })
  expect(admit(object(value)).accepted).toBe(severity === "warning")
})

test("policy check: all mistakes of all files, in their order, and objects that stand twice", () => {
  const head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n"
  const result = checkManifests([
    { file: "b.yaml", text: `${head}spec:\n  podSelectr: {}\n  policyTypes: [in]\n---\nkind: [\n` },
    { file: "a.yaml", text: `${head}---\napiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n` },
  ])
  expect(result.ok).toBe(false)
  expect(result.objects).toEqual({ NetworkPolicy: 2, Namespace: 1 })
  expect(result.problems.map(({ origin: { file, line }, path }) => `${file}:${line} ${path}`)).toEqual([
    "b.yaml:5 spec.podSelectr",
    "b.yaml:6 spec.policyTypes[0]",
    "b.yaml:8 ",
    "a.yaml:1 ",
    "a.yaml:1 metadata.name",
  ])
  expect(checkManifests([{ file: "a.yaml", text: `${head}spec: {podSelector: {}}\n` }])).toEqual({
    ok: true,
    problems: [],
    objects: { NetworkPolicy: 1 },
  })
})
