import fc from "fast-check"
import { expect, test } from "vitest"
import { evaluate } from "../../compile/evaluate.ts"
import type { Cluster } from "../../model/cluster.ts"
import { type ManifestObject, manifestAt } from "../../model/manifest.ts"
import type { Packet } from "../../model/packet.ts"
import { familyOf, parseAddress } from "../../net/address.ts"
import { ObjectStore } from "../../source/objects.ts"
import { readManifests } from "../../source/yaml.ts"
import { convert, type Language } from "./convert.ts"
import { refusalText } from "./refusal.ts"

const SEED = 20_261_121
type Json = Record<string, unknown>

const nowhere = { file: "f", line: 1, column: 1 }
const manifests = (objects: readonly unknown[]): ManifestObject[] => objects.map((one) => manifestAt(one, nowhere))

const label = fc.constantFrom("a", "b")
const labels = fc.dictionary(fc.constantFrom("app", "role"), label, { maxKeys: 2, noNullPrototype: true })
const namespaces = ["x", "y"]

const world: fc.Arbitrary<Json[]> = fc
  .record({
    spaces: fc.tuple(labels, labels),
    pods: fc.array(fc.tuple(labels, fc.boolean()), { minLength: 4, maxLength: 4 }),
  })
  .map(({ spaces, pods }) => [
    ...namespaces.map((name, i) => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, labels: { ...spaces[i], "kubernetes.io/metadata.name": name } },
    })),
    ...pods.map(([own, robot], i) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: `p${i}`, namespace: namespaces[i % 2], labels: own },
      spec: {
        nodeName: "n1",
        serviceAccountName: robot ? "robot" : "default",
        containers: [{ name: "c", image: "i", ports: [{ name: "web", containerPort: 80 + (i % 2) }] }],
      },
      status: {
        phase: "Running",
        podIP: `10.0.0.${i + 1}`,
        podIPs: [{ ip: `10.0.0.${i + 1}` }, { ip: `fd00::${i + 1}` }],
      },
    })),
    {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "n1", labels: { app: "a" } },
      spec: { podCIDRs: ["10.0.0.0/24", "fd00::/64"] },
      status: { addresses: [{ type: "InternalIP", address: "172.18.0.1" }] },
    },
  ])

const expression = fc.oneof(
  fc.record({
    key: fc.constantFrom("app", "role"),
    operator: fc.constantFrom("In", "NotIn"),
    values: fc.uniqueArray(label, { minLength: 1 }),
  }),
  fc.record({ key: fc.constantFrom("app", "role"), operator: fc.constantFrom("Exists", "DoesNotExist") }),
)
const labelSelector = fc.record(
  { matchLabels: labels, matchExpressions: fc.array(expression, { maxLength: 2 }) },
  { requiredKeys: [] },
)
const some = <T>(one: fc.Arbitrary<T>, most = 2): fc.Arbitrary<T[]> => fc.array(one, { minLength: 1, maxLength: most })

const kubernetesPort = fc.oneof(
  fc.record({ port: fc.constantFrom(53, 80, "web"), protocol: fc.constantFrom("TCP", "UDP") }),
  fc.record({ protocol: fc.constantFrom("TCP", "UDP", "SCTP") }),
  fc.constant({ port: 80, endPort: 90 }),
)
const block = fc.constantFrom<Json>(
  { ipBlock: { cidr: "10.0.0.0/24", except: ["10.0.0.2/32"] } },
  { ipBlock: { cidr: "192.0.2.0/24" } },
  { ipBlock: { cidr: "fd00::/64" } },
)
const podPeer = fc.oneof(
  fc.record({ podSelector: labelSelector }),
  fc.record({ namespaceSelector: labelSelector, podSelector: labelSelector }),
  fc.record({ namespaceSelector: labelSelector }),
)
const kubernetesRule = (field: string, peer: fc.Arbitrary<Json>): fc.Arbitrary<Json> =>
  fc.record(
    { [field]: fc.array(peer, { maxLength: 2 }), ports: fc.array(kubernetesPort, { maxLength: 2 }) },
    { requiredKeys: [] },
  )

const kubernetes = (peer: fc.Arbitrary<Json>): fc.Arbitrary<Json[]> =>
  fc
    .array(
      fc.record({
        namespace: fc.constantFrom(...namespaces),
        spec: fc.record(
          {
            podSelector: labelSelector,
            policyTypes: fc.constantFrom([], ["Ingress"], ["Egress"], ["Ingress", "Egress"]),
            ingress: some(kubernetesRule("from", peer)),
            egress: some(kubernetesRule("to", peer)),
          },
          { requiredKeys: ["podSelector", "policyTypes"] },
        ),
      }),
      { minLength: 1, maxLength: 3 },
    )
    .map((list) =>
      list.map(({ namespace, spec }, i) => ({
        apiVersion: "networking.k8s.io/v1",
        kind: "NetworkPolicy",
        metadata: { name: `p${i}`, namespace },
        spec,
      })),
    )

