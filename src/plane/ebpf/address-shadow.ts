import { addressBytes, addressFromBytes } from "../../net/address.ts"
import type { Address } from "../../net/types.ts"

/** An entry of `addrs` as the kernel has it. */
export interface AddressValue {
  readonly slot: number
  readonly flags: number
  readonly endpoint: number
  readonly node: number
}

/** Words of one entry: four of the address as its bytes lie, then slot, flags, endpoint, node. */
const KEY = 4
const ENTRY = 8

/**
 * What the kernel's table of addresses holds, by the bytes of its entries: no object or text for each, so that the whole table
 * is compared in milliseconds. Open addressing; at most half of the places are taken.
 */
export class AddressShadow {
  #words = new Uint32Array(1_024 * ENTRY)
  /** By place: 0 when it is free, else the mark that it got last (1 at first). */
  #marks = new Uint32Array(1_024)
  #mark = 1
  #size = 0
  readonly #bytes = new Uint8Array(16)
  readonly #key = new Uint32Array(this.#bytes.buffer)

  get size(): number {
    return this.#size
  }

  get(address: Address): AddressValue | undefined {
    const place = this.#find(this.#keyOf(address), 0)
    return this.#marks[place] === 0 ? undefined : this.#valueAt(place)
  }

  set(address: Address, value: AddressValue): void {
    this.#put(this.#place(this.#keyOf(address), 0), value)
  }

  delete(address: Address): void {
    const place = this.#find(this.#keyOf(address), 0)
    if (this.#marks[place] !== 0) this.#remove(place)
  }

  /** From now on no entry is marked. */
  beginMarks(): void {
    this.#mark++
  }

  /** Marks an address; true when its value is this one. */
  mark(address: Address, value: AddressValue): boolean {
    const place = this.#find(this.#keyOf(address), 0)
    if (this.#marks[place] === 0) return false
    this.#marks[place] = this.#mark
    return this.#same(place, value.slot, value.flags, value.endpoint, value.node)
  }

  /** Takes over the entry `index` of those that were read; the words of keys and values lie one after the other. */
  load(keys: Uint32Array, values: Uint32Array, index: number): void {
    const at = index * (ENTRY - KEY)
    const [slot = 0, flags = 0, endpoint = 0, node = 0] = [values[at], values[at + 1], values[at + 2], values[at + 3]]
    this.#put(this.#place(keys, index * KEY), { slot, flags, endpoint, node })
  }

  /** Addresses that have not been marked since `beginMarks`. */
  unmarked(): Address[] {
    const found: Address[] = []
    for (let place = 0; place < this.#marks.length; place++) {
      const mark = this.#marks[place] ?? 0
      if (mark !== 0 && mark !== this.#mark) found.push(this.#addressAt(place))
    }
    return found
  }

  #keyOf(address: Address): Uint32Array {
    this.#bytes.set(addressBytes(address))
    return this.#key
  }

  #addressAt(place: number): Address {
    const bytes = new Uint8Array(this.#words.slice(place * ENTRY, place * ENTRY + KEY).buffer)
    return addressFromBytes(bytes)
  }

  #valueAt(place: number): AddressValue {
    const at = place * ENTRY + KEY
    const [slot = 0, flags = 0, endpoint = 0, node = 0] = this.#words.subarray(at, at + 4)
    return { slot, flags, endpoint, node }
  }

  #same(place: number, slot: number, flags: number, endpoint: number, node: number): boolean {
    const words = this.#words
    const at = place * ENTRY + KEY
    return words[at] === slot && words[at + 1] === flags && words[at + 2] === endpoint && words[at + 3] === node
  }

  #put(place: number, { slot, flags, endpoint, node }: AddressValue): void {
    const at = place * ENTRY + KEY
    this.#words[at] = slot
    this.#words[at + 1] = flags
    this.#words[at + 2] = endpoint
    this.#words[at + 3] = node
  }

  /** The place of a key, or the free one where it would be. */
  #find(keys: Uint32Array, at: number): number {
    const words = this.#words
    const marks = this.#marks
    const last = marks.length - 1
    for (let place = hash(keys, at) & last; ; place = (place + 1) & last) {
      if (marks[place] === 0) return place
      const own = place * ENTRY
      if (
        words[own] === keys[at] &&
        words[own + 1] === keys[at + 1] &&
        words[own + 2] === keys[at + 2] &&
        words[own + 3] === keys[at + 3]
      )
        return place
    }
  }

  /** The place of a key, taken now if it was not. */
  #place(keys: Uint32Array, at: number): number {
    let place = this.#find(keys, at)
    if (this.#marks[place] !== 0) return place
    if (this.#size * 2 >= this.#marks.length) {
      this.#grow()
      place = this.#find(keys, at)
    }
    for (let i = 0; i < KEY; i++) this.#words[place * ENTRY + i] = keys[at + i] ?? 0
    this.#marks[place] = this.#mark
    this.#size++
    return place
  }

  #grow(): void {
    const [words, marks] = [this.#words, this.#marks]
    this.#words = new Uint32Array(words.length * 2)
    this.#marks = new Uint32Array(marks.length * 2)
    for (let from = 0; from < marks.length; from++) {
      if (marks[from] === 0) continue
      const place = this.#find(words, from * ENTRY)
      this.#words.set(words.subarray(from * ENTRY, (from + 1) * ENTRY), place * ENTRY)
      this.#marks[place] = marks[from] ?? 0
    }
  }

  /** Entries behind it that would not be found any more move up. */
  #remove(gone: number): void {
    const last = this.#marks.length - 1
    let free = gone
    for (let place = (gone + 1) & last; this.#marks[place] !== 0; place = (place + 1) & last) {
      const home = hash(this.#words, place * ENTRY) & last
      if (((place - home) & last) < ((place - free) & last)) continue
      this.#words.copyWithin(free * ENTRY, place * ENTRY, (place + 1) * ENTRY)
      this.#marks[free] = this.#marks[place] ?? 0
      free = place
    }
    this.#marks[free] = 0
    this.#size--
  }
}

/** Mixes the words of a key (MurmurHash3's steps): addresses differ in their last bits. */
function hash(keys: Uint32Array, at: number): number {
  let mixed = 0
  for (let i = 0; i < KEY; i++) {
    mixed = Math.imul(mixed ^ (keys[at + i] ?? 0), 0x85ebca6b)
    mixed ^= mixed >>> 13
  }
  mixed = Math.imul(mixed, 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
