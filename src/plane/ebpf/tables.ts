import { constants, type Live, live, type Timeout } from "../../kernel/abi.generated.ts"
import type { BpfMap } from "../../kernel/bpf/map.ts"

const { MAX_SLOTS, MAX_CELLS, MAX_ROWS, MAX_INTERVALS, MAX_ENDPOINTS } = constants

/** 0 or 1: which half of the two-sided tables. */
export type Side = 0 | 1

/**
 * The tables that are written through mapped memory, as typed arrays of both sides. Index into each: side × its maximum +
 * the number within the side. The kernel sees a store at once.
 */
export class Tables {
  /** u16 by side × MAX_SLOTS + slot. */
  readonly classes: Uint16Array
  /** u16 by side × MAX_CELLS + base + class. */
  readonly cells: Uint16Array
  /** Pairs base, count by side × 2 × MAX_ENDPOINTS + endpoint × 2 + direction. */
  readonly sets: Uint32Array
  /** Pairs offset, count by side × MAX_ROWS + row. */
  readonly rows: Uint32Array
  /** Pairs start, outcome by side × MAX_INTERVALS + offset + i. */
  readonly intervals: Uint32Array
  readonly #live: DataView
  readonly #generation: Uint32Array

  constructor(map: (name: string) => BpfMap) {
    this.classes = new Uint16Array(map("classes").memory(), 0, 2 * MAX_SLOTS)
    this.cells = new Uint16Array(map("cells").memory(), 0, 2 * MAX_CELLS)
    this.sets = new Uint32Array(map("sets").memory(), 0, 2 * 2 * MAX_ENDPOINTS * 2)
    this.rows = new Uint32Array(map("rows").memory(), 0, 2 * MAX_ROWS * 2)
    this.intervals = new Uint32Array(map("intervals").memory(), 0, 2 * MAX_INTERVALS * 2)
    const memory = map("live").memory()
    this.#live = new DataView(memory)
    this.#generation = new Uint32Array(memory, live.offset.generation, 1)
  }

  get generation(): number {
    return Atomics.load(this.#generation, 0)
  }

  /** The moment of enforcement: one store, after all stores before it. */
  set generation(value: number) {
    Atomics.store(this.#generation, 0, value)
  }

  /** The side that packets are judged by. */
  get liveSide(): Side {
    return (this.generation & 1) as Side
  }

  get live(): Live {
    return live.read(this.#live)
  }

  /** Slots of addresses in no table and of the node's own sockets, of one side. */
  setSlots(side: Side, slots: { readonly outside: Families; readonly node: Families }): void {
    const put = (field: "outside4" | "outside6" | "node4" | "node6", slot: number) =>
      this.#live.setUint32(live.offset[field] + 4 * side, slot, true)
    put("outside4", slots.outside[4])
    put("outside6", slots.outside[6])
    put("node4", slots.node[4])
    put("node6", slots.node[6])
  }

  /** Ticks by `Timeout`. */
  setTimeouts(ticks: Readonly<Partial<Record<Timeout, number>>>): void {
    for (const [index, value] of Object.entries(ticks))
      this.#live.setUint32(live.offset.timeouts + 4 * Number(index), value, true)
  }

  setHalfOpenLimit(limit: number): void {
    this.#live.setUint32(live.offset.halfOpenLimit, limit, true)
  }

  /** Until which jiffies64 a packet in the middle of an unknown connection may be the answer in one; undefined: never. */
  setPickUp(until: bigint | undefined, flag: number): void {
    this.#live.setBigUint64(live.offset.pickUpUntil, until ?? 0n, true)
    const flags = this.#live.getUint32(live.offset.flags, true)
    this.#live.setUint32(live.offset.flags, until === undefined ? flags & ~flag : flags | flag, true)
  }
}

export interface Families {
  readonly 4: number
  readonly 6: number
}

export function other(side: Side): Side {
  return side === 0 ? 1 : 0
}
