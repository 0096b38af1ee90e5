/** Random clusters and packets over the whole policy model, small enough that everything meets everything. */
import fc from "fast-check"
import {
  type Cluster,
  type Endpoint,
  emptyCluster,
  type NetworkSet,
  type Node,
  type Service,
} from "../../src/model/cluster.ts"
import type { Packet } from "../../src/model/packet.ts"
import {
  type L4Match,
  type Match,
  type Policy,
  type PolicySide,
  type PortSpec,
  policyKey,
  type Rule,
  type Tier,
} from "../../src/model/policy.ts"
import type { Selector } from "../../src/model/selector.ts"
import { familyOf, parseAddress } from "../../src/net/address.ts"
import { parsePrefix } from "../../src/net/prefix.ts"
import type { Address, Prefix } from "../../src/net/types.ts"

const addresses = (texts: string): Address[] => texts.split(" ").map(parseAddress)
export const podAddresses = addresses(
  "10.244.1.1 10.244.1.2 10.244.1.3 10.244.2.1 10.244.2.2 fd00:1::1 fd00:1::2 fd00:1::3 fd00:2::1 fd00:2::2",
)
export const otherAddresses = addresses(
  "172.18.0.1 172.18.0.2 fd01::1 10.244.9.9 fd00:9::9 192.0.2.1 198.51.100.7 10.1.2.3 2001:db8::1 2001:db9::1 0.0.0.0",
)
const prefixes: Prefix[] = [
  "0.0.0.0/0",
  "10.0.0.0/8",
  "10.244.0.0/16",
  "10.244.1.0/24",
  "10.244.1.2/32",
  "10.244.9.0/24",
  "172.18.0.0/16",
  "192.0.2.0/24",
  "192.0.2.1/32",
  "::/0",
  "fd00::/16",
  "fd00:1::/32",
  "fd00:1::2/128",
  "2001:db8::/32",
].map((text) => parsePrefix(text))
const ports = [0, 53, 79, 80, 81, 443, 65_535]
const protocols = [1, 6, 17, 47, 58, 132]

const label = fc.constantFrom("a", "b", "c")
const labels = fc.dictionary(fc.constantFrom("app", "tier"), label, { maxKeys: 2, noNullPrototype: true })
const some = <T>(arbitrary: fc.Arbitrary<T>, most = 3): fc.Arbitrary<T[]> =>
  fc.array(arbitrary, { minLength: 1, maxLength: most })

const selector: fc.Arbitrary<Selector> = fc.letrec<{ selector: Selector }>((tie) => ({
  selector: fc.oneof(
    { maxDepth: 2 },
    fc.constant<Selector>({ kind: "all" }),
    fc.record({ kind: fc.constant("has" as const), key: fc.constantFrom("app", "tier") }),
    fc.record({
      kind: fc.constantFrom("in" as const, "notIn" as const),
      key: fc.constantFrom("app", "tier"),
      values: some(label, 2),
    }),
    fc.record({ kind: fc.constant("startsWith" as const), key: fc.constantFrom("app", "tier"), value: label }),
    fc.record({
      kind: fc.constantFrom("and" as const, "or" as const),
      of: fc.array(tie("selector"), { maxLength: 2 }),
    }),
    fc.record({ kind: fc.constant("not" as const), of: tie("selector") }),
  ),
})).selector

const plainMatch: fc.Arbitrary<Match> = fc.oneof(
  fc.record({
    kind: fc.constant("labels" as const),
    of: fc.constantFrom("self" as const, "namespace" as const),
    selector,
  }),
  fc.record({ kind: fc.constant("namespace" as const), names: some(fc.constantFrom("x", "y", "z"), 2) }),
)

