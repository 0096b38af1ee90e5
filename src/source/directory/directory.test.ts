import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { AcceptanceMemory } from "../acceptance.ts"
import { ObjectStore } from "../objects.ts"
import { type DirectoryChange, DirectorySource } from "./directory.ts"

let root: string
let directory: string
let store: ObjectStore
let source: DirectorySource
let changes: DirectoryChange[]
const now = (): number => Date.now()

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hd-directory-"))
  directory = join(root, "objects")
  mkdirSync(directory)
  store = new ObjectStore({ now })
})

afterEach(async () => {
  await source.close()
  rmSync(root, { recursive: true })
})

async function start(options: { hold?: number; rescan?: number } = {}): Promise<void> {
  changes = []
  const onChange = (change: DirectoryChange): void => void changes.push(change)
  source = new DirectorySource({ directory, store, now, onChange, settle: 10, hold: 150, ...options })
  await source.start()
}

function policy(name: string, body = "podSelector: {}"): string {
  const head = `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: ${name}, namespace: shop}\n`
  return `${head}spec:\n  ${body}\n`
}

function names(): string[] {
  return store.list().map(({ ref }) => ref.name)
}

function messages(): string[] {
  return source.problems().map((problem) => problem.message)
}

/** Writes a file as careful writers do: beside, then moved into place. */
function place(name: string, text: string): void {
  writeFileSync(join(root, "new"), text)
  renameSync(join(root, "new"), join(directory, name))
}

async function until(condition: () => boolean): Promise<void> {
  await expect.poll(condition, { timeout: 10_000, interval: 10 }).toBe(true)
}

test("a directory is read at start and followed: created, changed, renamed, deleted", async () => {
  place("a.yaml", policy("a"))
  await start()
  expect(names()).toEqual(["a"])
  expect(changes).toHaveLength(1)
  place("b.yaml", policy("b"))
  await until(() => names().length === 2)
  const digest = store.digest
  renameSync(join(directory, "b.yaml"), join(directory, "c.yaml"))
  await until(() => store.list()[1]?.origin.file.endsWith("c.yaml") === true)
  expect(store.digest).toBe(digest)
  place("a.yaml", policy("a", "podSelector: {matchLabels: {x: y1}}"))
  await until(() => store.digest !== digest)
  unlinkSync(join(directory, "a.yaml"))
  await until(() => names().join() === "b")
  expect(changes.at(-1)?.cluster.policies.size).toBe(1)
  expect(changes.at(-1)?.digest).toBe(store.digest)
})

test("what is not a manifest file is left alone; folders and links are followed", async () => {
  writeFileSync(join(directory, "notes.txt"), "not yaml: [")
  writeFileSync(join(directory, ".hidden.yaml"), policy("hidden"))
  mkdirSync(join(directory, "team"))
  place("team/a.yml", policy("a"))
  writeFileSync(join(root, "elsewhere.yaml"), policy("b"))
  symlinkSync(join(root, "elsewhere.yaml"), join(directory, "b.yaml"))
  symlinkSync(directory, join(directory, "loop"))
  await start()
  expect(names()).toEqual(["a", "b"])
  expect(messages()).toEqual([])
})

test("mounted ConfigMaps switch by a link", async () => {
  mkdirSync(join(directory, "..1"))
  mkdirSync(join(directory, "..2"))
  writeFileSync(join(directory, "..1", "a.yaml"), policy("old"))
  writeFileSync(join(directory, "..2", "a.yaml"), policy("new"))
  symlinkSync("..1", join(directory, "..data"))
  symlinkSync("..data/a.yaml", join(directory, "a.yaml"))
  await start()
  expect(names()).toEqual(["old"])
  symlinkSync("..2", join(directory, "..next"))
  renameSync(join(directory, "..next"), join(directory, "..data"))
  await until(() => names().join() === "new")
})

test("a half-written file keeps what it held, and takes in what is whole", async () => {
  place("a.yaml", `${policy("a")}---\n${policy("b")}`)
  await start()
  const digest = store.digest
  writeFileSync(join(directory, "a.yaml"), `${policy("a")}---\n${policy("b", "podSelector: {matchLabels: {")}`)
  await until(() => messages().length > 0)
  expect(store.digest).toBe(digest)
  expect(source.problems()[0]?.message).toMatch(/not valid YAML/)
  writeFileSync(join(directory, "a.yaml"), "")
  await until(() => messages().some((message) => message.includes("the file is empty")))
  expect(names()).toEqual(["a", "b"])
  place("a.yaml", `${policy("a")}---\n${policy("c")}`)
  await until(() => names().join() === "a,c")
  expect(messages()).toEqual([])
})

test("a file written in place that lost objects is given time for the rest", async () => {
  place("a.yaml", `${policy("a")}---\n${policy("b")}`)
  await start({ hold: 400 })
  writeFileSync(join(directory, "a.yaml"), policy("a"))
  await new Promise((resolve) => setTimeout(resolve, 60))
  await source.scan()
  expect(names()).toEqual(["a", "b"])
  appendFileSync(join(directory, "a.yaml"), `---\n${policy("c")}`)
  await until(() => names().join() === "a,c")
})

