import { native } from "../native.ts"

/** `enum bpf_map_type`, those in use. */
export const MapType = {
  hash: 1,
  array: 2,
  percpuHash: 5,
  percpuArray: 6,
  lruHash: 9,
  lruPercpuHash: 10,
  lpmTrie: 11,
  arrayOfMaps: 12,
  hashOfMaps: 13,
  ringbuf: 27,
} as const

/** Flags of map creation (`BPF_F_*`). */
export const MapFlag = { noPrealloc: 1, mmapable: 1 << 10 } as const

/** How `update` treats what is there: `BPF_ANY`, `BPF_NOEXIST`, `BPF_EXIST`. */
export type UpdateMode = "any" | "create" | "exist"
const modes: Readonly<Record<UpdateMode, number>> = { any: 0, create: 1, exist: 2 }

/** Entries that one system call reads. */
const BATCH = 1024

/**
 * A BPF map by its descriptor. Keys and values are bytes in the host's order, laid out as abi/ says. Per-CPU values come
 * one after the other, each padded to eight bytes, one for every possible CPU. Throws `KernelError`.
 */
export class BpfMap implements Disposable {
  readonly name: string
  readonly fd: number
  /** `enum bpf_map_type`, see `MapType`. */
  readonly type: number
  /** Bytes. */
  readonly keySize: number
  /** Bytes of one value, on one CPU. */
  readonly valueSize: number
  readonly maxEntries: number
  /** The kernel's number of this map. */
  readonly id: number
  /** Bytes that `lookup` returns and `update` takes: `valueSize`, or that of all CPUs. */
  readonly valueBytes: number
  readonly #flags: number
  #open = true

  /** Takes over `fd`; `name` is the full one, since the kernel keeps fifteen characters only. */
  constructor(fd: number, name?: string) {
    const info = native().mapInfo(fd)
    this.fd = fd
    this.name = name ?? info.name
    this.type = info.type
    this.id = info.id
    this.keySize = info.keySize
    this.valueSize = info.valueSize
    this.maxEntries = info.maxEntries
    this.#flags = info.flags
    const perCpu: readonly number[] = [MapType.percpuHash, MapType.percpuArray, MapType.lruPercpuHash]
    this.valueBytes = perCpu.includes(info.type) ? align8(info.valueSize) * native().possibleCpus() : info.valueSize
  }

  static openPinned(path: string, name?: string): BpfMap {
    return new BpfMap(native().bpfObjectGet(path), name)
  }

  /** Opens a map by the kernel's number, as found in an array of maps. */
  static openById(id: number, name?: string): BpfMap {
    return new BpfMap(native().mapById(id), name)
  }

  /** Makes a map outside any object, without type information. */
  static create(spec: {
    type: number
    name: string
    keySize: number
    valueSize: number
    entries: number
    flags?: number
  }): BpfMap {
    const { type, name, keySize, valueSize, entries, flags = 0 } = spec
    return new BpfMap(native().mapCreate(type, name.slice(0, 15), keySize, valueSize, entries, flags), name)
  }

