import type { AddressEntry } from "../../compile/compiled.ts"
import { changesBetween } from "../../compile/versions.ts"
import { AddressFlag, addrKey, addrValue, constants, prefixKey, prefixValue } from "../../kernel/abi.generated.ts"
import type { BpfMap } from "../../kernel/bpf/map.ts"
import { addressBytes, addressFromBytes, familyOf } from "../../net/address.ts"
import { prefixBase, prefixFamily, prefixLength, prefixOf } from "../../net/prefix.ts"
import type { Address, Prefix } from "../../net/types.ts"
import type { Forwarding, NodeState } from "../plane.ts"
import { AddressShadow, type AddressValue } from "./address-shadow.ts"
import { keyLength, PrefixLengths } from "./prefix-lengths.ts"
import type { Families, Side, Tables } from "./tables.ts"
import type { Turn } from "./turn.ts"
import { Uses } from "./uses.ts"

export interface PrefixValue {
  readonly slot: number
  readonly flags: number
}

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

function prefixValueOf(prefix: Prefix, entry: { readonly slot: number; readonly unknown: boolean }): PrefixValue {
  const flags = (entry.unknown ? AddressFlag.unknown : 0) | (prefixFamily(prefix) === 4 ? AddressFlag.four : 0)
  return { slot: entry.slot, flags }
}

/** What one apply has to do: entries to write before the flip, and entries to delete after it. */
export interface AddressPlan {
  readonly addresses: ReadonlyMap<Address, AddressValue>
  readonly prefixes: ReadonlyMap<Prefix, PrefixValue>
  readonly leaving: { readonly addresses: readonly Address[]; readonly prefixes: readonly Prefix[] }
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
  readonly #lengths: PrefixLengths
  #addresses = new AddressShadow()
  #prefixes = new Map<Prefix, PrefixValue>()
  /** Entries of both tables by slot, and addresses by the number of their endpoint. */
  #slots = new Uses()
  #owners = new Uses()
  #outside: Families | undefined

  constructor(maps: AddressMaps, tables: Tables) {
    this.#maps = maps
    this.#tables = tables
    this.#lengths = new PrefixLengths(maps.lengths, maps.trie)
  }

