import { parseAddress } from "../../src/net/address.ts"
import * as packet from "../../src/net/packet.ts"
import { type Address, Protocol } from "../../src/net/types.ts"
import { type Cast, fromLiar, inner, tunnelled } from "./lies.ts"
import { addressOf } from "./stage.ts"

/** Numbers in [0, below), the same for the same seed (mulberry32). */
export type Random = (below: number) => number

export function randomFrom(seed: number): Random {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b_79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** Frames of every kind that the programs read, right ones among them, for `mutate` to spoil. */
export function seeds(cast: Pick<Cast, "liar" | "far" | "victim" | "nodes" | "liarMac">): Uint8Array[] {
  const found: Uint8Array[] = []
  const frame = (bytes: Uint8Array) => found.push(fromLiar(cast as Cast, bytes))
  const { ip, tcp, udp, icmp, icmp6, ipv6, extension, Extension } = packet
  for (const family of [4, 6] as const) {
    for (const to of [cast.victim, cast.far]) {
      const ends = { source: addressOf(cast.liar, family), destination: addressOf(to, family) }
      const segment = tcp({ sourcePort: 40_000, destinationPort: 80 }, ends, new Uint8Array(40))
      frame(ip({ ...ends, protocol: Protocol.TCP }, segment))
      frame(ip({ ...ends, protocol: Protocol.TCP }, tcp({ sourcePort: 40_000, destinationPort: 81 }, ends)))
      frame(
        ip({ ...ends, protocol: Protocol.UDP }, udp({ sourcePort: 9, destinationPort: 53 }, ends, new Uint8Array(30))),
      )
      frame(
        ip(
          { ...ends, protocol: Protocol.SCTP },
          packet.sctp({ sourcePort: 1, destinationPort: 80 }, packet.sctpInit(7)),
        ),
      )
      const icmpProtocol = family === 4 ? Protocol.ICMP : Protocol.ICMPv6
      frame(ip({ ...ends, protocol: icmpProtocol }, packet.echo({ id: 1, sequence: 1 }, ends)))
      // An error that quotes a packet which the victim might have sent.
      const back = { source: ends.destination, destination: ends.source }
      const quoted = ip({ ...back, protocol: Protocol.TCP }, tcp({ sourcePort: 80, destinationPort: 40_000 }, back))
      frame(
        ip(
          { ...ends, protocol: icmpProtocol },
          family === 4 ? icmp({ type: 3, code: 1 }, quoted) : icmp6({ type: 1 }, ends, quoted),
        ),
      )
      for (const part of packet.fragments({ ...ends, protocol: Protocol.TCP, id: 77 }, segment, 24)) frame(part)
      for (const part of packet.fragments({ ...ends, protocol: Protocol.UDP, id: 78 }, segment, 24)) frame(part)
      if (family === 4)
        frame(packet.ipv4({ ...ends, protocol: Protocol.TCP, options: new Uint8Array(12).fill(1) }, segment))
      else {
        const options = extension({ next: Extension.routing }, extension({ next: Protocol.TCP }, segment))
        frame(ipv6({ ...ends, next: Extension.hopByHop }, options))
        frame(ipv6({ ...ends, next: Extension.destination }, extension({ next: Protocol.TCP }, segment)))
      }
      const outer = { source: ends.source, destination: addressOf(cast.nodes[0] ?? cast.far, family) }
      frame(tunnelled(outer, inner(ip({ ...back, protocol: Protocol.TCP }, segment))))
    }
  }
  const own: Address = addressOf(cast.liar)
  const gateway = parseAddress("169.254.1.1")
  const arp = packet.arp({
    operation: 1,
    senderMac: cast.liarMac,
    sender: own,
    targetMac: "00:00:00:00:00:00",
    target: gateway,
  })
  found.push(
    packet.ethernet({ source: cast.liarMac, destination: packet.BROADCAST_MAC, type: packet.EtherType.arp }, arp),
  )
  const target = parseAddress("fe80::1")
  const six = { source: addressOf(cast.liar, 6), destination: packet.solicitedNode(target) }
  for (const message of [
    packet.neighbourSolicitation({ target, mac: cast.liarMac }, six),
    packet.neighbourAdvertisement({ target: six.source, mac: cast.liarMac }, six),
    packet.routerAdvertisement(six),
  ])
    frame(ip({ ...six, protocol: Protocol.ICMPv6, ttl: 255 }, message))
  return found
}

/** One of the frames with bytes of its headers changed, cut short, lengthened, or another's part in it. */
export function mutate(random: Random, bases: readonly Uint8Array[]): Uint8Array {
  const pick = () => bases[random(bases.length)] ?? new Uint8Array(60)
  let frame: Uint8Array = pick().slice()
  switch (random(8)) {
    case 0:
      break
    case 1: {
      frame = frame.slice(0, 14 + random(Math.max(1, frame.length - 13)))
      break
    }
    case 2: {
      const longer = new Uint8Array(frame.length + random(64))
      longer.set(frame)
      frame = longer
      break
    }
    case 3: {
      const other = pick()
      const at = 14 + random(60)
      frame = packet.concat(frame.subarray(0, at), other.subarray(at))
      break
    }
    default: {
      // Most of the bytes that decide stand behind the MAC addresses.
      for (let i = 1 + random(4); i > 0; i--) {
        const at = 12 + random(Math.min(72, frame.length - 12))
        frame[at] = random(3) === 0 ? random(256) : (frame[at] ?? 0) ^ (1 << random(8))
      }
      if (random(4) === 0) frame = frame.slice(0, Math.max(14, frame.length - random(40)))
    }
  }
  return frame
}
