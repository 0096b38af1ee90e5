import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { emptyCluster, type Namespace } from "../model/cluster.ts"
import { ShardedMap } from "../model/sharded-map.ts"
import { nothingEnforced, readSnapshot, type Snapshot, snapshotPath } from "./snapshot.ts"
import { SnapshotWriter, type SnapshotWriterOptions } from "./snapshot-writer.ts"

let runDir: string
let writer: SnapshotWriter
const onError = vi.fn()
const onRecovery = vi.fn()

beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), "heddle-snapshot-"))
  onError.mockClear()
  onRecovery.mockClear()
})
afterEach(async () => {
  await writer.close()
  rmSync(runDir, { recursive: true, force: true })
})

function start(options: Partial<SnapshotWriterOptions> = {}): void {
  writer = new SnapshotWriter(runDir, { onError, onRecovery, ...options })
}

/** Namespaces with some 1,000 bytes of labels each. */
const names = Array.from({ length: 300 }, (_, i) => `ns-${i}`)
const namespace = (name: string, generation: number): Namespace => ({
  name,
  labels: { generation: String(generation), filler: "x".repeat(1_000) },
})

function firstState(): Snapshot {
  const namespaces = new ShardedMap<Namespace>().with(new Map(names.map((name) => [name, namespace(name, 1)])))
  return { ...nothingEnforced, generation: 1, cluster: { ...emptyCluster, namespaces } }
}

/** The next generation, with `count` namespaces changed. */
function changedState(before: Snapshot, count: number): Snapshot {
  const generation = before.generation + 1
  const changes = Array.from({ length: count }, (_, i) => names[(generation * 7 + i) % names.length] ?? "")
  const namespaces = (before.cluster.namespaces as ShardedMap<Namespace>).with(
    new Map(changes.map((name) => [name, namespace(name, generation)])),
  )
  return { ...before, generation, cluster: { ...before.cluster, namespaces } }
}

/** Each namespace says in which generation it was changed: whether all of it is of one state can be told. */
function expectWhole(state: Snapshot, of: ReadonlyMap<number, Snapshot>): void {
  const wanted = of.get(state.generation)
  expect(wanted).toBeDefined()
  expect(new Map(state.cluster.namespaces)).toEqual(new Map(wanted?.cluster.namespaces))
}

const onDisk = (): Snapshot | undefined => readSnapshot(runDir)

async function until(done: () => boolean): Promise<void> {
  await vi.waitUntil(done, { timeout: 20_000, interval: 5 })
}

test("at any moment the disk holds one state that was in force, never an older one than before, and its file stays bounded", async () => {
  start()
  let state = firstState()
  const states = new Map([[1, state]])
  writer.write(state)
  await until(() => onDisk() !== undefined)
  let [last, compactions, size] = [0, 0, 0]
  for (let i = 0; i < 200; i++) {
    state = changedState(state, 1 + (i % 50))
    states.set(state.generation, state)
    writer.write(state)
    // Some commits find the writer idle, some in the middle of a new base.
    if (i % 5 === 0) await until(() => onDisk()?.generation === state.generation)
    else await new Promise((resolve) => setTimeout(resolve, i % 3))
    const found = onDisk()
    if (found === undefined) throw new Error("nothing is on disk")
    expectWhole(found, states)
    expect(found.generation).toBeGreaterThanOrEqual(last)
    last = found.generation
    const now = statSync(snapshotPath(runDir)).size
    if (now < size) compactions++
    size = now
    // All changes take 5 MB; what comes while a new base is written lies in the old file too.
    expect(size).toBeLessThan(2 * 1024 * 1024)
  }
  await writer.close()
  expect(onDisk()?.generation).toBe(201)
  expectWhole(onDisk() ?? state, states)
  expect(compactions).toBeGreaterThan(1)
  expect(readdirSync(dirname(snapshotPath(runDir)))).toEqual(["enforced.jsonl"])
  expect(onError).not.toHaveBeenCalled()
})

