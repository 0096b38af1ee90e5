/** Runs dependency-cruiser and refuses to pass when it saw fewer modules than there are files: reading nothing must not look like order. */
import { spawnSync } from "node:child_process"
import { globSync } from "node:fs"

const files = globSync("{src,abi}/**/*.ts")
const run = spawnSync("depcruise", ["src", "abi", "--config", ".dependency-cruiser.cjs", "--output-type", "json"], {
  encoding: "utf8",
  maxBuffer: 256 * 1024 * 1024,
})
if (run.error !== undefined) throw run.error
interface Report {
  readonly modules: readonly { readonly source: string }[]
  readonly summary: {
    readonly violations: readonly {
      readonly from: string
      readonly to: string
      readonly rule: { readonly name: string }
      readonly comment?: string
    }[]
  }
}
const report = JSON.parse(run.stdout) as Report
const seen = new Set(report.modules.map((module) => module.source))
const unseen = files.filter((file) => !seen.has(file) && !/generated/.test(file))
for (const violation of report.summary.violations) {
  console.error(`${violation.from} → ${violation.to}: ${violation.rule.name}: ${violation.comment ?? ""}`)
}
if (unseen.length > 0)
  console.error(
    `Cannot vouch for the floors: ${unseen.length} of ${files.length} files were not read, e.g. ${unseen[0]}`,
  )
process.exitCode = report.summary.violations.length > 0 || unseen.length > 0 ? 1 : 0
