import type { CaseResult } from "../run.ts"
import { caseFailures } from "./failure.ts"
import type { Report } from "./report.ts"

/** Test Anything Protocol, version 14: a test point for every case, with its failures as comments. */
export function tapReport(): Report {
  let number = 0
  return {
    result(result: CaseResult): string {
      number++
      const head = number === 1 ? "TAP version 14\n" : ""
      // `#` would begin a directive.
      const name = result.case.name.replaceAll("\\", "\\\\").replaceAll("#", "\\#").replaceAll("\n", " ")
      const comments = caseFailures(result).map((failure) => `# ${failure.replaceAll("\n", "\n# ")}\n`)
      return `${head}${result.passed ? "ok" : "not ok"} ${number} - ${name}\n${comments.join("")}`
    },
    end: () => `${number === 0 ? "TAP version 14\n" : ""}1..${number}\n`,
  }
}
