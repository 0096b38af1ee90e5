import { ruleMatches } from "../../compile/evaluate.ts"
import { endWords, packetWords } from "../../compile/words.ts"
import { matches } from "../../model/facts.ts"
import type { Direction, Policy, Rule } from "../../model/policy.ts"
import { directions, type Example, type LintContext } from "./context.ts"
import { type Finding, policyText } from "./finding.ts"

/** Packets of one rule that are tried on another. */
const EXAMPLES = 40

/** Policies of one order that say allow and deny of the same packets, and mixtures of languages whose order surprises. */
export function lintConflicts(context: LintContext): Finding[] {
  const enforced = context.policies.filter((policy) => policy.mode === "enforced")
  const found: Finding[] = []
  for (const denying of enforced) {
    for (const allowing of enforced) {
      if (denying === allowing || denying.tier !== allowing.tier) continue
      const relation = relationOf(denying, allowing)
      if (relation === undefined || !selectTogether(context, denying, allowing)) continue
      for (const direction of directions) {
        const overlap = overlapOf(context, denying, allowing, direction)
        if (overlap !== undefined) found.push(finding(relation, denying, allowing, direction, overlap))
      }
    }
  }
  return found
}

type Relation = "contradiction" | "allow-before-cilium-deny" | "allow-before-calico-deny"

function relationOf(denying: Policy, allowing: Policy): Relation | undefined {
  if (denying.group === "cilium.io") {
    // Cilium's own order: a deny beats an allow, as its users expect.
    return allowing.group === "projectcalico.org" && allowing.order < denying.order
      ? "allow-before-cilium-deny"
      : undefined
  }
  if (denying.group === allowing.group) return denying.order === allowing.order ? "contradiction" : undefined
  // Policies of Kubernetes and Cilium stand at order 1000; one of Calico without an order stands behind them.
  return denying.group === "projectcalico.org" && denying.order >= allowing.order
    ? "allow-before-calico-deny"
    : undefined
}

function selectTogether(context: LintContext, a: Policy, b: Policy): boolean {
  const others = new Set(context.selected(b))
  return context.selected(a).some((facts) => others.has(facts))
}

interface Overlap extends Example {
  readonly deny: Rule
  readonly allow: Rule
}

/** A packet that a deny of one policy and an allow of the other both match. */
function overlapOf(context: LintContext, denying: Policy, allowing: Policy, direction: Direction): Overlap | undefined {
  const denies = (denying[direction]?.rules ?? []).filter((rule) => rule.action === "deny")
  const allows = (allowing[direction]?.rules ?? []).filter((rule) => rule.action === "allow")
  if (denies.length === 0 || allows.length === 0) return undefined
  const tries = [
    { policy: denying, rules: denies, others: allows, other: allowing },
    { policy: allowing, rules: allows, others: denies, other: denying },
  ]
  for (const { policy, rules, others, other } of tries) {
    for (const rule of rules) {
      for (const example of context.examples(policy, rule, direction, EXAMPLES)) {
        const { subject, peer, packet } = example
        if (matches(other.subject, subject) !== true) continue
        const second = others.find((one) => ruleMatches(one, direction, subject, peer, packet) === true)
        if (second === undefined) continue
        return policy === denying
          ? { ...example, deny: rule, allow: second }
          : { ...example, deny: second, allow: rule }
      }
    }
  }
  return undefined
}

function finding(
  relation: Relation,
  denying: Policy,
  allowing: Policy,
  direction: Direction,
  { deny, allow, subject, peer, packet }: Overlap,
): Finding {
  const [from, to] = direction === "ingress" ? [peer, subject] : [subject, peer]
  const example = `${endWords(from)} to ${endWords(to)}, ${packetWords(packet)}`
  const at = (rule: Rule): string => `${rule.section}[${rule.index}] (${rule.origin.file}:${rule.origin.line})`
  const whom = `${policyText(allowing)} ${at(allow)}`
  const common = { origin: deny.origin, policy: policyText(denying), code: relation }
  switch (relation) {
    case "contradiction": {
      const api = denying.group === "policy.networking.k8s.io"
      return {
        ...common,
        severity: "warning",
        what: `${deny.section}[${deny.index}] denies what ${whom} allows, at the same order`,
        why: api
          ? `which of two policies of one priority wins is not defined by the API, e.g. for ${example}`
          : `the names of the policies decide which one wins, e.g. for ${example}`,
        hint: api ? "give them different priorities" : "give them different orders",
      }
    }
    case "allow-before-cilium-deny":
      return {
        ...common,
        severity: "warning",
        what: `${deny.section}[${deny.index}] does not stop what ${whom} allows: order ${orderText(allowing)} goes before Cilium's policies`,
        why: `in Cilium alone a deny beats every allow; here Calico's lower order decides first, e.g. for ${example}`,
        hint: `give ${policyText(allowing)} an order above 1000, or write the deny as a Calico policy of a lower order`,
      }
    case "allow-before-calico-deny":
      return {
        ...common,
        severity: "warning",
        what: `${deny.section}[${deny.index}] does not stop what ${whom} allows: order ${orderText(denying)} comes after order 1000`,
        why: `policies of Kubernetes and Cilium stand at order 1000 of tier default and go first, e.g. for ${example}`,
        hint: `give ${policyText(denying)} an order below 1000, or put it into a tier of its own before default`,
      }
  }
}

function orderText({ order }: Policy): string {
  return Number.isFinite(order) ? `${order}` : "none (last)"
}
