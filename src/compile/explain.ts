import type { Cluster } from "../model/cluster.ts"
import { matches } from "../model/facts.ts"
import type { Origin } from "../model/origin.ts"
import type { Packet } from "../model/packet.ts"
import type { Direction, L4Match, Match } from "../model/policy.ts"
import { ruleIdText, type Verdict } from "../model/verdict.ts"
import { evaluateEnd, l4Matches, type PlacedRule, type SelectedTier, type Walk, walkEnd } from "./evaluate.ts"
import { endWords, foundWords, l4Words, packetWords, wantWords } from "./words.ts"

/** A sentence about a rule or a tier, and where that rule stands. */
export interface ExplainStep {
  readonly text: string
  readonly origin?: Origin
}

export interface EndExplanation {
  readonly verdict: Verdict
  /** The tiers and rules walked, in order, each with what came of it; empty where nothing is enforced. */
  readonly steps: readonly ExplainStep[]
  /** For a deny: rules that would have allowed it but for one condition. */
  readonly nearMisses: readonly ExplainStep[]
}

export interface Explanation {
  readonly allowed: boolean
  readonly egress: EndExplanation
  readonly ingress: EndExplanation
}

/** The evaluator's judgement with the way to it, at both ends. */
export function explain(cluster: Cluster, packet: Packet): Explanation {
  const egress = explainEnd(cluster, packet, "egress")
  const ingress = explainEnd(cluster, packet, "ingress")
  return { allowed: egress.verdict.action === "allow" && ingress.verdict.action === "allow", egress, ingress }
}

function explainEnd(cluster: Cluster, packet: Packet, direction: Direction): EndExplanation {
  const walk = walkEnd(cluster, packet, direction)
  if (walk === undefined) return { verdict: evaluateEnd(cluster, packet, direction), steps: [], nearMisses: [] }
  const { verdict } = walk
  if (verdict.by.kind === "nodeToOwnPod") {
    return { verdict, steps: [{ text: "a socket of the node itself reaches the node's own pods" }], nearMisses: [] }
  }
  const { steps, passed } = trace(walk, direction, packet)
  const nearMisses =
    verdict.action === "deny" ? passed.flatMap((placed) => nearMiss(placed, walk, direction, packet)) : []
  return { verdict, steps, nearMisses }
}

/** The way through the tiers, and the allow rules passed on it without a match. */
function trace(walk: Walk, direction: Direction, packet: Packet): { steps: ExplainStep[]; passed: PlacedRule[] } {
  const steps: ExplainStep[] = []
  const passed: PlacedRule[] = []
  tiers: for (const selected of walk.tiers) {
    if (selected.rules.length === 0 && selected.isolatedBy === undefined) continue
    steps.push({ text: `tier ${selected.tier.name}: ${policiesWords(selected)}` })
    for (const placed of selected.rules) {
      const { rule } = placed
      const failures = failuresOf(placed, walk, direction, packet)
      const truth = ruleTruth(failures)
      if (truth === false && rule.action === "allow") passed.push(placed)
      const outcome =
        truth === true ? actionWords(rule.action) : truth === "maybe" ? undecidedWords(rule.action) : "does not match"
      const why = truth === false ? `: ${shortest(failures)}` : ""
      steps.push({ text: `${ruleText(placed, direction)} ${outcome}${why}`, origin: rule.origin })
      if (truth !== true || rule.action === "log") continue
      if (rule.action === "pass") continue tiers
      return { steps, passed }
    }
    const { isolatedBy, tier } = selected
    if (isolatedBy === undefined) continue
    if (tier.defaultAction === "deny") {
      const text = `no rule of tier ${tier.name} matches; ${policyText(isolatedBy)} isolates, so the tier denies`
      steps.push({ text, origin: isolatedBy.origin })
      return { steps, passed }
    }
    steps.push({ text: `no rule of tier ${tier.name} matches; its default action passes on` })
  }
  steps.push({ text: `no policy decides: ${direction} is allowed` })
  return { steps, passed }
}

function policiesWords({ rules, isolatedBy }: SelectedTier): string {
  const policies = new Set([...rules.map(({ policy }) => policy), ...(isolatedBy === undefined ? [] : [isolatedBy])])
  return [...policies].map(policyText).join(", ")
}