export const match: fc.Arbitrary<Match> = fc.letrec<{ match: Match }>((tie) => ({
  match: fc.oneof(
    { maxDepth: 3 },
    fc.constant<Match>({ kind: "any" }),
    plainMatch,
    fc.record({ kind: fc.constant("cidr" as const), prefixes: some(fc.constantFrom(...prefixes)) }),
    fc.record({
      kind: fc.constant("is" as const),
      what: fc.constantFrom(
        "endpoint" as const,
        "node" as const,
        "localNode" as const,
        "networkSet" as const,
        "outside" as const,
      ),
    }),
    fc.record({ kind: fc.constant("labels" as const), of: fc.constant("serviceAccount" as const), selector }),
    fc.record({ kind: fc.constant("serviceAccount" as const), names: some(fc.constantFrom("default", "robot"), 1) }),
    fc.record({ kind: fc.constant("hasNamedPort" as const), name: fc.constantFrom("web", "dns") }),
    fc.record({ kind: fc.constant("inNetworkSet" as const), of: plainMatch }),
    fc.record({
      kind: fc.constant("service" as const),
      as: fc.constantFrom("backends" as const, "target" as const),
      of: fc.record(
        { namespace: fc.constantFrom("x", "y"), name: fc.constantFrom("v", "w"), labels: selector },
        { requiredKeys: [] },
      ),
    }),
    fc.constant<Match>({ kind: "none" }),
    fc.record({ kind: fc.constantFrom("and" as const, "or" as const), of: fc.array(tie("match"), { maxLength: 3 }) }),
    fc.record({ kind: fc.constant("not" as const), of: tie("match") }),
  ),
})).match

const portSpec: fc.Arbitrary<PortSpec> = fc.oneof(
  fc
    .tuple(fc.constantFrom(...ports), fc.constantFrom(...ports))
    .map(([a, b]): PortSpec => ({ kind: "range", first: Math.min(a, b), last: Math.max(a, b) })),
  fc.constantFrom(...ports).map((port): PortSpec => ({ kind: "range", first: port, last: port })),
  fc.record({ kind: fc.constant("named" as const), name: fc.constantFrom("web", "dns", "none") }),
)
/** Only where the destination's ports are asked for. */
const destinationPort: fc.Arbitrary<PortSpec> = fc.oneof(
  { arbitrary: portSpec, weight: 4 },
  fc.record({
    kind: fc.constant("service" as const),
    namespace: fc.constantFrom("x", "y"),
    name: fc.constantFrom("v", "w"),
  }),
)
const icmpMatch = fc.oneof(
  fc.record({ type: fc.constantFrom(0, 8, 128) }),
  fc.record({ type: fc.constantFrom(0, 8, 128), code: fc.constantFrom(0, 1) }),
)

const portsOnly: fc.Arbitrary<L4Match> = fc.record({
  protocols: some(fc.constantFrom(6, 17, 132), 1),
  ports: some(destinationPort, 2),
})
const l4Match: fc.Arbitrary<L4Match> = fc.oneof(
  { arbitrary: portsOnly, weight: 3 },
  fc.record(
    {
      protocols: fc.array(fc.constantFrom(...protocols), { maxLength: 2 }),
      notProtocols: fc.array(fc.constantFrom(...protocols), { maxLength: 2 }),
      ports: fc.array(destinationPort, { maxLength: 2 }),
      notPorts: fc.array(portSpec, { maxLength: 2 }),
      sourcePorts: fc.array(portSpec, { maxLength: 2 }),
      notSourcePorts: fc.array(portSpec, { maxLength: 2 }),
      icmp: icmpMatch,
      notIcmp: icmpMatch,
      family: fc.constantFrom(4 as const, 6 as const),
    },
    { requiredKeys: [] },
  ),
)

const rule = (section: string): fc.Arbitrary<Omit<Rule, "index" | "origin">> =>
  fc.record(
    {
      action: fc.constantFrom("allow" as const, "allow" as const, "deny" as const, "pass" as const, "log" as const),
      peer: match,
      local: match,
      l4: fc.array(l4Match, { maxLength: 2 }),
      section: fc.constant(section),
    },
    { requiredKeys: ["action", "peer", "l4", "section"] },
  )

const side = (section: string): fc.Arbitrary<PolicySide> =>
  fc
    .record({ isolates: fc.boolean(), rules: fc.array(rule(section), { maxLength: 4 }) })
    .map(({ isolates, rules }) => ({
      isolates,
      rules: rules.map((part, index) => ({ ...part, index, origin: { file: "rules", line: index + 1, column: 1 } })),
    }))

const kinds = [
  ["networking.k8s.io", "NetworkPolicy"],
  ["cilium.io", "CiliumNetworkPolicy"],
  ["projectcalico.org", "NetworkPolicy"],
  ["projectcalico.org", "StagedNetworkPolicy"],
] as const

