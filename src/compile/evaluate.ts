/**
 * The reference evaluator: the policy model's meaning (docs/design.md, 3.1), written as plainly as it can be. Everything
 * else, compiled tables and kernels, is tested against it. It looks at one packet and the whole cluster, and at nothing else.
 */
import type { Cluster } from "../model/cluster.ts"
import { type Facts, factsOf, matches, nodeFacts, type Truth } from "../model/facts.ts"
import type { Packet } from "../model/packet.ts"
import {
  builtinTiers,
  type Direction,
  type L4Match,
  type Policy,
  type PortSpec,
  policyKey,
  type Rule,
  stagedTarget,
  type Tier,
} from "../model/policy.ts"
import { behindServices } from "../model/services.ts"
import type { RuleId, Verdict } from "../model/verdict.ts"
import { familyOf } from "../net/address.ts"
import { type Address, Protocol } from "../net/types.ts"

export interface Judgement {
  /** Whether the connection comes about: both ends allow it. */
  readonly allowed: boolean
  readonly egress: Verdict
  readonly ingress: Verdict
}

/** Judges the first packet of a connection at both ends, each by its own node. Ends that are no workloads enforce nothing. */
export function evaluate(cluster: Cluster, packet: Packet): Judgement {
  const egress = evaluateEnd(cluster, packet, "egress")
  const ingress = evaluateEnd(cluster, packet, "ingress")
  return { allowed: egress.action === "allow" && ingress.action === "allow", egress, ingress }
}

/** What one end makes of a packet: the rules on its way in order, and the verdict. `explain.ts` shows it to people. */
export interface Walk {
  readonly verdict: Verdict
  /** Tiers with the policies that select this end, in order of decision, the enforced ones. */
  readonly tiers: readonly SelectedTier[]
  readonly subject: Facts
  readonly far: Facts
}

export function evaluateEnd(cluster: Cluster, packet: Packet, direction: Direction): Verdict {
  return walkEnd(cluster, packet, direction)?.verdict ?? allow({ kind: "notEnforced", direction })
}

/** Undefined where nothing is enforced: the end is no workload, or the packet goes from a workload to itself. */
export function walkEnd(cluster: Cluster, packet: Packet, direction: Direction): Walk | undefined {
  const [near, other] = ends(packet, direction)
  const workload = factsOf(cluster, "", near)
  if (workload.kind !== "endpoint" || workload.node === undefined) return undefined
  const judge = workload.node
  const peer = factsOf(cluster, judge, other)
  if (peer.kind === "endpoint" && peer.namespace === workload.namespace && peer.name === workload.name) return undefined
  // Policy sees a workload by its first address of the packet's family; it has one in all but odd cases.
  const subject = withAddress(cluster, workload, firstAddress(cluster, workload, near))
  const socket = direction === "ingress" && packet.fromNodeSocket === true && mayBeSocketOf(judge, peer)
  const far = socket ? socketFacts(cluster, judge, packet) : peer

  const decide = (policies: readonly Policy[]): Decision => {
    const tiers = selectTiers(cluster, policies, direction, subject)
    if (socket) return decideNodeSocket(tiers, subject, far, packet)
    return decideTiers(tiers, direction, subject, far, packet)
  }
  const decision = decide(enforcedPolicies(cluster))
  let verdict: Verdict = decision
  if ([...cluster.policies.values()].some((policy) => policy.mode !== "enforced")) {
    const { action, by } = decide(stagedPolicies(cluster))
    if (action !== decision.action || !sameRule(by, decision.by)) verdict = { ...decision, staged: { action, by } }
  }
  return { verdict, tiers: selectTiers(cluster, enforcedPolicies(cluster), direction, subject), subject, far }
}

function ends(packet: Packet, direction: Direction): [near: Address, other: Address] {
  return direction === "ingress" ? [packet.destination, packet.source] : [packet.source, packet.destination]
}

