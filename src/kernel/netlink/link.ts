import type { NamespaceHandle } from "../namespace.ts"
import {
  attribute,
  be16,
  concat,
  decodeAttributes,
  type Message,
  nested,
  readText,
  readU32,
  text,
  u8,
  u32,
  viewOf,
} from "./message.ts"

/** Message types and attributes of include/uapi/linux/rtnetlink.h and if_link.h. */
export const LinkMessage = { new: 16, delete: 17, get: 18, set: 19 } as const
const Ifla = {
  address: 1,
  name: 3,
  mtu: 4,
  link: 5,
  master: 10,
  txQueueLength: 13,
  linkInfo: 18,
  afSpec: 26,
  group: 27,
  namespaceFd: 28,
  extMask: 29,
  txQueues: 31,
  rxQueues: 32,
  linkNamespaceId: 37,
  gsoMaxSegments: 40,
  gsoMaxSize: 41,
  groMaxSize: 58,
  tsoMaxSize: 59,
  gsoIpv4MaxSize: 63,
  groIpv4MaxSize: 64,
} as const
const LinkInfo = { kind: 1, data: 2 } as const
const Vxlan = { learning: 7, port: 15, zeroChecksum6Send: 18, zeroChecksum6Receive: 19, collectMetadata: 25 } as const
const VETH_PEER = 1
/** RTEXT_FILTER_SKIP_STATS: leaves out half of each message. */
const SKIP_STATISTICS = 8
const Iff = { up: 0x1, noarp: 0x80, promiscuous: 0x100, allMulticast: 0x200, lowerUp: 0x10000 } as const
const IFINFO_SIZE = 16

/** A network interface. */
export interface Link {
  readonly index: number
  readonly name: string
  /** Six bytes; empty where the link has no Ethernet address. */
  readonly mac: Uint8Array
  readonly mtu: number
  readonly up: boolean
  /** Up, and something at the other end too. */
  readonly carrier: boolean
  readonly noarp: boolean
  /** `veth`, `vxlan`, `bridge`…; undefined for real devices and lo. */
  readonly kind?: string
  /** Index of the bridge it belongs to. */
  readonly master?: number
  /** Index of the other end of a veth pair, in its own namespace. */
  readonly peer?: number
  /** Number of the namespace of `peer` as seen from here; undefined: the same namespace. */
  readonly peerNamespaceId?: number
  /** Index of the link on which it stands (a VLAN's, a macvlan's), in the same namespace. */
  readonly lower?: number
  readonly gsoMaxSize?: number
  readonly groMaxSize?: number
  /** Undefined before Linux 6.3, as `groIpv4MaxSize`. */
  readonly gsoIpv4MaxSize?: number
  readonly groIpv4MaxSize?: number
  /** Bytes of the longest TCP packet that the device takes; `gsoMaxSize` cannot be more. */
  readonly tsoMaxSize?: number
}

/**
 * Bytes of the longest TCP packet that is built for a link (GSO) and put together from what comes in by it (GRO); the names
 * without a family mean IPv6, and IPv4 too up to 65,536 (net/core/dev.h, netif_set_gso_max_size).
 */
export interface PacketLimits {
  readonly gsoMaxSize?: number
  readonly groMaxSize?: number
  /** A kernel before 6.3 takes no notice of it, and of `groIpv4MaxSize`. */
  readonly gsoIpv4MaxSize?: number
  readonly groIpv4MaxSize?: number
}

export interface VethOptions {
  readonly name: string
  readonly mac?: Uint8Array
  /** Bytes, of both ends. */
  readonly mtu?: number
  readonly up?: boolean
  /** Of both ends. */
  readonly limits?: PacketLimits
  readonly peer: {
    readonly name: string
    /** Where the other end is made; default: the socket's own namespace. */
    readonly namespace?: NamespaceHandle
    readonly mac?: Uint8Array
    readonly up?: boolean
  }
}

export interface VxlanOptions {
  readonly name: string
  /** UDP port. */
  readonly port: number
  /** Tunnel ends and number come with each packet (`ip link … external`). */
  readonly external: true
  readonly mac?: Uint8Array
  readonly mtu?: number
  readonly up?: boolean
  /** Take and send UDP over IPv6 without checksum (RFC 6935). */
  readonly zeroChecksum6?: boolean
}

export interface BridgeOptions {
  readonly name: string
  readonly mac?: Uint8Array
  readonly mtu?: number
  readonly up?: boolean
}

