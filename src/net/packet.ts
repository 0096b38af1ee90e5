/**
 * Builders of frames and packets, inside out: a builder takes the fields of its header and the bytes behind it, and
 * returns header and bytes. Lengths and checksums are right unless a field says otherwise. For packet tables, fuzzing and
 * raw sockets; `parse.ts` reads them back.
 */
import { packetBytes } from "./address.ts"
import { crc32c, internetChecksum } from "./checksum.ts"
import { type Address, Protocol, type ProtocolNumber } from "./types.ts"

export const EtherType = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd, vlan: 0x8100 } as const

/** Next-header numbers of IPv6 extension headers (IANA). */
export const Extension = {
  hopByHop: 0,
  routing: 43,
  fragment: 44,
  authentication: 51,
  none: 59,
  destination: 60,
} as const

export const TcpFlag = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } as const

/** Both ends, for checksums that cover them. */
export interface Ends {
  readonly source: Address
  readonly destination: Address
}

const empty = new Uint8Array(0)

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let offset = 0
  for (const part of parts) {
    all.set(part, offset)
    offset += part.length
  }
  return all
}

/** Six bytes from `02:68:64:00:00:01`. */
export function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(":"), (part) => Number.parseInt(part, 16))
}

export function macText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":")
}

export const BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"

export interface EthernetFields {
  readonly source: string
  readonly destination: string
  readonly type: number
}

export function ethernet(fields: EthernetFields, payload: Uint8Array): Uint8Array {
  return concat(macBytes(fields.destination), macBytes(fields.source), be16(fields.type), payload)
}

export interface ArpFields {
  /** 1 request, 2 reply. */
  readonly operation: 1 | 2
  readonly senderMac: string
  readonly sender: Address
  readonly targetMac: string
  readonly target: Address
}

/** An ARP packet for IPv4 over Ethernet (RFC 826). */
export function arp(fields: ArpFields): Uint8Array {
  return concat(
    Uint8Array.of(0, 1, 8, 0, 6, 4),
    be16(fields.operation),
    macBytes(fields.senderMac),
    packetBytes(fields.sender),
    macBytes(fields.targetMac),
    packetBytes(fields.target),
  )
}

export interface Ipv4Fields extends Ends {
  readonly protocol: ProtocolNumber
  readonly ttl?: number
  readonly id?: number
  readonly tos?: number
  readonly dontFragment?: boolean
  readonly moreFragments?: boolean
  /** In bytes, a multiple of 8. */
  readonly fragmentOffset?: number
  /** Options, padded to a multiple of 4 bytes with zeros. */
  readonly options?: Uint8Array
  /** Instead of the true total length. */
  readonly totalLength?: number
}

export function ipv4(fields: Ipv4Fields, payload: Uint8Array): Uint8Array {
  const options = fields.options ?? empty
  const headerLength = 20 + ((options.length + 3) & ~3)
  const header = new Uint8Array(headerLength)
  const view = new DataView(header.buffer)
  header[0] = 0x40 | (headerLength / 4)
  header[1] = fields.tos ?? 0
  view.setUint16(2, fields.totalLength ?? headerLength + payload.length)
  view.setUint16(4, fields.id ?? 0)
  const bits = (fields.dontFragment === true ? 0x4000 : 0) | (fields.moreFragments === true ? 0x2000 : 0)
  view.setUint16(6, bits | ((fields.fragmentOffset ?? 0) >> 3))
  header[8] = fields.ttl ?? 64
  header[9] = fields.protocol
  header.set(packetBytes(fields.source), 12)
  header.set(packetBytes(fields.destination), 16)
  header.set(options, 20)
  view.setUint16(10, internetChecksum(header))
  return concat(header, payload)
}

export interface Ipv6Fields extends Ends {
  /** Next header: a protocol or an extension header. */
  readonly next: number
  readonly hopLimit?: number
  readonly trafficClass?: number
  readonly flowLabel?: number
  /** Instead of the true payload length. */
  readonly payloadLength?: number
}

export function ipv6(fields: Ipv6Fields, payload: Uint8Array): Uint8Array {
  const header = new Uint8Array(40)
  const view = new DataView(header.buffer)
  view.setUint32(0, (6 << 28) | ((fields.trafficClass ?? 0) << 20) | (fields.flowLabel ?? 0))
  view.setUint16(4, fields.payloadLength ?? payload.length)
  header[6] = fields.next
  header[7] = fields.hopLimit ?? 64
  header.set(packetBytes(fields.source), 8)
  header.set(packetBytes(fields.destination), 24)
  return concat(header, payload)
}

/** An IP packet of the ends' family without options or extension headers. */
export function ip(
  fields: Ends & { readonly protocol: ProtocolNumber; readonly ttl?: number },
  payload: Uint8Array,
): Uint8Array {
  const ttl = fields.ttl ?? 64
  if (!fields.source.includes(":")) return ipv4({ ...fields, ttl }, payload)
  return ipv6({ source: fields.source, destination: fields.destination, next: fields.protocol, hopLimit: ttl }, payload)
}

