import type { Address, Family, Prefix } from "../../net/types.ts"
import { NetworkError } from "./error.ts"
import { Range } from "./range.ts"
import { isRecord, readState, tryWriteState } from "./state-file.ts"

/** Released addresses whose order is remembered, per range. */
const REMEMBERED = 1_024

/** Least time between two writes of the order of release, in ms: where many pods come and go it is not written for each. */
const SAVE_MS = 500

/** Where the next search in a range begins, and the addresses given back, longest ago first. */
interface Course {
  cursor: number
  readonly released: Set<number>
}

export interface IpamOptions {
  /** Keeps the order of release over restarts. */
  readonly file: string
  /** Addresses in use, each with a word on who has it; the truth lies with the attachments. */
  readonly inUse?: Iterable<readonly [Address, string]>
}

/**
 * Gives addresses of the node's ranges to pods. An address that was given back is taken again as late as possible, so that
 * what still believes in its last owner (caches, connections) has time to forget.
 */
export class Ipam {
  readonly #file: string
  readonly #owners: Map<Address, string>
  readonly #courses = new Map<Prefix, Course>()
  #ranges: readonly Range[] = []
  #unsaved = false
  #saving: NodeJS.Timeout | undefined

  constructor({ file, inUse = [] }: IpamOptions) {
    this.#file = file
    this.#owners = new Map(inUse)
    const state = readState(file)
    if (!isRecord(state)) return
    for (const [prefix, value] of Object.entries(state)) {
      const course = courseOf(value)
      if (course !== undefined) this.#courses.set(prefix as Prefix, course)
    }
  }

  /** Families that have a range, that of the first range first. */
  get families(): readonly Family[] {
    return [...new Set(this.#ranges.map((range) => range.family))]
  }

  get ranges(): readonly Prefix[] {
    return this.#ranges.map((range) => range.prefix)
  }

  /** Sets the node's ranges; those of a family are used in this order. Addresses given out before stay given out. */
  setRanges(prefixes: readonly Prefix[]): void {
    if (prefixes.length === this.#ranges.length && prefixes.every((p, i) => p === this.#ranges[i]?.prefix)) return
    this.#ranges = prefixes.map((prefix) => new Range(prefix))
  }

  owner(address: Address): string | undefined {
    return this.#owners.get(address)
  }

  /** Takes a stated address, from whatever range; throws `NetworkError` when someone else has it. */
  claim(address: Address, owner: string): void {
    const holder = this.#owners.get(address)
    if (holder !== undefined && holder !== owner)
      throw new NetworkError(
        "address",
        `Cannot give ${address} to ${owner}: ${holder} has it`,
        "State another address, or delete that pod first",
      )
    this.#owners.set(address, owner)
  }

  /**
   * Takes a free address of the family. `taken` says which ones are used by others than this node's pods. Throws
   * `NetworkError` when no range of the family has one left.
   */
  allocate(family: Family, owner: string, taken: (address: Address) => boolean = () => false): Address {
    const own = this.#ranges.filter((range) => range.family === family)
    const isFree = (address: Address): boolean => !this.#owners.has(address) && !taken(address)
    for (const remembered of [false, true]) {
      for (const range of own) {
        const offset = remembered ? this.#longestAgo(range, isFree) : this.#next(range, isFree)
        if (offset === undefined) continue
        const course = this.#course(range)
        if (!remembered) course.cursor = (offset + 1) % range.size
        course.released.delete(offset)
        this.#save()
        const address = range.at(offset)
        this.#owners.set(address, owner)
        return address
      }
    }
    const text = own.map((range) => `${range.prefix} (${range.size})`).join(", ")
    throw new NetworkError(
      "address",
      `Cannot give ${owner} an IPv${family} address: none is left in ${text || "the node's ranges, which are none"}`,
      "Delete pods that are not needed, or give the node a further range",
    )
  }

  /** Moves the beginning of the next search to the first address that is free now. */
  prepare(taken: (address: Address) => boolean): void {
    for (const range of this.#ranges) {
      const offset = this.#next(range, (address) => !this.#owners.has(address) && !taken(address))
      if (offset !== undefined) this.#course(range).cursor = offset
    }
  }

  /** Gives an address back; does nothing when `owner` does not have it. */
  release(address: Address, owner: string): void {
    if (this.#owners.get(address) !== owner) return
    this.#owners.delete(address)
    for (const range of this.#ranges) {
      const offset = range.offsetOf(address)
      if (offset === undefined) continue
      const course = this.#course(range)
      course.released.delete(offset)
      course.released.add(offset)
      for (const first of course.released) if (course.released.size > REMEMBERED) course.released.delete(first)
      this.#save()
      return
    }
  }

  /** The next address from the cursor on that nobody has and that was not given back a short while ago. */
  #next(range: Range, isFree: (address: Address) => boolean): number | undefined {
    const { cursor, released } = this.#course(range)
    for (let step = 0; step < range.size; step++) {
      const offset = (cursor + step) % range.size
      if (!released.has(offset) && isFree(range.at(offset))) return offset
    }
    return undefined
  }

  #longestAgo(range: Range, isFree: (address: Address) => boolean): number | undefined {
    for (const offset of this.#course(range).released)
      if (offset < range.size && isFree(range.at(offset))) return offset
    return undefined
  }

  #course(range: Range): Course {
    const known = this.#courses.get(range.prefix)
    if (known !== undefined) return known
    const course: Course = { cursor: 0, released: new Set() }
    this.#courses.set(range.prefix, course)
    return course
  }

  /** Writes what is not yet on the disk. Only the order of release can be lost in a crash, never an allocation. */
  flush(): void {
    clearTimeout(this.#saving)
    this.#saving = undefined
    this.#write()
  }

  #write(): void {
    if (!this.#unsaved) return
    this.#unsaved = false
    const courses = [...this.#courses].map(([prefix, { cursor, released }]) => [
      prefix,
      { cursor, released: [...released] },
    ])
    tryWriteState(this.#file, Object.fromEntries(courses))
  }

  /** At once when the last time is long ago. On a full disk the order of release waits for the next change. */
  #save(): void {
    this.#unsaved = true
    this.#saving ??= setTimeout(() => this.#saveNow(), 0)
  }

  #saveNow(): void {
    this.#saving = this.#unsaved ? setTimeout(() => this.#saveNow(), SAVE_MS).unref() : undefined
    this.#write()
  }
}

function courseOf(value: unknown): Course | undefined {
  if (!isRecord(value)) return undefined
  const { cursor, released } = value
  if (!isOffset(cursor) || !Array.isArray(released) || !released.every(isOffset)) return undefined
  return { cursor, released: new Set(released) }
}

function isOffset(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0
}