/** What `setLink` can change; what is not named stays. */
export interface LinkChange extends PacketLimits {
  readonly up?: boolean
  readonly mtu?: number
  /** Index of a bridge; 0: none. */
  readonly master?: number
  readonly noarp?: boolean
  readonly promiscuous?: boolean
  readonly allMulticast?: boolean
  /** Moves the link there; its index may change. */
  readonly namespace?: NamespaceHandle
  readonly name?: string
  readonly mac?: Uint8Array
  readonly txQueueLength?: number
  readonly gsoMaxSegments?: number
  /** `none`: the kernel makes no link-local IPv6 address (IN6_ADDR_GEN_MODE_NONE). */
  readonly ipv6AddressGeneration?: "eui64" | "none"
}

/** Struct ifinfomsg. */
export function linkHeader(index = 0, flags = 0, change = 0): Uint8Array {
  const bytes = new Uint8Array(IFINFO_SIZE)
  const view = new DataView(bytes.buffer)
  view.setInt32(4, index, true)
  view.setUint32(8, flags, true)
  view.setUint32(12, change, true)
  return bytes
}

export function encodeLinkQuery(name?: string): Uint8Array {
  const mask = attribute(Ifla.extMask, u32(SKIP_STATISTICS))
  return name === undefined ? concat(linkHeader(), mask) : concat(linkHeader(), attribute(Ifla.name, text(name)), mask)
}

export function encodeLinkIndexQuery(index: number): Uint8Array {
  return concat(linkHeader(index), attribute(Ifla.extMask, u32(SKIP_STATISTICS)))
}

/** A link by index or name, or all links of an interface group; a link with a group is put into it. */
export function encodeLinkReference(link: number | string | undefined, group?: number): Uint8Array {
  return concat(
    linkHeader(typeof link === "number" ? link : 0),
    ...(typeof link === "string" ? [attribute(Ifla.name, text(link))] : []),
    ...(group === undefined ? [] : [attribute(Ifla.group, u32(group))]),
  )
}

/**
 * One queue in each direction: without a number the kernel makes as many as there are CPUs, then goes back to one and waits for
 * RCU with the network lock held, for each end (drivers/net/veth.c, veth_init_queues).
 */
const oneQueue: readonly Uint8Array[] = [attribute(Ifla.txQueues, u32(1)), attribute(Ifla.rxQueues, u32(1))]

export function encodeVeth(options: VethOptions): Uint8Array {
  const { peer } = options
  const other = concat(
    linkHeader(),
    attribute(Ifla.name, text(peer.name)),
    ...oneQueue,
    ...common({ mac: peer.mac, mtu: options.mtu }),
    ...limitAttributes(options.limits ?? {}),
    ...(peer.namespace ? [attribute(Ifla.namespaceFd, u32(peer.namespace.fd))] : []),
  )
  // No end of a pair can be up before the other is there (ENOTCONN): `Netlink.addVeth` does that afterwards.
  const own = concat(created({ ...options, up: false }), ...oneQueue, ...limitAttributes(options.limits ?? {}))
  return concat(own, linkInfo("veth", attribute(VETH_PEER, other)))
}

export function encodeVxlan(options: VxlanOptions): Uint8Array {
  const data = [
    attribute(Vxlan.port, be16(options.port)),
    attribute(Vxlan.collectMetadata, u8(1)),
    attribute(Vxlan.learning, u8(0)),
  ]
  if (options.zeroChecksum6) {
    data.push(attribute(Vxlan.zeroChecksum6Send, u8(1)), attribute(Vxlan.zeroChecksum6Receive, u8(1)))
  }
  return concat(created(options), linkInfo("vxlan", ...data))
}

export function encodeBridge(options: BridgeOptions): Uint8Array {
  return concat(created(options), linkInfo("bridge"))
}