  /** Forgets what was written and looks at what is there. */
  async reload(turn: Turn): Promise<void> {
    const addresses = new AddressShadow()
    this.#slots = new Uses()
    this.#owners = new Uses()
    for (const { keys, values, count } of this.#maps.addrs.batches()) {
      const keyWords = new Uint32Array(keys.buffer)
      const valueWords = new Uint32Array(values.buffer)
      const [slot, endpoint] = [addrValue.offset.slot / 4, addrValue.offset.endpoint / 4]
      for (let i = 0; i < count; i++) {
        addresses.load(keyWords, valueWords, i)
        this.#slots.add(valueWords[i * 4 + slot] ?? 0)
        this.#owners.add(valueWords[i * 4 + endpoint] ?? 0)
      }
      if (turn.over) await turn.end()
    }
    this.#addresses = addresses
    this.#prefixes = readPrefixes(this.#maps.prefixes, (key) => this.#maps.prefixes.delete(key))
    for (const { slot } of this.#prefixes.values()) this.#slots.add(slot)
    this.#lengths.reload(this.#prefixes.keys())
    const { outside4, outside6 } = this.#tables.live
    const side = this.#tables.liveSide
    this.#outside = { 4: outside4[side] ?? 0, 6: outside6[side] ?? 0 }
  }

  /** What an apply of `next` has to do, by comparing everything. */
  async planAll(next: NodeState, turn: Turn): Promise<AddressPlan> {
    const { compiled } = next
    const addresses = new Map<Address, AddressValue>()
    this.#addresses.beginMarks()
    let until = 0
    for (const [address, entry] of compiled.addresses) {
      const value = addressValue(next, entry)
      if (!this.#addresses.mark(address, value)) addresses.set(address, value)
      if (++until % 256 === 0 && turn.over) await turn.end()
    }
    const gone = this.#addresses.unmarked().filter((address) => !compiled.addresses.has(address))
    const prefixes = this.#planPrefixes(next, new Set([...compiled.prefixes.keys(), ...this.#prefixes.keys()]))
    return { addresses, prefixes: prefixes.changed, leaving: { addresses: gone, prefixes: prefixes.gone } }
  }

  /** The same by looking only at what changed since `previous`, which is what the tables hold; undefined when that is not known. */
  plan(next: NodeState, previous: NodeState): AddressPlan | undefined {
    const touched = touchedAddresses(next, previous)
    const touchedPrefixes = changesBetween(previous.compiled.prefixes, next.compiled.prefixes)
    if (touched === undefined || touchedPrefixes === undefined) return undefined
    const addresses = new Map<Address, AddressValue>()
    const gone: Address[] = []
    for (const address of touched) {
      const entry = next.compiled.addresses.get(address)
      const held = this.#addresses.get(address)
      if (entry === undefined) {
        if (held !== undefined) gone.push(address)
        continue
      }
      const value = addressValue(next, entry)
      if (held === undefined || !sameAddress(held, value)) addresses.set(address, value)
    }
    const prefixes = this.#planPrefixes(next, touchedPrefixes)
    return { addresses, prefixes: prefixes.changed, leaving: { addresses: gone, prefixes: prefixes.gone } }
  }

  #planPrefixes(
    { compiled }: NodeState,
    touched: Iterable<Prefix>,
  ): { readonly changed: Map<Prefix, PrefixValue>; readonly gone: Prefix[] } {
    const changed = new Map<Prefix, PrefixValue>()
    const gone: Prefix[] = []
    for (const prefix of touched) {
      const entry = compiled.prefixes.get(prefix)
      const held = this.#prefixes.get(prefix)
      if (entry === undefined) {
        if (held !== undefined) gone.push(prefix)
        continue
      }
      const value = prefixValueOf(prefix, entry)
      if (held?.slot !== value.slot || held.flags !== value.flags) changed.set(prefix, value)
    }
    return { changed, gone }
  }

  /** Before the flip: writes what is new or differs, and both sides' classes of what comes and goes. */
  prepare(next: NodeState, side: Side, plan: AddressPlan): void {
    this.#bridge(side, plan)
    this.#writePrefixes(side, plan)
    this.#writeAddresses(plan.addresses)
    this.#retire(next, side, plan)
  }

  /** After the flip: deletes what nobody looks for any more. */
  finish(next: NodeState, { leaving }: AddressPlan): void {
    this.#maps.addrs.deleteBatch(joined(leaving.addresses.map(addressBytes), addrKey.size), leaving.addresses.length)
    for (const address of leaving.addresses) this.#hold(address, undefined)
    this.#maps.prefixes.deleteBatch(joined(leaving.prefixes.map(prefixKeyOf), prefixKey.size), leaving.prefixes.length)
    for (const prefix of leaving.prefixes) this.#holdPrefix(prefix, undefined)
    this.#lengths.forget(leaving.prefixes, prefixKeyOf)
    this.#outside = next.compiled.outsideSlot
  }

  #hold(address: Address, value: AddressValue | undefined): void {
    const before = this.#addresses.get(address)
    if (before !== undefined) {
      this.#slots.drop(before.slot)
      this.#owners.drop(before.endpoint)
    }
    if (value === undefined) {
      this.#addresses.delete(address)
      return
    }
    this.#addresses.set(address, value)
    this.#slots.add(value.slot)
    this.#owners.add(value.endpoint)
  }

