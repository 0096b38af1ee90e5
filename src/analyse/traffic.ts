import { Protocol, type ProtocolNumber } from "../net/types.ts"
import { KEY_END } from "./world.ts"

/** Packets of one protocol, or of a run of protocols, told by destination and source ports or ICMP types and codes. */
export interface Traffic {
  readonly firstProtocol: ProtocolNumber
  readonly lastProtocol: ProtocolNumber
  /** Destination ports; for ICMP `type << 8 | code`. Absent: all of them. */
  readonly ports?: readonly [first: number, last: number]
  /** Absent: all of them. */
  readonly sourcePorts?: readonly [first: number, last: number]
}

const names = new Map<ProtocolNumber, string>(Object.entries(Protocol).map(([name, number]) => [number, name]))

/** The keys from `start` up to, not including, `end`, as traffic. */
export function trafficOf(start: number, end: number): Traffic[] {
  const parts: Traffic[] = []
  let key = start
  while (key < end) {
    const protocol = key >>> 16
    const whole = (key & 0xffff) === 0
    const lastWhole = (end >>> 16) - 1
    if (whole && lastWhole >= protocol) {
      parts.push({ firstProtocol: protocol, lastProtocol: lastWhole })
      key = (lastWhole + 1) << 16
      continue
    }
    const stop = Math.min(end, (protocol + 1) << 16)
    const ports = [key & 0xffff, (stop - 1) & 0xffff] as const
    parts.push({ firstProtocol: protocol, lastProtocol: protocol, ports })
    key = stop
  }
  return parts
}

/** `80/TCP`, `1-1023/TCP from port 53`, `ICMP type 8`, `every protocol and port`, `protocols 7-16`. */
export function trafficText({ firstProtocol, lastProtocol, ports, sourcePorts }: Traffic): string {
  const from = sourcePorts === undefined ? "" : ` from port ${rangeText(sourcePorts)}`
  if (firstProtocol === 0 && lastProtocol === (KEY_END >>> 16) - 1) return `every protocol and port${from}`
  if (firstProtocol !== lastProtocol) return `protocols ${firstProtocol}-${lastProtocol}${from}`
  const name = names.get(firstProtocol) ?? `protocol ${firstProtocol}`
  if (ports === undefined) return `${name}${from}`
  if (firstProtocol === Protocol.ICMP || firstProtocol === Protocol.ICMPv6) {
    const [first, last] = ports
    const oneType = first >>> 8 === last >>> 8
    if (!oneType) return `${name} types ${first >>> 8}-${last >>> 8}`
    const codes =
      (first & 0xff) === 0 && (last & 0xff) === 0xff ? "" : ` code ${rangeText([first & 0xff, last & 0xff])}`
    return `${name} type ${first >>> 8}${codes}`
  }
  return names.has(firstProtocol) ? `${rangeText(ports)}/${name}${from}` : name
}

/** Traffic as people read it: what most packets are of first, runs of protocols that nobody names together last. */
export function trafficListText(list: readonly Traffic[]): string {
  const told = list.filter((one) => one.firstProtocol === one.lastProtocol && names.has(one.firstProtocol))
  const others = list.filter((one) => !told.includes(one))
  const [all] = others.length === 1 && told.length === 0 ? others : []
  if (all !== undefined) return trafficText(all)
  const texts = new Set(told.map(trafficText))
  if (others.length > 0) texts.add(told.length === 0 ? others.map(trafficText).join(", ") : "other protocols")
  return [...texts].join(", ")
}

function rangeText([first, last]: readonly [number, number]): string {
  return first === last ? `${first}` : `${first}-${last}`
}
