/**
 * Runs the checks and every kind of test, one after the other, and ends with the count over all of them.
 * `scripts/test.ts [unit|kernel|lab|faults|vm …]` runs some kinds only, without the checks.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs"
import { relative } from "node:path"

interface VitestReport {
  readonly numPassedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly {
      readonly status: string
      readonly fullName: string
      readonly failureMessages: readonly string[]
    }[]
  }[]
}

const all = ["unit", "kernel", "lab", "faults", "vm"]
const chosen = process.argv.slice(2)
const kinds = chosen.length > 0 ? chosen : all
let passed = 0
let failed = 0
let skipped = 0
/** What failed, said once more at the end, where a reader of a long log looks first. */
const failures: string[] = []

function fail(what: string, why = ""): void {
  failed += 1
  const lines = why.split("\n").slice(0, 12)
  failures.push([what, ...lines.filter((line) => line !== "").map((line) => `    ${line}`)].join("\n"))
}

function run(command: string, args: readonly string[]): number {
  return spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] }).status ?? 1
}

mkdirSync("build/reports", { recursive: true })
if (chosen.length === 0 && run("scripts/check", []) !== 0) fail("scripts/check")

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
    fail(`${kind}: the runner left no report`)
    continue
  }
  const result = JSON.parse(readFileSync(report, "utf8")) as VitestReport
  passed += result.numPassedTests
  const failedBefore = failed
  for (const file of result.testResults) {
    const name = relative(process.cwd(), file.name)
    for (const test of file.assertionResults) {
      if (test.status === "failed") fail(`${name}: ${test.fullName}`, test.failureMessages.join("\n"))
    }
    // A file that breaks outside its tests has no failed test to count: count the file.
    if (file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed")) {
      fail(name, file.message)
    }
  }
  skipped += result.numPendingTests + result.numTodoTests
  if (status !== 0 && failed === failedBefore) fail(`${kind}: the runner ended with ${status}`)
  console.log(`== ${kind} tests: ${Math.round((Date.now() - started) / 1000)} s`)
}

if (failures.length > 0) console.log(`\n== what failed\n${failures.join("\n")}\n`)
console.log(
  skipped === 0 ? `${passed} passed, ${failed} failed` : `${passed} passed, ${failed} failed, ${skipped} skipped`,
)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
