import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { Attachments } from "./attachment.ts"
import { beginState, changeState, readState } from "./state-file.ts"

let directory: string
let path: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "hd-state-"))
  path = join(directory, "one.json")
})

afterEach(() => rmSync(directory, { recursive: true, force: true }))

describe("a state that is changed in place", () => {
  test("keeps its file and length, so that a full disk does not stop it, and leaves nothing beside", () => {
    beginState(path, { phase: "making", ifindex: 0 })
    const before = statSync(path)
    for (const value of [{ phase: "attached", ifindex: 2_000_000_000 }, { phase: "x" }]) {
      changeState(path, value)
      expect(readState(path)).toEqual(value)
    }
    expect(statSync(path)).toMatchObject({ ino: before.ino, size: before.size })
    expect(readFileSync(path, "utf8")).toMatch(/^\{"phase":"x"\} *\n$/)
    expect(readdirSync(directory)).toEqual(["one.json"])
  })

  test("is replaced as a whole where it has no room, or is longer than a write that nothing can break in two", () => {
    beginState(path, "short")
    const { ino } = statSync(path)
    changeState(path, "x".repeat(200))
    expect(readState(path)).toBe("x".repeat(200))
    expect(statSync(path).ino).not.toBe(ino)
    rmSync(path)
    beginState(path, "é".repeat(3_000))
    const long = statSync(path).ino
    changeState(path, "y")
    expect(readState(path)).toBe("y")
    expect(statSync(path).ino).not.toBe(long)
    expect(readdirSync(directory)).toEqual(["one.json"])
  })

  test("counts bytes, not characters, and begins where nothing is", () => {
    beginState(path, "aaaa")
    const room = statSync(path).size - 3
    changeState(path, "é".repeat(Math.floor(room / 2)))
    expect(readState(path)).toBe("é".repeat(Math.floor(room / 2)))
    rmSync(path)
    changeState(path, 1)
    expect(readState(path)).toBe(1)
  })
})

test("an attachment that was begun and never written is none; one that is no attachment is set aside", () => {
  writeFileSync(join(directory, "begun.json"), "")
  writeFileSync(join(directory, "torn.json"), '{"phase":"att')
  const attachments = new Attachments(directory, () => undefined)
  expect([...attachments.all()]).toEqual([])
  expect(readdirSync(directory)).toEqual(["torn.json.broken"])
})
