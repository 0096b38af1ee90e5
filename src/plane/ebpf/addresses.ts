import type { AddressEntry } from "../../compile/compiled.ts"
import {
  AddressFlag,
  addrKey,
  addrValue,
  constants,
  prefixKey,
  prefixLengths,
  prefixValue,
} from "../../kernel/abi.generated.ts"
import type { BpfMap } from "../../kernel/bpf/map.ts"
import { addressBytes, addressFromBytes, familyOf } from "../../net/address.ts"
import { prefixBase, prefixFamily, prefixLength, prefixOf } from "../../net/prefix.ts"
import type { Address, Family, Prefix } from "../../net/types.ts"
import type { NodeState } from "../plane.ts"
import type { Families, Side, Tables } from "./tables.ts"

/** An entry of `addrs` as the kernel has it. */
export interface AddressValue {
  readonly slot: number
  readonly flags: number
  readonly endpoint: number
  readonly node: number
}

export interface PrefixValue {
  readonly slot: number
  readonly flags: number
}

/** Bits that a family's prefix lengths are counted from in the kernel's keys. */
const shift: Families = { 4: 96, 6: 0 }

/** What the kernel shall hold for one address. */
export function addressValue(state: NodeState, entry: AddressEntry): AddressValue {
  const { compiled, forwarding } = state
  const here = entry.node === forwarding.self.name
  const node = here ? 0 : (forwarding.peers.get(entry.node)?.number ?? 0)
  if (entry.kind === "node") {
    const flags = AddressFlag.node | (here ? AddressFlag.self : 0)
    return { slot: entry.slot, flags, endpoint: 0, node }
  }
  const owner = here && entry.endpoint !== undefined ? compiled.endpoints.get(entry.endpoint) : undefined
  if (owner) return { slot: entry.slot, flags: AddressFlag.local, endpoint: owner.number, node: 0 }
  return { slot: entry.slot, flags: 0, endpoint: 0, node }
}

/** What stays to be done after the flip. */
export interface Leftovers {
  readonly addresses: readonly Address[]
  readonly prefixes: readonly Prefix[]
}

export interface AddressMaps {
  readonly addrs: BpfMap
  readonly prefixes: BpfMap
  readonly trie: BpfMap
  readonly lengths: BpfMap
}

/**
 * The address tables, which both sides share: what comes is written before the flip, with a class on the live side that
 * changes no verdict, what goes is deleted after it.
 */
export class AddressTables {
  readonly #maps: AddressMaps
  readonly #tables: Tables
  #addresses = new Map<Address, AddressValue>()
  #prefixes = new Map<Prefix, PrefixValue>()
  #trie = false
  #outside: Families | undefined

  constructor(maps: AddressMaps, tables: Tables) {
    this.#maps = maps
    this.#tables = tables
  }

