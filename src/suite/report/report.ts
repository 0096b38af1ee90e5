import type { CaseResult } from "../run.ts"

/** Writes the results of a run, piece by piece, in one output format. */
export interface Report {
  /** Text for one finished case, to be written as soon as it is there; may be empty. */
  result(result: CaseResult): string
  /** Text after the last case. */
  end(summary: Summary): string
}

export interface Summary {
  readonly plane: string
  readonly cases: number
  readonly casesFailed: number
  readonly probes: number
  readonly probesFailed: number
  readonly unsupported: number
  /** Wall time of the whole run, reading included. */
  readonly milliseconds: number
}

/** Counts over all results; `milliseconds` is the caller's. */
export class Counter {
  #cases = 0
  #casesFailed = 0
  #probes = 0
  #probesFailed = 0
  #unsupported = 0

  add(result: CaseResult): void {
    this.#cases++
    if (!result.passed) this.#casesFailed++
    this.#probes += result.probes.length
    for (const probe of result.probes) {
      if (!probe.passed) this.#probesFailed++
      if (probe.result.got === "unsupported") this.#unsupported++
    }
  }

  summary(plane: string, milliseconds: number): Summary {
    return {
      plane,
      cases: this.#cases,
      casesFailed: this.#casesFailed,
      probes: this.#probes,
      probesFailed: this.#probesFailed,
      unsupported: this.#unsupported,
      milliseconds,
    }
  }
}
