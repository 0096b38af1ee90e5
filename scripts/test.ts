/**
 * Runs the checks and every kind of test, one after the other, and ends with the count over all of them.
 * `scripts/test.ts [unit|kernel|lab|faults|vm …]` runs some kinds only, without the checks.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs"

interface VitestReport {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly assertionResults: readonly unknown[]
  }[]
}

const all = ["unit", "kernel", "lab", "faults", "vm"]
const chosen = process.argv.slice(2)
const kinds = chosen.length > 0 ? chosen : all
let passed = 0
let failed = 0
let skipped = 0

function run(command: string, args: readonly string[]): number {
  return spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] }).status ?? 1
}

mkdirSync("build/reports", { recursive: true })
if (chosen.length === 0 && run("scripts/check", []) !== 0) failed += 1

for (const kind of kinds) {
  const report = `build/reports/${kind}.json`
  rmSync(report, { force: true })
  const started = Date.now()
  console.log(`\n== ${kind} tests`)
  const status = run("vitest", [
    "run",
    "--project",
    kind,
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
  ])
  if (!existsSync(report)) {
    console.log(`${kind}: the runner left no report`)
    failed += 1
    continue
  }
  const result = JSON.parse(readFileSync(report, "utf8")) as VitestReport
  // A file that breaks before its first test has no failed test to count: count the file.
  const broken = result.testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.length === 0,
  ).length
  passed += result.numPassedTests
  failed += result.numFailedTests + broken
  skipped += result.numPendingTests + result.numTodoTests
  if (status !== 0 && result.numFailedTests + broken === 0) failed += 1
  console.log(`== ${kind} tests: ${Math.round((Date.now() - started) / 1000)} s`)
}

console.log(
  skipped === 0 ? `${passed} passed, ${failed} failed` : `${passed} passed, ${failed} failed, ${skipped} skipped`,
)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