export const policy: fc.Arbitrary<Policy> = fc
  .record(
    {
      kind: fc.constantFrom(...kinds),
      namespace: fc.constantFrom("", "x", "y"),
      name: fc.constantFrom("p", "q", "r", "s"),
      tier: fc.constantFrom("default", "default", "default", "kube-admin", "kube-baseline", "early", "ghost"),
      order: fc.constantFrom(1_000, 1_000, 10, Infinity),
      tieBreak: fc.constantFrom("", "", "t"),
      subject: fc.oneof({ arbitrary: plainMatch, weight: 3 }, match),
      ingress: side("ingress"),
      egress: side("egress"),
      remove: fc.boolean(),
      line: fc.nat(9),
    },
    { requiredKeys: ["kind", "namespace", "name", "tier", "order", "tieBreak", "subject", "remove", "line"] },
  )
  .map(({ kind: [group, kind], remove, line, ...rest }) => {
    const mode = !kind.startsWith("Staged") ? "enforced" : remove ? "stagedDelete" : "staged"
    return { ...rest, group, kind, mode, origin: { file: "policies", line: line + 1, column: 1 } }
  })

const namedPorts = fc.array(
  fc.record({
    name: fc.constantFrom("web", "dns"),
    protocol: fc.constantFrom(6, 17),
    port: fc.constantFrom(53, 80, 81),
  }),
  { maxLength: 3 },
)

const endpoint = (namespace: string, name: string): fc.Arbitrary<Endpoint> =>
  fc.record({
    namespace: fc.constant(namespace),
    name: fc.constant(name),
    node: fc.constantFrom("n1", "n1", "n2"),
    // Now and then one that is a node's.
    addresses: fc.uniqueArray(
      fc.oneof(
        { arbitrary: fc.constantFrom(...podAddresses), weight: 15 },
        fc.constantFrom(...addresses("172.18.0.1 172.18.0.2")),
      ),
      { minLength: 1, maxLength: 3 },
    ),
    labels,
    serviceAccount: fc.constantFrom("default", "robot"),
    namedPorts,
  })

const pods = [..."xyz"].flatMap((namespace) => ["a", "b"].map((name) => [namespace, name] as const))
const tier: fc.Arbitrary<Tier> = fc.record({
  name: fc.constant("early"),
  order: fc.constantFrom(10, 2_000_000, Infinity),
  defaultAction: fc.constantFrom("deny" as const, "pass" as const),
})
const networkSet = (name: string): fc.Arbitrary<NetworkSet> =>
  fc.record({
    kind: fc.constant("NetworkSet"),
    namespace: fc.constantFrom("", "x"),
    name: fc.constant(name),
    labels,
    prefixes: some(fc.constantFrom(...prefixes), 2),
  })

const service = (namespace: string, name: string): fc.Arbitrary<Service> =>
  fc
    .record(
      {
        labels,
        selector: labels,
        backends: fc.uniqueArray(
          fc.record({
            address: fc.constantFrom(...podAddresses, ...otherAddresses),
            ports: fc.array(fc.record({ protocol: fc.constantFrom(6, 17), port: fc.constantFrom(53, 80, 81) }), {
              maxLength: 2,
            }),
          }),
          { maxLength: 4, selector: ({ address }) => address },
        ),
      },
      { requiredKeys: ["backends"] },
    )
    .map((parts) => ({ ...parts, namespace, name }))

/** Parts of a cluster as lists, from which `clusterOf` makes maps in whatever order. */
export interface Parts {
  readonly namespaces: readonly { readonly name: string; readonly labels: Record<string, string> }[]
  readonly accounts: readonly {
    readonly namespace: string
    readonly name: string
    readonly labels: Record<string, string>
  }[]
  readonly endpoints: readonly Endpoint[]
  readonly nodes: readonly Node[]
  readonly sets: readonly NetworkSet[]
  readonly services: readonly Service[]
  readonly tiers: readonly Tier[]
  readonly policies: readonly Policy[]
  readonly ranges: readonly Prefix[]
}

const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(arbitrary, { maxLength: 1 })

