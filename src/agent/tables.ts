import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Failure, reasonOf } from "../api/failure.ts"
import * as abi from "../kernel/abi.generated.ts"
import { BpfMap, MapType } from "../kernel/bpf/map.ts"
import { addressFromBytes } from "../net/address.ts"
import { macText } from "./lists.ts"

export interface TableCount {
  readonly name: string
  readonly packets: bigint
  readonly bytes: bigint
}

export interface TableInfo {
  readonly name: string
  readonly type: string
  readonly used: bigint
  readonly usedKnown: boolean
  readonly max: bigint
  readonly bytes: bigint
  readonly description: string
}

type Name = keyof typeof abi.maps

/** Fields of keys and values by map; maps that are not here hold single numbers. */
const codecs: Readonly<Partial<Record<Name, { readonly key?: abi.Codec<object>; readonly value: abi.Codec<object> }>>> =
  {
    live: { value: abi.live },
    addrs: { key: abi.addrKey, value: abi.addrValue },
    prefixes: { key: abi.prefixKey, value: abi.prefixValue },
    prefix_trie: { key: abi.prefixKey, value: abi.prefixValue },
    prefix_lengths: { value: abi.prefixLengths },
    endpoints: { value: abi.endpoint },
    sets: { value: abi.setEntry },
    rows: { value: abi.row },
    intervals: { value: abi.interval },
    nodes: { value: abi.node },
    flows: { key: abi.flowKey, value: abi.flow },
    fragments: { key: abi.fragmentKey, value: abi.fragmentValue },
    sweep: { value: abi.sweep },
    drop_limits: { value: abi.dropLimit },
  }

const descriptions: Readonly<Partial<Record<Name, string>>> = {
  live: "the generation in force",
  addrs: "slot, endpoint and node of every exact address",
  prefixes: "slots of blocks",
  prefix_trie: "slots of blocks, when many lengths are in use",
  prefix_lengths: "prefix lengths in use",
  endpoints: "interface and MAC address of local endpoints",
  half_open: "half-open flows of each endpoint",
  endpoint_by_ifindex: "endpoint behind an interface",
  classes: "class of each slot, both sides",
  sets: "policy set of each endpoint and direction, both sides",
  cells: "row of each (set, class), both sides",
  rows: "rows, both sides",
  intervals: "intervals of the rows, both sides",
  nodes: "outer address or next hop of other nodes",
  flows: "one record per connection",
  flow_keys: "flow records in the order of their ageing",
  fragments: "datagrams in fragments",
  events: "ring buffer of events",
  drops: "drops by reason",
  drop_limits: "when drops were last told",
  lost: "events lost",
  sweep: "ageing of flow records",
}

/** The kernel's tables of one node, found by their pins: the same for the agent and for a command while no agent runs. */
export class Tables {
  readonly #maps: ReadonlyMap<Name, BpfMap>

  constructor(maps: ReadonlyMap<Name, BpfMap>) {
    this.#maps = maps
  }

  /** Opens the pins of this program's own layout; throws a `Failure` when there are none. */
  static open(pinDirectory: string): Tables {
    const maps = new Map<Name, BpfMap>()
    let names: string[]
    try {
      names = readdirSync(pinDirectory)
    } catch (error) {
      throw new Failure(
        "failed",
        "Cannot read the kernel's tables",
        `${pinDirectory}: ${reasonOf(error)}`,
        "heddle status",
      )
    }
    for (const name of Object.keys(abi.maps) as Name[]) {
      const pin = names.find((one) => one === `${name}-${abi.layout}` || one === `${name}-${abi.maps[name].layout}`)
      if (pin !== undefined) maps.set(name, BpfMap.openPinned(join(pinDirectory, pin), name))
    }
    if (maps.size === 0) {
      const why =
        names.length === 0
          ? "nothing is pinned there"
          : "what is pinned there has another layout: another version made it"
      throw new Failure(
        "failed",
        "Cannot read the kernel's tables",
        `${pinDirectory}: ${why}`,
        "use the command of the agent's version",
      )
    }
    return new Tables(maps)
  }

