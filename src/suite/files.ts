import { readdirSync, readFileSync, statSync } from "node:fs"
import { extname, join } from "node:path"
import { type SuiteCase, SuiteError, type SuiteProblem } from "./format.ts"
import { guessSyntax, readCases, type SuiteSyntax } from "./read.ts"

const syntaxes: Readonly<Record<string, SuiteSyntax>> = {
  ".jsonl": "jsonl",
  ".ndjson": "jsonl",
  ".json": "json",
  ".yaml": "yaml",
  ".yml": "yaml",
}

/**
 * The cases of files, directories (all suite files below them, by name) and `-` (standard input). Throws `SuiteError`
 * with the mistakes of all files.
 */
export function loadCases(paths: readonly string[], standardInput: () => string): readonly SuiteCase[] {
  const problems: SuiteProblem[] = []
  const cases: SuiteCase[] = []
  for (const path of paths) {
    try {
      for (const file of path === "-" ? ["-"] : filesOf(path)) {
        const text = file === "-" ? standardInput() : readFileSync(file, "utf8")
        const syntax = file === "-" ? guessSyntax(text) : (syntaxes[extname(file).toLowerCase()] ?? guessSyntax(text))
        cases.push(...readCases(text, file === "-" ? "stdin" : file, syntax))
      }
    } catch (error) {
      if (error instanceof SuiteError) problems.push(...error.problems)
      else problems.push({ origin: { file: path, line: 1, column: 1 }, message: reasonOf(error) })
    }
  }
  if (problems.length > 0) throw new SuiteError(problems)
  return cases
}

function filesOf(path: string): readonly string[] {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((name) => Object.hasOwn(syntaxes, extname(name).toLowerCase()))
    .sort()
    .map((name) => join(path, name))
    .filter((file) => statSync(file).isFile())
}

function reasonOf(error: unknown): string {
  const code = (error as { code?: unknown }).code
  if (code === "ENOENT") return `Cannot read the suite: no such file or directory; give files, directories or "-"`
  return `Cannot read the suite: ${error instanceof Error ? error.message : String(error)}`
}
