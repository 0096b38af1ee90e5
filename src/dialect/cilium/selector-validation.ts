import { isRecord } from "../../model/manifest.ts"
import type { FieldPath } from "../../model/problem.ts"
import { tryParseAddress } from "../../net/address.ts"
import { tryParsePrefix } from "../../net/prefix.ts"
import { validateLabelSelector } from "../kubernetes/label-selector.ts"
import { listAt, recordAt, textAt } from "../read.ts"
import type { Report } from "../report.ts"
import { isFilteredKey, selectorKeys } from "./labels.ts"

/** An EndpointSelector: a label selector whose keys may name their source, and that should not ask for labels nobody has. */
export function validateEndpointSelector(selector: unknown, path: FieldPath, report: Report): void {
  validateLabelSelector(withoutSources(selector), path, report)
  for (const { source, key } of selectorKeys(selector)) {
    if (source !== "reserved" && isFilteredKey(key)) {
      report.warning(path, `the label ${JSON.stringify(key)} is no part of an identity: asking for it finds nothing`)
    }
  }
}

/** The selector with the sources taken off its keys, for the checks of Kubernetes, which knows no colon in keys. */
function withoutSources(selector: unknown): unknown {
  const plain = (key: string) => key.slice(key.indexOf(":") + 1)
  const labels = recordAt(selector, "matchLabels")
  return {
    ...(labels === undefined
      ? {}
      : { matchLabels: Object.fromEntries(Object.entries(labels).map(([key, value]) => [plain(key), value])) }),
    matchExpressions: listAt(selector, "matchExpressions").map((expression) =>
      isRecord(expression) ? { ...expression, key: plain(textAt(expression, "key") ?? "") } : expression,
    ),
  }
}

/** Blocks of `fromCIDRSet`, `toCIDRSet` and groups: an address needs its length. */
export function validateStrictBlock(text: string, path: FieldPath, report: Report): boolean {
  if (tryParsePrefix(text) !== undefined) return true
  const alone = tryParseAddress(text) !== undefined
  const hint = alone ? `write ${text}/${text.includes(":") ? 128 : 32}` : "for example 10.0.0.0/8"
  report.error(path, `${JSON.stringify(text)} is no block`, hint)
  return false
}

/** `fromCIDR`, `toCIDR`: blocks or bare addresses. */
export function validateBlock(text: string, path: FieldPath, report: Report): boolean {
  if (tryParsePrefix(text) !== undefined || tryParseAddress(text) !== undefined) return true
  report.error(path, `${JSON.stringify(text)} is neither a block nor an address`, "for example 10.0.0.0/8")
  return false
}
