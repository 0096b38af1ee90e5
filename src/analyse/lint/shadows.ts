import { rowOf } from "../../compile/compiled.ts"
import { evaluateEnd } from "../../compile/evaluate.ts"
import { endWords, packetWords } from "../../compile/words.ts"
import type { Direction, Policy, Rule } from "../../model/policy.ts"
import { type RuleId, ruleIdText } from "../../model/verdict.ts"
import { type Stretch, World } from "../world.ts"
import { directions, type LintContext } from "./context.ts"
import { type Finding, policyText } from "./finding.ts"

/** So many packets of a rule are asked who decides them instead. */
const EXAMPLES = 24

/** Rules that decide about nothing that there is, because others always come first. */
export function lintShadows(context: LintContext): Finding[] {
  const enforced = context.policies.filter((policy) => policy.mode === "enforced")
  if (context.pods.length === 0 || enforced.length === 0) return []
  const deciding = decidingRules(new World(context.cluster))
  return enforced.flatMap((policy) =>
    directions.flatMap((direction) =>
      (policy[direction]?.rules ?? []).flatMap((rule) => {
        if (rule.action === "log" || rule.action === "pass" || rule.peer.kind === "none") return []
        if (deciding.has(ruleIdText(idOf(policy, rule, direction))) || seesOwnNode(rule)) return []
        return shadowed(context, policy, rule, direction)
      }),
    ),
  )
}

function idOf(policy: Policy, rule: Rule, direction: Direction): RuleId {
  const { section, index, origin } = rule
  return { kind: "rule", tier: policy.tier, policy, direction, section, index, origin }
}

/** Of the node's own sockets the tables of the whole cluster do not tell. */
function seesOwnNode(rule: Rule): boolean {
  return JSON.stringify([rule.peer, rule.local]).includes('"localNode"')
}

/** Texts of all rules that decide about something. */
function decidingRules(world: World): Set<string> {
  const { compiled } = world
  const classes = new Set<number>(compiled.classes)
  const rows = new Set<number>()
  for (const set of compiled.sets) for (const peerClass of classes) rows.add(rowOf(set, peerClass))
  const texts = new Set<string>()
  const add = (stretches: readonly Stretch[]): void => {
    for (const { verdict, bySourcePort } of stretches) {
      if (bySourcePort !== undefined) add(bySourcePort)
      else if (verdict?.by.kind === "rule") texts.add(ruleIdText(verdict.by))
    }
  }
  for (const row of rows) add(world.stretches(row))
  return texts
}

function shadowed(context: LintContext, policy: Policy, rule: Rule, direction: Direction): Finding[] {
  const firsts = new Map<string, RuleId>()
  let example = ""
  let otherwise = false
  for (const { subject, peer, packet } of context.examples(policy, rule, direction, EXAMPLES)) {
    const { action, by } = evaluateEnd(context.cluster, packet, direction)
    if (by.kind !== "rule" || ruleIdText(by) === ruleIdText(idOf(policy, rule, direction))) continue
    if (action !== rule.action && !otherwise) {
      otherwise = true
      firsts.clear()
    }
    if (otherwise && action === rule.action) continue
    firsts.set(ruleIdText(by), by)
    const [from, to] = direction === "ingress" ? [peer, subject] : [subject, peer]
    if (example === "" || firsts.size === 1) example = `${endWords(from)} to ${endWords(to)}, ${packetWords(packet)}`
  }
  if (firsts.size === 0) return []
  const [first] = firsts.values()
  const place = first?.kind === "rule" ? ` (${first.origin.file}:${first.origin.line})` : ""
  const more = firsts.size > 1 ? ` and ${firsts.size - 1} more` : ""
  const by = `${[...firsts.keys()][0]}${place}${more}`
  const common = { origin: rule.origin, policy: policyText(policy) }
  const name = `${rule.section}[${rule.index}]`
  if (!otherwise) {
    return [
      {
        ...common,
        code: "redundant-rule",
        severity: "info",
        what: `${name} says nothing that is not said already by ${by}`,
        why: `everything that it ${rule.action === "allow" ? "allows" : "denies"} is decided alike without it, e.g. ${example}`,
        hint: "remove it, unless the other one will go",
      },
    ]
  }
  return [
    {
      ...common,
      code: "shadowed-rule",
      severity: "warning",
      what: `${name} never decides: ${by} comes first and decides the other way`,
      why: `what it should ${rule.action} is ${rule.action === "allow" ? "denied" : "allowed"}, e.g. ${example}`,
      hint: "give its policy a lower order (or priority), or narrow the rule that comes first",
    },
  ]
}