const calicoSelector = fc.constantFrom(
  "app == 'a'",
  "has(role)",
  "app in {'a','b'}",
  "app != 'b' && !has(role)",
  "app == 'a' || role == 'b'",
  "all()",
)
const calicoEntity = (accounts: boolean) =>
  fc.record(
    {
      selector: calicoSelector,
      namespaceSelector: fc.constantFrom("all()", "app == 'a'", "projectcalico.org/name == 'y'"),
      ...(accounts ? { serviceAccounts: fc.constant({ names: ["robot"] }) } : {}),
    },
    { requiredKeys: ["selector"] },
  )
const calicoRule = (accounts: boolean) =>
  fc
    .record({
      peer: fc.option(calicoEntity(accounts), { freq: 4 }),
      protocol: fc.option(fc.constantFrom("TCP", "UDP")),
      ports: fc.option(fc.constantFrom([80], ["web"], ["80:90", 53])),
    })
    .map(({ peer, protocol, ports }) => ({
      peer,
      head: { action: "Allow", ...(protocol === null ? {} : { protocol }) },
      ports: protocol === null ? null : ports,
    }))

const calico = (accounts: boolean): fc.Arbitrary<Json[]> =>
  fc
    .array(
      fc.record({
        selector: calicoSelector,
        order: fc.constantFrom(10, 2_000),
        namespace: fc.constantFrom(...namespaces),
        ingress: fc.array(calicoRule(accounts), { maxLength: 2 }),
        egress: fc.array(calicoRule(accounts), { maxLength: 2 }),
      }),
      { minLength: 1, maxLength: 3 },
    )
    .map((list) =>
      list.map(({ ingress, egress, namespace, ...spec }, i) => ({
        apiVersion: "projectcalico.org/v3",
        kind: "NetworkPolicy",
        metadata: { name: `c${i}`, namespace },
        spec: {
          ...spec,
          types: ["Ingress", "Egress"],
          ingress: ingress.map(({ peer, head, ports }) => ({
            ...head,
            ...(peer === null ? {} : { source: peer }),
            ...(ports === null ? {} : { destination: { ports } }),
          })),
          egress: egress.map(({ peer, head, ports }) => ({
            ...head,
            ...(peer === null && ports === null
              ? {}
              : { destination: { ...peer, ...(ports === null ? {} : { ports }) } }),
          })),
        },
      })),
    )

const ciliumEntry = (word: string): fc.Arbitrary<Json> =>
  fc.record(
    {
      [`${word}Endpoints`]: fc.array(labelSelector, { maxLength: 2 }),
      toPorts: fc.constantFrom(
        [{ ports: [{ port: "80", protocol: "TCP" }] }],
        [{ ports: [{ port: "web" }] }],
        [{ ports: [{ port: "0", protocol: "UDP" }] }],
      ),
    },
    { requiredKeys: [`${word}Endpoints`] },
  )
const cilium = (denies: boolean): fc.Arbitrary<Json[]> =>
  fc
    .array(
      fc.record({
        namespace: fc.constantFrom(...namespaces),
        spec: fc.record(
          {
            endpointSelector: labelSelector,
            ingress: some(ciliumEntry("from")),
            egress: some(ciliumEntry("to")),
            ...(denies ? { ingressDeny: some(ciliumEntry("from"), 1), egressDeny: some(ciliumEntry("to"), 1) } : {}),
          },
          { requiredKeys: ["endpointSelector", "ingress"] },
        ),
      }),
      { minLength: 1, maxLength: 2 },
    )
    .map((list) =>
      list.map(({ namespace, spec }, i) => ({
        apiVersion: "cilium.io/v2",
        kind: "CiliumNetworkPolicy",
        metadata: { name: `x${i}`, namespace },
        spec,
      })),
    )

const adminPeer = fc.oneof(
  fc.record({ namespaces: labelSelector }),
  fc.record({ pods: fc.record({ namespaceSelector: labelSelector, podSelector: labelSelector }) }),
)
const adminRule = (field: string): fc.Arbitrary<Json> =>
  fc.record(
    {
      action: fc.constantFrom("Allow", "Deny", "Pass"),
      [field]: some(
        field === "from"
          ? adminPeer
          : fc.oneof(
              { arbitrary: adminPeer, weight: 4 },
              fc.constant<Json>({ networks: ["10.0.0.0/30", "fd00::/64", "192.0.2.0/24"] }),
            ),
      ),
      ports: some(
        fc.constantFrom<Json>(
          { portNumber: { protocol: "TCP", port: 80 } },
          { portRange: { protocol: "UDP", start: 53, end: 80 } },
          { namedPort: "web" },
        ),
      ),
    },
    { requiredKeys: ["action", field] },
  )
const admin: fc.Arbitrary<Json[]> = fc
  .array(
    fc.record({
      priority: fc.constantFrom(1, 1, 5),
      subject: adminPeer,
      ingress: fc.array(adminRule("from"), { maxLength: 2 }),
      egress: fc.array(adminRule("to"), { maxLength: 2 }),
    }),
    { minLength: 1, maxLength: 3 },
  )
  .map((list) =>
    list.map((spec, i) => ({
      apiVersion: "policy.networking.k8s.io/v1alpha1",
      kind: "AdminNetworkPolicy",
      metadata: { name: `a${i}` },
      spec,
    })),
  )

