import type { AddressEntry, LocalEndpoint, PolicySet, PrefixEntry, Row } from "../../compile/compiled.ts"
import { AddressFlag, constants } from "../../kernel/abi.generated.ts"
import type { Address, Prefix } from "../../net/types.ts"
import type { EndpointPort, PlaneReading } from "../plane.ts"
import type { AddressValue } from "./address-shadow.ts"
import type { PrefixValue } from "./addresses.ts"
import type { Tables } from "./tables.ts"

const { MAX_SLOTS, MAX_CELLS, MAX_ROWS, MAX_INTERVALS, MAX_ENDPOINTS } = constants

/** Names that the kernel's numbers had when they were written; numbers without one read as `#12`. */
export interface NamesOfNumbers {
  readonly endpoints: ReadonlyMap<number, string>
  readonly nodes: ReadonlyMap<number, string>
  readonly sandboxes: ReadonlyMap<number, string>
  readonly self: string
  /** Pods of other nodes leave no name in the kernel. */
  readonly owners: Pick<ReadonlyMap<Address, string>, "get">
}

export interface Held {
  readonly addresses: ReadonlyMap<Address, AddressValue>
  readonly prefixes: ReadonlyMap<Prefix, PrefixValue>
  readonly ports: ReadonlyMap<number, { readonly ifindex: number; readonly mac: Uint8Array }>
}

/** The live side as the same type that was applied, from what the kernel holds. */
export function readState(tables: Tables, held: Held, names: NamesOfNumbers): PlaneReading {
  const generation = tables.generation
  const side = tables.liveSide
  const live = tables.live
  const addresses = new Map<Address, AddressEntry>()
  const owned = new Map<number, Address[]>()
  for (const [address, value] of held.addresses) {
    addresses.set(address, addressEntry(address, value, names))
    if (value.endpoint !== 0) owned.set(value.endpoint, [...(owned.get(value.endpoint) ?? []), address])
  }
  const prefixes = new Map<Prefix, PrefixEntry>()
  for (const [prefix, { slot, flags }] of held.prefixes)
    prefixes.set(prefix, { slot, unknown: (flags & AddressFlag.unknown) !== 0 })

  const sets = new Map<string, PolicySet>()
  const endpoints = new Map<string, LocalEndpoint>()
  const setAt = (end: number): PolicySet | undefined => {
    const at = (side * 2 * MAX_ENDPOINTS + end) * 2
    const base = tables.sets[at] ?? 0
    const count = tables.sets[at + 1] ?? 0
    if (count === 0) return undefined
    const key = `${base}+${count}`
    const from = side * MAX_CELLS + base
    const set = sets.get(key) ?? setOf(tables.cells.subarray(from, from + count))
    sets.set(key, set)
    return set
  }
  for (let number = 1; number < MAX_ENDPOINTS; number++) {
    const ingress = setAt(number * 2)
    const egress = setAt(number * 2 + 1)
    if (ingress === undefined || egress === undefined) continue
    endpoints.set(names.endpoints.get(number) ?? `#${number}`, {
      number,
      addresses: owned.get(number) ?? [],
      ingress,
      egress,
    })
  }
  const ports = new Map<number, EndpointPort>()
  for (const [number, { ifindex, mac }] of held.ports)
    ports.set(number, { ifindex, mac, sandbox: names.sandboxes.get(number) ?? "" })
  return {
    generation,
    compiled: {
      addresses,
      prefixes,
      outsideSlot: { 4: live.outside4[side] ?? 0, 6: live.outside6[side] ?? 0 },
      nodeSocketSlot: { 4: live.node4[side] ?? 0, 6: live.node6[side] ?? 0 },
      classes: trimmed(tables.classes.slice(side * MAX_SLOTS, (side + 1) * MAX_SLOTS)),
      endpoints,
      sets: [...sets.values()],
      rows: readRows(tables, side),
    },
    ports,
  }
}

/** The last cells are those of no class in use: they tell what a set says to all that it does not tell apart. */
function setOf(cells: Uint16Array): PolicySet {
  const rest = cells.at(-1) ?? 0
  const special = new Map<number, number>()
  for (let i = 1; i < cells.length; i++) if (cells[i] !== rest) special.set(i, cells[i] ?? 0)
  return { rest, special }
}

function addressEntry(address: Address, value: AddressValue, names: NamesOfNumbers): AddressEntry {
  const kind = value.flags & AddressFlag.node ? "node" : "endpoint"
  const node = value.node === 0 ? names.self : (names.nodes.get(value.node) ?? `#${value.node}`)
  const owner =
    value.endpoint !== 0
      ? (names.endpoints.get(value.endpoint) ?? `#${value.endpoint}`)
      : kind === "endpoint"
        ? names.owners.get(address)
        : undefined
  return { slot: value.slot, node, kind, ...(owner === undefined ? {} : { endpoint: owner }) }
}

function readRows(tables: Tables, side: number): Row[] {
  const rows: Row[] = []
  let last = -1
  for (let i = 0; i < MAX_ROWS; i++) {
    const at = (side * MAX_ROWS + i) * 2
    const offset = tables.rows[at] ?? 0
    const count = tables.rows[at + 1] ?? 0
    if (count > 0) last = i
    const starts = new Uint32Array(count)
    const outcomes = new Uint32Array(count)
    for (let k = 0; k < count; k++) {
      const from = (side * MAX_INTERVALS + offset + k) * 2
      starts[k] = tables.intervals[from] ?? 0
      outcomes[k] = tables.intervals[from + 1] ?? 0
    }
    rows.push({ starts, outcomes })
  }
  return rows.slice(0, last + 1)
}

/** Without the zeros at its end: beyond them everything is 0 anyway. */
function trimmed(numbers: Uint16Array): Uint16Array {
  let length = numbers.length
  while (length > 0 && numbers[length - 1] === 0) length--
  return numbers.slice(0, length)
}