  lookup(key: Uint8Array): Uint8Array | undefined {
    const value = new Uint8Array(this.valueBytes)
    return native().mapLookup(this.fd, this.#key(key), value) ? value : undefined
  }

  /** Values of a per-CPU map by CPU. */
  lookupPerCpu(key: Uint8Array): Uint8Array[] | undefined {
    const all = this.lookup(key)
    if (!all) return undefined
    const step = align8(this.valueSize)
    return Array.from({ length: this.valueBytes / step }, (_, cpu) =>
      all.subarray(cpu * step, cpu * step + this.valueSize),
    )
  }

  update(key: Uint8Array, value: Uint8Array, mode: UpdateMode = "any"): void {
    if (value.length !== this.valueBytes) throw this.#sizeError("value", value.length, this.valueBytes)
    native().mapUpdate(this.fd, this.#key(key), value, modes[mode])
  }

  /** True when there was something to delete. */
  delete(key: Uint8Array): boolean {
    return native().mapDelete(this.fd, this.#key(key))
  }

  /** All keys, read while others may write: a key deleted meanwhile can make the kernel begin again. */
  *keys(): Generator<Uint8Array> {
    let key: Uint8Array | null = null
    for (;;) {
      const next = new Uint8Array(this.keySize)
      if (!native().mapNextKey(this.fd, key, next)) return
      yield next
      key = next
    }
  }

  /** All entries; those deleted while it reads are left out. */
  *entries(): Generator<[key: Uint8Array, value: Uint8Array]> {
    // The batch operations of tries and LRU tables differ between kernels; plain hashes and arrays have them since 5.6.
    if (this.type !== MapType.hash && this.type !== MapType.array) {
      for (const key of this.keys()) {
        const value = this.lookup(key)
        if (value) yield [key, value]
      }
      return
    }
    for (const { keys, values, count } of this.batches()) {
      for (let i = 0; i < count; i++) {
        yield [
          keys.subarray(i * this.keySize, (i + 1) * this.keySize),
          values.subarray(i * this.valueSize, (i + 1) * this.valueSize),
        ]
      }
    }
  }

  /** All entries of a plain hash or array, up to 1,024 at a time: `count` keys and values, one after the other. */
  *batches(): Generator<{ readonly keys: Uint8Array; readonly values: Uint8Array; readonly count: number }> {
    const token = new Uint8Array(Math.max(this.keySize, 8))
    // A bucket that is longer than the batch makes the kernel answer ENOSPC: then with more room.
    for (let count = Math.min(BATCH, this.maxEntries), first = true; ; ) {
      const keys = new Uint8Array(this.keySize * count)
      const values = new Uint8Array(this.valueSize * count)
      let read = native().mapLookupBatch(this.fd, first, token, keys, values, count)
      const last = read < 0
      if (last) read = -1 - read
      yield { keys, values, count: read }
      if (last) return
      if (read === 0) count *= 2
      else first = false
    }
  }

  /** Writes `count` entries that lie one after the other; falls back to single writes where the kernel has no batch. */
  updateBatch(keys: Uint8Array, values: Uint8Array, count: number): void {
    this.#wantRoom("keys", keys, this.keySize * count)
    this.#wantRoom("values", values, this.valueBytes * count)
    if (count > 0) native().mapUpdateBatch(this.fd, keys, values, count, 0)
  }

  /** Deletes `count` keys that lie one after the other, whether there or not; returns how many were. */
  deleteBatch(keys: Uint8Array, count: number): number {
    this.#wantRoom("keys", keys, this.keySize * count)
    return count > 0 ? native().mapDeleteBatch(this.fd, keys, count) : 0
  }

  /**
   * The values of an mmapable array as shared memory: element i at i × `valueSize` rounded up to eight. The kernel sees
   * a write at once. Unmapped when the ArrayBuffer is collected.
   */
  memory(): ArrayBuffer {
    if (!(this.#flags & MapFlag.mmapable)) {
      throw new Error(`Cannot map the memory of ${this.name}: it was made without the flag mmapable; declare it so`)
    }
    return native().mapMemory(this.fd, align8(this.valueSize) * this.maxEntries)
  }

  pin(path: string): void {
    native().bpfObjectPin(this.fd, path)
  }

  close(): void {
    if (this.#open) native().close(this.fd)
    this.#open = false
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #key(key: Uint8Array): Uint8Array {
    if (key.length !== this.keySize) throw this.#sizeError("key", key.length, this.keySize)
    return key
  }

  #wantRoom(what: string, bytes: Uint8Array, wanted: number): void {
    if (bytes.length < wanted) throw this.#sizeError(what, bytes.length, wanted)
  }

  #sizeError(what: string, found: number, wanted: number): RangeError {
    return new RangeError(`Cannot use this ${what} with the map ${this.name}: found ${found} bytes, wanted ${wanted}`)
  }
}

function align8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8
}