function firstAddress(cluster: Cluster, workload: Facts, near: Address): Address {
  const addresses = cluster.endpoints.get(`${workload.namespace}/${workload.name}`)?.addresses ?? []
  return addresses.find((address) => familyOf(address) === familyOf(near)) ?? near
}

/** The same facts as seen at another address: other blocks, and so other network sets, may lie around it; other services may list it. */
function withAddress(cluster: Cluster, facts: Facts, address: Address): Facts {
  const moved = { ...facts, address, networkSets: factsOf(cluster, "", address).networkSets ?? [] }
  return { ...moved, services: behindServices(cluster, moved) }
}

/** A socket of the judging node: not one whose address says that it is a workload's or another node's. */
function mayBeSocketOf(judge: string, peer: Facts): boolean {
  return peer.kind !== "endpoint" && (peer.kind !== "node" || peer.node === judge)
}

/** The judging node as its own sockets are seen: by what it is, not by an address. */
function socketFacts(cluster: Cluster, judge: string, packet: Packet): Facts {
  const node = cluster.nodes.get(judge) ?? { name: judge, labels: {} }
  const address = (familyOf(packet.destination) === 4 ? "0.0.0.0" : "::") as Address
  return withAddress(cluster, nodeFacts(node, judge, address), address)
}

interface Decision {
  readonly action: "allow" | "deny"
  readonly by: RuleId
  readonly log: boolean
}

function allow(by: RuleId): Decision {
  return { action: "allow", by, log: false }
}

/** A rule with the policy in which it stands. */
export interface PlacedRule {
  readonly policy: Policy
  readonly rule: Rule
}

export interface SelectedTier {
  readonly tier: Tier
  /** Rules of the policies that select the end, in order of decision. */
  readonly rules: readonly PlacedRule[]
  /** The least policy that isolates the end in this direction. */
  readonly isolatedBy?: Policy
}

function enforcedPolicies(cluster: Cluster): Policy[] {
  return [...cluster.policies.values()].filter((policy) => policy.mode === "enforced")
}

/** As if staged policies were enforced in the place of those they stand for. */
function stagedPolicies(cluster: Cluster): Policy[] {
  const staged = [...cluster.policies.values()].filter((policy) => policy.mode !== "enforced")
  const replaced = new Set(staged.map(stagedTarget))
  const kept = enforcedPolicies(cluster).filter((policy) => !replaced.has(policyKey(policy)))
  return [...kept, ...staged.filter((policy) => policy.mode === "staged")]
}

/** The tiers in order of decision, each with the rules of those policies that select the end in the order in which they are asked. */
export function selectTiers(
  cluster: Cluster,
  policies: readonly Policy[],
  direction: Direction,
  subject: Facts,
): SelectedTier[] {
  const selected = policies
    .filter((policy) => policy[direction] !== undefined && matches(policy.subject, subject) === true)
    .sort(comparePolicies)
  return tiersInOrder(cluster, selected).map((tier) => {
    const here = selected.filter((policy) => policy.tier === tier.name)
    const rules = here
      .flatMap((policy) => (policy[direction]?.rules ?? []).map((rule) => ({ policy, rule })))
      // Stable: rules keep their policies' order, but at each order Cilium's denies come first.
      .sort(
        (a, b) => compareNumbers(a.policy.order, b.policy.order) || Number(isCiliumDeny(b)) - Number(isCiliumDeny(a)),
      )
    const isolatedBy = here.find((policy) => policy[direction]?.isolates)
    return { tier, rules, ...(isolatedBy === undefined ? {} : { isolatedBy }) }
  })
}