test("a lone commit appends to the file that is there", async () => {
  start()
  const first = firstState()
  writer.write(first)
  await until(() => onDisk()?.generation === 1)
  const before = statSync(snapshotPath(runDir))
  writer.write(changedState(first, 1))
  await until(() => onDisk()?.generation === 2)
  const after = statSync(snapshotPath(runDir))
  expect(after.ino).toBe(before.ino)
  expect(after.size - before.size).toBeLessThan(2_000)
})

test("a state that somebody removed or cut is written anew with the next commit", async () => {
  start()
  let state = firstState()
  writer.write(state)
  await until(() => onDisk()?.generation === 1)
  rmSync(dirname(snapshotPath(runDir)), { recursive: true })
  state = changedState(state, 1)
  writer.write(state)
  await until(() => onDisk()?.generation === 2)
  expect(onDisk()?.cluster.namespaces.size).toBe(names.length)
  const file = await open(snapshotPath(runDir), "r+")
  await file.truncate(10)
  await file.close()
  writer.write(changedState(state, 1))
  await until(() => onDisk()?.generation === 3)
  expect(onDisk()?.cluster.namespaces.size).toBe(names.length)
  expect(onError).not.toHaveBeenCalled()
})

/** A disk on which there is room for so many bytes more; what does not fit is written as far as it goes. */
class SmallDisk {
  room = Number.POSITIVE_INFINITY

  readonly open = async (path: string): Promise<FileHandle> => {
    const handle = await open(path, "w")
    const write = async (bytes: Uint8Array, offset: number, length: number, position: number) => {
      if (this.room === 0) throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" })
      const fits = Math.min(length, this.room)
      this.room -= fits
      return await handle.write(bytes, offset, fits, position)
    }
    return new Proxy(handle, {
      get: (target, name) => {
        if (name === "write") return write
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === "function" ? value.bind(target) : value
      },
    })
  }
}

test("a full disk is said once, the last good state stays, and the newest is written when there is room", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
  try {
    const disk = new SmallDisk()
    start({ open: disk.open })
    let state = firstState()
    const states = new Map([[1, state]])
    writer.write(state)
    await until(() => onDisk()?.generation === 1)
    disk.room = 500
    for (let i = 0; i < 3; i++) {
      state = changedState(state, 3)
      states.set(state.generation, state)
      writer.write(state)
      await until(() => onError.mock.calls.length > 0)
      await vi.advanceTimersByTimeAsync(60_000)
    }
    expect(onError).toHaveBeenCalledOnce()
    expect(onDisk()?.generation).toBe(1)
    expectWhole(onDisk() ?? state, states)
    expect(onRecovery).not.toHaveBeenCalled()
    disk.room = 1_000_000
    // Nothing is committed: it is tried again by itself.
    await vi.advanceTimersByTimeAsync(60_000)
    vi.useRealTimers()
    await until(() => onDisk()?.generation === 4)
    expectWhole(onDisk() ?? state, states)
    await until(() => onRecovery.mock.calls.length > 0)
    expect(onRecovery).toHaveBeenCalledOnce()
  } finally {
    vi.useRealTimers()
  }
})

test("no room for a new base: the old file goes on, and nothing lies about", async () => {
  const disk = new SmallDisk()
  start({ open: disk.open })
  let state = firstState()
  writer.write(state)
  await until(() => onDisk()?.generation === 1)
  const { ino } = statSync(snapshotPath(runDir))
  // Room for what makes the file too long, but not for a base as well.
  disk.room = 450_000
  while (onError.mock.calls.length === 0) {
    state = changedState(state, 20)
    writer.write(state)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  expect(onDisk()?.generation).toBeGreaterThan(10)
  expect(statSync(snapshotPath(runDir)).ino).toBe(ino)
  disk.room = Number.POSITIVE_INFINITY
  await until(() => onDisk()?.generation === state.generation)
  await writer.close()
  expect(readdirSync(dirname(snapshotPath(runDir)))).toEqual(["enforced.jsonl"])
})

test("told to end on a full disk, it ends", async () => {
  const disk = new SmallDisk()
  start({ open: disk.open })
  writer.write(firstState())
  await until(() => onDisk()?.generation === 1)
  disk.room = 0
  writer.write(changedState(firstState(), 1))
  await writer.close()
  expect(onDisk()?.generation).toBe(1)
})
