import { Failure, type FailureKind } from "../../api/failure.ts"
import type { Io } from "../io.ts"
import { painter } from "./colour.ts"

/** Exit codes: 0 ok, 1 the check failed, 2 usage, 3 cannot reach, 124 timed out. */
export const exitCodes: Readonly<Record<FailureKind, number>> = {
  failed: 1,
  notFound: 1,
  usage: 2,
  unreachable: 3,
  timeout: 124,
}

/** Says on standard error what could not be done, why, and what to try; returns the exit code. */
export function tellError(io: Io, error: unknown): number {
  const paint = painter(io.colour.err)
  if (!(error instanceof Failure)) {
    const text = error instanceof Error ? error.message : String(error)
    io.err(`${paint("red", "error:")} ${text}\n`)
    if ((io.environment["HEDDLE_DEBUG"] ?? "") !== "" && error instanceof Error) io.err(`${error.stack ?? ""}\n`)
    return 1
  }
  io.err(`${paint("red", "error:")} ${error.message}\n`)
  if (error.why !== "") io.err(`  why: ${indent(error.why)}\n`)
  if (error.hint !== "") io.err(`  try: ${indent(error.hint)}\n`)
  return exitCodes[error.kind]
}

function indent(text: string): string {
  return text.replaceAll("\n", "\n       ")
}
