import { type SelectedTier, selectTiers } from "../compile/evaluate.ts"
import type { Cluster, Endpoint } from "../model/cluster.ts"
import { factsOf, matches } from "../model/facts.ts"
import type { Origin } from "../model/origin.ts"
import { builtinTiers, type Direction, type Policy, policyKey, type Tier } from "../model/policy.ts"
import { l4Text, matchText } from "./describe.ts"

/** One line of what an endpoint enforces, in the order in which it is asked. */
export interface EffectiveRule {
  readonly direction: Direction
  readonly tier: string
  /** `NetworkPolicy shop/web`; empty for what no policy says. */
  readonly policy: string
  /** `ingress[0]`, `default`. */
  readonly rule: string
  readonly action: string
  readonly peer: string
  readonly ports: string
  readonly mode: string
  readonly origin: Origin | undefined
}

/** The policies that select an endpoint, by tier in the order of decision. */
export function policiesOf(cluster: Cluster, endpoint: Endpoint): { tier: Tier; policies: Policy[] }[] {
  const address = endpoint.addresses[0]
  if (address === undefined) return []
  const facts = factsOf(cluster, endpoint.node, address)
  const selecting = [...cluster.policies.values()].filter((policy) => matches(policy.subject, facts) === true)
  const tiers = [...builtinTiers, ...cluster.tiers.values()].sort(
    (a, b) => a.order - b.order || compare(a.name, b.name),
  )
  return tiers.flatMap((tier) => {
    const policies = selecting
      .filter((policy) => policy.tier === tier.name)
      .sort((a, b) => a.order - b.order || compare(a.tieBreak, b.tieBreak) || compare(policyKey(a), policyKey(b)))
    return policies.length === 0 ? [] : [{ tier, policies }]
  })
}

/** `NetworkPolicy shop/web`. */
export function policyText(policy: Pick<Policy, "kind" | "namespace" | "name">): string {
  return `${policy.kind} ${policy.namespace === "" ? "" : `${policy.namespace}/`}${policy.name}`
}

/** Everything that an endpoint enforces, flattened. */
export function effectiveRules(cluster: Cluster, endpoint: Endpoint): EffectiveRule[] {
  const address = endpoint.addresses[0]
  if (address === undefined) return []
  const facts = factsOf(cluster, endpoint.node, address)
  const policies = [...cluster.policies.values()].filter((policy) => policy.mode !== "stagedDelete")
  const enforced = policies.filter((policy) => policy.mode === "enforced")
  return (["ingress", "egress"] as const).flatMap((direction) => {
    const isolating = new Map(
      selectTiers(cluster, enforced, direction, facts).map(({ tier, isolatedBy }) => [tier.name, isolatedBy]),
    )
    return directionRules(selectTiers(cluster, policies, direction, facts), isolating, direction)
  })
}

/** Rules as they are asked, staged ones beside those in force; what stands behind an isolating tier that denies is never asked. */
function directionRules(
  tiers: readonly SelectedTier[],
  isolating: ReadonlyMap<string, Policy | undefined>,
  direction: Direction,
): EffectiveRule[] {
  const lines: EffectiveRule[] = []
  for (const { tier, rules } of tiers) {
    for (const { policy, rule } of rules) {
      const local = rule.local === undefined ? "" : ` (to ${matchText(rule.local)})`
      lines.push({
        direction,
        tier: tier.name,
        policy: policyText(policy),
        rule: `${rule.section}[${rule.index}]`,
        action: rule.action,
        peer: `${matchText(rule.peer)}${local}`,
        ports: l4Text(rule.l4),
        mode: policy.mode,
        origin: rule.origin,
      })
    }
    const policy = isolating.get(tier.name)
    if (policy === undefined) continue
    lines.push(endLine(direction, tier.name, tier.defaultAction, policyText(policy), policy.origin))
    if (tier.defaultAction === "deny") return lines
  }
  lines.push(endLine(direction, "", "allow", "", undefined))
  return lines
}

function endLine(
  direction: Direction,
  tier: string,
  action: string,
  policy: string,
  origin: Origin | undefined,
): EffectiveRule {
  return {
    direction,
    tier,
    policy,
    rule: "default",
    action,
    peer: "anyone else",
    ports: "any",
    mode: "enforced",
    origin,
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
