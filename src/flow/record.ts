import type { Origin } from "../model/origin.ts"
import type { Labels } from "../model/selector.ts"
import type { Address, ProtocolNumber } from "../net/types.ts"

export type FlowKind = "start" | "end" | "judged" | "drop"

/** One end of a flow with the name it had when the event happened. Equal ends are one object while names do not change. */
export interface FlowEnd {
  readonly address: Address
  readonly kind: "pod" | "node" | "outside" | "unknown"
  /** Empty unless a pod. */
  readonly namespace: string
  /** The pod's or the node's name; empty for others. */
  readonly name: string
  /** Where the pod is, or the node itself; empty for others. */
  readonly node: string
  readonly labels: Labels
  readonly namespaceLabels: Labels
}

/** What one end's node decided. */
export interface Decision {
  readonly allowed: boolean
  /** Text of the rule id (`ruleIdText`). */
  readonly rule: string
  readonly origin?: Origin
  /** What staged policies would have decided; absent where that is the same by the same rule. */
  readonly staged?: Omit<Decision, "staged">
}

/** One event with its names. `source` is the original source of the flow, or of the dropped packet. */
export interface FlowRecord {
  /** Ms since the epoch, with fractions. */
  readonly time: number
  readonly kind: FlowKind
  readonly source: FlowEnd
  readonly destination: FlowEnd
  readonly protocol: ProtocolNumber
  /** 0 for protocols without ports. */
  readonly sourcePort: number
  /** 0 for protocols without ports. */
  readonly destinationPort: number
  /** ICMP and ICMPv6 only. */
  readonly icmpType: number
  readonly icmpCode: number
  /** Undefined where this node does not judge the end, or the packet was dropped before it was judged. */
  readonly egress: Decision | undefined
  readonly ingress: Decision | undefined
  readonly forwarded: boolean
  /** Why it was dropped, e.g. `policy`, `no-record`; empty when forwarded. */
  readonly reason: string
  /** Which end's decision dropped it; empty for other reasons. */
  readonly direction: "egress" | "ingress" | ""
  /** Where the packet was seen, e.g. `pod`, `overlay`. */
  readonly hook: string
  readonly generation: number
  /** Source to destination; of a drop: how many packets it stands for. */
  readonly packets: number
  readonly bytes: number
  readonly replyPackets: number
  readonly replyBytes: number
  readonly tcpFlags: number
}
