import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { afterAll, beforeAll, expect, test } from "vitest"
import { labDown } from "../../src/lab/manage.ts"
import { heddleCommand } from "../../src/lab/package.ts"
import { LabPaths } from "../../src/lab/paths.ts"
import { differences, type MachineSnapshot, snapshotMachine } from "./machine.ts"

/** `make demo`, as a user runs it: what it shows, and that the machine is afterwards as it was before. */
const demo = new LabPaths("demo")
let before: MachineSnapshot

beforeAll(async () => {
  await labDown("demo")
  before = snapshotMachine(/^demo$/)
})

afterAll(async () => {
  await labDown("demo")
})

function start(): { child: ChildProcess; output: () => string; ended: Promise<number | null> } {
  const [program = "", ...words] = heddleCommand()
  const child = spawn(program, [...words, "lab", "demo"], { stdio: ["ignore", "pipe", "pipe"] })
  let text = ""
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      text += chunk.toString("utf8")
    })
  }
  const ended = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)))
  return { child, output: () => text, ended }
}

async function until(condition: () => boolean, what: () => string): Promise<void> {
  for (let waited = 0; !condition(); waited += 20) {
    if (waited > 30_000) throw new Error(`It did not come: ${what()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Namespaces and links end some moments after the last of what held them. */
async function unchanged(): Promise<void> {
  let found: string[] = []
  await until(
    () => {
      found = differences(before, snapshotMachine(/^demo$/))
      return found.length === 0
    },
    () => found.join("\n"),
  )
}

function command(...words: string[]): string {
  const [program = "", ...first] = heddleCommand()
  return execFileSync(program, [...first, ...words], { encoding: "utf8" })
}

test("the demo shows nodes, pods, a matrix without surprises, flows, and one drop explained to its line", async () => {
  const { output, ended } = start()
  const code = await ended
  const text = output()
  expect(code, text).toBe(0)
  for (const part of ["node-2", "shop/web-0", "every one as the policies say", "heddle observe", "heddle why"]) {
    expect(text).toContain(part)
  }
  expect(text).toMatch(/examples\/shop\/policies\.yaml:\d+/)
  expect(text.split("\n").filter((line) => line.length > 100)).toEqual([])
  // Nothing but the lab's own mounts is new while it is up.
  const during = differences(before, snapshotMachine(/^demo$/)).filter((line) => !/^(mounts|processes): /.test(line))
  expect(during).toEqual([])
  expect(command("lab", "exec", "shop/web-0", "--name", "demo", "--", "ip", "-o", "link")).toContain("eth0")
  command("lab", "down", "--name", "demo")
  expect(existsSync(demo.root)).toBe(false)
  await unchanged()
})

test.each([
  ["while nodes start", "starting"],
  ["while pods are made", "making"],
  ["while flows are shown", "heddle observe"],
])("Ctrl-C %s takes everything away", async (_, text) => {
  const { child, output, ended } = start()
  await until(() => output().includes(text), output)
  child.kill("SIGINT")
  expect(await ended).toBe(130)
  expect(existsSync(demo.root)).toBe(false)
  await unchanged()
})

test.each([
  ["while nodes start", "starting"],
  ["while pods are made", "making"],
])("what SIGKILL leaves %s, the next lab down takes away", async (_, text) => {
  const { child, output, ended } = start()
  await until(() => output().includes(text), output)
  child.kill("SIGKILL")
  await ended
  expect(existsSync(demo.root)).toBe(true)
  command("lab", "down", "--name", "demo")
  await unchanged()
})

test("a demo after one that was killed works", async () => {
  const first = start()
  await until(() => first.output().includes("making"), first.output)
  first.child.kill("SIGKILL")
  await first.ended
  const { output, ended } = start()
  expect(await ended, output()).toBe(0)
  await labDown("demo")
  await unchanged()
})
