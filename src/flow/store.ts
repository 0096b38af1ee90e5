import type { ProtocolNumber } from "../net/types.ts"
import type { Decision, FlowEnd, FlowKind, FlowRecord } from "./record.ts"

/** What is appended: a record whose texts are still numbers of `abi/`. */
export interface FlowInput {
  readonly time: number
  readonly kind: number
  readonly reason: number
  readonly hook: number
  readonly direction: number
  readonly protocol: ProtocolNumber
  readonly tcpFlags: number
  readonly flowFlags: number
  readonly source: FlowEnd
  readonly destination: FlowEnd
  readonly sourcePort: number
  readonly destinationPort: number
  readonly sourceEndpoint: number
  readonly destinationEndpoint: number
  readonly egress: Decision | undefined
  readonly ingress: Decision | undefined
  readonly generation: number
  readonly ifindex: number
  readonly packets: number
  readonly bytes: number
  readonly replyPackets: number
  readonly replyBytes: number
}

/** Texts of the numbers, in one place: `decode.ts` makes them from `abi/`. */
export interface FlowTexts {
  readonly kinds: readonly (FlowKind | undefined)[]
  readonly reasons: readonly (string | undefined)[]
  readonly hooks: readonly (string | undefined)[]
}

const HALF = 0xffff_ffff

/**
 * A run of flows as columns, 72 bytes a flow: time 8, bytes 2 × 8, packets 2 × 4, ends 2 × 4, decisions 2 × 4, ports 2 × 2,
 * endpoints 2 × 2, generation 4, ifindex 4, flags 2, and six single bytes. Ends and decisions are kept once a segment.
 */
export class Segment {
  readonly size: number
  /** Sequence number of its first flow. */
  readonly first: number
  length = 0
  readonly time: Float64Array
  readonly bytes: Float64Array
  readonly packets: Uint32Array
  readonly source: Uint32Array
  readonly destination: Uint32Array
  readonly egress: Uint32Array
  readonly ingress: Uint32Array
  readonly ports: Uint16Array
  readonly endpoints: Uint16Array
  readonly generation: Uint32Array
  readonly ifindex: Uint32Array
  readonly flags: Uint16Array
  readonly kind: Uint8Array
  readonly reason: Uint8Array
  readonly hook: Uint8Array
  readonly protocol: Uint8Array
  readonly tcpFlags: Uint8Array
  readonly direction: Uint8Array
  readonly ends: FlowEnd[] = []
  /** Index 0: none. */
  readonly decisions: (Decision | undefined)[] = [undefined]
  readonly #endIndex = new Map<FlowEnd, number>()
  readonly #decisionIndex = new Map<Decision | undefined, number>([[undefined, 0]])

  constructor(size: number, first: number) {
    this.size = size
    this.first = first
    this.time = new Float64Array(size)
    this.bytes = new Float64Array(2 * size)
    this.packets = new Uint32Array(2 * size)
    this.source = new Uint32Array(size)
    this.destination = new Uint32Array(size)
    this.egress = new Uint32Array(size)
    this.ingress = new Uint32Array(size)
    this.ports = new Uint16Array(2 * size)
    this.endpoints = new Uint16Array(2 * size)
    this.generation = new Uint32Array(size)
    this.ifindex = new Uint32Array(size)
    this.flags = new Uint16Array(size)
    this.kind = new Uint8Array(size)
    this.reason = new Uint8Array(size)
    this.hook = new Uint8Array(size)
    this.protocol = new Uint8Array(size)
    this.tcpFlags = new Uint8Array(size)
    this.direction = new Uint8Array(size)
  }

  append(flow: FlowInput): void {
    const i = this.length++
    this.time[i] = flow.time
    this.bytes[2 * i] = flow.bytes
    this.bytes[2 * i + 1] = flow.replyBytes
    this.packets[2 * i] = Math.min(flow.packets, HALF)
    this.packets[2 * i + 1] = Math.min(flow.replyPackets, HALF)
    this.source[i] = this.#end(flow.source)
    this.destination[i] = this.#end(flow.destination)
    this.egress[i] = this.#decision(flow.egress)
    this.ingress[i] = this.#decision(flow.ingress)
    this.ports[2 * i] = flow.sourcePort
    this.ports[2 * i + 1] = flow.destinationPort
    this.endpoints[2 * i] = flow.sourceEndpoint
    this.endpoints[2 * i + 1] = flow.destinationEndpoint
    this.generation[i] = flow.generation
    this.ifindex[i] = flow.ifindex
    this.flags[i] = flow.flowFlags
    this.kind[i] = flow.kind
    this.reason[i] = flow.reason
    this.hook[i] = flow.hook
    this.protocol[i] = flow.protocol
    this.tcpFlags[i] = flow.tcpFlags
    this.direction[i] = flow.direction
  }

  #end(end: FlowEnd): number {
    let index = this.#endIndex.get(end)
    if (index === undefined) {
      index = this.ends.push(end) - 1
      this.#endIndex.set(end, index)
    }
    return index
  }

  #decision(decision: Decision | undefined): number {
    let index = this.#decisionIndex.get(decision)
    if (index === undefined) {
      index = this.decisions.push(decision) - 1
      this.#decisionIndex.set(decision, index)
    }
    return index
  }
}

/** Whether flow `i` of `segment` is wanted. */
export type FlowPredicate = (segment: Segment, i: number) => boolean

export interface FlowQuery {
  readonly matches?: FlowPredicate
  /** The newest so many; 0 or absent: all. */
  readonly last?: number
  /** Ms since the epoch, inclusive. */
  readonly since?: number
  readonly until?: number
}