  #holdPrefix(prefix: Prefix, value: PrefixValue | undefined): void {
    const before = this.#prefixes.get(prefix)
    if (before !== undefined) this.#slots.drop(before.slot)
    if (value === undefined) this.#prefixes.delete(prefix)
    else {
      this.#prefixes.set(prefix, value)
      this.#slots.add(value.slot)
    }
  }

  /** On the live side a new slot gets the class that its address has there now: until the flip nothing changes. */
  #bridge(side: Side, { addresses, prefixes }: AddressPlan): void {
    const outside = this.#outside
    if (outside === undefined || addresses.size + prefixes.size === 0) return
    const live = (side === 0 ? 1 : 0) * constants.MAX_SLOTS
    const { classes } = this.#tables
    const classFor = (address: Address, shorterThan: number) =>
      classes[live + (this.#longest(this.#prefixes, address, shorterThan)?.slot ?? outside[familyOf(address)])] ?? 0
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
    for (const [slot, value] of writes) classes[live + slot] = this.#slots.count(slot) > 0 ? 0 : value
    for (const [address, { endpoint }] of addresses) {
      if (endpoint === 0 || this.#owners.count(endpoint) === 0) continue
      if (this.#addresses.get(address)?.endpoint === endpoint) continue
      const at = ((side === 0 ? 1 : 0) * 2 * constants.MAX_ENDPOINTS + endpoint * 2) * 2
      this.#tables.sets.fill(0, at, at + 4)
    }
  }

  /** On the new side a slot that goes gets the class that its address will have without it: the flip is exact. */
  #retire({ compiled }: NodeState, side: Side, { leaving }: AddressPlan): void {
    const slotOf = (address: Address): number => this.#addresses.get(address)?.slot ?? 0
    const slotOfPrefix = (prefix: Prefix): number => this.#prefixes.get(prefix)?.slot ?? 0
    const going = new Uses()
    for (const address of leaving.addresses) going.add(slotOf(address))
    for (const prefix of leaving.prefixes) going.add(slotOfPrefix(prefix))
    const put = (slot: number, address: Address, shorterThan: number): void => {
      // Another entry has it, and keeps it.
      if (this.#slots.count(slot) > going.count(slot)) return
      const heir =
        this.#longest(compiled.prefixes, address, shorterThan)?.slot ?? compiled.outsideSlot[familyOf(address)]
      this.#tables.classes[side * constants.MAX_SLOTS + slot] = compiled.classes[heir] ?? 0
    }
    for (const address of leaving.addresses) put(slotOf(address), address, Number.POSITIVE_INFINITY)
    for (const prefix of leaving.prefixes) put(slotOfPrefix(prefix), prefixBase(prefix), prefixLength(prefix))
  }

  /** The longest block of a table that contains an address; no length is in use there that is not here. */
  #longest<V>(prefixes: ReadonlyMap<Prefix, V>, address: Address, shorterThan: number): V | undefined {
    const family = familyOf(address)
    for (const length of this.#lengths.inUse(family)) {
      if (length >= shorterThan) continue
      const found = prefixes.get(prefixOf(address, length))
      if (found !== undefined) return found
    }
    return undefined
  }

  #writeAddresses(changed: ReadonlyMap<Address, AddressValue>): void {
    const keys = joined([...changed.keys()].map(addressBytes), addrKey.size)
    const values = joined([...changed.values()].map(addrValue.encode), addrValue.size)
    this.#maps.addrs.updateBatch(keys, values, changed.size)
    for (const [address, value] of changed) this.#hold(address, value)
  }

  #writePrefixes(side: Side, { prefixes: changed, leaving }: AddressPlan): void {
    const keys = joined([...changed.keys()].map(prefixKeyOf), prefixKey.size)
    const values = joined([...changed.values()].map(prefixValue.encode), prefixValue.size)
    this.#maps.prefixes.updateBatch(keys, values, changed.size)
    for (const prefix of changed.keys()) if (!this.#prefixes.has(prefix)) this.#lengths.add(prefix)
    for (const [prefix, value] of changed) this.#holdPrefix(prefix, value)
    this.#lengths.write(side, leaving.prefixes, changed, this.#prefixes, (prefix, value) => [
      prefixKeyOf(prefix),
      prefixValue.encode(value),
    ])
  }
}

/** Addresses whose entries may differ between two states; undefined when that is not known without looking at all. */
function touchedAddresses(next: NodeState, previous: NodeState): ReadonlySet<Address> | undefined {
  if (next.forwarding.self.name !== previous.forwarding.self.name) return undefined
  if (!sameNumbers(next.forwarding.peers, previous.forwarding.peers)) return undefined
  const addresses = changesBetween(previous.compiled.addresses, next.compiled.addresses)
  const endpoints = changesBetween(previous.compiled.endpoints, next.compiled.endpoints)
  if (addresses === undefined || endpoints === undefined) return undefined
  const touched = new Set(addresses)
  for (const name of endpoints) {
    const [before, after] = [previous.compiled.endpoints.get(name), next.compiled.endpoints.get(name)]
    if (before?.number === after?.number) continue
    for (const address of [...(before?.addresses ?? []), ...(after?.addresses ?? [])]) touched.add(address)
  }
  return touched
}

function sameNumbers(one: Forwarding["peers"], other: Forwarding["peers"]): boolean {
  if (one === other) return true
  if (one.size !== other.size) return false
  for (const [name, { number }] of one) if (other.get(name)?.number !== number) return false
  return true
}

function sameAddress(one: AddressValue, other: AddressValue): boolean {
  return (
    one.slot === other.slot && one.flags === other.flags && one.endpoint === other.endpoint && one.node === other.node
  )
}

export function prefixKeyOf(prefix: Prefix): Uint8Array {
  return prefixKey.encode({
    length: keyLength(prefix),
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
