import { addressFromPacket, familyOf, packetBytes, parseAddress } from "../net/address.ts"
import type { Address } from "../net/types.ts"

/** Room for any sockaddr that the kernel returns here. */
export const SOCKADDR_ROOM = 32

const AF_INET = 2
const AF_INET6 = 10
const AF_PACKET = 17

/** struct sockaddr_in or sockaddr_in6. `scope` is the interface of a link-local IPv6 address. */
export function encodeSockaddr(address: Address, port: number, scope = 0): Uint8Array {
  const bytes = packetBytes(address)
  const sockaddr = new Uint8Array(familyOf(address) === 4 ? 16 : 28)
  const view = new DataView(sockaddr.buffer)
  view.setUint16(2, port, false)
  if (familyOf(address) === 4) {
    view.setUint16(0, AF_INET, true)
    sockaddr.set(bytes, 4)
  } else {
    view.setUint16(0, AF_INET6, true)
    sockaddr.set(bytes, 8)
    view.setUint32(24, scope, true)
  }
  return sockaddr
}

/** struct sockaddr_ll. `protocol` is an EtherType; 3 (ETH_P_ALL) is every one. */
export function encodeLinkSockaddr(ifindex: number, protocol: number): Uint8Array {
  const sockaddr = new Uint8Array(20)
  const view = new DataView(sockaddr.buffer)
  view.setUint16(0, AF_PACKET, true)
  view.setUint16(2, protocol, false)
  view.setInt32(4, ifindex, true)
  return sockaddr
}

/** Where a packet came from; a stream or packet socket has no address there: `::`, port 0. */
export interface From {
  readonly address: Address
  readonly port: number
  /** Packet sockets: the interface. */
  readonly ifindex?: number
  /** Packet sockets: sent by this machine (PACKET_OUTGOING). */
  readonly outgoing?: boolean
}

const unspecified = parseAddress("::")

export function decodeSockaddr(sockaddr: Uint8Array): From {
  const view = new DataView(sockaddr.buffer, sockaddr.byteOffset, sockaddr.byteLength)
  switch (view.getUint16(0, true)) {
    case AF_INET:
      return { address: addressFromPacket(sockaddr, 4, 4), port: view.getUint16(2, false) }
    case AF_INET6:
      return { address: addressFromPacket(sockaddr, 8, 6), port: view.getUint16(2, false) }
    case AF_PACKET: {
      const OUTGOING = 4
      const outgoing = view.getUint8(10) === OUTGOING
      return { address: unspecified, port: 0, ifindex: view.getInt32(4, true), outgoing }
    }
    default:
      return { address: unspecified, port: 0 }
  }
}
