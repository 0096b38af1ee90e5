import type { Family } from "../net/types.ts"

/** What a raw socket delivered, without the IPv4 header that it has in front (raw(7)); IPv6 has none. */
export function transportOf(packet: Uint8Array, family: Family): Uint8Array {
  return family === 6 ? packet : packet.subarray(((packet[0] ?? 0) & 0x0f) * 4)
}

export interface SctpHead {
  readonly sourcePort: number
  readonly destinationPort: number
  /** Verification tag. */
  readonly tag: number
  /** Type of the first chunk (RFC 9260, 3.2). */
  readonly chunk: number
  /** Of INIT and INIT ACK: the initiate tag; else 0. */
  readonly initiateTag: number
}

/** Common header and first chunk of an SCTP packet; undefined when it is too short. */
export function readSctp(packet: Uint8Array): SctpHead | undefined {
  if (packet.length < 16) return undefined
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength)
  const chunk = view.getUint8(12)
  return {
    sourcePort: view.getUint16(0),
    destinationPort: view.getUint16(2),
    tag: view.getUint32(4),
    chunk,
    initiateTag: (chunk === 1 || chunk === 2) && packet.length >= 20 ? view.getUint32(16) : 0,
  }
}