export function encodeLinkChange(index: number, change: LinkChange): Uint8Array {
  const flags: readonly (readonly [number, boolean | undefined])[] = [
    [Iff.up, change.up],
    [Iff.noarp, change.noarp],
    [Iff.promiscuous, change.promiscuous],
    [Iff.allMulticast, change.allMulticast],
  ]
  let set = 0
  let mask = 0
  for (const [bit, wanted] of flags) {
    if (wanted === undefined) continue
    mask |= bit
    if (wanted) set |= bit
  }
  const numbers: readonly (readonly [number, number | undefined])[] = [
    [Ifla.master, change.master],
    [Ifla.txQueueLength, change.txQueueLength],
    [Ifla.gsoMaxSegments, change.gsoMaxSegments],
    [Ifla.namespaceFd, change.namespace?.fd],
  ]
  return concat(
    linkHeader(index, set, mask),
    ...(change.name === undefined ? [] : [attribute(Ifla.name, text(change.name))]),
    ...common(change),
    ...limitAttributes(change),
    ...numbers.flatMap(([type, value]) => (value === undefined ? [] : [attribute(type, u32(value))])),
    ...addressGeneration(change.ipv6AddressGeneration),
  )
}

function limitAttributes(limits: PacketLimits): Uint8Array[] {
  const numbers = [
    [Ifla.gsoMaxSize, limits.gsoMaxSize],
    [Ifla.groMaxSize, limits.groMaxSize],
    [Ifla.gsoIpv4MaxSize, limits.gsoIpv4MaxSize],
    [Ifla.groIpv4MaxSize, limits.groIpv4MaxSize],
  ] as const
  return numbers.flatMap(([type, value]) => (value === undefined ? [] : [attribute(type, u32(value))]))
}

function addressGeneration(mode: LinkChange["ipv6AddressGeneration"]): Uint8Array[] {
  if (mode === undefined) return []
  const AF_INET6 = 10
  const ADDRESS_GENERATION = 8
  return [nested(Ifla.afSpec, nested(AF_INET6, attribute(ADDRESS_GENERATION, u8(mode === "none" ? 1 : 0))))]
}

function created(options: BridgeOptions): Uint8Array {
  const up = options.up ? Iff.up : 0
  return concat(linkHeader(0, up, up), attribute(Ifla.name, text(options.name)), ...common(options))
}

function common(options: { readonly mac?: Uint8Array | undefined; readonly mtu?: number | undefined }): Uint8Array[] {
  const parts: Uint8Array[] = []
  if (options.mac) parts.push(attribute(Ifla.address, options.mac))
  if (options.mtu !== undefined) parts.push(attribute(Ifla.mtu, u32(options.mtu)))
  return parts
}

function linkInfo(kind: string, ...data: readonly Uint8Array[]): Uint8Array {
  const parts = [attribute(LinkInfo.kind, text(kind))]
  if (data.length > 0) parts.push(nested(LinkInfo.data, ...data))
  return nested(Ifla.linkInfo, ...parts)
}

/** Reads an RTM_NEWLINK. */
export function decodeLink(message: Message): Link {
  const view = viewOf(message.payload)
  const flags = view.getUint32(8, true)
  const attributes = decodeAttributes(message.payload.subarray(IFINFO_SIZE))
  const info = attributes.get(Ifla.linkInfo)
  const kind = info && readText(decodeAttributes(info).get(LinkInfo.kind))
  const linkedTo = readU32(attributes.get(Ifla.link))
  const linkedNamespace = readU32(attributes.get(Ifla.linkNamespaceId))
  const optional = {
    kind,
    master: readU32(attributes.get(Ifla.master)),
    peer: kind === "veth" ? linkedTo : undefined,
    peerNamespaceId: linkedNamespace,
    lower: kind === "veth" || linkedNamespace !== undefined || linkedTo === 0 ? undefined : linkedTo,
    gsoMaxSize: readU32(attributes.get(Ifla.gsoMaxSize)),
    groMaxSize: readU32(attributes.get(Ifla.groMaxSize)),
    gsoIpv4MaxSize: readU32(attributes.get(Ifla.gsoIpv4MaxSize)),
    groIpv4MaxSize: readU32(attributes.get(Ifla.groIpv4MaxSize)),
    tsoMaxSize: readU32(attributes.get(Ifla.tsoMaxSize)),
  }
  return {
    index: view.getInt32(4, true),
    name: readText(attributes.get(Ifla.name)) ?? "",
    mac: attributes.get(Ifla.address) ?? new Uint8Array(0),
    mtu: readU32(attributes.get(Ifla.mtu)) ?? 0,
    up: (flags & Iff.up) !== 0,
    carrier: (flags & Iff.lowerUp) !== 0,
    noarp: (flags & Iff.noarp) !== 0,
    ...present(optional),
  }
}

/** Only the keys that have a value. */
export function present<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}
