import { familyOf } from "../../net/address.ts"
import { prefixBase, prefixLength, prefixOf } from "../../net/prefix.ts"
import type { Address, Family, Prefix } from "../../net/types.ts"
import { familyNumber, readAddress, Scope, type ScopeName, scopeName, wireAddress } from "./address.ts"
import { present } from "./link.ts"
import { attribute, concat, decodeAttributes, type Message, nested, readU32, u16, u32, viewOf } from "./message.ts"

/** Message types and attributes of include/uapi/linux/rtnetlink.h. */
export const RouteMessage = { new: 24, delete: 25, get: 26 } as const
const Rta = {
  destination: 1,
  outInterface: 4,
  gateway: 5,
  priority: 6,
  preferredSource: 7,
  metrics: 8,
  table: 15,
  via: 18,
} as const
const METRIC_MTU = 2
const ONLINK = 4
const RTMSG_SIZE = 12

/** Kinds of routes (rtm_type). */
export const RouteType = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
} as const
export type RouteTypeName = keyof typeof RouteType

/** Who made it (rtm_protocol): kernel, boot, static; the kernel does not care. */
export const RouteProtocol = { kernel: 2, boot: 3, static: 4 } as const

export const RouteTable = { main: 254, local: 255 } as const

export interface Route {
  readonly destination: Prefix
  readonly gateway?: Address
  readonly ifindex?: number
  /** Preferred source address. */
  readonly source?: Address
  readonly scope: ScopeName
  readonly table: number
  readonly type: RouteTypeName
  /** rtm_protocol. */
  readonly protocol: number
  readonly metric?: number
  readonly mtu?: number
}

export interface RouteOptions {
  readonly destination: Prefix
  readonly gateway?: Address
  /** Needed but for blackholes. */
  readonly ifindex?: number
  readonly source?: Address
  /** Default: `link` without a gateway, `host` for `local`, else `universe`. */
  readonly scope?: ScopeName
  /** The gateway is reachable on the interface though no route says so. */
  readonly onlink?: boolean
  readonly mtu?: number
  readonly type?: "unicast" | "blackhole" | "local" | "unreachable"
  readonly table?: number
  readonly metric?: number
  readonly protocol?: number
}

export interface RouteFilter {
  readonly family: Family
  /** Default: all tables. */
  readonly table?: number
}

export function encodeRoute(options: RouteOptions): Uint8Array {
  const { destination, gateway } = options
  const base = prefixBase(destination)
  const family = familyOf(base)
  const table = options.table ?? (options.type === "local" ? RouteTable.local : RouteTable.main)
  const scope = options.scope ?? (options.type === "local" ? "host" : gateway || options.type ? "universe" : "link")
  const header = Uint8Array.of(
    familyNumber(family),
    prefixLength(destination),
    0,
    0,
    table < 256 ? table : 0,
    options.protocol ?? RouteProtocol.static,
    // IPv6 routes have no scope; the kernel ignores it there.
    Scope[scope],
    RouteType[options.type ?? "unicast"],
    ...u32(options.onlink ? ONLINK : 0),
  )
  const parts = [header, attribute(Rta.destination, wireAddress(base)), attribute(Rta.table, u32(table))]
  if (gateway !== undefined) parts.push(encodeGateway(gateway, family))
  if (options.ifindex !== undefined) parts.push(attribute(Rta.outInterface, u32(options.ifindex)))
  if (options.source !== undefined) parts.push(attribute(Rta.preferredSource, wireAddress(options.source)))
  if (options.metric !== undefined) parts.push(attribute(Rta.priority, u32(options.metric)))
  if (options.mtu !== undefined) parts.push(nested(Rta.metrics, attribute(METRIC_MTU, u32(options.mtu))))
  return concat(...parts)
}

/** RTA_GATEWAY, or RTA_VIA for a gateway of the other family (RFC 5549). */
function encodeGateway(gateway: Address, family: Family): Uint8Array {
  const own = familyOf(gateway)
  if (own === family) return attribute(Rta.gateway, wireAddress(gateway))
  return attribute(Rta.via, u16(familyNumber(own)), wireAddress(gateway))
}

export function encodeRouteQuery(filter: RouteFilter): Uint8Array {
  const header = new Uint8Array(RTMSG_SIZE)
  header[0] = familyNumber(filter.family)
  if (filter.table === undefined) return header
  return concat(header, attribute(Rta.table, u32(filter.table)))
}

/** Reads an RTM_NEWROUTE; undefined for kinds that are not ours to know (cloned cache entries, other families). */
export function decodeRoute(message: Message): Route | undefined {
  const CLONED = 0x200
  const view = viewOf(message.payload)
  const family = view.getUint8(0)
  if (family !== 2 && family !== 10) return undefined
  if (view.getUint32(8, true) & CLONED) return undefined
  const attributes = decodeAttributes(message.payload.subarray(RTMSG_SIZE))
  const type = (Object.keys(RouteType) as RouteTypeName[]).find((name) => RouteType[name] === view.getUint8(7))
  if (!type) return undefined
  const destination = attributes.get(Rta.destination) ?? new Uint8Array(family === 2 ? 4 : 16)
  const gateway = attributes.get(Rta.gateway) ?? attributes.get(Rta.via)?.subarray(2)
  const source = attributes.get(Rta.preferredSource)
  const metrics = attributes.get(Rta.metrics)
  return {
    destination: prefixOf(readAddress(destination), view.getUint8(1)),
    scope: scopeName(view.getUint8(6)),
    table: readU32(attributes.get(Rta.table)) ?? view.getUint8(4),
    type,
    protocol: view.getUint8(5),
    ...present({
      gateway: gateway && readAddress(gateway),
      ifindex: readU32(attributes.get(Rta.outInterface)),
      source: source && readAddress(source),
      metric: readU32(attributes.get(Rta.priority)),
      mtu: metrics && readU32(decodeAttributes(metrics).get(METRIC_MTU)),
    }),
  }
}