  get sizes(): { readonly addresses: number; readonly prefixes: number } {
    return { addresses: this.#addresses.size, prefixes: this.#prefixes.size }
  }

  /** Forgets what was written and looks at what is there. */
  reload(): void {
    this.#addresses = readAddresses(this.#maps.addrs)
    this.#prefixes = readPrefixes(this.#maps.prefixes, (key) => this.#maps.prefixes.delete(key))
    this.#trie = !this.#maps.trie.keys().next().done
    const { outside4, outside6 } = this.#tables.live
    const side = this.#tables.liveSide
    this.#outside = { 4: outside4[side] ?? 0, 6: outside6[side] ?? 0 }
  }

  /** What will be deleted after a flip to `next`. */
  leaving(next: NodeState, previous: NodeState | undefined): Leftovers {
    const { addresses, prefixes } = next.compiled
    const missing = <K, V>(held: ReadonlyMap<K, V>, wanted: ReadonlyMap<K, unknown>, same: boolean) =>
      same ? [] : [...held.keys()].filter((key) => !wanted.has(key))
    return {
      addresses: missing(this.#addresses, addresses, previous?.compiled.addresses === addresses),
      prefixes: missing(this.#prefixes, prefixes, previous?.compiled.prefixes === prefixes),
    }
  }

  /** Before the flip: writes what is new or differs, and both sides' classes of what comes and goes. */
  prepare(next: NodeState, side: Side, leftovers: Leftovers, previous: NodeState | undefined): void {
    const changedPrefixes = this.#changedPrefixes(next, previous)
    const changedAddresses = this.#changedAddresses(next, previous)
    this.#bridge(side, changedAddresses, changedPrefixes)
    this.#retire(next, side, leftovers)
    this.#writePrefixes(next, side, changedPrefixes)
    this.#writeAddresses(changedAddresses)
  }

  /** After the flip: deletes what nobody looks for any more. */
  finish(next: NodeState, leftovers: Leftovers): void {
    this.#maps.addrs.deleteBatch(
      joined(leftovers.addresses.map(addressBytes), addrKey.size),
      leftovers.addresses.length,
    )
    for (const address of leftovers.addresses) this.#addresses.delete(address)
    const keys = joined(leftovers.prefixes.map(prefixKeyOf), prefixKey.size)
    this.#maps.prefixes.deleteBatch(keys, leftovers.prefixes.length)
    for (const prefix of leftovers.prefixes) this.#prefixes.delete(prefix)
    if (this.#trie) {
      if (lengthsOf(next.compiled.prefixes.keys()).some((lengths) => lengths.length > constants.MAX_PREFIX_LENGTHS))
        for (const prefix of leftovers.prefixes) this.#maps.trie.delete(prefixKeyOf(prefix))
      // Emptied only when neither side looks there, that is with the next commit at the earliest.
    }
    this.#outside = next.compiled.outsideSlot
  }

  #changedAddresses(next: NodeState, previous: NodeState | undefined): Map<Address, AddressValue> {
    const changed = new Map<Address, AddressValue>()
    const same =
      previous !== undefined &&
      previous.compiled.addresses === next.compiled.addresses &&
      previous.compiled.endpoints === next.compiled.endpoints &&
      previous.forwarding.peers === next.forwarding.peers &&
      previous.forwarding.self.name === next.forwarding.self.name
    if (same) return changed
    for (const [address, entry] of next.compiled.addresses) {
      const value = addressValue(next, entry)
      const held = this.#addresses.get(address)
      if (
        held === undefined ||
        held.slot !== value.slot ||
        held.flags !== value.flags ||
        held.endpoint !== value.endpoint ||
        held.node !== value.node
      )
        changed.set(address, value)
    }
    return changed
  }

  #changedPrefixes(next: NodeState, previous: NodeState | undefined): Map<Prefix, PrefixValue> {
    const changed = new Map<Prefix, PrefixValue>()
    if (previous !== undefined && previous.compiled.prefixes === next.compiled.prefixes) return changed
    for (const [prefix, entry] of next.compiled.prefixes) {
      const flags = (entry.unknown ? AddressFlag.unknown : 0) | (prefixFamily(prefix) === 4 ? AddressFlag.four : 0)
      const held = this.#prefixes.get(prefix)
      if (held === undefined || held.slot !== entry.slot || held.flags !== flags)
        changed.set(prefix, { slot: entry.slot, flags })
    }
    return changed
  }

