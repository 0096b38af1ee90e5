import { ruleIdText, type Verdict } from "../model/verdict.ts"
import type { ProbeResult } from "./plane.ts"

/**
 * Whether a probe's `by` names the rule that decided. The full form is that of `ruleIdText`:
 * `default/NetworkPolicy shop/web ingress[0]`, `default/NetworkPolicy shop/deny default-deny ingress`, `no-policy ingress`.
 * What may be left out: the tier in front; the rule behind (`ingress[0]`, `default-deny ingress`, `ingress`); the kind; the
 * namespace. So `NetworkPolicy shop/web`, `shop/web ingress[0]` and `web` name it as well.
 */
export function namesRule(wanted: string, text: string): boolean {
  return wanted === text || shorterForms(text).has(wanted.trim().replace(/\s+/g, " "))
}

const policyRule = /^([^/ ]+)\/([^/ ]+) (?:([^/ ]+)\/)?([^ ]+) (.+)$/

function shorterForms(text: string): ReadonlySet<string> {
  const parts = policyRule.exec(text)
  if (parts === null) return new Set([text.split(" ")[0] ?? text])
  const [, tier = "", kind = "", namespace, name = "", rule = ""] = parts
  const names = namespace === undefined ? [name] : [name, `${namespace}/${name}`]
  const policies = names.flatMap((named) => [named, `${kind} ${named}`, `${tier}/${kind} ${named}`])
  return new Set(policies.flatMap((policy) => [policy, `${policy} ${rule}`]))
}

/** The answer for a packet judged at both ends. A denied packet dies where it first meets a denial: at the sender. */
export function judged(egress: Verdict, ingress: Verdict): ProbeResult {
  if (egress.action === "deny") return { got: "deny", by: ruleIdText(egress.by) }
  const by = ruleIdText(ingress.by)
  if (ingress.action === "deny") return { got: "deny", by }
  const sender = ruleIdText(egress.by)
  // Where one end alone has a rule, that rule is what people want to see.
  const telling = weight(egress) > weight(ingress) ? sender : by
  return { got: "allow", by: telling, deciders: [sender, by] }
}

function weight(verdict: Verdict): number {
  return verdict.by.kind === "rule" ? 2 : verdict.by.kind === "notEnforced" ? 0 : 1
}
