import type { ObjectResult, Problem } from "../../api/generated/heddle/agent/v1/agent_pb.ts"
import type { Io } from "../io.ts"
import { painter } from "./colour.ts"
import { type Format, jsonText, yamlText } from "./print.ts"
import { originText } from "./text.ts"

/** `networkpolicy/shop/web`, as `-o name` prints it. */
export function refName(ref: { kind: string; namespace: string; name: string } | undefined): string {
  if (ref === undefined) return ""
  const namespace = ref.namespace === "" ? "" : `${ref.namespace}/`
  return `${ref.kind.toLowerCase()}/${namespace}${ref.name}`
}

/** One problem as a person reads it: place, severity, field, message, hint. */
export function problemLines(io: Io, problems: readonly Problem[]): string {
  const paint = painter(io.colour.err)
  return problems
    .map((problem) => {
      const place = originText(problem.origin)
      const severity = paint(problem.severity === "error" ? "red" : "yellow", problem.severity)
      const path = problem.path === "" ? "" : `${problem.path}: `
      const hint = problem.hint === "" ? "" : `\n  try: ${problem.hint}`
      return `${place === "" ? "" : `${place}: `}${severity}: ${path}${problem.message}${hint}\n`
    })
    .join("")
}

/** Prints what became of each object; true when none was refused and nothing was unreadable. */
export async function printResults(
  io: Io,
  format: Format,
  answer: { readonly results: readonly ObjectResult[]; readonly problems: readonly Problem[] },
  suffix = "",
): Promise<boolean> {
  const { results, problems } = answer
  const refused = results.filter((result) => result.result === "refused")
  if (format === "json") io.out(jsonText({ results, problems }))
  else if (format === "yaml") io.out(await yamlText({ results, problems }))
  else if (format === "name") {
    for (const result of results) if (result.result !== "refused") io.out(`${refName(result.ref)}\n`)
  } else {
    for (const result of results) io.out(`${refName(result.ref)} ${result.result}${suffix}\n`)
  }
  io.err(problemLines(io, problems))
  for (const result of results) {
    io.err(problemLines(io, result.problems))
    if (result.result === "refused") {
      const kept = result.kept === "" ? "" : ` (${result.kept})`
      io.err(`${painter(io.colour.err)("red", "refused:")} ${refName(result.ref)}${kept}\n`)
    }
  }
  return refused.length === 0 && !problems.some((problem) => problem.severity === "error")
}