export const parts: fc.Arbitrary<Parts> = fc
  .record({
    namespaces: fc.tuple(...[..."xyz"].map((name) => fc.record({ name: fc.constant(name), labels }))),
    accounts: optional(fc.record({ namespace: fc.constant("x"), name: fc.constant("robot"), labels })),
    endpoints: fc.tuple(...pods.map(([namespace, name]) => fc.option(endpoint(namespace, name), { freq: 4 }))),
    nodes: fc.tuple(labels, labels).map(([one, two]): Node[] => [
      { name: "n1", labels: one, addresses: addresses("172.18.0.1 fd01::1"), podPrefixes: [] },
      { name: "n2", labels: two, addresses: addresses("172.18.0.2"), podPrefixes: [] },
    ]),
    sets: fc.tuple(fc.option(networkSet("s1")), fc.option(networkSet("s2"))),
    services: fc.tuple(
      ...[..."xy"].flatMap((at) => [..."vw"].map((name) => fc.option(service(at, name), { freq: 1 }))),
    ),
    tiers: optional(tier),
    policies: fc.uniqueArray(policy, { maxLength: 6, selector: policyKey }),
    ranges: fc.constantFrom<Prefix[]>(
      [parsePrefix("10.244.0.0/16"), parsePrefix("fd00::/16")],
      [parsePrefix("10.244.0.0/16"), parsePrefix("10.244.1.0/24")],
      [],
    ),
  })
  .map((all) => ({
    ...all,
    endpoints: all.endpoints.filter((one) => one !== null),
    sets: all.sets.filter((one) => one !== null),
    services: all.services.filter((one) => one !== null),
  }))

export function clusterOf(all: Parts): Cluster {
  return {
    ...emptyCluster,
    namespaces: new Map(all.namespaces.map((one) => [one.name, one])),
    serviceAccounts: new Map(all.accounts.map((one) => [`${one.namespace}/${one.name}`, one])),
    endpoints: new Map(all.endpoints.map((one) => [`${one.namespace}/${one.name}`, one])),
    nodes: new Map(all.nodes.map((one) => [one.name, one])),
    networkSets: new Map(all.sets.map((one) => [`${one.namespace}/${one.name}`, one])),
    services: new Map(all.services.map((one) => [`${one.namespace}/${one.name}`, one])),
    tiers: new Map(all.tiers.map((one) => [one.name, one])),
    policies: new Map(all.policies.map((one) => [policyKey(one), one])),
    clusterPrefixes: all.ranges,
  }
}

export const cluster: fc.Arbitrary<Cluster> = parts.map(clusterOf)

/** A stream of bits out of one number, for choosing item by item. */
export function chooser(seed: number): () => number {
  let state = seed | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

function shuffled<T>(items: readonly T[], next: () => number): T[] {
  return items
    .map((item) => [next(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item)
}

const collections = ["namespaces", "accounts", "endpoints", "nodes", "sets", "services", "tiers", "policies"] as const

export function shuffleParts(parts: Parts, next: () => number): Parts {
  return { ...parts, ...Object.fromEntries(collections.map((name) => [name, shuffled<unknown>(parts[name], next)])) }
}

/** A state between two: each item from one, the other, or absent. Items taken are the same objects. */
export function mixed(one: Parts, other: Parts, next: () => number): Parts {
  const pick = (a: readonly unknown[], b: readonly unknown[]): unknown[] => {
    const count = Math.max(a.length, b.length)
    return Array.from({ length: count }, (_, i) => [a[i], a[i], b[i], undefined][next() % 4]).filter(
      (item) => item !== undefined,
    )
  }
  return {
    ...one,
    ...Object.fromEntries(collections.map((name) => [name, pick(one[name], other[name])])),
    ranges: next() % 2 === 0 ? one.ranges : other.ranges,
  }
}

/** What packets ask besides addresses. */
export type Question = Omit<Packet, "source" | "destination">

export const question: fc.Arbitrary<Question> = fc.oneof(
  fc.record({
    protocol: fc.constantFrom(6, 6, 17, 132),
    sourcePort: fc.constantFrom(...ports, 40_000),
    destinationPort: fc.constantFrom(...ports, 8_080),
    fromNodeSocket: fc.boolean(),
  }),
  fc.record({
    protocol: fc.constantFrom(1, 58),
    sourcePort: fc.constant(0),
    destinationPort: fc.constant(0),
    icmpType: fc.constantFrom(0, 8, 128, 255),
    icmpCode: fc.constantFrom(0, 1, 255),
  }),
  fc.record({
    protocol: fc.constantFrom(0, 1, 47, 58, 255),
    sourcePort: fc.constant(0),
    destinationPort: fc.constant(0),
  }),
)

/** All pairs of addresses of one family, each with its turn of the questions. */
export function packetsOf(questions: readonly Question[]): Packet[] {
  const all = [...podAddresses, ...otherAddresses]
  const packets: Packet[] = []
  for (const source of all) {
    for (const destination of all) {
      if (familyOf(source) !== familyOf(destination)) continue
      const asked = questions[packets.length % questions.length]
      if (asked !== undefined) packets.push({ ...asked, source, destination })
    }
  }
  return packets
}