function policyText({ kind, namespace, name }: PlacedRule["policy"]): string {
  return namespace === "" ? `${kind} ${name}` : `${kind} ${namespace}/${name}`
}

function ruleText({ policy, rule }: PlacedRule, direction: Direction): string {
  const { group, kind, namespace, name } = policy
  const { section, index, origin } = rule
  return ruleIdText({
    kind: "rule",
    tier: policy.tier,
    policy: { group, kind, namespace, name },
    direction,
    section,
    index,
    origin,
  })
}

function actionWords(action: string): string {
  return { allow: "allows", deny: "denies", pass: "passes to the next tier", log: "logs" }[action] ?? action
}

function undecidedWords(action: string): string {
  return `might ${action}: the far end is of the cluster but not known`
}

/** What keeps one way of matching a rule from holding; none: it holds. */
interface Failure {
  readonly text: string
  readonly maybe: boolean
}

/** Every way in which a rule can match (its peer's alternatives), with what fails in each. */
function failuresOf(placed: PlacedRule, walk: Walk, direction: Direction, packet: Packet): Failure[][] {
  const { rule } = placed
  const rest: Failure[] = []
  if (rule.local !== undefined) {
    const truth = matches(rule.local, walk.subject)
    if (truth !== true) {
      const found = foundWords(rule.local, walk.subject)
      rest.push({ text: `its own end: it wants ${wantWords(rule.local)}, ${found}`, maybe: truth === "maybe" })
    }
  }
  const l4 = l4Failure(rule.l4, walk, direction, packet)
  if (l4 !== undefined) rest.push(l4)
  return alternatives(rule.peer).map((conditions) => [...rest, ...peerFailures(conditions, walk)])
}

function ruleTruth(ways: readonly (readonly Failure[])[]): boolean | "maybe" {
  if (ways.some((failures) => failures.length === 0)) return true
  return ways.some((failures) => failures.every((failure) => failure.maybe)) ? "maybe" : false
}

function l4Failure(l4: readonly L4Match[], walk: Walk, direction: Direction, packet: Packet): Failure | undefined {
  if (l4.length === 0) return undefined
  const [source, destination] = direction === "ingress" ? [walk.far, walk.subject] : [walk.subject, walk.far]
  const truths = l4.map((match) => l4Matches(match, packet, source, destination))
  if (truths.includes(true)) return undefined
  const what = l4.some((match) => match.sourcePorts !== undefined || match.notSourcePorts !== undefined)
    ? `${packetWords(packet)} from port ${packet.sourcePort}`
    : `port ${packetWords(packet)}`
  return {
    text: `${what.replace(/^port (?=\D)/, "")}: it allows ${l4Words(l4, { source, destination })}`,
    maybe: truths.includes("maybe"),
  }
}

/** Alternatives of a peer, each as conditions that must all hold. */
function alternatives(peer: Match): readonly (readonly Match[])[] {
  if (peer.kind === "or" && peer.of.length > 0) return peer.of.flatMap(alternatives)
  return [peer.kind === "and" ? peer.of.flatMap((part) => (part.kind === "and" ? part.of : [part])) : [peer]]
}

function peerFailures(conditions: readonly Match[], walk: Walk): Failure[] {
  return conditions.flatMap((condition): Failure[] => {
    const truth = matches(condition, walk.far)
    if (truth === true) return []
    const text = `the far end ${endWords(walk.far)}: it wants ${wantWords(condition)}, ${foundWords(condition, walk.far)}`
    return [{ text, maybe: truth === "maybe" }]
  })
}

function shortest(ways: readonly (readonly Failure[])[]): string {
  const least = [...ways].sort((a, b) => a.length - b.length)[0] ?? []
  return least.map((failure) => failure.text).join("; and ")
}

/** An allow rule that fails in exactly one condition. */
function nearMiss(placed: PlacedRule, walk: Walk, direction: Direction, packet: Packet): ExplainStep[] {
  const only = failuresOf(placed, walk, direction, packet).find((failures) => failures.length === 1)?.[0]
  if (only === undefined || placed.rule.peer.kind === "none") return []
  return [{ text: `${ruleText(placed, direction)} would match but for ${only.text}`, origin: placed.rule.origin }]
}
