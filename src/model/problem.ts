import type { Origin } from "./origin.ts"

/** Way from an object's root to a field: field names, map keys and list indexes, e.g. `["spec", "ingress", 0]`. */
export type FieldPath = readonly (string | number)[]

/** Something wrong, or worth saying, about one object, led back to the line that says it. */
export interface Problem {
  readonly origin: Origin
  /** The field as Kubernetes writes it, e.g. `spec.ingress[0].ports[1].port`; empty when it concerns the whole object or file. */
  readonly path: string
  /** What is wrong, with the value found. */
  readonly message: string
  /** What to write instead. */
  readonly hint?: string
  /** An error refuses the object; a warning does not. */
  readonly severity: "error" | "warning"
}

/** `["spec", "ingress", 0, "from"]` → `spec.ingress[0].from`; map keys that are no plain words stand in brackets. */
export function fieldPathText(path: FieldPath): string {
  let text = ""
  for (const part of path) {
    if (typeof part === "number" || !/^[A-Za-z_][A-Za-z0-9_-]*$/.test(part)) text += `[${part}]`
    else text += text === "" ? part : `.${part}`
  }
  return text
}

/** One line for people: `shop.yaml:12:7: error: spec.podSelectr: unknown field (did you mean podSelector?)`. */
export function problemText(problem: Problem): string {
  const { file, line, column } = problem.origin
  const where = problem.path === "" ? "" : `${problem.path}: `
  const hint = problem.hint === undefined ? "" : ` (${problem.hint})`
  return `${file}:${line}:${column}: ${problem.severity}: ${where}${problem.message}${hint}`
}

/** Whether any of them refuses the object. */
export function hasErrors(problems: readonly Problem[]): boolean {
  return problems.some((problem) => problem.severity === "error")
}

/** Orders by file, line and column, so that people read a file from top to bottom. */
export function compareProblems(a: Problem, b: Problem): number {
  if (a.origin.file !== b.origin.file) return a.origin.file < b.origin.file ? -1 : 1
  return a.origin.line - b.origin.line || a.origin.column - b.origin.column
}
