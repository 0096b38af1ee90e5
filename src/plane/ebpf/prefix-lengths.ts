import { constants, prefixLengths } from "../../kernel/abi.generated.ts"
import type { BpfMap } from "../../kernel/bpf/map.ts"
import { prefixFamily, prefixLength } from "../../net/prefix.ts"
import type { Family, Prefix } from "../../net/types.ts"
import { other, type Side } from "./tables.ts"

/** Bits that a family's lengths are counted from in the kernel's keys. */
const shift: Readonly<Record<Family, number>> = { 4: 96, 6: 0 }
const families: readonly Family[] = [4, 6]

/** Length of a block as the kernel's keys count it. */
export function keyLength(prefix: Prefix): number {
  return shift[prefixFamily(prefix)] + prefixLength(prefix)
}

/**
 * Which lengths of blocks are in use: the programs probe each of them, longest first; when there are too many they look into a
 * trie, which is filled then and emptied when neither side looks there.
 */
export class PrefixLengths {
  readonly #map: BpfMap
  readonly #trieMap: BpfMap
  /** Blocks by their own length. */
  #counts: Readonly<Record<Family, Map<number, number>>> = { 4: new Map(), 6: new Map() }
  #sorted: Partial<Record<Family, readonly number[]>> = {}
  /** What lies in the kernel by side × 2 + family; undefined: not known. */
  #written: (readonly number[] | undefined)[] = []
  /** What the trie holds of the table; `some`: not known. */
  #trie: "nothing" | "some" | "all" = "nothing"

  constructor(map: BpfMap, trie: BpfMap) {
    this.#map = map
    this.#trieMap = trie
  }

  reload(prefixes: Iterable<Prefix>): void {
    this.#counts = { 4: new Map(), 6: new Map() }
    this.#sorted = {}
    this.#written = []
    this.#trie = this.#trieMap.keys().next().done ? "nothing" : "some"
    for (const prefix of prefixes) this.add(prefix)
  }

  add(prefix: Prefix): void {
    this.#count(prefix, 1)
  }

  /** Lengths of the blocks that the table holds, longest first. */
  inUse(family: Family): readonly number[] {
    const known = this.#sorted[family]
    if (known !== undefined) return known
    const sorted = [...this.#counts[family].keys()].sort((a, b) => b - a)
    this.#sorted[family] = sorted
    return sorted
  }

  /** Makes one side look for every block but those that leave. The table holds all of `prefixes`, `changed` included. */
  write<V>(
    side: Side,
    leaving: readonly Prefix[],
    changed: ReadonlyMap<Prefix, V>,
    prefixes: ReadonlyMap<Prefix, V>,
    encode: (prefix: Prefix, value: V) => readonly [key: Uint8Array, value: Uint8Array],
  ): void {
    for (const prefix of leaving) this.#count(prefix, -1)
    const lengths = families.map((family) => this.inUse(family))
    for (const prefix of leaving) this.#count(prefix, 1)
    const tooMany = (all: readonly number[]): boolean => all.length > constants.MAX_PREFIX_LENGTHS
    const wantsTrie = lengths.some(tooMany)
    const fill = wantsTrie && this.#trie !== "all"
    if (fill || this.#trie !== "nothing")
      for (const [prefix, value] of fill ? prefixes : changed) this.#trieMap.update(...encode(prefix, value))
    if (fill) this.#trie = "all"
    for (const [index, family] of families.entries()) {
      const own = lengths[index] ?? []
      const known = this.#written[side * 2 + index]
      if (known !== undefined && known.length === own.length && known.every((length, i) => length === own[i])) continue
      const trie = tooMany(own)
      const value = {
        count: trie ? 0 : own.length,
        trie: trie ? 1 : 0,
        lengths: trie ? [] : own.map((length) => shift[family] + length),
      }
      this.#written[side * 2 + index] = undefined
      this.#map.update(keyOf(side, index), prefixLengths.encode(value))
      this.#written[side * 2 + index] = own
    }
    if (this.#trie !== "nothing" && !wantsTrie) this.#emptyTrie(side)
  }

  /** Blocks have left the table. */
  forget(prefixes: readonly Prefix[], keyOfPrefix: (prefix: Prefix) => Uint8Array): void {
    for (const prefix of prefixes) {
      this.#count(prefix, -1)
      if (this.#trie !== "nothing") this.#trieMap.delete(keyOfPrefix(prefix))
    }
  }

  #count(prefix: Prefix, by: number): void {
    const family = prefixFamily(prefix)
    const length = prefixLength(prefix)
    const counts = this.#counts[family]
    const count = (counts.get(length) ?? 0) + by
    if (count === 0) counts.delete(length)
    else counts.set(length, count)
    if (count === 0 || count === by) delete this.#sorted[family]
  }

  /** The trie is emptied when the live side does not look there either. */
  #emptyTrie(side: Side): void {
    for (const index of families.keys()) {
      const held = this.#map.lookup(keyOf(other(side), index))
      if (held && prefixLengths.decode(held).trie === 1) return
    }
    for (const key of [...this.#trieMap.keys()]) this.#trieMap.delete(key)
    this.#trie = "nothing"
  }
}

function keyOf(side: Side, family: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(side * 2 + family).buffer)
}
