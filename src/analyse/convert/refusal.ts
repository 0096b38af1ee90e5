import type { Origin } from "../../model/origin.ts"

/** Something whose meaning the other language cannot keep. */
export interface Refusal {
  readonly origin: Origin
  /** The policy, e.g. `NetworkPolicy shop/web`. */
  readonly policy: string
  /** The construct. */
  readonly what: string
  /** Why the other language cannot say it. */
  readonly why: string
}

/** Thrown where a construct cannot be kept; `convert` gathers them with their places. */
export class Unsayable extends Error {
  readonly what: string
  readonly why: string

  constructor(what: string, why: string) {
    super(`${what}: ${why}`)
    this.what = what
    this.why = why
  }
}

/** One line for people: `shop.yaml:12:7: NetworkPolicy shop/web: cannot keep ipBlock 10.0.0.0/8: …`. */
export function refusalText({ origin, policy, what, why }: Refusal): string {
  return `${origin.file}:${origin.line}:${origin.column}: ${policy}: cannot keep ${what}: ${why}`
}
