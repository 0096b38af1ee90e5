/** What kind of failure it is; the command line's exit codes follow from it. */
export type FailureKind = "failed" | "usage" | "unreachable" | "timeout" | "notFound"

/**
 * An error in three parts: what could not be done (`message`), why, and what to try. It crosses the agent's socket
 * unchanged, so that the person at the command line reads what the agent knew.
 */
export class Failure extends Error {
  override readonly name = "Failure"
  readonly kind: FailureKind
  readonly why: string
  readonly hint: string

  constructor(kind: FailureKind, what: string, why = "", hint = "", options?: { cause?: unknown }) {
    super(what, options)
    this.kind = kind
    this.why = why
    this.hint = hint
  }
}

/** The message of whatever was thrown, in one line. */
export function reasonOf(error: unknown): string {
  if (error instanceof Failure) return error.why === "" ? error.message : `${error.message}: ${error.why}`
  return error instanceof Error ? error.message : String(error)
}
