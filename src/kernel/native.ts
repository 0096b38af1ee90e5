import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { KernelError, type KernelFailure } from "./error.ts"

/** A map as the kernel describes it (struct bpf_map_info). */
export interface MapInfo {
  readonly id: number
  /** `enum bpf_map_type`. */
  readonly type: number
  readonly name: string
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
}

/** A program as the kernel describes it (struct bpf_prog_info). */
export interface ProgramInfo {
  readonly id: number
  /** `enum bpf_prog_type`. */
  readonly type: number
  readonly name: string
  /** Hash of the instructions, hexadecimal. */
  readonly tag: string
}

export interface NativeLoadRequest {
  readonly file: string
  readonly constants: readonly (readonly [name: string, value: Uint8Array])[]
  readonly entries: readonly (readonly [map: string, entries: number])[]
  /** Pin path by map name; maps not named are not pinned. */
  readonly pins: (map: string) => string | undefined
  readonly inner?: { readonly outer: string; readonly count: number; readonly entries: number } | undefined
}

export interface NativeLoaded {
  readonly programs: readonly { readonly name: string; readonly fd: number }[]
  readonly maps: readonly { readonly name: string; readonly fd: number }[]
}

declare const ringBrand: unique symbol
declare const watchBrand: unique symbol
/** A mapped ring buffer; freed by the garbage collector or by `ringClose`. */
export type NativeRing = { readonly [ringBrand]: never }
/** A file descriptor that the event loop watches. */
export type NativeWatch = { readonly [watchBrand]: never }

/**
 * The addon, `native/*.c`: thin calls that know bytes only. Functions throw `KernelError`, except those of sockets and
 * epoll, which return a negative errno because refusal is their daily bread.
 */
export interface Native {
  initialize(errorClass: new (failure: KernelFailure) => KernelError): void
  failure(operation: string, errno: number, log?: string): KernelError
  errnoName(errno: number): string

  close(fd: number): void
  /** Gives the kernel what malloc keeps of memory that was freed, and pages of programs that starting alone used. */
  trimMemory(): void

  createNamespace(path: string): void
  setNamespace(fd: number): void
  mount(source: string, path: string, type: string, flags: number, data: string): void
  unmount(path: string): void

  bpfLoad(request: NativeLoadRequest): NativeLoaded
  bpfObjectGet(path: string): number
  bpfObjectPin(fd: number, path: string): void
  mapCreate(type: number, name: string, keySize: number, valueSize: number, entries: number, flags: number): number
  mapInfo(fd: number): MapInfo
  mapById(id: number): number
  mapLookup(fd: number, key: Uint8Array, value: Uint8Array): boolean
  mapUpdate(fd: number, key: Uint8Array, value: Uint8Array, flags: number): void
  mapDelete(fd: number, key: Uint8Array): boolean
  /** Writes the key after `key` (null: the first) into `next`; false at the end. */
  mapNextKey(fd: number, key: Uint8Array | null, next: Uint8Array): boolean
  mapUpdateBatch(fd: number, keys: Uint8Array, values: Uint8Array, count: number, flags: number): void
  /** Deletes keys that are there; returns how many the kernel took. */
  mapDeleteBatch(fd: number, keys: Uint8Array, count: number): number
  /** Reads up to `count` entries; returns their number, negative (−1 − n) for the last n. `token` carries the position. */
  mapLookupBatch(
    fd: number,
    first: boolean,
    token: Uint8Array,
    keys: Uint8Array,
    values: Uint8Array,
    count: number,
  ): number
  mapMemory(fd: number, bytes: number): ArrayBuffer
  possibleCpus(): number
  programInfo(fd: number): ProgramInfo
  programById(id: number): number
  programTestRun(
    fd: number,
    packet: Uint8Array,
    context: Uint8Array | null,
    out: Uint8Array,
    repeat: number,
  ): { result: number; length: number; nanoseconds: number }
  linkCreate(program: number, ifindex: number, attachType: number): number
  linkUpdate(link: number, program: number): void
  linkDetach(link: number): void
  /** Ids of the programs attached; throws EINVAL where the kernel does not know the attach type. */
  programQuery(ifindex: number, attachType: number): number[]

  ringOpen(fd: number, bytes: number): NativeRing
  /** Copies whole records, each as u32 length, u32 zero, payload padded to 8 bytes; returns their number. */
  ringRead(ring: NativeRing, out: Uint8Array, limit: number): number
  ringAvailable(ring: NativeRing): number
  ringClose(ring: NativeRing): void

  membarrier(done: (error: KernelError | null) => void): void

  netlinkOpen(protocol: number): number
  netlinkSend(fd: number, message: Uint8Array): void
  /** Waits for one datagram, at most five seconds; returns its length. */
  netlinkReceive(fd: number, into: Uint8Array): number

  /** Takes the steps of `records` (native/steps.c) on a worker thread; tells an error, or the answers. */
  takeSteps(records: Uint8Array, done: (error: KernelError | null, answers: Uint8Array) => void): void

  socketOpen(domain: number, type: number, protocol: number): number
  socketBind(fd: number, address: Uint8Array): number
  socketConnect(fd: number, address: Uint8Array): number
  socketListen(fd: number, backlog: number): number
  /** Returns the new descriptor or a negative errno; the peer's sockaddr lies in `address` afterwards. */
  socketAccept(fd: number, address: Uint8Array): number
  socketSend(fd: number, data: Uint8Array, address: Uint8Array | null): number
  socketReceive(fd: number, into: Uint8Array, address: Uint8Array): number
  socketName(fd: number, address: Uint8Array): number
  socketSetOption(fd: number, level: number, option: number, value: Uint8Array): number
  socketGetOption(fd: number, level: number, option: number, value: Uint8Array): number
  socketShutdown(fd: number, how: number): number

  epollCreate(): number
  epollControl(epoll: number, operation: number, fd: number, events: number, token: number): number
  /** Writes pairs (events, token) into `out`; returns their number or a negative errno. */
  epollWait(epoll: number, out: Uint32Array, timeoutMs: number): number

  /** Calls `ready` once when `fd` becomes readable; until then it keeps the event loop alive. */
  watchStart(fd: number, ready: () => void): NativeWatch
  watchStop(watch: NativeWatch): void
}

let loaded: Native | undefined

/** The addon, loaded at the first call; throws with the command that builds it when it is missing. */
export function native(): Native {
  if (loaded) return loaded
  const path = nativePath()
  const addon = createRequire(import.meta.url)(path) as Native
  addon.initialize(KernelError)
  loaded = addon
  return addon
}

/** Path of the addon: `HEDDLE_NATIVE`, else `build/heddle.node` of the package that holds this file. */
export function nativePath(): string {
  const stated = process.env["HEDDLE_NATIVE"]
  if (stated) return stated
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const path = join(folder, "build", "heddle.node")
    if (existsSync(path)) return path
    if (existsSync(join(folder, "package.json")) || dirname(folder) === folder) {
      throw new Error(`Cannot load the native addon: there is no ${path}; run scripts/build-native`)
    }
  }
}
