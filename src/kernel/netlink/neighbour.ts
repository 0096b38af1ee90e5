import { familyOf } from "../../net/address.ts"
import type { Address, Family } from "../../net/types.ts"
import { familyNumber, readAddress, wireAddress } from "./address.ts"
import { attribute, concat, decodeAttributes, type Message, u32, viewOf } from "./message.ts"

/** Message types and attributes of include/uapi/linux/neighbour.h. */
export const NeighbourMessage = { new: 28, delete: 29, get: 30 } as const
const Nda = { destination: 1, linkAddress: 2 } as const
const Nud = { permanent: 0x80, reachable: 0x02 } as const
const NDMSG_SIZE = 12

export interface Neighbour {
  readonly ifindex: number
  readonly address: Address
  /** Six bytes; empty while unresolved. */
  readonly mac: Uint8Array
  readonly permanent: boolean
}

export interface NeighbourOptions {
  readonly ifindex: number
  readonly address: Address
  readonly mac: Uint8Array
  readonly permanent: boolean
}

export function encodeNeighbour(options: {
  readonly ifindex: number
  readonly address: Address
  readonly mac?: Uint8Array
  readonly permanent?: boolean
}): Uint8Array {
  const header = new Uint8Array(NDMSG_SIZE)
  header[0] = familyNumber(familyOf(options.address))
  header.set(u32(options.ifindex), 4)
  header[8] = options.permanent === false ? Nud.reachable : Nud.permanent
  return concat(
    header,
    attribute(Nda.destination, wireAddress(options.address)),
    ...(options.mac ? [attribute(Nda.linkAddress, options.mac)] : []),
  )
}

export function encodeNeighbourQuery(family: Family): Uint8Array {
  const header = new Uint8Array(NDMSG_SIZE)
  header[0] = familyNumber(family)
  return header
}

export function decodeNeighbour(message: Message): Neighbour | undefined {
  const view = viewOf(message.payload)
  const attributes = decodeAttributes(message.payload.subarray(NDMSG_SIZE))
  const destination = attributes.get(Nda.destination)
  if (!destination) return undefined
  return {
    ifindex: view.getInt32(4, true),
    address: readAddress(destination),
    mac: attributes.get(Nda.linkAddress) ?? new Uint8Array(0),
    permanent: (view.getUint16(8, true) & Nud.permanent) !== 0,
  }
}
