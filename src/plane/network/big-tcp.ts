import type { Link, PacketLimits } from "../../kernel/netlink/link.ts"
import { IPV6_LEAST } from "./mtu.ts"

export const bigTcpModes = ["auto", "on", "off"] as const
/** `auto`: where nothing on the way to other nodes would cut the long packets again. */
export type BigTcpMode = (typeof bigTcpModes)[number]

/** Bytes of the longest TCP packet with BIG TCP: 192 KiB, the size that others in this field use too. */
const BIG = 196_608
/** Bytes of the longest without it, as every link is made (GSO_LEGACY_MAX_SIZE of include/linux/netdevice.h). */
const PLAIN = 65_536

/** Bytes of the hop-by-hop header that an IPv6 packet above 64 KiB has (RFC 2675). */
const JUMBO_HEADER = 8

/** Whether TCP packets above 64 KiB are used, and why. */
export interface BigTcp {
  /** Bytes of the longest TCP packet that pods build and get; undefined: the kernel's own limit. */
  readonly bytes: number | undefined
  /** For people: `on: …` or `off: …`. */
  readonly told: string
}

export interface BigTcpQuestion {
  readonly mode: BigTcpMode
  readonly routing: "vxlan" | "native"
  /** The uplink, and what it stands on. */
  readonly way: readonly Link[]
  /** MTU of pods. */
  readonly mtu: number
}

/** Decides by the setting, the routing and the links on the way to other nodes. */
export function decideBigTcp({ mode, routing, way, mtu }: BigTcpQuestion): BigTcp {
  if (mode === "off") return { bytes: undefined, told: "off: by the setting bigTcp" }
  const why = cut(routing, way)
  const against = tooSmall(mtu) ?? (mode === "on" ? undefined : (why ?? unknownEnd(way)))
  if (against !== undefined) return { bytes: undefined, told: `off: ${against}` }
  const bytes = mode === "on" ? BIG : Math.min(BIG, ...way.map(longest))
  const notes = [`on: TCP packets of up to ${number(bytes)} bytes`]
  // One kernel for all links: what one lacks, all lack.
  if (way[0]?.gsoIpv4MaxSize === undefined) notes.push("IPv6 only, the kernel has it for IPv4 from 6.3 on")
  if (why !== undefined) notes.push(why)
  return { bytes, told: notes.join("; ") }
}

/** A link and all that carry its packets: the ports of a bond or bridge, the link under a VLAN. */
export function wayOf(uplink: Link, links: () => readonly Link[]): readonly Link[] {
  // A real device, the usual case, is all of its way.
  if (uplink.kind === undefined || uplink.kind === "veth") return [uplink]
  const all = links()
  const way = new Set([uplink])
  for (const upper of way)
    for (const link of all) if (link.master === upper.index || link.index === upper.lower) way.add(link)
  return [...way]
}

/**
 * MTU of a pod's IPv6 routes with BIG TCP, given its interface's. What leaves through the node's stack is forwarded only if
 * each segment fits, and the kernel counts the hop-by-hop header into each (skb_gso_validate_network_len), though no segment
 * gets it.
 */
export function bigTcpMtu(mtu: number): number {
  return mtu - JUMBO_HEADER
}

/** Bytes of the longest TCP packet that the link's device takes. */
export function longest(link: Link): number {
  return link.tsoMaxSize ?? PLAIN
}

/** All limits for packets of so many bytes; default: the kernel's own. */
export function limitsOf(bytes = PLAIN): Required<PacketLimits> {
  return { gsoMaxSize: bytes, groMaxSize: bytes, gsoIpv4MaxSize: bytes, groIpv4MaxSize: bytes }
}

function tooSmall(mtu: number): string | undefined {
  if (bigTcpMtu(mtu) >= IPV6_LEAST) return undefined
  return `the MTU of ${number(mtu)} has no room for the header of long IPv6 packets, ${number(IPV6_LEAST + JUMBO_HEADER)} has`
}

/** Why a long packet to another node does not leave in one piece; undefined when nothing here cuts it. */
function cut(routing: BigTcpQuestion["routing"], way: readonly Link[]): string | undefined {
  if (routing === "vxlan") return "with routing vxlan a longer packet to another node is cut before it is encapsulated"
  const short = way.find((link) => longest(link) <= PLAIN)
  if (short === undefined) return undefined
  return `${short.name} takes TCP packets of ${number(longest(short))} bytes at most, a longer one is cut in software`
}

/** A veth takes everything, and promises nothing of where its other end leads. */
function unknownEnd(way: readonly Link[]): string | undefined {
  const veth = way.find((link) => link.kind === "veth")
  return veth && `${veth.name} is a veth, and what is behind its other end may cut a longer packet`
}

function number(value: number): string {
  return value.toLocaleString("en")
}
