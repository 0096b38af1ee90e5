import { spawn } from "node:child_process"
import { join } from "node:path"
import { beforeAll, expect, test } from "vitest"
import { clearAbandoned, list } from "../../src/lab/clear.ts"
import { heddleCommand } from "../../src/lab/package.ts"
import { LABS_DIRECTORY } from "../../src/lab/paths.ts"
import { labPlane } from "../../src/lab/suite-plane.ts"
import { runTest } from "../../src/suite/command.ts"
import { differences, type MachineSnapshot, snapshotMachine } from "./machine.ts"

/** Every case of our own suites with real packets, and the machine as it was before them. */
const suites = join(import.meta.dirname, "..", "suites")
let before: MachineSnapshot

beforeAll(async () => {
  await clearAbandoned()
  before = snapshotMachine(/^test-/)
})

async function unchanged(): Promise<void> {
  let found: string[] = []
  // Namespaces and links end some moments after the last of what held them.
  for (let waited = 0; waited < 20_000; waited += 100) {
    found = differences(before, snapshotMachine(/^test-/))
    if (found.length === 0) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  expect(found).toEqual([])
}

test.each([
  "kubernetes",
  "policy-api",
  "calico",
  "cilium",
  "mixed",
])("every probe of the suite %s meets what it should", async (name) => {
  let out = ""
  const code = await runTest(
    { suites: [join(suites, name)], plane: "ebpf", output: "text", allowUnsupported: false, tags: [] },
    {
      out: (text) => {
        out += text
      },
      err: (text) => {
        out += text
      },
      standardInput: () => "",
      now: () => performance.now(),
      planes: { ebpf: () => labPlane() },
    },
  )
  expect(code, out.slice(-4_000)).toBe(0)
  await unchanged()
})

test("what a killed test run leaves, the next lab takes away", async () => {
  const [program = "", ...words] = heddleCommand()
  const suite = join(suites, "kubernetes", "histories.jsonl")
  const child = spawn(program, [...words, "test", "--plane", "ebpf", suite, "-o", "jsonl"], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const ended = new Promise((resolve) => child.once("close", resolve))
  await new Promise((resolve) => child.stdout.once("data", resolve))
  const name = `test-${child.pid}`
  expect(list(LABS_DIRECTORY)).toContain(name)
  child.kill("SIGKILL")
  await ended
  expect(await clearAbandoned()).toContain(name)
  await unchanged()
})
