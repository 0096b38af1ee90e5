import { constants, type Flow, FlowFlag, type FlowKey, flow, flowKey, HopKind } from "../../kernel/abi.generated.ts"
import { BpfMap } from "../../kernel/bpf/map.ts"
import { addressFromBytes } from "../../net/address.ts"
import type { Address } from "../../net/types.ts"
import { keyOf, numberOf } from "./endpoints.ts"

/** A record with its ends in the orientation of its first packet. */
export interface FlowRecord {
  readonly source: Address
  readonly destination: Address
  readonly sourcePort: number
  readonly destinationPort: number
  readonly protocol: number
  readonly key: FlowKey
  readonly flow: Flow
}

/** Shards between two turns of the event loop. */
const SHARDS_A_TURN = 8

/** The flow table, which only the programs write, except for ending flows. */
export class FlowTable {
  readonly #shards: readonly BpfMap[]

  constructor(flows: BpfMap) {
    this.#shards = Array.from({ length: constants.FLOW_SHARDS }, (_, i) => {
      const id = flows.lookup(keyOf(i))
      if (id === undefined)
        throw new Error(`Cannot open the flow table: shard ${i} is not there; load the object again`)
      return BpfMap.openById(numberOf(id), `flow_shard ${i}`)
    })
  }

  /** All records, read while the programs go on. */
  *records(): Generator<FlowRecord> {
    for (const shard of this.#shards) for (const [key, value] of shard.entries()) yield recordOf(key, value)
  }

  /**
   * Ends the flows of the pods behind these interfaces: packets take their records for gone at once, the ageing timer
   * deletes them and tells their end. `now`: jiffies64. Returns how many.
   */
  async endFlowsOf(interfaces: ReadonlySet<number>, now: bigint): Promise<number> {
    if (interfaces.size === 0) return 0
    const past = Number((now - 1n) & 0xffff_ffffn)
    let ended = 0
    for (const [i, shard] of this.#shards.entries()) {
      if (i % SHARDS_A_TURN === SHARDS_A_TURN - 1) await new Promise<void>((resolve) => setImmediate(resolve))
      for (const [key, value] of shard.entries()) {
        const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
        const ends = [
          [flow.offset.sourceHopKind, flow.offset.sourceHop],
          [flow.offset.destinationHopKind, flow.offset.destinationHop],
        ] as const
        if (
          !ends.some(
            ([kind, hop]) => view.getUint8(kind) === HopKind.local && interfaces.has(view.getUint32(hop, true)),
          )
        )
          continue
        view.setUint32(flow.offset.expires, past, true)
        try {
          shard.update(key.slice(), value.slice(), "exist")
          ended++
        } catch (error) {
          // Deleted meanwhile: what was wanted.
          if ((error as { code?: string }).code !== "ENOENT") throw error
        }
      }
    }
    return ended
  }

  close(): void {
    for (const shard of this.#shards) shard.close()
  }
}

function recordOf(keyBytes: Uint8Array, valueBytes: Uint8Array): FlowRecord {
  const key = flowKey.decode(keyBytes)
  const record = flow.decode(valueBytes)
  const high = (record.flags & FlowFlag.sourceIsHigh) !== 0
  const low = { address: addressFromBytes(key.low), port: key.lowPort }
  const top = { address: addressFromBytes(key.high), port: key.highPort }
  const [source, destination] = high ? [top, low] : [low, top]
  return {
    source: source.address,
    destination: destination.address,
    sourcePort: source.port,
    destinationPort: destination.port,
    protocol: key.protocol,
    key,
    flow: record,
  }
}
