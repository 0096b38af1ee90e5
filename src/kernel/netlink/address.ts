import { addressFromPacket, familyOf, packetBytes } from "../../net/address.ts"
import type { Address, Family } from "../../net/types.ts"
import { attribute, concat, decodeAttributes, type Message, readU32, u32, viewOf } from "./message.ts"

/** Message types and attributes of include/uapi/linux/if_addr.h. */
export const AddressMessage = { new: 20, delete: 21, get: 22 } as const
const Ifa = { address: 1, local: 2, flags: 8 } as const
const IfaFlag = { noDad: 0x02, noPrefixRoute: 0x200, tentative: 0x40, permanent: 0x80 } as const
const IFADDR_SIZE = 8

/** rt_scope_t. */
export const Scope = { universe: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const
export type ScopeName = keyof typeof Scope

/** AF_INET and AF_INET6. */
const families: Readonly<Record<Family, number>> = { 4: 2, 6: 10 }

/** An address on an interface. */
export interface InterfaceAddress {
  readonly ifindex: number
  readonly address: Address
  readonly prefixLength: number
  readonly scope: ScopeName
  /** Still looking for duplicates (IPv6). */
  readonly tentative: boolean
}

export interface AddressOptions {
  readonly ifindex: number
  readonly address: Address
  /** Bits of the address's own family. */
  readonly prefixLength: number
  /** Usable at once, without duplicate address detection (IPv6). */
  readonly noDad?: boolean
  /** Without the route to its prefix. */
  readonly noPrefixRoute?: boolean
  readonly scope?: ScopeName
}

export function encodeAddress(options: AddressOptions): Uint8Array {
  const bytes = wireAddress(options.address)
  const header = Uint8Array.of(
    families[familyOf(options.address)],
    options.prefixLength,
    0,
    Scope[options.scope ?? "universe"],
    ...u32(options.ifindex),
  )
  const flags = (options.noDad ? IfaFlag.noDad : 0) | (options.noPrefixRoute ? IfaFlag.noPrefixRoute : 0)
  return concat(
    header,
    attribute(Ifa.local, bytes),
    attribute(Ifa.address, bytes),
    ...(flags ? [attribute(Ifa.flags, u32(flags))] : []),
  )
}

export function decodeAddress(message: Message): InterfaceAddress | undefined {
  const view = viewOf(message.payload)
  const attributes = decodeAttributes(message.payload.subarray(IFADDR_SIZE))
  // For IPv6 and for lo there is only IFA_ADDRESS; on point-to-point links IFA_ADDRESS is the other end.
  const bytes = attributes.get(Ifa.local) ?? attributes.get(Ifa.address)
  if (!bytes) return undefined
  const flags = readU32(attributes.get(Ifa.flags)) ?? view.getUint8(2)
  return {
    ifindex: view.getUint32(4, true),
    address: readAddress(bytes),
    prefixLength: view.getUint8(1),
    scope: scopeName(view.getUint8(3)),
    tentative: (flags & IfaFlag.tentative) !== 0,
  }
}

/** AF_INET or AF_INET6 of an address family. */
export function familyNumber(family: Family): number {
  return families[family]
}

export function scopeName(scope: number): ScopeName {
  const found = (Object.keys(Scope) as ScopeName[]).find((name) => Scope[name] === scope)
  return found ?? "universe"
}

/** An address as the kernel takes it: four or sixteen bytes. */
export function wireAddress(address: Address): Uint8Array {
  return packetBytes(address)
}

/** Reads four or sixteen bytes. */
export function readAddress(bytes: Uint8Array): Address {
  return addressFromPacket(bytes, 0, bytes.length === 16 ? 6 : 4)
}