/** Hop-by-hop, routing or destination options header (RFC 8200, 4.3–4.6); `data` is padded to whole 8 bytes with Pad1. */
export function extension(
  fields: { readonly next: number; readonly data?: Uint8Array },
  payload: Uint8Array,
): Uint8Array {
  const data = fields.data ?? empty
  const length = (2 + data.length + 7) & ~7
  const header = new Uint8Array(length)
  header[0] = fields.next
  header[1] = length / 8 - 1
  header.set(data, 2)
  return concat(header, payload)
}

export interface FragmentFields {
  readonly next: number
  readonly id: number
  /** In bytes, a multiple of 8. */
  readonly offset: number
  readonly more: boolean
}

/** IPv6 fragment header (RFC 8200, 4.5). */
export function fragment(fields: FragmentFields, payload: Uint8Array): Uint8Array {
  const header = new Uint8Array(8)
  const view = new DataView(header.buffer)
  header[0] = fields.next
  view.setUint16(2, (fields.offset & 0xfff8) | (fields.more ? 1 : 0))
  view.setUint32(4, fields.id)
  return concat(header, payload)
}

/** A whole datagram (transport header and payload) cut into fragments of at most `size` payload bytes each. */
export function fragments(
  ends: Ends & { readonly protocol: ProtocolNumber; readonly id: number },
  datagram: Uint8Array,
  size: number,
): Uint8Array[] {
  const packets: Uint8Array[] = []
  const step = size & ~7
  for (let offset = 0; offset < datagram.length; offset += step) {
    const part = datagram.subarray(offset, offset + step)
    const more = offset + step < datagram.length
    packets.push(
      ends.source.includes(":")
        ? ipv6(
            { ...ends, next: Extension.fragment },
            fragment({ next: ends.protocol, id: ends.id, offset, more }, part),
          )
        : ipv4({ ...ends, moreFragments: more, fragmentOffset: offset }, part),
    )
  }
  return packets
}

export interface PortFields {
  readonly sourcePort: number
  readonly destinationPort: number
}

export interface TcpFields extends PortFields {
  /** `TcpFlag`s; SYN when absent. */
  readonly flags?: number
  readonly sequence?: number
  readonly acknowledgement?: number
  readonly window?: number
  /** Padded with zeros to whole 4 bytes. */
  readonly options?: Uint8Array
}

export function tcp(fields: TcpFields, ends: Ends, payload: Uint8Array = empty): Uint8Array {
  const options = fields.options ?? empty
  const headerLength = 20 + ((options.length + 3) & ~3)
  const segment = new Uint8Array(headerLength + payload.length)
  const view = new DataView(segment.buffer)
  view.setUint16(0, fields.sourcePort)
  view.setUint16(2, fields.destinationPort)
  view.setUint32(4, fields.sequence ?? 1)
  view.setUint32(8, fields.acknowledgement ?? 0)
  segment[12] = (headerLength / 4) << 4
  segment[13] = fields.flags ?? TcpFlag.syn
  view.setUint16(14, fields.window ?? 64_240)
  segment.set(options, 20)
  segment.set(payload, headerLength)
  view.setUint16(16, transportChecksum(ends, Protocol.TCP, segment))
  return segment
}

export function udp(fields: PortFields, ends: Ends, payload: Uint8Array = empty): Uint8Array {
  const datagram = new Uint8Array(8 + payload.length)
  const view = new DataView(datagram.buffer)
  view.setUint16(0, fields.sourcePort)
  view.setUint16(2, fields.destinationPort)
  view.setUint16(4, datagram.length)
  datagram.set(payload, 8)
  // RFC 768: a computed zero is sent as all ones, zero means "no checksum".
  view.setUint16(6, transportChecksum(ends, Protocol.UDP, datagram) || 0xffff)
  return datagram
}

/** SCTP common header and chunks (RFC 9260, 3). */
export function sctp(fields: PortFields & { readonly tag?: number }, chunks: Uint8Array = empty): Uint8Array {
  const packet = new Uint8Array(12 + chunks.length)
  const view = new DataView(packet.buffer)
  view.setUint16(0, fields.sourcePort)
  view.setUint16(2, fields.destinationPort)
  view.setUint32(4, fields.tag ?? 0)
  packet.set(chunks, 12)
  view.setUint32(8, crc32c(packet), true)
  return packet
}

/** One chunk; padded to whole 4 bytes, the length without padding (RFC 9260, 3.2). */
export function sctpChunk(fields: { readonly type: number; readonly flags?: number }, value: Uint8Array): Uint8Array {
  const chunk = new Uint8Array((4 + value.length + 3) & ~3)
  chunk[0] = fields.type
  chunk[1] = fields.flags ?? 0
  new DataView(chunk.buffer).setUint16(2, 4 + value.length)
  chunk.set(value, 4)
  return chunk
}

/** INIT (type 1) chunk of one stream each way (RFC 9260, 3.3.2). */
export function sctpInit(tag: number): Uint8Array {
  return sctpChunk({ type: 1 }, initValue(tag))
}

