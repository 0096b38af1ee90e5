import type { CaseResult } from "../run.ts"
import { caseFailures } from "./failure.ts"
import type { Report, Summary } from "./report.ts"

/** For people: a line per failed probe with the rule that decided, and a summary with the wall time. */
export function textReport(): Report {
  return { result, end }
}

function result(one: CaseResult): string {
  if (one.passed) return ""
  const { file, line } = one.case.origin
  const lines = caseFailures(one).map((failure) => `  ${failure.replaceAll("\n", "\n  ")}\n`)
  return `FAIL ${one.case.name} (${file}:${line})\n${lines.join("")}`
}

function end(summary: Summary): string {
  const { cases, casesFailed, probes, probesFailed, unsupported, milliseconds } = summary
  const seconds = (milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 1)
  const unsure = unsupported === 0 ? "" : ` (${unsupported} unsupported)`
  const right = `${cases - casesFailed} of ${cases} cases right, ${probes - probesFailed} of ${probes} probes${unsure}`
  return `${casesFailed === 0 ? "ok" : "FAILED"}: ${right}, plane ${summary.plane}, ${seconds} s\n`
}