/** Tiers that exist, by order then name; after them those that policies name but nobody made, which deny. */
function tiersInOrder(cluster: Cluster, policies: readonly Policy[]): Tier[] {
  const builtin = new Set(builtinTiers.map((tier) => tier.name))
  const existing = [...builtinTiers, ...[...cluster.tiers.values()].filter((tier) => !builtin.has(tier.name))]
  const names = new Set(existing.map((tier) => tier.name))
  const missing = [...new Set(policies.map((policy) => policy.tier))].filter((name) => !names.has(name))
  return [
    ...existing.sort((a, b) => compareNumbers(a.order, b.order) || compareTexts(a.name, b.name)),
    ...missing.sort(compareTexts).map((name): Tier => ({ name, order: Infinity, defaultAction: "deny" })),
  ]
}

function comparePolicies(a: Policy, b: Policy): number {
  return (
    compareNumbers(a.order, b.order) ||
    compareTexts(a.tieBreak, b.tieBreak) ||
    compareTexts(a.kind, b.kind) ||
    compareTexts(a.namespace, b.namespace) ||
    compareTexts(a.name, b.name) ||
    compareTexts(a.group, b.group)
  )
}

function compareNumbers(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1
}

function compareTexts(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1
}

function isCiliumDeny({ policy, rule }: PlacedRule): boolean {
  return policy.group === "cilium.io" && rule.action === "deny"
}

/** The node reaches its own pods, unless a Cilium deny that covers the node says otherwise (docs/design.md, 3.1). */
function decideNodeSocket(tiers: readonly SelectedTier[], subject: Facts, far: Facts, packet: Packet): Decision {
  for (const { rules } of tiers) {
    const deny = rules.find(
      (placed) => isCiliumDeny(placed) && ruleMatches(placed.rule, "ingress", subject, far, packet) === true,
    )
    if (deny !== undefined) return { action: "deny", by: ruleId(deny, "ingress"), log: false }
  }
  return allow({ kind: "nodeToOwnPod", direction: "ingress" })
}

/**
 * First match over the tiers. Where a rule may or may not match (the far end is unknown), the walk goes both ways: if the
 * ways end differently, the packet gets only what every address would get, which is nothing.
 */
function decideTiers(
  tiers: readonly SelectedTier[],
  direction: Direction,
  subject: Facts,
  far: Facts,
  packet: Packet,
): Decision {
  const possible = new Set<"allow" | "deny">()
  const walk = (index: number, log: boolean): Decision => {
    const selected = tiers[index]
    if (selected === undefined) return { ...allow({ kind: "noPolicy", direction }), log }
    for (const placed of selected.rules) {
      const { action } = placed.rule
      const truth = ruleMatches(placed.rule, direction, subject, far, packet)
      if (truth === false) continue
      if (truth === "maybe") {
        if (action === "pass") possible.add(walk(index + 1, log).action)
        if (action === "allow" || action === "deny") possible.add(action)
        continue
      }
      if (action === "log") log = true
      else if (action === "pass") return walk(index + 1, log)
      else return { action, by: ruleId(placed, direction), log }
    }
    if (selected.isolatedBy !== undefined && selected.tier.defaultAction === "deny") {
      return { action: "deny", by: defaultDenyId(selected.isolatedBy, direction), log }
    }
    return walk(index + 1, log)
  }
  const decision = walk(0, false)
  possible.add(decision.action)
  if (possible.size === 1) return decision
  return { action: "deny", by: { kind: "unknownPeer", direction }, log: decision.log }
}

function ruleId({ policy, rule }: PlacedRule, direction: Direction): RuleId {
  const { section, index, origin } = rule
  return { kind: "rule", tier: policy.tier, policy: nameOf(policy), direction, section, index, origin }
}

function defaultDenyId(policy: Policy, direction: Direction): RuleId {
  return { kind: "defaultDeny", tier: policy.tier, policy: nameOf(policy), direction, origin: policy.origin }
}

function nameOf({ group, kind, namespace, name }: Policy): Extract<RuleId, { kind: "rule" }>["policy"] {
  return { group, kind, namespace, name }
}

function sameRule(a: RuleId, b: RuleId): boolean {
  const key = (id: RuleId): string =>
    JSON.stringify("policy" in id ? { ...id, policy: nameOf(id.policy as Policy), origin: 0 } : id)
  return key(a) === key(b)
}

