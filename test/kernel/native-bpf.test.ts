import { readdirSync, unlinkSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { BpfMap, MapType } from "../../src/kernel/bpf/map.ts"
import { type LoadedObject, loadObject, pinName } from "../../src/kernel/bpf/object.ts"
import { Program } from "../../src/kernel/bpf/program.ts"
import { RingReader } from "../../src/kernel/bpf/ring.ts"
import { KernelError } from "../../src/kernel/error.ts"
import { rcuGrace } from "../../src/kernel/grace.ts"
import { Ground, word, words } from "./native-fixture.ts"

const ground = new Ground()
let file: string
let object: LoadedObject

beforeAll(() => {
  file = ground.compile("native.bpf.c")
  object = loadObject({
    file,
    layout: "test",
    constants: { answer: words(42), mac: Uint8Array.of(1, 2, 3, 4, 5, 6) },
    entries: { pairs: 2048 },
    inner: { outer: "shards", count: 8, entries: 32 },
  })
})

afterAll(() => {
  object?.close()
  ground.remove()
})

function map(name: string): BpfMap {
  const found = object.maps.get(name)
  if (!found) throw new Error(`no map ${name}`)
  return found
}

function program(name: string): Program {
  const found = object.programs.get(name)
  if (!found) throw new Error(`no program ${name}`)
  return found
}

const frame = new Uint8Array(64)
frame.set([0x08, 0x00], 12)

function thrown(fn: () => unknown): KernelError {
  try {
    fn()
  } catch (error) {
    if (error instanceof KernelError) return error
    throw error
  }
  throw new Error("nothing was thrown")
}

describe("loadObject", () => {
  test("gives all programs and maps by their full names", () => {
    expect([...object.programs.keys()].sort()).toEqual(["context", "drop", "pass", "record", "sum", "tell"])
    expect([...object.maps.keys()].sort()).toEqual(["counters", "pairs", "ring", "shards", "shared", "trie"])
  })

  test("sets constants and entries", () => {
    expect(program("tell").testRun({ packet: frame }).result).toBe(42)
    expect(map("pairs").maxEntries).toBe(2048)
  })

  test("refuses a constant that is not there, or of another size", () => {
    const load = (constants: Record<string, Uint8Array>) =>
      thrown(() => loadObject({ file, layout: "test", constants }))
    expect(load({ nothing: words(1) })).toMatchObject({
      code: "ENOENT",
      log: "there is no constant nothing in .rodata",
    })
    expect(load({ mac: words(1) })).toMatchObject({
      code: "EINVAL",
      log: "the constant mac has 6 bytes, 4 were given",
    })
  })

  test("tells the end of the verifier's log", () => {
    const error = thrown(() => loadObject({ file: ground.compile("native-refused.bpf.c"), layout: "test" }))
    expect(error.code).toBe("EACCES")
    expect(error.message).toMatch(
      /^Cannot load the BPF object in .*native-refused\.bpf\.o: Permission denied \(EACCES\)/,
    )
    expect(error.log).toMatch(/invalid (mem|access|bpf_context)/)
    expect(error.log).toContain("careless")
  })

  test("a file that is not there says how to get it", () => {
    expect(() => loadObject({ file: join(ground.folder, "none.o"), layout: "test" })).toThrow(/build the BPF object/)
  })

  test("finds its pins again, inner maps included, and never those of another layout", () => {
    const pinDirectory = ground.bpffs()
    const options = { file, pinDirectory, layout: "a1", inner: { outer: "shards", count: 8 } }
    const first = loadObject(options)
    first.maps.get("pairs")?.update(words(1), words(2, 3))
    const innerBefore = word(first.maps.get("shards")?.lookup(words(3)))
    first.close()

    const again = loadObject(options)
    expect(again.maps.get("pairs")?.lookup(words(1))).toEqual(words(2, 3))
    expect(word(again.maps.get("shards")?.lookup(words(3)))).toBe(innerBefore)
    again.close()

    const other = loadObject({ ...options, layout: "b2" })
    expect(other.maps.get("pairs")?.lookup(words(1))).toBeUndefined()
    other.close()
    expect(readdirSync(pinDirectory)).toContain(pinName("pairs", "a1"))

    using pinned = BpfMap.openPinned(join(pinDirectory, pinName("pairs", "a1")), "pairs")
    expect(pinned.lookup(words(1))).toEqual(words(2, 3))
    const changed = thrown(() => loadObject({ ...options, entries: { pairs: 8 } }))
    expect(changed.code).toBe("EINVAL")
    expect(changed.log).toContain("pairs")
  })

  describe("takes over its programs", () => {
    const inner = { outer: "shards", count: 8 }
    /** The kernel's numbers of all programs: those that were loaded again have others. */
    const numbers = (options: Parameters<typeof loadObject>[0]): number[] => {
      using loaded = loadObject({ ...options, inner })
      expect(loaded.programs.get("tell")?.testRun({ packet: frame }).result).toBe(word(options.constants?.["answer"]))
      return [...loaded.programs.values()].map(({ id }) => id).sort((a, b) => a - b)
    }
    const programPins = ({ pinDirectory, layout }: { pinDirectory: string; layout: string }) =>
      readdirSync(pinDirectory).filter((one) => one.startsWith("program-") && one.endsWith(`-${layout}`))

    test("when nothing has changed", () => {
      const options = { file, pinDirectory: ground.bpffs(), layout: "t1", constants: { answer: words(7) } }
      expect(numbers(options)).toEqual(numbers(options))
      const { maps } = loadObject({ ...options, inner })
      expect([...maps.keys()].sort()).toEqual(["counters", "pairs", "ring", "shards", "shared", "trie"])
      for (const one of maps.values()) one.close()
    })

    test("never with other constants, and keeps the pins of the last load only", () => {
      const options = { file, pinDirectory: ground.bpffs(), layout: "t2", constants: { answer: words(7) } }
      const before = numbers(options)
      const kept = programPins(options)
      expect(numbers({ ...options, constants: { answer: words(8) } })).not.toEqual(before)
      expect(programPins(options)).toHaveLength(kept.length)
      expect(programPins(options)).not.toEqual(kept)
    })

    test("never with a map that somebody has removed: the old programs hold the old one", () => {
      const options = { file, pinDirectory: ground.bpffs(), layout: "t3", constants: { answer: words(7) } }
      const before = numbers(options)
      unlinkSync(join(options.pinDirectory, pinName("pairs", "t3")))
      const after = numbers(options)
      expect(after.some((id) => before.includes(id))).toBe(false)
      expect(numbers(options)).toEqual(after)
    })

    test("never when one is missing", () => {
      const options = { file, pinDirectory: ground.bpffs(), layout: "t4", constants: { answer: words(7) } }
      const before = numbers(options)
      const [first = ""] = programPins(options)
      unlinkSync(join(options.pinDirectory, first))
      expect(numbers(options).some((id) => before.includes(id))).toBe(false)
    })
  })
})

describe("maps", () => {
  test("hash: update modes, lookup, delete", () => {
    const pairs = map("pairs")
    pairs.update(words(5), words(50, 51), "create")
    expect(thrown(() => pairs.update(words(5), words(0, 0), "create")).code).toBe("EEXIST")
    expect(thrown(() => pairs.update(words(6), words(0, 0), "exist")).code).toBe("ENOENT")
    pairs.update(words(5), words(52, 53), "exist")
    expect(pairs.lookup(words(5))).toEqual(words(52, 53))
    expect(pairs.delete(words(5))).toBe(true)
    expect(pairs.delete(words(5))).toBe(false)
    expect(pairs.lookup(words(5))).toBeUndefined()
  })

  test("batches: 2,000 entries in, read, out, with keys missing in between", () => {
    const pairs = map("pairs")
    const count = 2000
    const keys = words(...Array.from({ length: count }, (_, i) => i))
    const values = words(...Array.from({ length: 2 * count }, (_, i) => i * 3))
    pairs.updateBatch(keys, values, count)
    const read = new Map(Array.from(pairs.entries(), ([key, value]) => [word(key), word(value, 1)]))
    expect(read.size).toBe(count)
    expect(read.get(1000)).toBe((2 * 1000 + 1) * 3)
    expect([...pairs.keys()]).toHaveLength(count)
    pairs.delete(words(3))
    pairs.delete(words(1999))
    expect(pairs.deleteBatch(keys, count)).toBe(count - 2)
    expect([...pairs.entries()]).toEqual([])
  })

  test("full: says so", () => {
    using small = BpfMap.create({ type: MapType.hash, name: "small", keySize: 4, valueSize: 4, entries: 1 })
    small.update(words(1), words(1))
    expect(thrown(() => small.update(words(2), words(1)))).toMatchObject({ code: "E2BIG" })
  })

  test("keys and values of a wrong size are refused before the kernel reads past them", () => {
    expect(() => map("pairs").lookup(new Uint8Array(3))).toThrow(/key.*found 3 bytes, wanted 4/)
    expect(() => map("pairs").update(words(1), words(1))).toThrow(/value.*found 4 bytes, wanted 8/)
    expect(() => map("pairs").updateBatch(words(1), words(1, 2), 2)).toThrow(/wanted 8/)
  })

  test("memory of an mmapable array is the kernel's own", () => {
    const shared = map("shared")
    const memory = new Uint32Array(shared.memory())
    expect(memory.byteLength).toBe(800)
    memory[0] = 100
    program("tell").testRun({ packet: frame })
    expect(memory[2]).toBe(106)
    expect(word(shared.lookup(words(1)))).toBe(106)
    shared.update(words(99), words(9, 8))
    expect([memory[198], memory[199]]).toEqual([9, 8])
    expect(() => map("pairs").memory()).toThrow(/mmapable/)
  })

  test("per CPU: the sum over CPUs counts every run", () => {
    const counters = map("counters")
    const total = () => (counters.lookupPerCpu(words(0)) ?? []).reduce((sum, value) => sum + (word(value) ?? 0), 0)
    const before = total()
    program("tell").testRun({ packet: frame, repeat: 10 })
    expect(total()).toBe(before + 10)
    expect([...counters.entries()]).toHaveLength(4)
  })

  test("trie: longest prefix", () => {
    const trie = map("trie")
    trie.update(Uint8Array.of(8, 0, 0, 0, 10, 0, 0, 0), words(1))
    trie.update(Uint8Array.of(16, 0, 0, 0, 10, 1, 0, 0), words(2))
    expect(word(trie.lookup(Uint8Array.of(32, 0, 0, 0, 10, 1, 2, 3)))).toBe(2)
    expect(word(trie.lookup(Uint8Array.of(32, 0, 0, 0, 10, 2, 2, 3)))).toBe(1)
    expect([...trie.entries()]).toHaveLength(2)
    expect(trie.deleteBatch(Uint8Array.of(8, 0, 0, 0, 10, 0, 0, 0, 16, 0, 0, 0, 10, 1, 0, 0), 2)).toBe(2)
  })

  test("array of maps: inner maps are there, with their own entries, and can be walked by a program", () => {
    const shards = map("shards")
    const id = word(shards.lookup(words(2)))
    if (id === undefined) throw new Error("no inner map")
    using inner = BpfMap.openById(id)
    expect(inner.maxEntries).toBe(32)
    inner.update(words(1), new Uint8Array(BigUint64Array.of(30n).buffer))
    inner.update(words(2), new Uint8Array(BigUint64Array.of(12n).buffer))
    expect(program("sum").testRun({ packet: frame, context: { mark: 2 } }).result).toBe(42)
    expect([...shards.entries()]).toHaveLength(8)
  })
})

describe("programs", () => {
  test("test run: packet, context and time", () => {
    const { result, packet, nanoseconds } = program("context").testRun({
      packet: frame,
      context: { ifindex: 1, ingressIfindex: 1, mark: 0x01020304, protocol: 0x0800 },
      repeat: 100,
    })
    expect(result).toBe(1001)
    expect([...packet.subarray(0, 4)]).toEqual([4, 3, 2, 1])
    expect(packet).toHaveLength(64)
    expect(nanoseconds).toBeGreaterThanOrEqual(0)
    expect(() => program("context").testRun({ packet: frame, context: { protocol: 0x86dd } })).toThrow(/0x0800/)
    expect(thrown(() => program("context").testRun({ packet: new Uint8Array(4) }))).toMatchObject({ code: "EINVAL" })
  })

  test("pins", () => {
    const path = join(ground.bpffs(), "prog")
    program("pass").pin(path)
    using again = Program.openPinned(path)
    expect(again.id).toBe(program("pass").id)
  })
})

test("ring: whole records in order, discarded ones left out, round and round", () => {
  using reader = new RingReader(map("ring"))
  const read = (limit: number) => {
    const seen: [number, number][] = []
    const count = reader.read((view, offset, length) => seen.push([length, view.getUint32(offset, true)]), limit)
    expect(count).toBe(seen.length)
    return seen
  }
  for (let round = 0; round < 200; round++) {
    expect(program("record").testRun({ packet: frame, context: { mark: round } }).result).toBe(0)
    expect(reader.available()).toBe(8 + 8 + 16 + 32)
    expect(read(1)).toEqual([[4, 64]])
    expect(read(10)).toEqual([[20, 7]])
    expect(read(10)).toEqual([])
  }
  expect(() => new RingReader(map("pairs"))).toThrow(/ring buffer/)
})

test("a grace period ends", async () => {
  await rcuGrace()
  await Promise.all([rcuGrace(), rcuGrace()])
})
