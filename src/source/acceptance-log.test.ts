import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import type { Remembered } from "./acceptance.ts"
import { AcceptanceLog, type AcceptanceLogOptions } from "./acceptance-log.ts"

let root: string
let path: string
let told: string[]
const logs: AcceptanceLog[] = []

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hd-accepted-"))
  path = join(root, "state", "accepted.log")
  told = []
})

afterEach(async () => {
  for (const log of logs.splice(0)) await log.close()
  rmSync(root, { recursive: true })
})

function open(options: Partial<AcceptanceLogOptions> = {}): AcceptanceLog {
  const log = new AcceptanceLog({ path, program: "one", tell: (message) => told.push(message), ...options })
  logs.push(log)
  return log
}

/** What another process finds now. */
function reopened(options: Partial<AcceptanceLogOptions> = {}): { state: Record<string, unknown>; log: AcceptanceLog } {
  const log = open(options)
  return { state: stateOf(log), log }
}

function stateOf(log: AcceptanceLog): Record<string, unknown> {
  const entries = [...log.entries()].map(({ key, value }) => [key, (value as { v: unknown }).v] as const)
  for (const [key, v] of entries) expect((log.recall(key)?.value as { v: unknown }).v).toEqual(v)
  return Object.fromEntries(entries)
}

function entry(key: string, v: unknown): Remembered {
  return { key, value: { v }, file: `/o/${key}.yaml`, places: { "": [1, 1] }, hash: 2n ** 127n + 5n, acceptedAt: 7 }
}

const stamp = { inode: 1, size: 2, modified: 3.25, changed: 4.5 }

test("what is remembered comes back whole, the newest of each", async () => {
  const log = open()
  const full = {
    ...entry("g/K/ns/a", "tab\t, line\n, ü"),
    places: { "": [3, 1], "spec.x[0]": [4, 7] },
    refusal: { since: 9, problems: [] },
  } as const
  log.remember(entry("g/K/ns/a", "old"))
  log.remember(entry("/Pod/ns/b", 1))
  await log.flush()
  log.remember(full)
  log.forget("/Pod/ns/b")
  log.rememberFile("/o/a.yaml", { stamp, keys: ["g/K/ns/a"] })
  log.rememberFile("/o/b.yaml", { keys: [] })
  log.forgetFile("/o/b.yaml")
  expect(log.recall("g/K/ns/a")).toEqual(full)
  await log.flush()
  expect(log.recall("g/K/ns/a")).toEqual(full)
  expect(log.recall("/Pod/ns/b")).toBeUndefined()
  const again = open()
  expect(again.sameProgram).toBe(true)
  expect([...again.entries()]).toEqual([full])
  expect(again.recall("g/K/ns/a")).toEqual(full)
  expect([...again.files()]).toEqual([["/o/a.yaml", { stamp, keys: ["g/K/ns/a"] }]])
  expect(told).toEqual([])
})

test("cut anywhere by a crash, the log gives the state of some moment, and goes on from there", async () => {
  const log = open()
  const states: Record<string, unknown>[] = [{}]
  for (const [key, v] of [
    ["/A", 1],
    ["/B", 1],
    ["/A", 2],
    ["/B", undefined],
    ["/C", "x"],
    ["/A", 3],
  ] as const) {
    if (v === undefined) log.forget(key)
    else log.remember(entry(key, v))
    await log.flush()
    states.push(stateOf(log))
  }
  const whole = readFileSync(path)
  const ends = [...whole.entries()].filter(([, byte]) => byte === 0x0a).map(([at]) => at + 1)
  for (let length = ends[0] ?? 0; length <= whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length))
    const lines = ends.filter((end) => end <= length).length
    told = []
    const put = async (file: number, bytes: Uint8Array, position: number): Promise<void> =>
      void writeSync(file, bytes, 0, bytes.length, position)
    const { state, log: after } = reopened({ put })
    expect(state).toEqual(states[lines - 1])
    expect(told).toHaveLength(ends.includes(length) ? 0 : 1)
    after.remember(entry("/Z", length))
    await after.close()
    expect(reopened().state).toEqual({ ...states[lines - 1], "/Z": length })
    expect(told).toHaveLength(ends.includes(length) ? 0 : 1)
    for (const one of logs.splice(0)) await one.close()
  }
})

test("a line damaged in the middle costs that line, and no file counts as read", async () => {
  const log = open()
  for (const key of ["/A", "/B", "/C"]) log.remember(entry(key, 1))
  log.rememberFile("/o/A.yaml", { stamp, keys: ["/A"] })
  await log.flush()
  const bytes = readFileSync(path)
  bytes.write("?", bytes.indexOf('"/B"') + 10)
  writeFileSync(path, bytes)
  const after = reopened()
  expect(after.state).toEqual({ "/A": 1, "/C": 1 })
  expect(after.log.sameProgram).toBe(false)
  expect(told).toEqual([expect.stringContaining("1 lines of")])
  await after.log.flush()
  told = []
  const later = open()
  expect([...later.files()]).toEqual([["/o/A.yaml", { keys: ["/A"] }]])
  expect(later.sameProgram).toBe(true)
  expect(told).toEqual([])
})