  close(): void {
    for (const map of this.#maps.values()) map.close()
  }

  get generation(): number {
    const value = this.#maps.get("live")?.lookup(index(0))
    return value === undefined ? 0 : abi.live.decode(value).generation
  }

  /** Seconds for which connections of before a change of tables are still picked up in their middle; 0: they are not. */
  get pickUpSeconds(): number {
    const value = this.#maps.get("live")?.lookup(index(0))
    const clock = this.#maps.get("sweep")?.lookup(index(0))
    if (value === undefined || clock === undefined) return 0
    const { flags, pickUpUntil, timeouts } = abi.live.decode(value)
    const ticks = Number(pickUpUntil - abi.sweep.decode(clock).jiffies)
    return (flags & abi.LiveFlag.pickUp) === 0 || ticks <= 0 ? 0 : ticks / (timeouts[abi.Timeout.second] || 1)
  }

  /** Flow records, as the programs count them. */
  get flowsLive(): bigint {
    const value = this.#maps.get("sweep")?.lookup(index(0))
    return value === undefined ? 0n : BigInt(abi.sweep.decode(value).records)
  }

  /** Drops by reason, those that happened. */
  drops(): TableCount[] {
    const map = this.#maps.get("drops")
    if (map === undefined) return []
    return Object.entries(abi.reasonNames).flatMap(([number, name]) => {
      const all = (map.lookupPerCpu(index(Number(number))) ?? []).map((bytes) => abi.dropCounter.decode(bytes))
      const packets = all.reduce((sum, one) => sum + one.packets, 0n)
      const bytes = all.reduce((sum, one) => sum + one.bytes, 0n)
      return packets === 0n ? [] : [{ name, packets, bytes }]
    })
  }

  /** Events that were lost because the ring was full, by kind. */
  lost(): TableCount[] {
    const map = this.#maps.get("lost")
    if (map === undefined) return []
    return Object.entries(abi.eventKindNames).flatMap(([number, name]) => {
      const all = (map.lookupPerCpu(index(Number(number))) ?? []).map((bytes) => abi.lost.decode(bytes).events)
      const packets = all.reduce((sum, one) => sum + one, 0n)
      return packets === 0n ? [] : [{ name, packets, bytes: 0n }]
    })
  }

  /** Every table; `used` gives what the caller knows of those whose use cannot be counted. */
  list(used: Readonly<Record<string, number>> = {}): TableInfo[] {
    return [...this.#maps].map(([name, map]) => {
      const count = used[name] ?? this.#count(name, map)
      return {
        name,
        type: abi.maps[name].type,
        used: BigInt(count ?? 0),
        usedKnown: count !== undefined,
        max: BigInt(map.maxEntries),
        bytes: memoryOf(map),
        description: descriptions[name] ?? "",
      }
    })
  }

  /** Up to `limit` entries of one table as text; entries of arrays that are all zero are left out. */
  entries(name: string, limit: number): { entries: { key: string; value: string }[]; truncated: boolean } {
    const map = this.#maps.get(name as Name)
    if (map === undefined) {
      throw new Failure(
        "notFound",
        `Cannot read map ${name}`,
        "there is no such map",
        `one of: ${[...this.#maps.keys()].join(", ")}`,
      )
    }
    const { type } = abi.maps[name as Name]
    if (type === "ringbuf" || type === "queue") {
      const [what, instead] =
        type === "queue" ? ["its keys", "heddle map show flows"] : ["its events", "heddle observe"]
      throw new Failure("failed", `Cannot read map ${name}`, `reading it would take ${what} away`, instead)
    }
    const found: { key: string; value: string }[] = []
    for (const [key, value] of map.entries()) {
      if (isArray(map) && value.every((byte) => byte === 0)) continue
      if (found.length === limit) return { entries: found, truncated: true }
      found.push(entryText(name as Name, key, value))
    }
    return { entries: found, truncated: false }
  }

  #count(name: Name, map: BpfMap): number | undefined {
    if (name === "flows" || name === "flow_keys") return Number(this.flowsLive)
    if (map.type === MapType.hash || map.type === MapType.lpmTrie || map.type === MapType.lruHash) {
      let count = 0
      for (const _ of map.entries()) count++
      return count
    }
    if (name !== "endpoints" && name !== "nodes") return undefined
    let count = 0
    for (const [, value] of map.entries()) if (value.some((byte) => byte !== 0)) count++
    return count
  }
}

function isArray(map: BpfMap): boolean {
  return map.type === MapType.array || map.type === MapType.percpuArray
}

function index(i: number): Uint8Array {
  const key = new Uint8Array(4)
  new DataView(key.buffer).setUint32(0, i, true)
  return key
}

/** Bytes that the kernel accounts for a map (proc_pid_fdinfo(5), `memlock`). */
function memoryOf(map: BpfMap): bigint {
  try {
    const found = /^memlock:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${map.fd}`, "utf8"))?.[1]
    return BigInt(found ?? 0)
  } catch {
    return 0n
  }
}

function entryText(name: Name, key: Uint8Array, value: Uint8Array): { key: string; value: string } {
  const codec = codecs[name]
  return { key: bytesText(key, codec?.key), value: packed(name, value) ?? bytesText(value, codec?.value) }
}

/** Four u16 in a u64. */
function packed(name: Name, value: Uint8Array): string | undefined {
  if (name !== "classes" && name !== "cells") return undefined
  const view = new DataView(value.buffer, value.byteOffset, 8)
  return [0, 2, 4, 6].map((at) => view.getUint16(at, true)).join(" ")
}

function bytesText(bytes: Uint8Array, codec: abi.Codec<object> | undefined): string {
  if (codec !== undefined) {
    return Object.entries(codec.decode(bytes))
      .map(([name, field]) => `${name}=${fieldText(field)}`)
      .join(" ")
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (bytes.length === 4) return String(view.getUint32(0, true))
  if (bytes.length === 8) return String(view.getBigUint64(0, true))
  return Buffer.from(bytes).toString("hex")
}

function fieldText(field: unknown): string {
  if (Array.isArray(field)) return `[${field.map(fieldText).join(",")}]`
  if (!(field instanceof Uint8Array)) return String(field)
  if (field.length === 16) return addressFromBytes(field)
  return field.length === 6 ? macText(field) : Buffer.from(field).toString("hex")
}
