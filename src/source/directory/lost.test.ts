import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { ObjectStore } from "../objects.ts"
import { DirectorySource } from "./directory.ts"

/** Who listens to the kernel, by directory: here the test is the kernel, and may lose notifications. */
const listeners = vi.hoisted(() => new Map<string, (event: string, name: string) => void>())
const looks = vi.hoisted(() => ({ stats: 0 }))
vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>()
  const statSync = (...found: Parameters<typeof fs.statSync>) => {
    looks.stats++
    return fs.statSync(...found)
  }
  const watch = (path: string, listener: (event: string, name: string) => void) => {
    listeners.set(path, listener)
    return { on: () => {}, close: () => listeners.delete(path) }
  }
  return { ...fs, statSync, watch, default: { ...fs, statSync, watch } }
})

let root: string
let directory: string
let store: ObjectStore
let source: DirectorySource

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hd-lost-"))
  directory = join(root, "objects")
  mkdirSync(directory)
  store = new ObjectStore({ now: Date.now })
})

afterEach(async () => {
  await source.close()
  rmSync(root, { recursive: true })
})

async function start(files: number, rescan: number): Promise<void> {
  for (let i = 0; i < files; i++) place(`${i}.yaml`, policy(`${i}`))
  source = new DirectorySource({ directory, store, now: Date.now, onChange: () => {}, settle: 5, hold: 50, rescan })
  await source.start()
  looks.stats = 0
}

function policy(name: string): string {
  return `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p${name}, namespace: x}, spec: {}}\n`
}

function place(name: string, text: string): void {
  writeFileSync(join(root, "new"), text)
  renameSync(join(root, "new"), join(directory, name))
}

const has = (name: string): boolean => store.has(`networking.k8s.io/NetworkPolicy/x/p${name}`)
const until = (condition: () => boolean) => expect.poll(condition, { timeout: 20_000, interval: 5 }).toBe(true)

test("a notification costs a look at that file, however many others there are", async () => {
  await start(300, 1e6)
  place("7.yaml", policy("changed"))
  place("8.yaml", policy("also"))
  listeners.get(directory)?.("rename", "7.yaml")
  await until(() => has("changed"))
  expect(has("also")).toBe(false)
  expect(looks.stats).toBeLessThan(5)
  looks.stats = 0
  for (const name of [".7.yaml.swp", "notes.txt", "7.yaml.next-1"]) listeners.get(directory)?.("rename", name)
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(looks.stats).toBe(0)
})

test("without notifications: what came, went or was replaced shows in the directory", async () => {
  await start(3, 30)
  place("new.yaml", policy("new"))
  await until(() => has("new"))
  rmSync(join(directory, "2.yaml"))
  await until(() => !has("2"))
  // Each look lists the names here, which are the same.
  for (const name of ["replaced", "again", "and-again"]) {
    place("1.yaml", policy(name))
    await until(() => has(name))
  }
  rmSync(directory, { recursive: true })
  mkdirSync(directory)
  place("0.yaml", policy("other"))
  await until(() => has("other") && !has("and-again"))
})

test("without notifications: what was written in place is found in its turn, a bounded number of files each time", async () => {
  await start(1_200, 100)
  writeFileSync(join(directory, "600.yaml"), policy("elsewhere"))
  const asked: number[] = []
  for (let last = 0; !has("elsewhere") && asked.length < 10; last = looks.stats) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    asked.push(looks.stats - last)
  }
  expect(has("elsewhere")).toBe(true)
  // A timer may be late, and two turns then fall into one.
  expect(Math.max(...asked)).toBeLessThan(600)
})

test("a file that was left out while others were told is found when the names are listed again", async () => {
  await start(3, 30)
  place("lost.yaml", policy("lost"))
  place("told.yaml", policy("told"))
  listeners.get(directory)?.("rename", "told.yaml")
  await until(() => has("told"))
  await until(() => has("lost"))
})

test("so many notifications that some may be lost: everything is looked at", async () => {
  await start(3, 1e6)
  place("lost.yaml", policy("lost"))
  for (let i = 0; i < 1_500; i++) listeners.get(directory)?.("change", "1.yaml")
  await until(() => has("lost"))
})

test("a directory that changed untold is seen before the names are listed again; one whose changes are told is not listed", async () => {
  await start(600, 40)
  const scan = vi.spyOn(source, "scan")
  const change = (told: boolean) => () => {
    place("3.yaml", policy("3"))
    if (told) listeners.get(directory)?.("rename", "3.yaml")
    return scan.mock.calls.length > 0
  }
  await until(change(false))
  scan.mockClear()
  for (let i = 0; i < 50; i++) {
    change(true)()
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  // The last of those that were not told.
  expect(scan.mock.calls.length).toBeLessThan(2)
})