test("another program believes the objects after judging them, and no stamp", async () => {
  const log = open()
  log.remember(entry("/A", 1))
  log.rememberFile("/o/A.yaml", { stamp, keys: ["/A"] })
  await log.flush()
  const other = open({ program: "two" })
  expect(other.sameProgram).toBe(false)
  expect([...other.files()]).toEqual([["/o/A.yaml", { keys: ["/A"] }]])
  await other.close()
  expect(open({ program: "two" }).sameProgram).toBe(true)
  const unknown = open({ program: undefined })
  expect(unknown.sameProgram).toBe(false)
  unknown.rememberFile("/o/A.yaml", { stamp, keys: ["/A"] })
  await unknown.close()
  expect([...open({ program: undefined }).files()]).toEqual([["/o/A.yaml", { keys: ["/A"] }]])
})

test.each(["", "something else\n", '{"form": 2}\n'])("what is no such log is written anew: %j", async (text) => {
  await open().close()
  open().remember(entry("/A", 1))
  await logs.at(-1)?.close()
  writeFileSync(path, text)
  const { state, log } = reopened()
  expect(state).toEqual({})
  expect(told).toHaveLength(text === "" ? 0 : 1)
  log.remember(entry("/B", 2))
  await log.flush()
  expect(reopened().state).toEqual({ "/B": 2 })
})

test("a log that was taken away is made again with all that is remembered", async () => {
  const log = open()
  log.remember(entry("/A", 1))
  await log.flush()
  rmSync(join(root, "state"), { recursive: true })
  log.remember(entry("/B", 2))
  await log.flush()
  expect(reopened().state).toEqual({ "/A": 1, "/B": 2 })
})

test("garbage goes: the log stays within twice what is live, and what comes meanwhile is not lost", async () => {
  const log = open()
  const text = "x".repeat(10_000)
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < 20; i++) log.remember(entry(`/${i}`, `${round}${text}`))
    const flushed = log.flush()
    await new Promise((resolve) => setTimeout(resolve, 1))
    log.remember(entry("/last", round))
    log.remember(entry("/0", `${round} again`))
    expect(log.recall("/0")?.value).toEqual({ v: `${round} again` })
    await flushed
  }
  await log.flush()
  expect(statSync(path).size).toBeLessThan(2_500_000)
  expect(existsSync(`${path}.next`)).toBe(false)
  const { state } = reopened()
  expect(Object.keys(state)).toHaveLength(21)
  expect(state["/0"]).toBe("39 again")
  expect(state["/19"]).toBe(`39${text}`)
  expect(state["/last"]).toBe(39)
})

test("a crash in the middle of getting rid of garbage leaves the log as it was", async () => {
  let copies = 0
  const die = async (file: number, bytes: Uint8Array, position: number): Promise<void> => {
    // Only a copy begins at 0.
    if (position === 0 && copies++ > 0) {
      writeSync(file, bytes, 0, bytes.length >> 1, position)
      throw new Error("dead")
    }
    writeSync(file, bytes, 0, bytes.length, position)
  }
  const log = open({ put: die })
  for (let round = 0; round < 300; round++) {
    log.remember(entry("/A", `${round}${"x".repeat(10_000)}`))
    await log.flush()
  }
  expect(copies).toBeGreaterThan(1)
  // As it lies there when the process dies instead.
  writeFileSync(`${path}.next`, "half of a log")
  const { state } = reopened()
  expect(String(state["/A"]).slice(0, 4)).toBe("299x")
  expect(existsSync(`${path}.next`)).toBe(false)
  expect(told).toEqual([expect.stringMatching(/^Cannot make .* smaller: dead$/)])
})

test("a full disk: said once, the last good state stays, and all is written when there is room again", async () => {
  let room = Number.POSITIVE_INFINITY
  const put = async (file: number, bytes: Uint8Array, position: number): Promise<void> => {
    writeSync(file, bytes, 0, Math.min(room, bytes.length), position)
    if (room < bytes.length) throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" })
  }
  const log = open({ put })
  log.remember(entry("/A", 1))
  await log.flush()
  const { size } = statSync(path)
  room = 30
  log.remember(entry("/A", 2))
  log.remember(entry("/B", 1))
  await log.flush()
  log.remember(entry("/B", 2))
  await log.flush()
  expect(told).toEqual([expect.stringMatching(/^Cannot remember 2 changes .*no space left/)])
  expect(log.recall("/A")?.value).toEqual({ v: 2 })
  expect(log.recall("/B")?.value).toEqual({ v: 2 })
  expect(reopened().state).toEqual({ "/A": 1 })
  told = []
  room = Number.POSITIVE_INFINITY
  truncateSync(path, size)
  appendFileSync(path, "rest of what did not fit")
  log.forget("/A")
  await log.flush()
  expect(told).toEqual([expect.stringMatching(/is written to .* again$/)])
  told = []
  expect(reopened().state).toEqual({ "/B": 2 })
  expect(told).toEqual([])
})

test("what cannot be written is tried again without being asked", async () => {
  let full = true
  const put = async (file: number, bytes: Uint8Array, position: number): Promise<void> => {
    if (full) throw new Error("full")
    writeSync(file, bytes, 0, bytes.length, position)
  }
  const log = open({ put })
  log.remember(entry("/A", 1))
  await expect.poll(() => told.length).toBe(1)
  full = false
  await expect.poll(() => told.length, { timeout: 10_000 }).toBe(2)
  expect(reopened().state).toEqual({ "/A": 1 })
})
