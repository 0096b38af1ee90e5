import { type Document, LineCounter, parseAllDocuments } from "yaml"
import type { Origin } from "../model/origin.ts"
import { type SuiteCase, SuiteError, type SuiteProblem } from "./format.ts"
import { type OriginAt, parseCase } from "./parse.ts"

export type SuiteSyntax = "jsonl" | "json" | "yaml"

/** Characters up to which the parts of a JSON file are given their lines. */
const PLACED_JSON = 200_000

/**
 * The cases of one text. JSON Lines: one case a line (blank lines do not count). JSON: a case or a list of cases. YAML:
 * documents, each a case or a list of cases. Throws `SuiteError` with all mistakes.
 */
export function readCases(text: string, file: string, syntax: SuiteSyntax): readonly SuiteCase[] {
  const problems: SuiteProblem[] = []
  const cases =
    syntax === "jsonl"
      ? readLines(text, file, problems)
      : syntax === "json"
        ? readJson(text, file, problems)
        : readYaml(text, file, problems)
  if (problems.length > 0) throw new SuiteError(problems)
  return cases
}

/** The syntax of a text without a telling file name: what starts like JSON is one JSON value if it parses as one, else lines. */
export function guessSyntax(text: string): SuiteSyntax {
  const start = text.trimStart()[0]
  if (start !== "{" && start !== "[") return "yaml"
  try {
    JSON.parse(text)
    return "json"
  } catch {
    return "jsonl"
  }
}

function readLines(text: string, file: string, problems: SuiteProblem[]): readonly SuiteCase[] {
  return text.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return []
    const origin: Origin = { file, line: i + 1, column: 1 }
    const value = parseJson(line, origin, problems)
    return value === undefined ? [] : casesOf(value.value, () => origin, problems)
  })
}

function readJson(text: string, file: string, problems: SuiteProblem[]): readonly SuiteCase[] {
  const start: Origin = { file, line: 1, column: 1 }
  const value = parseJson(text, start, problems)
  if (value === undefined) return []
  // JSON is YAML: reading it again so gives every part its line, at a hundred times the cost, so not for big files.
  return text.length > PLACED_JSON ? casesOf(value.value, () => start, problems) : readYaml(text, file, problems)
}

function parseJson(text: string, origin: Origin, problems: SuiteProblem[]): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) as unknown }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    problems.push({ origin, message: `Cannot read the case: not JSON: ${reason}` })
    return undefined
  }
}

function readYaml(text: string, file: string, problems: SuiteProblem[]): readonly SuiteCase[] {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true })
  if (!Array.isArray(documents)) return []
  return documents.flatMap((document) => {
    for (const error of document.errors) {
      const { line, col } = lines.linePos(error.pos[0])
      problems.push({ origin: { file, line, column: col }, message: `Cannot read the case: ${error.message}` })
    }
    if (document.errors.length > 0) return []
    const value: unknown = document.toJS()
    return value === null || value === undefined ? [] : casesOf(value, placesOf(document, lines, file), problems)
  })
}

function casesOf(value: unknown, originAt: OriginAt, problems: SuiteProblem[]): readonly SuiteCase[] {
  const parsed = Array.isArray(value)
    ? value.map((item, i) => parseCase(item, (path) => originAt([i, ...path]), problems))
    : [parseCase(value, originAt, problems)]
  return parsed.filter((one) => one !== undefined)
}

function placesOf(document: Document, lines: LineCounter, file: string): OriginAt {
  return (path) => {
    for (let length = path.length; length >= 0; length--) {
      const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true)
      const range = (node as { range?: readonly number[] } | null | undefined)?.range
      if (range?.[0] === undefined) continue
      const { line, col } = lines.linePos(range[0])
      return { file, line, column: col }
    }
    return { file, line: 1, column: 1 }
  }
}
