import type { FieldPath } from "../../model/problem.ts"
import { fieldAt } from "../read.ts"
import type { Report } from "../report.ts"

export interface Judging {
  readonly report: Report
  /** As the API server judges a new object; otherwise it has accepted it, and what is not understood is evaluated fail closed. */
  readonly create: boolean
}

/** MinProperties and MaxProperties of 1; true when there is one. */
export function exactlyOne(value: unknown, fields: readonly string[], path: FieldPath, report: Report): boolean {
  const given = fields.filter((field) => fieldAt(value, field) !== undefined)
  if (given.length === 1) return true
  const message = given.length === 0 ? "nothing is given" : `${given.join(" and ")} may not stand together`
  report.error(path, message, `give exactly one of ${fields.join(", ")}`)
  return false
}

/** Like `exactlyOne`, but an entry without any known field is evaluated fail closed when an API server accepted it. */
export function oneKnown(
  value: unknown,
  fields: readonly string[],
  what: string,
  path: FieldPath,
  judging: Judging,
): boolean {
  if (judging.create || fields.some((field) => fieldAt(value, field) !== undefined)) {
    return exactlyOne(value, fields, path, judging.report)
  }
  const message = `a ${what} of a kind that is not known: the rule accepts nothing, or denies everything`
  judging.report.warning(path, message, `known: ${fields.join(", ")}`)
  return false
}

/** An error for a new object, a warning for one that an API server accepted. */
export function say(judging: Judging, path: FieldPath, message: string, hint: string): void {
  if (judging.create) judging.report.error(path, message, hint)
  else judging.report.warning(path, message, hint)
}