/** INIT ACK (type 2) chunk with a state cookie (RFC 9260, 3.3.3). */
export function sctpInitAck(tag: number, cookie: Uint8Array = Uint8Array.of(1, 2, 3, 4)): Uint8Array {
  return sctpChunk({ type: 2 }, concat(initValue(tag), be16(7), be16(4 + cookie.length), cookie))
}

function initValue(tag: number): Uint8Array {
  const value = new Uint8Array(16)
  const view = new DataView(value.buffer)
  view.setUint32(0, tag)
  view.setUint32(4, 65_536)
  view.setUint16(8, 1)
  view.setUint16(10, 1)
  view.setUint32(12, 1)
  return value
}

export interface IcmpFields {
  readonly type: number
  readonly code?: number
  /** The four bytes after the checksum; zeros when absent. */
  readonly rest?: Uint8Array
}

/** ICMP for IPv4 (RFC 792). */
export function icmp(fields: IcmpFields, payload: Uint8Array = empty): Uint8Array {
  const message = icmpMessage(fields, payload)
  new DataView(message.buffer).setUint16(2, internetChecksum(message))
  return message
}

/** ICMPv6 (RFC 4443); its checksum covers the ends. */
export function icmp6(fields: IcmpFields, ends: Ends, payload: Uint8Array = empty): Uint8Array {
  const message = icmpMessage(fields, payload)
  new DataView(message.buffer).setUint16(2, transportChecksum(ends, Protocol.ICMPv6, message))
  return message
}

function icmpMessage(fields: IcmpFields, payload: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(fields.type, fields.code ?? 0, 0, 0), fields.rest ?? new Uint8Array(4), payload)
}

/** An echo request (or reply) of the ends' family, without IP header. */
export function echo(
  fields: { readonly reply?: boolean; readonly id: number; readonly sequence: number },
  ends: Ends,
  payload: Uint8Array = empty,
): Uint8Array {
  const rest = concat(be16(fields.id), be16(fields.sequence))
  if (ends.source.includes(":")) return icmp6({ type: fields.reply === true ? 129 : 128, rest }, ends, payload)
  return icmp({ type: fields.reply === true ? 0 : 8, rest }, payload)
}

/** Neighbour solicitation (RFC 4861, 4.3), with the source link-layer option if `mac` is given. */
export function neighbourSolicitation(
  fields: { readonly target: Address; readonly mac?: string },
  ends: Ends,
): Uint8Array {
  const option = fields.mac === undefined ? empty : concat(Uint8Array.of(1, 1), macBytes(fields.mac))
  return icmp6({ type: 135 }, ends, concat(packetBytes(fields.target), option))
}

export interface AdvertisementFields {
  readonly target: Address
  readonly mac?: string
  readonly router?: boolean
  readonly solicited?: boolean
  readonly override?: boolean
}

/** Neighbour advertisement (RFC 4861, 4.4). */
export function neighbourAdvertisement(fields: AdvertisementFields, ends: Ends): Uint8Array {
  const bits =
    (fields.router === true ? 0x80 : 0) | (fields.solicited === true ? 0x40 : 0) | (fields.override === true ? 0x20 : 0)
  const option = fields.mac === undefined ? empty : concat(Uint8Array.of(2, 1), macBytes(fields.mac))
  return icmp6({ type: 136, rest: Uint8Array.of(bits, 0, 0, 0) }, ends, concat(packetBytes(fields.target), option))
}

/** Router advertisement (RFC 4861, 4.2) without options. */
export function routerAdvertisement(ends: Ends, lifetimeSeconds = 1_800): Uint8Array {
  const rest = Uint8Array.of(64, 0, lifetimeSeconds >> 8, lifetimeSeconds & 0xff)
  return icmp6({ type: 134, rest }, ends, new Uint8Array(8))
}

/** Solicited-node multicast address of a target (RFC 4291, 2.7.1). */
export function solicitedNode(target: Address): Address {
  const bytes = packetBytes(target)
  const low = ((bytes[14] ?? 0) << 8) | (bytes[15] ?? 0)
  return `ff02::1:ff${(bytes[13] ?? 0).toString(16).padStart(2, "0")}:${low.toString(16)}` as Address
}

/** VXLAN header (RFC 7348, 5) before an inner frame; goes into `udp`. */
export function vxlan(vni: number, frame: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(8, 0, 0, 0, (vni >> 16) & 0xff, (vni >> 8) & 0xff, vni & 0xff, 0), frame)
}

/** Checksum over the pseudo-header of the ends' family (RFC 9293, 3.1; RFC 8200, 8.1) and the segment. */
export function transportChecksum(ends: Ends, protocol: ProtocolNumber, segment: Uint8Array): number {
  const pseudo = concat(
    packetBytes(ends.source),
    packetBytes(ends.destination),
    be16(segment.length >>> 16),
    be16(segment.length & 0xffff),
    be16(protocol),
  )
  return internetChecksum(pseudo, segment)
}

function be16(value: number): Uint8Array {
  return Uint8Array.of((value >> 8) & 0xff, value & 0xff)
}
