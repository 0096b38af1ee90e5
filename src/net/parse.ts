/** Readers of what `packet.ts` builds and of what the kernel sends: a frame's headers as values, or why it has none. */
import { addressFromPacket } from "./address.ts"
import { crc32c, internetChecksum } from "./checksum.ts"
import { EtherType, Extension, macText, transportChecksum } from "./packet.ts"
import { type Address, type Family, Protocol, type ProtocolNumber } from "./types.ts"

export interface Frame {
  readonly source: string
  readonly destination: string
  readonly type: number
  readonly payload: Uint8Array
  readonly arp?: ArpPacket
  readonly ip?: IpPacket
}

export interface ArpPacket {
  readonly operation: number
  readonly senderMac: string
  readonly sender: Address
  readonly targetMac: string
  readonly target: Address
}

export interface IpPacket {
  readonly family: Family
  readonly source: Address
  readonly destination: Address
  /** Protocol behind all extension headers. */
  readonly protocol: ProtocolNumber
  readonly ttl: number
  readonly tos: number
  /** Extension headers passed, by number. */
  readonly extensions: readonly number[]
  readonly fragment?: { readonly id: number; readonly offset: number; readonly more: boolean }
  /** What stands behind the IP headers, cut to the length they state. */
  readonly payload: Uint8Array
  /** Absent for later fragments and protocols without ports or types. */
  readonly transport?: Transport
}

export interface Transport {
  /** 0 for ICMP. */
  readonly sourcePort: number
  readonly destinationPort: number
  readonly tcp?: { readonly flags: number; readonly sequence: number; readonly acknowledgement: number }
  readonly icmp?: { readonly type: number; readonly code: number; readonly rest: Uint8Array }
  readonly sctp?: { readonly tag: number; readonly chunkType: number }
  readonly payload: Uint8Array
}

/** Reads an Ethernet frame; undefined when a header is cut short or contradicts itself. */
export function parseFrame(bytes: Uint8Array): Frame | undefined {
  if (bytes.length < 14) return undefined
  const type = u16(bytes, 12)
  const payload = bytes.subarray(14)
  const frame = { destination: macText(bytes.subarray(0, 6)), source: macText(bytes.subarray(6, 12)), type, payload }
  if (type === EtherType.arp) {
    const arp = parseArp(payload)
    return arp === undefined ? undefined : { ...frame, arp }
  }
  if (type !== EtherType.ipv4 && type !== EtherType.ipv6) return frame
  const ip = parseIp(payload)
  return ip === undefined ? undefined : { ...frame, ip }
}

export function parseArp(bytes: Uint8Array): ArpPacket | undefined {
  if (bytes.length < 28 || u16(bytes, 0) !== 1 || u16(bytes, 2) !== EtherType.ipv4) return undefined
  return {
    operation: u16(bytes, 6),
    senderMac: macText(bytes.subarray(8, 14)),
    sender: addressFromPacket(bytes, 14, 4),
    targetMac: macText(bytes.subarray(18, 24)),
    target: addressFromPacket(bytes, 24, 4),
  }
}

/** Reads an IPv4 or IPv6 packet by its version. */
export function parseIp(bytes: Uint8Array): IpPacket | undefined {
  const version = (bytes[0] ?? 0) >> 4
  if (version === 4) return parseFour(bytes)
  return version === 6 ? parseSix(bytes) : undefined
}

function parseFour(bytes: Uint8Array): IpPacket | undefined {
  const headerLength = ((bytes[0] ?? 0) & 15) * 4
  if (bytes.length < 20 || headerLength < 20) return undefined
  const total = u16(bytes, 2)
  if (total < headerLength || total > bytes.length) return undefined
  const bits = u16(bytes, 6)
  const offset = (bits & 0x1fff) * 8
  const more = (bits & 0x2000) !== 0
  return withTransport({
    family: 4,
    source: addressFromPacket(bytes, 12, 4),
    destination: addressFromPacket(bytes, 16, 4),
    protocol: bytes[9] ?? 0,
    ttl: bytes[8] ?? 0,
    tos: bytes[1] ?? 0,
    extensions: [],
    ...(offset > 0 || more ? { fragment: { id: u16(bytes, 4), offset, more } } : {}),
    payload: bytes.subarray(headerLength, total),
  })
}

