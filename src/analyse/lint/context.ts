import { ruleMatches } from "../../compile/evaluate.ts"
import type { Cluster } from "../../model/cluster.ts"
import { endpointFacts, type Facts, factsOf, matches, nodeFacts } from "../../model/facts.ts"
import type { ManifestObject } from "../../model/manifest.ts"
import type { Packet } from "../../model/packet.ts"
import type { Direction, L4Match, Match, Policy, PortSpec, Rule } from "../../model/policy.ts"
import { familyOf } from "../../net/address.ts"
import { prefixBase } from "../../net/prefix.ts"
import { type Address, type Prefix, Protocol } from "../../net/types.ts"

const OUTSIDE = ["192.0.2.1", "2001:db8::1"] as Address[]
const NO_ADDRESS = "0.0.0.0" as Address

/** What lint looks at, with the kinds of workloads and peers that there are, each once. */
export class LintContext {
  readonly cluster: Cluster
  readonly objects: readonly ManifestObject[]
  readonly policies: readonly Policy[]
  /** Pods that differ in what rules see, one of each kind. */
  readonly pods: readonly Facts[]
  /** These, nodes, one address of every block that is named, and one outside of each family. */
  readonly peers: readonly Facts[]
  #selected = new Map<Policy, readonly Facts[]>()

  constructor(cluster: Cluster, objects: readonly ManifestObject[]) {
    this.cluster = cluster
    this.objects = objects
    this.policies = [...cluster.policies.values()]
    this.pods = distinct(
      [...cluster.endpoints.values()].map((one) => {
        const [address] = one.addresses
        return address === undefined ? endpointFacts(cluster, one, NO_ADDRESS) : factsOf(cluster, one.node, address)
      }),
    ).filter((facts) => facts.kind === "endpoint")
    const nodes = [...cluster.nodes.values()].map((node) => nodeFacts(node, "", node.addresses[0] ?? NO_ADDRESS))
    const blocks = new Set<Address>(OUTSIDE)
    for (const policy of this.policies) {
      for (const rule of rulesOf(policy)) for (const block of blocksOf(rule.peer)) blocks.add(prefixBase(block))
    }
    for (const set of cluster.networkSets.values()) for (const block of set.prefixes) blocks.add(prefixBase(block))
    this.peers = [...this.pods, ...distinct(nodes), ...[...blocks].map((address) => factsOf(cluster, "", address))]
  }

  /** Kinds of pods that a policy selects. */
  selected(policy: Policy): readonly Facts[] {
    const known = this.#selected.get(policy)
    if (known !== undefined) return known
    const found = this.pods.filter((facts) => matches(policy.subject, facts) === true)
    this.#selected.set(policy, found)
    return found
  }

  /** Some packets that the rule matches at a pod of its policy, at most `limit`. */
  *examples(policy: Policy, rule: Rule, direction: Direction, limit: number): Generator<Example> {
    let found = 0
    for (const subject of this.selected(policy)) {
      if (rule.local !== undefined && matches(rule.local, subject) !== true) continue
      for (const peer of this.peers) {
        if (peer === subject || familyOf(peer.address) !== familyOf(subject.address)) continue
        if (matches(rule.peer, peer) !== true) continue
        for (const packet of packetsOf(rule.l4, direction, subject, peer)) {
          if (ruleMatches(rule, direction, subject, peer, packet) !== true) continue
          yield { subject, peer, packet }
          if (++found >= limit) return
        }
      }
    }
  }
}

/** A packet that a rule matches, with its ends as the rule sees them. */
export interface Example {
  readonly subject: Facts
  readonly peer: Facts
  readonly packet: Packet
}

export const directions = ["ingress", "egress"] as const

export function rulesOf(policy: Policy): readonly Rule[] {
  return [...(policy.ingress?.rules ?? []), ...(policy.egress?.rules ?? [])]
}

/** Every block that a match names. */
export function blocksOf(match: Match): readonly Prefix[] {
  switch (match.kind) {
    case "and":
    case "or":
      return match.of.flatMap(blocksOf)
    case "not":
      return blocksOf(match.of)
    case "cidr":
      return match.prefixes
    default:
      return []
  }
}

function distinct(all: readonly Facts[]): Facts[] {
  const kinds = new Map<string, Facts>()
  for (const facts of all) {
    const { namespace, labels, namespaceLabels, serviceAccount, namedPorts, networkSets, services } = facts
    const key = JSON.stringify([
      facts.kind,
      familyOf(facts.address),
      namespace,
      labels,
      namespaceLabels,
      serviceAccount,
      namedPorts,
      networkSets?.map((set) => set.name),
      services?.map(({ service }) => service.name),
    ])
    if (!kinds.has(key)) kinds.set(key, facts)
  }
  return [...kinds.values()]
}

/** A packet for every alternative of a rule, and one more where it leaves the protocol open. */
function packetsOf(l4: readonly L4Match[], direction: Direction, subject: Facts, peer: Facts): Packet[] {
  const [source, destination] = direction === "ingress" ? [peer, subject] : [subject, peer]
  const ends = { source: source.address, destination: destination.address }
  const alternatives: readonly L4Match[] = l4.length === 0 ? [{}] : l4
  return alternatives.flatMap((match): Packet[] => {
    const open = match.icmp === undefined ? [Protocol.TCP, Protocol.UDP] : [Protocol.ICMP, Protocol.ICMPv6]
    const protocols = match.protocols !== undefined && match.protocols.length > 0 ? match.protocols : open
    return protocols.map((protocol) => ({
      ...ends,
      protocol,
      sourcePort: portOf(match.sourcePorts, source, protocol) ?? 40_000,
      destinationPort: portOf(match.ports, destination, protocol) ?? 8_080,
      ...(match.icmp === undefined ? {} : { icmpType: match.icmp.type, icmpCode: match.icmp.code ?? 0 }),
    }))
  })
}

function portOf(specs: readonly PortSpec[] | undefined, end: Facts, protocol: number): number | undefined {
  for (const spec of specs ?? []) {
    if (spec.kind === "range") return spec.first
    if (spec.kind === "named") {
      const port = end.namedPorts.find((one) => one.name === spec.name && one.protocol === protocol)?.port
      if (port !== undefined) return port
    }
  }
  return undefined
}
