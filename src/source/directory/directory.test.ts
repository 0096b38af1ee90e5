import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { AcceptanceLog } from "../acceptance-log.ts"
import { keepOrigins } from "../kept-origins.ts"
import { ObjectStore } from "../objects.ts"
import { readManifests } from "../yaml.ts"
import { type DirectoryChange, DirectorySource } from "./directory.ts"

let root: string
let directory: string
let store: ObjectStore
let source: DirectorySource
let changes: DirectoryChange[]
let memory: AcceptanceLog | undefined
const now = (): number => Date.now()

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "hd-directory-"))
  directory = join(root, "objects")
  mkdirSync(directory)
  store = new ObjectStore({ now })
  memory = undefined
})

afterEach(async () => {
  await source.close()
  await memory?.close()
  rmSync(root, { recursive: true })
})

/** As at the start of an agent: what the log remembers, and a store that holds it after `restore`. */
function remember(program = "one"): void {
  memory = new AcceptanceLog({ path: join(root, "accepted.log"), program, tell: (message) => expect.fail(message) })
  store = new ObjectStore({ now, memory })
}

async function start(options: { hold?: number; rescan?: number } = {}): Promise<void> {
  changes = []
  const onChange = (change: DirectoryChange): void => void changes.push(change)
  source = new DirectorySource({
    directory,
    store,
    now,
    onChange,
    settle: 10,
    hold: 150,
    ...(memory && { memory }),
    ...options,
  })
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

/** Writes a file as careful writers do: beside, then moved into place; `rested`: as if it had been written a while ago. */
function place(name: string, text: string, rested = false): void {
  writeFileSync(join(root, "new"), text)
  if (rested) utimesSync(join(root, "new"), 1, 1)
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
  remember()
  place("a.yaml", policy("a"))
  place("b.yaml", policy("b"))
  place("c.yaml", policy("c"))
  await start()
  const digest = store.digest
  await source.close()
  await memory?.close()

  place("a.yaml", "kind: [")
  place("b.yaml", policy("b", "podSelectr: {}"))
  remember()
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

test("one file is looked at alone, at once", async () => {
  place("a.yaml", policy("a"))
  await start()
  place("b.yaml", policy("b"), true)
  place("c.yaml", policy("c"), true)
  await source.look(["b.yaml"])
  expect(names()).toEqual(["a", "b"])
  expect(changes.at(-1)?.digest).toBe(store.digest)
  await source.catchUp()
  expect(names()).toEqual(["a", "b", "c"])
  unlinkSync(join(directory, "b.yaml"))
  await source.look(["b.yaml"])
  expect(names()).toEqual(["a", "c"])
})

test("what was done before a call is taken in when it has caught up", async () => {
  place("a.yaml", policy("a"))
  await start()
  for (let i = 0; i < 20; i++) {
    place("b.yaml", policy("b", `podSelector: {matchLabels: {x: "${i}"}}`), true)
    mkdirSync(join(directory, `team-${i}`))
    place(`team-${i}/c.yaml`, policy(`c${i}`), true)
    await source.catchUp()
    expect(names()).toContain(`c${i}`)
    expect(store.get(store.list()[1]?.ref ?? expect.fail())?.value).toMatchObject({
      spec: { podSelector: { matchLabels: { x: `${i}` } } },
    })
  }
})

describe("after a restart", () => {
  /** Stops the source as a dying agent does, and begins anew; returns the names of the objects that were put again. */
  async function restart(program?: string, meanwhile: () => void = () => {}): Promise<string[]> {
    await source.close()
    await memory?.close()
    meanwhile()
    remember(program)
    store.restore()
    const put = vi.spyOn(store, "put")
    await start()
    return put.mock.calls.map(([object]) => (object.value as { metadata: { name: string } }).metadata.name).sort()
  }

  test("files that did not change are not read again, those that did are", async () => {
    remember()
    place("a.yaml", `${policy("a1")}---\n${policy("a2")}`)
    place("b.yaml", policy("b"))
    place("c.yaml", policy("c"))
    place("d.yaml", policy("d"))
    await start()
    const { digest } = store
    expect(await restart()).toEqual([])
    expect(store.digest).toBe(digest)
    expect(changes.at(-1)?.cluster.policies.size).toBe(5)
    const read = await restart("one", () => {
      place("b.yaml", policy("b", "policyTypes: [Egress]"))
      utimesSync(join(directory, "c.yaml"), 1, 1)
      unlinkSync(join(directory, "d.yaml"))
      place("e.yaml", policy("e"))
    })
    expect(read).toEqual(["b", "c", "e"])
    expect(names()).toEqual(["a1", "a2", "b", "c", "e"])
    expect(await restart("another program")).toEqual(["a1", "a2", "b", "c", "e"])
    expect(await restart("another program")).toEqual([])
  })

  test("a file whose object is remembered no more is read again", async () => {
    remember()
    place("a.yaml", policy("a"))
    place("b.yaml", policy("b"))
    await start()
    await memory?.flush()
    memory?.forget("networking.k8s.io/NetworkPolicy/shop/a")
    expect(await restart()).toEqual(["a"])
    expect(names()).toEqual(["a", "b"])
  })

  test("files in which something is wrong are read again, and it is told again", async () => {
    remember()
    place("a.yaml", policy("a"))
    place("b.yaml", policy("b"))
    place("c.yaml", `${policy("c")}---\napiVersion: v1\nkind: Event\nmetadata: {name: e}\n`)
    await start()
    place("b.yaml", policy("b", "podSelectr: {}"))
    await until(() => messages().length === 2)
    const before = messages()
    expect(await restart()).toEqual(["b", "c"])
    expect(messages()).toEqual(before)
    place("b.yaml", policy("b"))
    await until(() => messages().length === 1)
    expect(await restart()).toEqual(["c"])
  })

  test("an object in two files: when the one that counted goes meanwhile, the other counts", async () => {
    remember()
    place("b.yaml", policy("p", "policyTypes: [Egress]"))
    await start()
    place("a.yaml", policy("p"))
    await until(() => messages().length === 1)
    expect([...store.cluster().policies.values()][0]?.egress).toBeUndefined()
    await restart("one", () => unlinkSync(join(directory, "a.yaml")))
    expect([...store.cluster().policies.values()][0]?.egress).toBeDefined()
    place("a.yaml", policy("p"))
    await until(() => messages().length === 1)
    await restart("one", () => unlinkSync(join(directory, "b.yaml")))
    expect(messages()).toEqual([])
    expect([...store.cluster().policies.values()][0]?.egress).toBeUndefined()
  })

  test("a file that cannot be told whole still means what it held, whatever lines its objects lead back to", async () => {
    remember()
    place("a.json", keepOrigins(readManifests(policy("a"), "mine.yaml").objects[0] ?? expect.fail()))
    place("b.yaml", `${policy("b1")}---\n${policy("b2")}`)
    await start()
    await restart("one", () => {
      place("a.json", "{")
      place("b.yaml", `${policy("b1")}---\nkind: [`)
    })
    expect(names()).toEqual(["a", "b1", "b2"])
    expect(await restart()).toEqual(["b1"])
    expect(names()).toEqual(["a", "b1", "b2"])
    await restart("one", () => place("b.yaml", policy("b1")))
    expect(names()).toEqual(["a", "b1"])
  })

  test("killed at any moment, it has the files' state again", async () => {
    remember()
    place("a.yaml", policy("a"))
    place("b.yaml", policy("b"))
    await start()
    await memory?.flush()
    const path = join(root, "accepted.log")
    const first = readFileSync(path)
    place("a.yaml", policy("a", "policyTypes: [Egress]"), true)
    place("c.yaml", policy("c"), true)
    await source.catchUp()
    unlinkSync(join(directory, "b.yaml"))
    await source.catchUp()
    await source.close()
    await memory?.close()
    const { digest } = store
    const last = readFileSync(path)
    for (let length = first.length; length <= last.length; length += 7) {
      writeFileSync(path, last.subarray(0, length))
      memory = new AcceptanceLog({ path, program: "one", tell: () => {} })
      store = new ObjectStore({ now, memory })
      store.restore()
      await start()
      expect([length, store.digest, names()]).toEqual([length, digest, ["a", "c"]])
      await source.close()
      await memory.close()
    }
  })
})
