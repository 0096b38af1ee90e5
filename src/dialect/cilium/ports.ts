import type { L4Match, PortSpec } from "../../model/policy.ts"
import { Protocol, type ProtocolNumber } from "../../net/types.ts"
import { fieldAt, listAt, numberAt, recordAt, textAt } from "../read.ts"

/** ANY stands for the protocols that have ports; never for ICMP. */
const ANY: readonly ProtocolNumber[] = [Protocol.TCP, Protocol.UDP, Protocol.SCTP]

/** Protocols by name; those without ports are Cilium's extended ones (IANA numbers). */
export const ciliumProtocols: Readonly<Record<string, readonly ProtocolNumber[]>> = {
  ANY,
  TCP: [Protocol.TCP],
  UDP: [Protocol.UDP],
  SCTP: [Protocol.SCTP],
  VRRP: [112],
  IGMP: [2],
  GRE: [47],
  IPIP: [4],
  IPV6: [41],
  ESP: [50],
  AH: [51],
}

/** Whether a protocol name is one of those that have ports (ANY and no name too). */
export function hasPorts(protocol: string): boolean {
  return ["", "ANY", "TCP", "UDP", "SCTP"].includes(protocol.toUpperCase())
}

/** Whether a text has the form of a port's name (IANA service name). A hexadecimal number has it too, and Cilium takes it for a name. */
export function isPortName(text: string): boolean {
  return text.length <= 15 && /^(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$/i.test(text)
}

/** A port as Cilium reads it: a number in Go's base-0 syntax (`80`, `0120`, `8_0`), or NaN for what may be a name. */
export function portNumber(text: string): number {
  if (isPortName(text)) return Number.NaN
  if (!/^(0[xX](_?[0-9a-fA-F])+|0[bB](_?[01])+|0[oO]?(_?[0-7])*|[1-9](_?[0-9])*)$/.test(text)) return Number.NaN
  const plain = text.replace(/_/g, "").toLowerCase()
  return /^0[0-7]+$/.test(plain) ? Number.parseInt(plain, 8) : Number(plain)
}

/** What the `toPorts` of an entry ask of a packet; an empty list when there is none (every packet). */
export function toPortsMatch(entry: unknown): readonly L4Match[] {
  return listAt(entry, "toPorts").flatMap((rule) => listAt(rule, "ports").map(portMatch))
}

function portMatch(item: unknown): L4Match {
  const protocol = (textAt(item, "protocol") ?? "ANY").toUpperCase()
  const protocols = ciliumProtocols[protocol === "" ? "ANY" : protocol] ?? ANY
  const text = textAt(item, "port") || "0"
  const first = portNumber(text)
  if (Number.isNaN(first)) return { protocols, ports: [{ kind: "named", name: text.toLowerCase() }] }
  if (first === 0) return { protocols }
  const end = numberAt(item, "endPort") ?? 0
  const port: PortSpec = { kind: "range", first, last: Math.max(first, end) }
  return { protocols, ports: [port] }
}

/** ICMP types that Cilium knows by name (`pkg/policy/api/icmp.go`). */
export const icmpTypes: Readonly<Record<"IPv4" | "IPv6", Readonly<Record<string, number>>>> = {
  IPv4: {
    EchoReply: 0,
    DestinationUnreachable: 3,
    Redirect: 5,
    Echo: 8,
    EchoRequest: 8,
    RouterAdvertisement: 9,
    RouterSelection: 10,
    TimeExceeded: 11,
    ParameterProblem: 12,
    Timestamp: 13,
    TimestampReply: 14,
    Photuris: 40,
    ExtendedEchoRequest: 42,
    ExtendedEchoReply: 43,
  },
  IPv6: {
    DestinationUnreachable: 1,
    PacketTooBig: 2,
    TimeExceeded: 3,
    ParameterProblem: 4,
    EchoRequest: 128,
    EchoReply: 129,
    MulticastListenerQuery: 130,
    MulticastListenerReport: 131,
    MulticastListenerDone: 132,
    RouterSolicitation: 133,
    RouterAdvertisement: 134,
    NeighborSolicitation: 135,
    NeighborAdvertisement: 136,
    RedirectMessage: 137,
    RouterRenumbering: 138,
    ICMPNodeInformationQuery: 139,
    ICMPNodeInformationResponse: 140,
    InverseNeighborDiscoverySolicitation: 141,
    InverseNeighborDiscoveryAdvertisement: 142,
    HomeAgentAddressDiscoveryRequest: 144,
    HomeAgentAddressDiscoveryReply: 145,
    MobilePrefixSolicitation: 146,
    MobilePrefixAdvertisement: 147,
    DuplicateAddressRequestCodeSuffix: 157,
    DuplicateAddressConfirmationCodeSuffix: 158,
    ExtendedEchoRequest: 160,
    ExtendedEchoReply: 161,
  },
}

/** Family of an ICMP field; IPv4 when it names none. */
export function icmpFamily(field: unknown): "IPv4" | "IPv6" {
  return textAt(field, "family") === "IPv6" ? "IPv6" : "IPv4"
}

/** Type of an ICMP field, by number, number in text or name; undefined for what is none. */
export function icmpType(field: unknown): number | undefined {
  const value = fieldAt(field, "type")
  if (typeof value === "number") return value
  if (typeof value !== "string") return undefined
  if (/^\d+$/.test(value)) return Number(value)
  const names = icmpTypes[icmpFamily(field)]
  return Object.hasOwn(names, value) ? names[value] : undefined
}

/** What the `icmps` of an entry ask of a packet; an empty list when there is none. */
export function icmpsMatch(entry: unknown): readonly L4Match[] {
  return listAt(entry, "icmps").flatMap((rule) =>
    listAt(rule, "fields").flatMap((field): L4Match[] => {
      const type = icmpType(field)
      if (type === undefined || recordAt({ field }, "field") === undefined) return []
      const six = icmpFamily(field) === "IPv6"
      return [{ protocols: [six ? Protocol.ICMPv6 : Protocol.ICMP], icmp: { type } }]
    }),
  )
}
