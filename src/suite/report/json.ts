import type { CaseResult } from "../run.ts"
import { caseFailures } from "./failure.ts"
import type { Report } from "./report.ts"

/** One JSON object: counts and wall time of the run, and of every case its name, time and failures. */
export function jsonReport(): Report {
  const cases: unknown[] = []
  return {
    result(result: CaseResult): string {
      const { name, group, step } = result.case
      cases.push({
        name,
        ...(group === undefined ? {} : { group, step }),
        passed: result.passed,
        probes: result.probes.length,
        milliseconds: rounded(result.milliseconds),
        failures: caseFailures(result),
      })
      return ""
    },
    end(summary): string {
      const { milliseconds, ...counts } = summary
      const passed = summary.casesFailed === 0
      return `${JSON.stringify({ passed, ...counts, milliseconds: rounded(milliseconds), results: cases }, null, 2)}\n`
    },
  }
}

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000
}
