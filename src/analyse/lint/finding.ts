import type { Origin } from "../../model/origin.ts"
import type { Policy } from "../../model/policy.ts"

/** Something about a policy that is valid and probably not what was meant. */
export interface Finding {
  readonly origin: Origin
  /** Short and stable, for scripts: `selects-nothing`. */
  readonly code: string
  /** `error`: traffic is certainly not decided as written; `warning`: probably a mistake; `info`: worth knowing. */
  readonly severity: "error" | "warning" | "info"
  /** The policy it is about, e.g. `NetworkPolicy shop/web`. */
  readonly policy: string
  readonly what: string
  /** Why it matters. */
  readonly why: string
  /** What to try. */
  readonly hint: string
}

/** `NetworkPolicy shop/web`. */
export function policyText({ kind, namespace, name }: Pick<Policy, "kind" | "namespace" | "name">): string {
  return `${kind} ${namespace === "" ? "" : `${namespace}/`}${name}`
}

/** By file, line and column, the graver first. */
export function compareFindings(a: Finding, b: Finding): number {
  if (a.origin.file !== b.origin.file) return a.origin.file < b.origin.file ? -1 : 1
  const rank = { error: 0, warning: 1, info: 2 }
  return a.origin.line - b.origin.line || a.origin.column - b.origin.column || rank[a.severity] - rank[b.severity]
}

/** Four lines for people: where and what, then why it matters and what to try. */
export function findingText({ origin, severity, code, policy, what, why, hint }: Finding): string {
  const { file, line, column } = origin
  return `${file}:${line}:${column}: ${severity}: ${policy}: ${what} [${code}]\n  why: ${why}\n  try: ${hint}\n`
}
