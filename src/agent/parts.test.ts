import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
import { DirectorySource } from "../source/directory/directory.ts"
import { ObjectStore } from "../source/objects.ts"
import { readManifests } from "../source/yaml.ts"
import { lockRunDirectory } from "./lock.ts"
import { DigestHistory } from "./node.ts"
import { ObjectFiles } from "./object-files.ts"
import { kindMatcher } from "./service/objects.ts"

const root = mkdtempSync(join(tmpdir(), "heddle-agent-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

describe("one agent in a run directory", () => {
  test("a second one is refused, and told which process is the first", () => {
    const directory = join(root, "locked")
    const release = lockRunDirectory(directory)
    expect(() => lockRunDirectory(directory)).toThrow(
      expect.objectContaining({ why: `process ${process.pid} is the agent of this directory` }),
    )
    release()
    lockRunDirectory(directory)()
    expect(readdirSync(directory)).toEqual([])
  })

  test.each([
    ["of a process that is gone", JSON.stringify({ pid: 2 ** 22 - 1, started: "1" })],
    ["of another process with the same number", JSON.stringify({ pid: process.pid, started: "1" })],
    ["half written", '{"pid": 1'],
  ])("a lock %s is taken over", (name, text) => {
    const directory = join(root, name.replaceAll(" ", "-"))
    lockRunDirectory(directory)()
    writeFileSync(join(directory, "agent.pid"), text)
    lockRunDirectory(directory)()
    expect(existsSync(join(directory, "agent.pid"))).toBe(false)
  })
})

describe("which states came before which", () => {
  test("an older state is reached by a newer one, not the other way round", () => {
    const history = new DigestHistory()
    for (const digest of ["a", "b", "c"]) history.note(digest)
    expect(history.reached("a", "b")).toBe(true)
    expect(history.reached("c", "b")).toBe(false)
    expect(history.reached("b", "b")).toBe(true)
    expect(history.reached("never seen", "c")).toBe(false)
  })

  test("a state that comes again is the newest again", () => {
    const history = new DigestHistory()
    for (const digest of ["a", "b", "a"]) history.note(digest)
    expect(history.reached("a", "b")).toBe(false)
    expect(history.reached("b", "a")).toBe(true)
  })

  test("only so many are kept", () => {
    const history = new DigestHistory(2)
    for (const digest of ["a", "b", "c"]) history.note(digest)
    expect(history.reached("a", "c")).toBe(false)
    expect(history.reached("b", "c")).toBe(true)
  })
})

describe("objects as files", () => {
  const policy = (namespace: string, name: string) =>
    `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: {podSelector: {}}\n`
  const objectOf = (text: string) => {
    const [object] = readManifests(text, "mine.yaml").objects
    if (object === undefined) throw new Error("wanted an object")
    return object
  }
  const ref = (name: string) => ({ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", namespace: "shop", name })

  async function followed(directory: string): Promise<{ files: ObjectFiles; source: DirectorySource }> {
    mkdirSync(directory, { recursive: true })
    const store = new ObjectStore({ now: Date.now })
    const source = new DirectorySource({ directory, store, now: Date.now, onChange: () => {} })
    await source.start()
    return { files: new ObjectFiles(directory, (key) => source.holder(key)), source }
  }

  test("one file an object, replaced and removed, leading back to what a person wrote", async () => {
    const directory = join(root, "objects")
    const { files, source } = await followed(directory)
    const name = files.write(objectOf(policy("shop", "web")), ref("web"))
    expect(name).toBe("networking.k8s.io_NetworkPolicy_shop_web.json")
    expect(readdirSync(directory)).toEqual([name])
    const path = join(directory, name)
    const [copy] = readManifests(readFileSync(path, "utf8"), path).objects
    expect(copy?.origin).toEqual({ file: "mine.yaml", line: 1, column: 1 })
    await source.look([name])
    expect(files.remove(ref("web"))).toBe(name)
    expect(readdirSync(directory)).toEqual([])
    await source.scan()
    await source.close()
  })

  test("an object that has a file of another name is changed there; one that shares a file is not touched", async () => {
    const directory = join(root, "by-hand")
    const { files, source } = await followed(directory)
    writeFileSync(join(directory, "mine.yaml"), policy("shop", "web"))
    writeFileSync(join(directory, "several.yaml"), `${policy("shop", "a")}---\n${policy("shop", "b")}`)
    await expect.poll(() => source.holder("networking.k8s.io/NetworkPolicy/shop/b")?.objects).toBe(2)
    files.write(objectOf(policy("shop", "web")), ref("web"))
    expect(readdirSync(directory).sort()).toEqual(["mine.yaml", "several.yaml"])
    const shared = expect.objectContaining({ why: expect.stringMatching(/several\.yaml:6/) })
    expect(() => files.write(objectOf(policy("shop", "b")), ref("b"))).toThrow(shared)
    expect(() => files.remove(ref("a"))).toThrow("Cannot change NetworkPolicy shop/a")
    await source.close()
  })

  test("an object that was added to a file a moment ago is not lost with it", async () => {
    const directory = join(root, "moment")
    const { files, source } = await followed(directory)
    await source.look([files.write(objectOf(policy("shop", "web")), ref("web"))])
    const path = join(directory, "networking.k8s.io_NetworkPolicy_shop_web.json")
    writeFileSync(path, `${policy("shop", "web")}---\n${policy("shop", "added")}`)
    expect(() => files.write(objectOf(policy("shop", "web")), ref("web"))).toThrow(
      "Cannot change NetworkPolicy shop/web",
    )
    // And one in a file that cannot be told whole.
    writeFileSync(path, `${policy("shop", "web")}---\n${policy("shop", "added")}`)
    await expect.poll(() => source.holder("networking.k8s.io/NetworkPolicy/shop/added")?.objects).toBe(2)
    writeFileSync(path, "kind: [")
    expect(() => files.remove(ref("added"))).toThrow("Cannot change NetworkPolicy shop/added")
    await source.close()
  })

  test("what else stands in a file is not thrown away: kinds that nobody knows, texts that cannot be read", async () => {
    const directory = join(root, "else")
    const { files, source } = await followed(directory)
    const event = "apiVersion: v1\nkind: Event\nmetadata: {name: e}\n"
    writeFileSync(join(directory, "event.yaml"), `${policy("shop", "a")}---\n${event}`)
    writeFileSync(join(directory, "broken.yaml"), policy("shop", "b"))
    const held = (name: string) => source.holder(`networking.k8s.io/NetworkPolicy/shop/${name}`)
    await expect.poll(() => [held("a")?.alone, held("b")?.alone]).toEqual([false, true])
    writeFileSync(join(directory, "broken.yaml"), `${policy("shop", "b")}---\nkind: [`)
    expect(() => files.write(objectOf(policy("shop", "b")), ref("b"))).toThrow("Cannot change NetworkPolicy shop/b")
    await expect.poll(() => source.problems().length).toBe(2)
    expect(() => files.write(objectOf(policy("shop", "b")), ref("b"))).toThrow("Cannot change NetworkPolicy shop/b")
    expect(() => files.write(objectOf(policy("shop", "a")), ref("a"))).toThrow("Cannot change NetworkPolicy shop/a")
    expect(readdirSync(directory).sort()).toEqual(["broken.yaml", "event.yaml"])
    await source.close()
  })
})

test.each([
  ["networkpolicies", "NetworkPolicy", true],
  ["netpol", "NetworkPolicy", true],
  ["NetworkPolicy", "NetworkPolicy", true],
  ["networkpolicies.networking.k8s.io", "NetworkPolicy", true],
  ["po", "Pod", true],
  ["pods", "Pod", true],
  ["ns", "NetworkPolicy", false],
  ["", "Node", true],
  ["policy", "NetworkPolicy", false],
])("kind %j means %s: %s", (text, kind, means) => {
  expect(kindMatcher(text)(kind)).toBe(means)
})