/** Whether a rule matches a packet at its near end `subject`. */
export function ruleMatches(rule: Rule, direction: Direction, subject: Facts, far: Facts, packet: Packet): Truth {
  const [source, destination] = direction === "ingress" ? [far, subject] : [subject, far]
  const l4 = rule.l4.map((match) => l4Matches(match, packet, source, destination))
  return all([
    matches(rule.peer, far),
    rule.local === undefined ? true : matches(rule.local, subject),
    rule.l4.length === 0 ? true : any(l4),
  ])
}

/** Whether one of a rule's alternatives for protocol and ports holds; `ports` are the destination's. */
export function l4Matches(match: L4Match, packet: Packet, source: Facts, destination: Facts): Truth {
  const { protocol } = packet
  const hasPorts = protocol === Protocol.TCP || protocol === Protocol.UDP || protocol === Protocol.SCTP
  const isIcmp = protocol === Protocol.ICMP || protocol === Protocol.ICMPv6
  const parts: Truth[] = []
  if (match.family !== undefined) parts.push(match.family === familyOf(packet.destination))
  if (match.protocols !== undefined && match.protocols.length > 0) parts.push(match.protocols.includes(protocol))
  if (match.notProtocols !== undefined) parts.push(!match.notProtocols.includes(protocol))
  const ports = (specs: readonly PortSpec[], end: Facts, port: number): Truth =>
    any(specs.map((spec) => portMatches(spec, end, protocol, port)))
  if (match.ports !== undefined) parts.push(hasPorts && ports(match.ports, destination, packet.destinationPort))
  if (match.sourcePorts !== undefined) parts.push(hasPorts && ports(match.sourcePorts, source, packet.sourcePort))
  if (match.notPorts !== undefined && match.notPorts.length > 0) {
    parts.push(hasPorts, not(ports(match.notPorts, destination, packet.destinationPort)))
  }
  if (match.notSourcePorts !== undefined && match.notSourcePorts.length > 0) {
    parts.push(hasPorts, not(ports(match.notSourcePorts, source, packet.sourcePort)))
  }
  const [type, code] = icmpOf(packet)
  if (match.icmp !== undefined) {
    parts.push(isIcmp && match.icmp.type === type && (match.icmp.code === undefined || match.icmp.code === code))
  }
  if (match.notIcmp !== undefined) {
    const { notIcmp } = match
    parts.push(isIcmp && !(notIcmp.type === type && (notIcmp.code === undefined || notIcmp.code === code)))
  }
  return all(parts)
}

/** Type and code; an echo request where the packet does not say. */
export function icmpOf(packet: Packet): [type: number, code: number] {
  return [packet.icmpType ?? (packet.protocol === Protocol.ICMPv6 ? 128 : 8), packet.icmpCode ?? 0]
}

/** A name means what the workload at that end declares, under the protocol with which it declares it; a service, what lists that end. */
function portMatches(spec: PortSpec, end: Facts, protocol: number, port: number): Truth {
  if (spec.kind === "range") return spec.first <= port && port <= spec.last
  if (spec.kind === "service") {
    return (end.services ?? []).some(
      ({ service, backend }) =>
        service.namespace === spec.namespace &&
        service.name === spec.name &&
        backend?.ports.some((one) => one.protocol === protocol && one.port === port) === true,
    )
  }
  if (end.kind === "unknown") return "maybe"
  return end.namedPorts.some((named) => named.name === spec.name && named.protocol === protocol && named.port === port)
}

function all(parts: readonly Truth[]): Truth {
  if (parts.includes(false)) return false
  return parts.includes("maybe") ? "maybe" : true
}

function any(parts: readonly Truth[]): Truth {
  if (parts.includes(true)) return true
  return parts.includes("maybe") ? "maybe" : false
}

function not(truth: Truth): Truth {
  return truth === "maybe" ? "maybe" : !truth
}