/** The same policies in the newer form, some of them in the other tier. */
const clusterPolicies: fc.Arbitrary<Json[]> = fc
  .tuple(admin, fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }))
  .map(([written, baseline]) =>
    convert(manifests(written), "policy-api").objects.map((object, i) => {
      const { spec, ...rest } = object as { spec: Json } & Json
      return { ...rest, spec: baseline[i] ? { ...spec, tier: "Baseline" } : spec }
    }),
  )

function clusterOf(objects: readonly unknown[]): Cluster {
  const store = new ObjectStore({ now: () => 0 })
  for (const object of manifests(objects)) {
    const { outcome, message, problems } = store.put(object)
    if (outcome === "refused")
      throw new Error(`${message}: ${JSON.stringify(problems)}\n${JSON.stringify(object.value)}`)
  }
  return store.cluster()
}

const addresses =
  "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.9 172.18.0.1 192.0.2.1 198.51.100.1 fd00::1 fd00::2 fd00::3 fd00::9 2001:db8::1"
    .split(" ")
    .map(parseAddress)

function packets(): Packet[] {
  const asked = [
    [6, 80],
    [6, 81],
    [17, 53],
    [17, 85],
    [132, 80],
    [47, 0],
  ] as const
  return addresses.flatMap((source) =>
    addresses
      .filter((one) => familyOf(one) === familyOf(source))
      .flatMap((destination) =>
        asked.map(([protocol, destinationPort]) => ({
          source,
          destination,
          protocol,
          sourcePort: 40_000,
          destinationPort,
        })),
      ),
  )
}

const pairs: readonly (readonly [what: string, policies: fc.Arbitrary<Json[]>, to: Language, least: number])[] = [
  ["Kubernetes", kubernetes(fc.oneof({ arbitrary: podPeer, weight: 4 }, block)), "calico", 40],
  ["Kubernetes", kubernetes(podPeer), "cilium", 40],
  ["Calico", calico(false), "kubernetes", 30],
  ["Calico", calico(true), "cilium", 30],
  ["Cilium", cilium(true), "calico", 20],
  ["Cilium", cilium(false), "kubernetes", 20],
  ["AdminNetworkPolicy", admin, "policy-api", 40],
  ["AdminNetworkPolicy", admin, "calico", 40],
  ["ClusterNetworkPolicy", clusterPolicies, "calico", 40],
]

for (const [what, policies, to, least] of pairs) {
  test(`${what} in the words of ${to} gives every packet the verdict that it had`, () => {
    let kept = 0
    const all = packets()
    fc.assert(
      fc.property(world, policies, (there, written) => {
        const { objects, refusals } = convert(manifests(written), to)
        if (refusals.length > 0) return
        kept++
        const before = clusterOf([...there, ...written])
        const after = clusterOf([...there, ...objects])
        for (const packet of all) {
          const [old, now] = [evaluate(before, packet), evaluate(after, packet)]
          const verdicts = (one: typeof old): string => `${one.egress.action} ${one.ingress.action}`
          if (verdicts(old) !== verdicts(now)) {
            throw new Error(
              `${JSON.stringify(packet)}\n${JSON.stringify(old)}\n${JSON.stringify(now)}\n${JSON.stringify(objects)}`,
            )
          }
        }
      }),
      { seed: SEED, numRuns: 60 },
    )
    // What is refused proves nothing.
    expect(kept).toBeGreaterThanOrEqual(least)
  })
}

function refusals(text: string, to: Language): string[] {
  return convert(readManifests(text, "p.yaml").objects, to).refusals.map(refusalText)
}

test("what cannot be kept is refused with its line", () => {
  const policy = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: p, namespace: x }
spec:
  podSelector: {}
  ingress:
    - from: [{ podSelector: {} }]
    - from: [{ ipBlock: { cidr: 10.0.0.0/8 } }]
`
  expect(refusals(policy, "cilium")).toEqual([
    "p.yaml:8:7: NetworkPolicy x/p: cannot keep the block 10.0.0.0/8: Cilium's CIDRs mean addresses outside the cluster only, others mean pods and nodes in it too",
  ])
  expect(refusals(policy, "policy-api")[0]).toContain("p.yaml:1:1: NetworkPolicy x/p: cannot keep tier default")
})

test("denies, order and staging have no counterpart in NetworkPolicy", () => {
  const policy = (kind: string): string => `apiVersion: projectcalico.org/v3
kind: ${kind}
metadata: { name: p, namespace: x }
spec:
  selector: all()
  types: [Ingress]
  ingress:
    - { action: Deny, source: { selector: app == 'a' } }
`
  expect(refusals(policy("NetworkPolicy"), "kubernetes")).toEqual([
    "p.yaml:8:7: NetworkPolicy x/p: cannot keep a rule that says deny: a NetworkPolicy can only allow",
  ])
  expect(refusals(policy("StagedNetworkPolicy"), "kubernetes")[0]).toContain("a staged policy")
})
