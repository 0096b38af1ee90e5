import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
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

  test("one file an object, replaced and removed, leading back to what a person wrote", () => {
    const directory = join(root, "objects")
    const files = new ObjectFiles(directory)
    files.write(objectOf(policy("shop", "web")), ref("web"))
    expect(readdirSync(directory)).toEqual(["networking.k8s.io_NetworkPolicy_shop_web.json"])
    const path = join(directory, "networking.k8s.io_NetworkPolicy_shop_web.json")
    const [copy] = readManifests(readFileSync(path, "utf8"), path).objects
    expect(copy?.origin).toEqual({ file: "mine.yaml", line: 1, column: 1 })
    expect(files.remove(ref("web"))).toBe(true)
    expect(files.remove(ref("web"))).toBe(false)
    expect(readdirSync(directory)).toEqual([])
  })

  test("an object that has a file of another name is changed there; one that shares a file is not touched", () => {
    const directory = join(root, "by-hand")
    const files = new ObjectFiles(directory)
    files.write(objectOf(policy("shop", "seed")), ref("seed"))
    writeFileSync(join(directory, "mine.yaml"), policy("shop", "web"))
    writeFileSync(join(directory, "several.yaml"), `${policy("shop", "a")}---\n${policy("shop", "b")}`)
    files.write(objectOf(policy("shop", "web")), ref("web"))
    expect(readdirSync(directory).sort()).toEqual([
      "mine.yaml",
      "networking.k8s.io_NetworkPolicy_shop_seed.json",
      "several.yaml",
    ])
    expect(() => files.write(objectOf(policy("shop", "b")), ref("b"))).toThrow(
      expect.objectContaining({ why: expect.stringMatching(/several\.yaml:6/) }),
    )
    expect(() => files.remove(ref("a"))).toThrow("Cannot change NetworkPolicy shop/a")
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