  /** On the live side a new slot gets the class that its address has there now: until the flip nothing changes. */
  #bridge(side: Side, addresses: ReadonlyMap<Address, AddressValue>, prefixes: ReadonlyMap<Prefix, PrefixValue>): void {
    const outside = this.#outside
    if (outside === undefined || addresses.size + prefixes.size === 0) return
    const live = (side === 0 ? 1 : 0) * constants.MAX_SLOTS
    const { classes } = this.#tables
    const blocks = new Longest(this.#prefixes)
    const classFor = (address: Address, shorterThan: number) =>
      classes[live + (blocks.find(address, shorterThan)?.slot ?? outside[familyOf(address)])] ?? 0
    const writes: [slot: number, number][] = []
    for (const [address, { slot }] of addresses) {
      const held = this.#addresses.get(address)
      if (held?.slot === slot) continue
      writes.push([slot, held ? (classes[live + held.slot] ?? 0) : classFor(address, Number.POSITIVE_INFINITY)])
    }
    for (const [prefix, { slot }] of prefixes) {
      const held = this.#prefixes.get(prefix)
      if (held?.slot === slot) continue
      writes.push([slot, held ? (classes[live + held.slot] ?? 0) : classFor(prefixBase(prefix), prefixLength(prefix))])
    }
    // A number that is another's on the live side, as after a restart that numbered anew: then nothing new is judged by it
    // until the flip.
    const taken = new Set<number>()
    for (const { slot } of [...this.#addresses.values(), ...this.#prefixes.values()]) taken.add(slot)
    for (const [slot, value] of writes) classes[live + slot] = taken.has(slot) ? 0 : value
    const owners = new Set<number>()
    for (const { endpoint } of this.#addresses.values()) owners.add(endpoint)
    for (const [address, { endpoint }] of addresses) {
      if (endpoint === 0 || this.#addresses.get(address)?.endpoint === endpoint || !owners.has(endpoint)) continue
      const at = ((side === 0 ? 1 : 0) * 2 * constants.MAX_ENDPOINTS + endpoint * 2) * 2
      this.#tables.sets.fill(0, at, at + 4)
    }
  }

  /** On the new side a slot that goes gets the class that its address will have without it: the flip is exact. */
  #retire(next: NodeState, side: Side, leftovers: Leftovers): void {
    const { compiled } = next
    if (leftovers.addresses.length + leftovers.prefixes.length === 0) return
    const blocks = new Longest(compiled.prefixes)
    const used = new Set<number>()
    for (const entry of compiled.addresses.values()) used.add(entry.slot)
    for (const entry of compiled.prefixes.values()) used.add(entry.slot)
    const put = (slot: number, address: Address, shorterThan: number) => {
      if (used.has(slot)) return
      const heir = blocks.find(address, shorterThan)?.slot ?? compiled.outsideSlot[familyOf(address)]
      this.#tables.classes[side * constants.MAX_SLOTS + slot] = compiled.classes[heir] ?? 0
    }
    for (const address of leftovers.addresses)
      put(this.#addresses.get(address)?.slot ?? 0, address, Number.POSITIVE_INFINITY)
    for (const prefix of leftovers.prefixes)
      put(this.#prefixes.get(prefix)?.slot ?? 0, prefixBase(prefix), prefixLength(prefix))
  }

  #writeAddresses(changed: ReadonlyMap<Address, AddressValue>): void {
    const keys = joined([...changed.keys()].map(addressBytes), addrKey.size)
    this.#maps.addrs.updateBatch(
      keys,
      joined([...changed.values()].map(addrValue.encode), addrValue.size),
      changed.size,
    )
    for (const [address, value] of changed) this.#addresses.set(address, value)
  }

  #writePrefixes(next: NodeState, side: Side, changed: ReadonlyMap<Prefix, PrefixValue>): void {
    const keys = joined([...changed.keys()].map(prefixKeyOf), prefixKey.size)
    const values = joined([...changed.values()].map(prefixValue.encode), prefixValue.size)
    this.#maps.prefixes.updateBatch(keys, values, changed.size)
    for (const [prefix, value] of changed) this.#prefixes.set(prefix, value)
    const byFamily = lengthsOf(next.compiled.prefixes.keys())
    const wantsTrie = byFamily.some((lengths) => lengths.length > constants.MAX_PREFIX_LENGTHS)
    if (wantsTrie && !this.#trie) {
      for (const [prefix, value] of this.#prefixes)
        this.#maps.trie.update(prefixKeyOf(prefix), prefixValue.encode(value))
      this.#trie = true
    } else if (this.#trie) {
      for (const [prefix, value] of changed) this.#maps.trie.update(prefixKeyOf(prefix), prefixValue.encode(value))
      if (!wantsTrie) this.#emptyTrie(side)
    }
    byFamily.forEach((lengths, family) => {
      const trie = lengths.length > constants.MAX_PREFIX_LENGTHS
      const key = new Uint8Array(Uint32Array.of(side * 2 + family).buffer)
      const value = { count: trie ? 0 : lengths.length, trie: trie ? 1 : 0, lengths: trie ? [] : lengths }
      this.#maps.lengths.update(key, prefixLengths.encode(value))
    })
  }

  /** The trie is emptied when the live side does not look there either. */
  #emptyTrie(side: Side): void {
    const live = side === 0 ? 1 : 0
    for (const family of [0, 1]) {
      const held = this.#maps.lengths.lookup(new Uint8Array(Uint32Array.of(live * 2 + family).buffer))
      if (held && prefixLengths.decode(held).trie === 1) return
    }
    for (const key of [...this.#maps.trie.keys()]) this.#maps.trie.delete(key)
    this.#trie = false
  }
}

/** Longest block of a table that contains an address. */
class Longest<V> {
  readonly #prefixes: ReadonlyMap<Prefix, V>
  readonly #lengths: readonly [four: readonly number[], six: readonly number[]]

  constructor(prefixes: ReadonlyMap<Prefix, V>) {
    this.#prefixes = prefixes
    this.#lengths = lengthsOf(prefixes.keys())
  }

  find(address: Address, shorterThan: number): V | undefined {
    const family = familyOf(address)
    for (const counted of this.#lengths[family === 4 ? 0 : 1]) {
      const length = counted - shift[family]
      if (length >= shorterThan) continue
      const found = this.#prefixes.get(prefixOf(address, length))
      if (found !== undefined) return found
    }
    return undefined
  }
}

/** Prefix lengths in use, longest first, as the kernel counts them: IPv4, IPv6. */
function lengthsOf(prefixes: Iterable<Prefix>): [four: number[], six: number[]] {
  const lengths: Record<Family, Set<number>> = { 4: new Set(), 6: new Set() }
  for (const prefix of prefixes) {
    const family = prefixFamily(prefix)
    lengths[family].add(shift[family] + prefixLength(prefix))
  }
  const sorted = (set: Set<number>) => [...set].sort((a, b) => b - a)
  return [sorted(lengths[4]), sorted(lengths[6])]
}

export function prefixKeyOf(prefix: Prefix): Uint8Array {
  return prefixKey.encode({
    length: shift[prefixFamily(prefix)] + prefixLength(prefix),
    address: addressBytes(prefixBase(prefix)),
  })
}

/** The block of a key; undefined when no block has that key. */
export function prefixFromKey(bytes: Uint8Array, four: boolean): Prefix | undefined {
  const { length, address } = prefixKey.decode(bytes)
  const base = addressFromBytes(address)
  // ::ffff:0:0/96 and longer are IPv4 blocks; no IPv6 block reaches there, since mapped addresses are never IPv6.
  const own = four ? length - 96 : length
  if (own < 0 || own > (four ? 32 : 128) || (familyOf(base) === 4) !== four) return undefined
  const prefix = prefixOf(base, own)
  return prefixBase(prefix) === base ? prefix : undefined
}

export function readAddresses(map: BpfMap): Map<Address, AddressValue> {
  const found = new Map<Address, AddressValue>()
  for (const [key, value] of map.entries()) found.set(addressFromBytes(key), addrValue.decode(value))
  return found
}

/** `onForeign` is told keys that are no block and so were not written here. */
export function readPrefixes(map: BpfMap, onForeign: (key: Uint8Array) => void = () => {}): Map<Prefix, PrefixValue> {
  const found = new Map<Prefix, PrefixValue>()
  for (const [key, bytes] of map.entries()) {
    const value = prefixValue.decode(bytes)
    const prefix = prefixFromKey(key, (value.flags & AddressFlag.four) !== 0)
    if (prefix === undefined) onForeign(key.slice())
    else found.set(prefix, value)
  }
  return found
}

function joined(parts: readonly Uint8Array[], size: number): Uint8Array {
  const all = new Uint8Array(parts.length * size)
  parts.forEach((part, i) => {
    all.set(part, i * size)
  })
  return all
}
