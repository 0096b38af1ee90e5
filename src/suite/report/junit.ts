import type { CaseResult } from "../run.ts"
import { caseFailures } from "./failure.ts"
import type { Report } from "./report.ts"

/** JUnit XML as CI systems read it: a test case for every case, with its failures as text. */
export function junitReport(): Report {
  const cases: string[] = []
  return {
    result(result: CaseResult): string {
      cases.push(testCase(result))
      return ""
    },
    end(summary): string {
      const { plane, cases: tests, casesFailed, milliseconds } = summary
      const counts = `tests="${tests}" failures="${casesFailed}" errors="0" time="${seconds(milliseconds)}"`
      const suite = `<testsuite name="heddle test --plane ${escaped(plane)}" ${counts}>\n${cases.join("")}</testsuite>`
      return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ${counts}>\n${suite}\n</testsuites>\n`
    },
  }
}

function testCase(result: CaseResult): string {
  const { file, line } = result.case.origin
  const head = `<testcase name="${escaped(result.case.name)}" classname="${escaped(file)}" file="${escaped(file)}" line="${line}" time="${seconds(result.milliseconds)}"`
  if (result.passed) return `${head}/>\n`
  const failures = caseFailures(result)
  const message = escaped(failures[0]?.split("\n")[0] ?? "failed")
  return `${head}><failure message="${message}">${escaped(failures.join("\n"))}</failure></testcase>\n`
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(3)
}

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }

/** XML 1.0 text: what it cannot hold even escaped (most control characters) becomes U+FFFD. */
function escaped(text: string): string {
  return text
    .replaceAll(/[&<>"]/g, (character) => entities[character] ?? character)
    .replaceAll(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, "\u{fffd}")
}
