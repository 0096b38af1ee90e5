import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { expect, test } from "vitest"

const main = join(import.meta.dirname, "main.ts")

function heddle(words: readonly string[], input = ""): { code: number | null; out: string; err: string } {
  const run = spawnSync(process.execPath, [main, ...words], { encoding: "utf8", input, timeout: 30_000 })
  return { code: run.status, out: run.stdout, err: run.stderr }
}

test.each<[readonly string[], number]>([
  [["--help"], 0],
  [["frob"], 2],
  [["status", "--socket", "/nowhere/agent.sock"], 3],
  [["policy", "check", "-"], 1],
])("heddle %j as a process ends with %i", (words, code) => {
  const result = heddle(words, "apiVersion: v1\nkind: Pod\n")
  expect(result.code).toBe(code)
  // Data on one stream, talk on the other, and never a stack trace.
  expect(code === 0 || code === 1 ? result.out : result.err).not.toBe("")
  expect(result.err).not.toMatch(/^\s+at /m)
})

test("no colour where there is no terminal, and a reader that goes away is no error", () => {
  const words = `"${process.execPath}" "${main}"`
  const run = spawnSync("sh", ["-c", `${words} completion bash | head -1; ${words} --help`], {
    encoding: "utf8",
    timeout: 30_000,
  })
  expect(run.stderr).toBe("")
  expect(run.stdout).not.toContain("\u001b[")
  expect(run.status).toBe(0)
})
