import { namesRule } from "./by.ts"
import type { Probe, SuiteCase } from "./format.ts"
import type { ProbeResult, SuitePlane } from "./plane.ts"
import type { CaseState, ResolvedProbe } from "./state.ts"

export interface RunOptions {
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number
  /** Whether `unsupported` answers do not count as failed. */
  readonly allowUnsupported: boolean
  /** Judges the admission of a state's candidate into the cluster of its objects. */
  readonly admission: (state: CaseState) => Admission
}

export interface Admission {
  readonly admitted: "accept" | "reject"
  /** Why it was refused, a sentence each; warnings are not among them. */
  readonly errors: readonly string[]
}

export interface ProbeOutcome {
  readonly probe: Probe
  readonly result: ProbeResult
  readonly passed: boolean
  /** What is wrong, for a probe that failed. */
  readonly failure?: string
}

export interface CaseResult {
  readonly case: SuiteCase
  readonly probes: readonly ProbeOutcome[]
  readonly admission?: Admission
  /** What was refused of the case's own manifests; then no probe was asked. */
  readonly errors: readonly string[]
  readonly passed: boolean
  readonly milliseconds: number
}

/** Runs histories one after the other, step by step, and gives the result of each case as soon as it is there. */
export async function* runSuite(
  histories: readonly (readonly CaseState[])[],
  plane: SuitePlane,
  options: RunOptions,
): AsyncGenerator<CaseResult, void, void> {
  for (const history of histories) {
    for (const state of history) yield await runCase(state, plane, options)
  }
}

async function runCase(state: CaseState, plane: SuitePlane, options: RunOptions): Promise<CaseResult> {
  const start = options.now()
  const admission = state.candidate === undefined ? undefined : options.admission(state)
  // An admission case that asks nothing needs no cluster.
  const idle = admission !== undefined && state.probes.length === 0
  const errors = idle ? [] : await plane.prepare(state)
  const results = idle ? [] : await answers(state.probes, errors, plane)
  const probes = state.probes.map((resolved, i) => {
    const result = results[i] ?? { got: "unsupported", reason: `plane ${plane.name} gave no answer` }
    return outcomeOf(resolved, result, state.case, state.probes[i - 1]?.probe, results[i - 1], options)
  })
  const admitted = admission === undefined || admission.admitted === state.case.admit
  return {
    ...{ case: state.case, probes, errors },
    ...(admission === undefined ? {} : { admission }),
    passed: admitted && (errors.length === 0 || options.allowUnsupported) && probes.every((probe) => probe.passed),
    milliseconds: options.now() - start,
  }
}

async function answers(
  probes: readonly ResolvedProbe[],
  errors: readonly string[],
  plane: SuitePlane,
): Promise<readonly ProbeResult[]> {
  if (errors.length === 0) return await plane.probe(probes)
  const reason = `a manifest of the case was refused: ${errors[0]}`
  return probes.map(() => ({ got: "unsupported", reason }))
}

function outcomeOf(
  resolved: ResolvedProbe,
  result: ProbeResult,
  suiteCase: SuiteCase,
  previous: Probe | undefined,
  previousResult: ProbeResult | undefined,
  options: RunOptions,
): ProbeOutcome {
  const { probe } = resolved
  const mistaken = resolved.kind === "settled" && resolved.mistake === true
  const failure =
    result.got === "unsupported"
      ? options.allowUnsupported && !mistaken
        ? undefined
        : `${mistaken ? "cannot be asked" : "unsupported"}: ${result.reason ?? "no reason given"}`
      : (wrongVerdict(probe, result, suiteCase) ??
        wrongRule(probe, result) ??
        wrongBackend(probe, result, previous, previousResult) ??
        wrongConnection(probe, result))
  return { probe, result, passed: failure === undefined, ...(failure === undefined ? {} : { failure }) }
}

function wrongVerdict(probe: Probe, result: ProbeResult, suiteCase: SuiteCase): string | undefined {
  const denied = result.got === "deny" || (result.got === "reject" && suiteCase.denial === "any")
  if (probe.expect === "deny" ? denied : result.got === "allow") return undefined
  const wanted = probe.expect === "deny" && suiteCase.denial === "drop" ? "silence (denial: drop)" : probe.expect
  return `expected ${wanted}, got ${result.got}${result.reason === undefined ? "" : ` (${result.reason})`}`
}

function wrongRule(probe: Probe, result: ProbeResult): string | undefined {
  const { by } = probe
  if (by === undefined) return undefined
  const deciders = result.deciders ?? (result.by === undefined ? [] : [result.by])
  if (deciders.some((text) => namesRule(by, text))) return undefined
  return `expected by ${by}, got ${deciders.join(" and ") || "no rule"}`
}

function wrongBackend(
  probe: Probe,
  result: ProbeResult,
  before: Probe | undefined,
  beforeResult: ProbeResult | undefined,
) {
  if (result.got !== "allow") return undefined
  const { backend } = result
  if (probe.backends !== undefined && (backend === undefined || !probe.backends.includes(backend))) {
    return `expected one of ${probe.backends.join(", ")} to answer, got ${backend ?? "nobody known"}`
  }
  if (probe.sticky !== true || before === undefined || beforeResult?.got !== "allow") return undefined
  if (JSON.stringify(before.raw) !== JSON.stringify(probe.raw) || beforeResult.backend === backend) return undefined
  return `expected the same backend as before (${beforeResult.backend}), got ${backend}`
}

function wrongConnection(probe: Probe, result: ProbeResult): string | undefined {
  if (probe.connection === undefined || result.connection === probe.connection) return undefined
  const got =
    result.connection === undefined || result.connection === "none"
      ? "no connection from the step before"
      : result.connection
  return `expected the connection to be ${probe.connection}, got ${got}`
}