function parseSix(bytes: Uint8Array): IpPacket | undefined {
  const end = 40 + u16(bytes, 4)
  if (bytes.length < 40 || end > bytes.length) return undefined
  let next = bytes[6] ?? 0
  let at = 40
  let fragment: IpPacket["fragment"]
  const extensions: number[] = []
  while (isExtension(next) && (fragment === undefined || fragment.offset === 0)) {
    if (at + 8 > end) return undefined
    extensions.push(next)
    const header = next
    next = bytes[at] ?? 0
    if (header === Extension.fragment) {
      const word = u16(bytes, at + 2)
      fragment = { id: u32(bytes, at + 4), offset: word & 0xfff8, more: (word & 1) !== 0 }
      at += 8
    } else {
      const units = bytes[at + 1] ?? 0
      at += header === Extension.authentication ? (units + 2) * 4 : (units + 1) * 8
    }
    if (at > end) return undefined
  }
  return withTransport({
    family: 6,
    source: addressFromPacket(bytes, 8, 6),
    destination: addressFromPacket(bytes, 24, 6),
    protocol: next,
    ttl: bytes[7] ?? 0,
    tos: (u16(bytes, 0) >> 4) & 0xff,
    extensions,
    ...(fragment === undefined ? {} : { fragment }),
    payload: bytes.subarray(at, end),
  })
}

function isExtension(next: number): boolean {
  return (
    next === Extension.hopByHop ||
    next === Extension.routing ||
    next === Extension.fragment ||
    next === Extension.authentication ||
    next === Extension.destination
  )
}

function withTransport(packet: Omit<IpPacket, "transport">): IpPacket | undefined {
  if (packet.fragment !== undefined && packet.fragment.offset > 0) return packet
  const transport = parseTransport(packet.protocol, packet.payload)
  if (transport === null) return packet
  return transport === undefined ? undefined : { ...packet, transport }
}

/** Null for a protocol that has neither ports nor types, undefined for a header cut short. */
function parseTransport(protocol: ProtocolNumber, bytes: Uint8Array): Transport | null | undefined {
  const ports = { sourcePort: u16(bytes, 0), destinationPort: u16(bytes, 2) }
  switch (protocol) {
    case Protocol.TCP: {
      const length = ((bytes[12] ?? 0) >> 4) * 4
      if (length < 20 || bytes.length < length) return undefined
      const tcp = { flags: bytes[13] ?? 0, sequence: u32(bytes, 4), acknowledgement: u32(bytes, 8) }
      return { ...ports, tcp, payload: bytes.subarray(length) }
    }
    case Protocol.UDP:
      return bytes.length < 8 ? undefined : { ...ports, payload: bytes.subarray(8) }
    case Protocol.SCTP: {
      if (bytes.length < 12) return undefined
      return { ...ports, sctp: { tag: u32(bytes, 4), chunkType: bytes[12] ?? 0 }, payload: bytes.subarray(12) }
    }
    case Protocol.ICMP:
    case Protocol.ICMPv6: {
      if (bytes.length < 8) return undefined
      const message = { type: bytes[0] ?? 0, code: bytes[1] ?? 0, rest: bytes.subarray(4, 8) }
      return { sourcePort: 0, destinationPort: 0, icmp: message, payload: bytes.subarray(8) }
    }
    default:
      return null
  }
}

export interface NeighbourMessage {
  readonly target: Address
  /** MAC of the link-layer option, if there is one. */
  readonly mac?: string
}

/** Reads the body of a neighbour solicitation or advertisement (ICMPv6 types 135, 136). */
export function parseNeighbour(transport: Transport): NeighbourMessage | undefined {
  const type = transport.icmp?.type
  if ((type !== 135 && type !== 136) || transport.payload.length < 16) return undefined
  const target = addressFromPacket(transport.payload, 0, 6)
  const option = transport.payload.subarray(16)
  if (option.length < 8) return { target }
  return { target, mac: macText(option.subarray(2, 8)) }
}

/** VNI and inner frame of a VXLAN payload (of UDP). */
export function parseVxlan(bytes: Uint8Array): { readonly vni: number; readonly frame: Uint8Array } | undefined {
  if (bytes.length < 8 || ((bytes[0] ?? 0) & 8) === 0) return undefined
  return { vni: u32(bytes, 4) >>> 8, frame: bytes.subarray(8) }
}

/** Whether the transport checksum of an unfragmented packet is right (a UDP one left out counts as right on IPv4). */
export function checksumRight(packet: IpPacket): boolean {
  const { payload, protocol } = packet
  switch (protocol) {
    case Protocol.SCTP: {
      const copy = Uint8Array.from(payload)
      copy.fill(0, 8, 12)
      return crc32c(copy) === new DataView(payload.buffer, payload.byteOffset).getUint32(8, true)
    }
    case Protocol.ICMP:
      return internetChecksum(payload) === 0
    case Protocol.UDP:
      if (packet.family === 4 && u16(payload, 6) === 0) return true
      return transportChecksum(packet, protocol, payload) === 0
    case Protocol.TCP:
    case Protocol.ICMPv6:
      return transportChecksum(packet, protocol, payload) === 0
    default:
      return true
  }
}

function u16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0)
}

function u32(bytes: Uint8Array, offset: number): number {
  return u16(bytes, offset) * 65_536 + u16(bytes, offset + 2)
}
