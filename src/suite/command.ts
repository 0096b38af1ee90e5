import { admission } from "./admission.ts"
import { loadCases } from "./files.ts"
import { type SuiteCase, SuiteError } from "./format.ts"
import { planSuite } from "./plan.ts"
import type { SuitePlane } from "./plane.ts"
import { compiledPlane } from "./plane-compiled.ts"
import { modelPlane } from "./plane-model.ts"
import { jsonReport } from "./report/json.ts"
import { jsonlReport } from "./report/jsonl.ts"
import { junitReport } from "./report/junit.ts"
import { Counter, type Report } from "./report/report.ts"
import { tapReport } from "./report/tap.ts"
import { textReport } from "./report/text.ts"
import { runSuite } from "./run.ts"

/** What `heddle test` is asked to do; texts as typed. */
export interface TestOptions {
  /** Files, directories and `-`. */
  readonly suites: readonly string[]
  readonly plane: string
  readonly output: string
  readonly allowUnsupported: boolean
  /** Only cases whose name contains this, whatever the case of its letters. */
  readonly filter?: string
  /** Only cases with one of these tags; all when empty. */
  readonly tags: readonly string[]
}

/** The world of the command: streams, clock, and the planes that higher floors bring. */
export interface TestWorld {
  /** Data. */
  readonly out: (text: string) => void
  /** Talk. */
  readonly err: (text: string) => void
  readonly standardInput: () => string
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number
  /** Planes besides `model` and `compiled`, by name: they send packets, so the lab makes them. */
  readonly planes: Readonly<Record<string, () => Promise<SuitePlane>>>
}

const testOutputs = ["text", "json", "jsonl", "junit", "tap"] as const

const reports: Readonly<Record<string, () => Report>> = {
  text: textReport,
  json: jsonReport,
  jsonl: jsonlReport,
  junit: junitReport,
  tap: tapReport,
}

const purePlanes: TestWorld["planes"] = {
  model: async () => modelPlane(),
  compiled: async () => compiledPlane(),
}

/** `heddle test`: reads suites, asks a plane, reports. Returns the exit code: 0 all right, 1 something is not, 2 usage. */
export async function runTest(options: TestOptions, world: TestWorld): Promise<0 | 1 | 2> {
  const start = world.now()
  const planes = { ...purePlanes, ...world.planes }
  const makePlane = Object.hasOwn(planes, options.plane) ? planes[options.plane] : undefined
  if (makePlane === undefined) return usage(world, `plane ${options.plane} is unknown`, Object.keys(planes))
  const makeReport = Object.hasOwn(reports, options.output) ? reports[options.output] : undefined
  if (makeReport === undefined) return usage(world, `output ${options.output} is unknown`, testOutputs)
  if (options.suites.length === 0) return usage(world, "no suite is given", ["FILE", "DIRECTORY", "-"])
  let histories: ReturnType<typeof planSuite>
  try {
    const all = loadCases(options.suites, world.standardInput)
    const chosen = choose(all, options)
    if (chosen.length === 0) {
      const why =
        all.length === 0 ? "it has no cases" : `none of its ${all.length} cases is chosen by --filter and --tag`
      world.err(`Cannot run the suite: ${why}; name other files or filters\n`)
      return 2
    }
    histories = planSuite(chosen)
  } catch (error) {
    if (!(error instanceof SuiteError)) throw error
    world.err(`${error.message}\nCannot run the suite: it has the mistakes above; correct them and run again\n`)
    return 2
  }
  const report = makeReport()
  const counter = new Counter()
  const plane = await makePlane()
  try {
    const { allowUnsupported } = options
    for await (const result of runSuite(histories, plane, { now: world.now, allowUnsupported, admission })) {
      counter.add(result)
      const text = report.result(result)
      if (text !== "") world.out(text)
    }
  } finally {
    await plane.close()
  }
  const summary = counter.summary(plane.name, world.now() - start)
  const text = report.end(summary)
  if (text !== "") world.out(text)
  return summary.casesFailed === 0 ? 0 : 1
}

function usage(world: TestWorld, why: string, choices: readonly string[]): 2 {
  world.err(`Cannot run the suite: ${why}; choose from ${choices.join(", ")}\n`)
  return 2
}

/** The cases that filter and tags choose; of a group all steps when they choose one, for steps make sense only together. */
function choose(cases: readonly SuiteCase[], options: TestOptions): readonly SuiteCase[] {
  const text = options.filter?.toLowerCase()
  const matches = (one: SuiteCase): boolean =>
    (text === undefined || one.name.toLowerCase().includes(text)) &&
    (options.tags.length === 0 || one.tags.some((tag) => options.tags.includes(tag)))
  const chosen = new Set(cases.filter(matches))
  const groups = new Set([...chosen].map((one) => one.group).filter((group) => group !== undefined))
  return cases.filter((one) => chosen.has(one) || (one.group !== undefined && groups.has(one.group)))
}
