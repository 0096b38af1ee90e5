import type { Address, ProtocolNumber } from "../net/types.ts"

/** The first packet of a connection as policy sees it. */
export interface Packet {
  readonly source: Address
  readonly destination: Address
  readonly protocol: ProtocolNumber
  /** 0–65535; 0 for protocols without ports. */
  readonly sourcePort: number
  /** 0–65535; 0 for protocols without ports. */
  readonly destinationPort: number
  /** ICMP and ICMPv6 only. */
  readonly icmpType?: number
  readonly icmpCode?: number
  /** The packet comes from a socket of the node itself (not merely from its address). */
  readonly fromNodeSocket?: boolean
}
