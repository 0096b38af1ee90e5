import { type Flow, FlowFlag, type FlowKey, flow, flowKey, HopKind } from "../../kernel/abi.generated.ts"
import type { BpfMap } from "../../kernel/bpf/map.ts"
import { addressFromBytes } from "../../net/address.ts"
import type { Address } from "../../net/types.ts"

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

/** Records looked at between two turns of the event loop. */
const RECORDS_A_TURN = 8_192

/** The flow table, which only the programs write, except for ending flows. */
export class FlowTable {
  readonly #flows: BpfMap

  constructor(flows: BpfMap) {
    this.#flows = flows
  }

  /** All records, read while the programs go on. */
  *records(): Generator<FlowRecord> {
    for (const [key, value] of this.#flows.entries()) yield recordOf(key, value)
  }

  /**
   * Ends the flows of the pods behind these interfaces: packets take their records for gone at once, the ageing timer
   * deletes them and tells their end. `now`: jiffies64. Returns how many.
   */
  async endFlowsOf(interfaces: ReadonlySet<number>, now: bigint): Promise<number> {
    if (interfaces.size === 0) return 0
    const past = Number((now - 1n) & 0xffff_ffffn)
    let ended = 0
    let seen = 0
    for (const [key, value] of this.#flows.entries()) {
      if (++seen % RECORDS_A_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve))
      const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
      const ends = [
        [flow.offset.sourceHopKind, flow.offset.sourceHop],
        [flow.offset.destinationHopKind, flow.offset.destinationHop],
      ] as const
      if (
        !ends.some(([kind, hop]) => view.getUint8(kind) === HopKind.local && interfaces.has(view.getUint32(hop, true)))
      )
        continue
      view.setUint32(flow.offset.expires, past, true)
      try {
        this.#flows.update(key.slice(), value.slice(), "exist")
        ended++
      } catch (error) {
        // Deleted meanwhile: what was wanted.
        if ((error as { code?: string }).code !== "ENOENT") throw error
      }
    }
    return ended
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