test("a broken object is refused alone, its last good version stays, and the message says since when", async () => {
  place("a.yaml", `${policy("a")}---\n${policy("b")}`)
  await start()
  place("a.yaml", `${policy("a", "podSelectr: {}")}---\n${policy("b", "policyTypes: [Egress]")}`)
  await until(() => messages().length > 0)
  expect(source.problems()[0]).toMatchObject({ path: "spec.podSelectr", origin: { line: 5 } })
  expect(messages()[0]).toMatch(/^unknown field; NetworkPolicy shop\/a refused: kept the version of \d\d:\d\d$/)
  const policies = [...store.cluster().policies.values()].sort((x, y) => (x.name < y.name ? -1 : 1))
  expect(policies.map((found) => found.egress?.isolates ?? false)).toEqual([false, true])
  expect(policies[0]?.ingress?.isolates).toBe(true)
})

test("a misspelt kind or name does not take the object out of force", async () => {
  place("a.yaml", policy("a"))
  await start()
  place("a.yaml", policy("a").replace("NetworkPolicy", "NetworkPolcy"))
  await until(() => messages().length > 0)
  expect(source.problems()[0]?.hint).toBe("did you mean NetworkPolicy?")
  expect(names()).toEqual(["a"])
})

test("of an object in two files the first by name counts, and the other takes its place when that is gone", async () => {
  place("b.yaml", policy("a", "policyTypes: [Egress]"))
  await start()
  expect([...store.cluster().policies.values()][0]?.egress).toBeDefined()
  place("a.yaml", policy("a"))
  await until(() => messages().length === 1)
  expect(source.problems()[0]?.origin.file).toBe(join(directory, "b.yaml"))
  expect(messages()[0]).toContain("NetworkPolicy shop/a stands in")
  expect([...store.cluster().policies.values()][0]?.egress).toBeUndefined()
  unlinkSync(join(directory, "a.yaml"))
  await until(() => messages().length === 0)
  expect([...store.cluster().policies.values()][0]?.egress).toBeDefined()
})

test("the directory gone: everything stays in force; back: what is there counts", async () => {
  place("a.yaml", policy("a"))
  place("b.yaml", policy("b"))
  await start({ rescan: 100 })
  rmSync(directory, { recursive: true })
  await until(() => messages().some((message) => message.includes("directory cannot be read")))
  expect(names()).toEqual(["a", "b"])
  mkdirSync(directory)
  place("b.yaml", policy("b"))
  await until(() => messages().length === 0)
  expect(names()).toContain("b")
  await until(() => names().join() === "b")
})

test("all files gone at once are gone only after a while", async () => {
  place("a.yaml", policy("a"))
  await start({ hold: 300 })
  unlinkSync(join(directory, "a.yaml"))
  await source.scan()
  expect(names()).toEqual(["a"])
  await until(() => names().length === 0)
})

test("lost notifications: a regular scan finds the change", async () => {
  place("a.yaml", policy("a"))
  writeFileSync(join(root, "real.yaml"), policy("b"))
  symlinkSync(join(root, "real.yaml"), join(directory, "link.yaml"))
  await start({ rescan: 50 })
  expect(names()).toEqual(["a", "b"])
  // The target lies outside the watched directory: no notification comes.
  writeFileSync(join(root, "real.next"), policy("c"))
  utimesSync(join(root, "real.next"), 1, 1)
  renameSync(join(root, "real.next"), join(root, "real.yaml"))
  await until(() => names().join() === "a,c")
})

test("the memory survives a restart: a file broken meanwhile leaves the remembered version, a deleted one does not", async () => {
  const memory = new AcceptanceMemory(join(root, "accepted"), (message) => expect.fail(message))
  store = new ObjectStore({ now, memory })
  place("a.yaml", policy("a"))
  place("b.yaml", policy("b"))
  place("c.yaml", policy("c"))
  await start()
  const digest = store.digest
  await memory.flush()
  await source.close()

  place("a.yaml", "kind: [")
  place("b.yaml", policy("b", "podSelectr: {}"))
  store = new ObjectStore({
    now,
    memory: new AcceptanceMemory(join(root, "accepted"), (message) => expect.fail(message)),
  })
  expect(store.restore()).toBe(3)
  expect(store.digest).toBe(digest)
  unlinkSync(join(directory, "c.yaml"))
  await start()
  expect(names()).toEqual(["a", "b"])
  const rules = store.list()
  expect(rules[0]?.origin.file).toBe(join(directory, "a.yaml"))
  expect(messages().some((message) => message.includes("refused: kept the version of"))).toBe(true)
  expect(store.refusals().map(({ ref }) => ref.name)).toEqual(["b"])
  place("a.yaml", policy("d"))
  await until(() => names().join() === "b,d")
})
