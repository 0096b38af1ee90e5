import { dropCounter, eventKindNames, lost, reasonNames, sweep } from "../../kernel/abi.generated.ts"
import type { BpfMap } from "../../kernel/bpf/map.ts"
import { keyOf } from "./endpoints.ts"
import type { Moment } from "./ticks.ts"

export interface DropCount {
  readonly packets: bigint
  readonly bytes: bigint
}

/** Drops by reason (`unknown-peer`, …), summed over the CPUs; reasons without any are left out. */
export function readDrops(drops: BpfMap): Map<string, DropCount> {
  const found = new Map<string, DropCount>()
  for (const [number, name] of Object.entries(reasonNames)) {
    let packets = 0n
    let bytes = 0n
    for (const value of drops.lookupPerCpu(keyOf(Number(number))) ?? []) {
      const counter = dropCounter.decode(value)
      packets += counter.packets
      bytes += counter.bytes
    }
    if (packets > 0n) found.set(name, { packets, bytes })
  }
  return found
}

/** Events that found no room in the ring, by kind (`flow-start`, `drop`, …). */
export function readLost(map: BpfMap): Map<string, bigint> {
  const found = new Map<string, bigint>()
  for (const [number, name] of Object.entries(eventKindNames)) {
    let events = 0n
    for (const value of map.lookupPerCpu(keyOf(Number(number))) ?? []) events += lost.decode(value).events
    if (events > 0n) found.set(name, events)
  }
  return found
}

/** The ageing timer: the moment of its last tick, how many there were, and how many records there are. */
export interface SweepState extends Moment {
  readonly ticks: number
  readonly flows: number
}

export function readSweep(map: BpfMap): SweepState {
  const bytes = map.lookup(keyOf(0))
  if (!bytes) throw new Error("Cannot read the ageing timer: its map has no entry; load the object again")
  const { jiffies, time, ticks, records } = sweep.decode(bytes)
  return { jiffies, time, ticks, flows: records }
}