export interface FlowStoreOptions {
  readonly texts: FlowTexts
  /** Flows in one segment. */
  readonly segmentSize?: number
  /** Segments kept; the oldest is dropped whole when another one is needed. */
  readonly segments?: number
}

/** Where flows come from: some may wait there to be taken. */
export interface FlowFeed {
  /** Appends what waits now. */
  take(): void
  /** What comes is waited for from now on. */
  wake(): void
}

/** The flows of this node that are remembered: a bounded sequence, each with a sequence number that only grows. */
export class FlowStore {
  readonly #texts: FlowTexts
  readonly #segmentSize: number
  readonly #limit: number
  readonly #segments: Segment[] = []
  #next = 0
  readonly #listeners = new Set<() => void>()
  /** Asked for what waits before flows are told. */
  feed: FlowFeed | undefined

  constructor(options: FlowStoreOptions) {
    this.#texts = options.texts
    this.#segmentSize = options.segmentSize ?? 16_384
    this.#limit = options.segments ?? 16
  }

  /** Sequence number of the next flow. */
  get end(): number {
    return this.#next
  }

  /** Sequence number of the oldest flow kept. */
  get begin(): number {
    return this.#segments[0]?.first ?? this.#next
  }

  append(flow: FlowInput): void {
    let segment = this.#segments.at(-1)
    if (segment === undefined || segment.length === segment.size) {
      segment = new Segment(this.#segmentSize, this.#next)
      this.#segments.push(segment)
      if (this.#segments.length > this.#limit) this.#segments.shift()
    }
    segment.append(flow)
    this.#next++
  }

  /** Whether somebody waits for flows. */
  get wanted(): boolean {
    return this.#listeners.size > 0
  }

  /** Tells those who wait that flows were appended; called once a batch. */
  notify(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  /** Calls `listener` after each batch; returns how to stop that. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    this.feed?.wake()
    return () => this.#listeners.delete(listener)
  }

  /** What is kept and asked for, oldest first. */
  select(query: FlowQuery): FlowRecord[] {
    this.feed?.take()
    const { matches = () => true, since = Number.NEGATIVE_INFINITY, until = Number.POSITIVE_INFINITY } = query
    const wanted = query.last === undefined || query.last === 0 ? Number.POSITIVE_INFINITY : query.last
    const found: FlowRecord[] = []
    for (let s = this.#segments.length - 1; s >= 0 && found.length < wanted; s--) {
      const segment = this.#segments[s]
      if (segment === undefined) continue
      for (let i = segment.length - 1; i >= 0 && found.length < wanted; i--) {
        const time = segment.time[i] ?? 0
        if (time >= since && time <= until && matches(segment, i)) found.push(this.#record(segment, i))
      }
    }
    return found.reverse()
  }

  /**
   * Those of the flows from sequence number `from` on that match, at most `limit` looked at; `next` is where to go on,
   * `missed` how many were dropped before they could be read.
   */
  read(from: number, matches: FlowPredicate, limit: number): { flows: FlowRecord[]; next: number; missed: number } {
    const start = Math.max(from, this.begin)
    const flows: FlowRecord[] = []
    const stop = Math.min(this.#next, start + limit)
    for (const segment of this.#segments) {
      const end = segment.first + segment.length
      for (let at = Math.max(start, segment.first); at < Math.min(end, stop); at++) {
        if (matches(segment, at - segment.first)) flows.push(this.#record(segment, at - segment.first))
      }
    }
    return { flows, next: stop, missed: start - from }
  }

  #record(segment: Segment, i: number): FlowRecord {
    const protocol = segment.protocol[i] ?? 0
    const icmp = protocol === 1 || protocol === 58
    const port = segment.ports[2 * i + 1] ?? 0
    const source = segment.ends[segment.source[i] ?? 0]
    const destination = segment.ends[segment.destination[i] ?? 0]
    if (source === undefined || destination === undefined) throw new Error(`Cannot read flow ${segment.first + i}`)
    const direction = segment.direction[i]
    const kind = this.#texts.kinds[segment.kind[i] ?? 0] ?? "drop"
    const reason = segment.reason[i] ?? 0
    const egress = segment.decisions[segment.egress[i] ?? 0]
    const ingress = segment.decisions[segment.ingress[i] ?? 0]
    return {
      time: segment.time[i] ?? 0,
      kind,
      source,
      destination,
      protocol,
      sourcePort: icmp ? 0 : (segment.ports[2 * i] ?? 0),
      destinationPort: icmp ? 0 : port,
      icmpType: icmp ? port >> 8 : 0,
      icmpCode: icmp ? port & 0xff : 0,
      egress,
      ingress,
      forwarded: isForwarded(segment, i),
      reason: reason === 0 ? "" : (this.#texts.reasons[reason] ?? `reason-${reason}`),
      direction: direction === 1 ? "egress" : direction === 0 && kind === "drop" ? "ingress" : "",
      hook: this.#texts.hooks[segment.hook[i] ?? 0] ?? "",
      generation: segment.generation[i] ?? 0,
      packets: segment.packets[2 * i] ?? 0,
      bytes: segment.bytes[2 * i] ?? 0,
      replyPackets: segment.packets[2 * i + 1] ?? 0,
      replyBytes: segment.bytes[2 * i + 1] ?? 0,
      tcpFlags: segment.tcpFlags[i] ?? 0,
    }
  }
}

const DROP = 4

/** A drop is not; a flow judged again and denied is not either. */
export function isForwarded(segment: Segment, i: number): boolean {
  if (segment.kind[i] === DROP) return false
  const egress = segment.decisions[segment.egress[i] ?? 0]
  const ingress = segment.decisions[segment.ingress[i] ?? 0]
  return egress?.allowed !== false && ingress?.allowed !== false
}
