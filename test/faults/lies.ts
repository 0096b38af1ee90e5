import { constants } from "../../src/kernel/abi.generated.ts"
import { parseAddress } from "../../src/net/address.ts"
import * as packet from "../../src/net/packet.ts"
import { type Address, Protocol } from "../../src/net/types.ts"
import { GATEWAY_MAC } from "../kernel/bpf-fixture.ts"
import { addressOf, outside, type Party } from "./stage.ts"

/** Who is lied about, and to whom. `liar` and `victim` are pods of the first node, `far` of the second. */
export interface Cast {
  readonly liar: Party
  readonly far: Party
  readonly victim: Party
  readonly nodes: readonly Party[]
  readonly liarMac: string
  /** MAC address of the first node on the wire. */
  readonly nodeMac: string
}

/** Frames that must not be delivered, and why. */
export interface Lie {
  readonly name: string
  /** From which interface they are sent. */
  readonly from: "liar" | "outside"
  /** The reason that each of them is dropped for. */
  readonly reason: string
  /** How many of them are no lie and arrive; absent: none. */
  readonly passes?: number
  readonly frames: (cast: Cast) => Uint8Array[]
}

const { ip, tcp, udp, icmp, icmp6, TcpFlag, EtherType } = packet
const gateways = { 4: parseAddress("169.254.1.1"), 6: parseAddress("fe80::1") }
const families = [4, 6] as const
const ports = { sourcePort: 40_000, destinationPort: 80 }

interface Ends {
  readonly source: Address
  readonly destination: Address
}

/** A pod's frame: to the gateway, from the pod's own MAC address. */
export function fromLiar(cast: Cast, bytes: Uint8Array): Uint8Array {
  const type = (bytes[0] ?? 0) >> 4 === 6 ? EtherType.ipv6 : EtherType.ipv4
  return packet.ethernet({ source: cast.liarMac, destination: GATEWAY_MAC, type }, bytes)
}

/** A frame on the wire to the first node. */
function onWire(cast: Cast, bytes: Uint8Array): Uint8Array {
  const type = (bytes[0] ?? 0) >> 4 === 6 ? EtherType.ipv6 : EtherType.ipv4
  return packet.ethernet({ source: "02:00:00:00:00:99", destination: cast.nodeMac, type }, bytes)
}

/** An IP packet of UDP to the overlay's port around a frame. */
export function tunnelled(outer: Ends, frame: Uint8Array): Uint8Array {
  const fields = { sourcePort: 50_000, destinationPort: constants.VXLAN_PORT }
  return ip({ ...outer, protocol: Protocol.UDP }, udp(fields, outer, packet.vxlan(1, frame)))
}

/** What arrives out of the tunnel, as a node makes it. */
export function inner(bytes: Uint8Array): Uint8Array {
  const type = (bytes[0] ?? 0) >> 4 === 6 ? EtherType.ipv6 : EtherType.ipv4
  return packet.ethernet({ source: "02:00:00:00:00:77", destination: GATEWAY_MAC, type }, bytes)
}

function syn(ends: Ends, port = 80): Uint8Array {
  return ip({ ...ends, protocol: Protocol.TCP }, tcp({ ...ports, destinationPort: port }, ends))
}

function both(make: (family: 4 | 6) => Uint8Array): Uint8Array[] {
  return families.map(make)
}

/** From that address to the victims, both families. */
function toVictims(cast: Cast, source: (family: 4 | 6) => Address): Uint8Array[] {
  return [cast.victim, cast.far].flatMap((to) =>
    both((family) => syn({ source: source(family), destination: addressOf(to, family) })),
  )
}

function ownEnds({ liar, victim }: Cast, family: 4 | 6): Ends {
  return { source: addressOf(liar, family), destination: addressOf(victim, family) }
}

function arpFrame(cast: Cast, operation: 1 | 2, sender: Address, target: Address): Uint8Array {
  const fields = { operation, senderMac: cast.liarMac, sender, targetMac: GATEWAY_MAC, target }
  return packet.ethernet(
    { source: cast.liarMac, destination: operation === 1 ? packet.BROADCAST_MAC : GATEWAY_MAC, type: EtherType.arp },
    packet.arp(fields),
  )
}

/** Neighbour discovery wants a hop limit of 255 (RFC 4861, 7.1). */
function discovery(cast: Cast, ends: Ends, message: Uint8Array): Uint8Array {
  return fromLiar(cast, ip({ ...ends, protocol: Protocol.ICMPv6, ttl: 255 }, message))
}

/** A whole TCP segment to a port, cut at 24 bytes. */
function cut(cast: Cast, family: 4 | 6, id: number, port: number): Uint8Array[] {
  const ends = ownEnds(cast, family)
  const segment = tcp({ ...ports, destinationPort: port }, ends, new Uint8Array(40))
  return packet.fragments({ ...ends, protocol: Protocol.TCP, id }, segment, 24)
}

function at(family: 4 | 6, ends: Ends, id: number, offset: number, more: boolean, bytes: Uint8Array): Uint8Array {
  if (family === 4)
    return packet.ipv4({ ...ends, protocol: Protocol.TCP, id, fragmentOffset: offset, moreFragments: more }, bytes)
  return packet.ipv6(
    { ...ends, next: packet.Extension.fragment },
    packet.fragment({ next: Protocol.TCP, id, offset, more }, bytes),
  )
}

const foreign = parseAddress("198.51.100.7")
let ids = 100

export const lies: readonly Lie[] = [
  {
    name: "source of a pod of this node",
    from: "liar",
    reason: "spoofed-source",
    frames: (cast) => toVictims(cast, (family) => addressOf(cast.victim, family)).map((bytes) => fromLiar(cast, bytes)),
  },
  {
    name: "source of a pod of another node",
    from: "liar",
    reason: "spoofed-source",
    frames: (cast) => toVictims(cast, (family) => addressOf(cast.far, family)).map((bytes) => fromLiar(cast, bytes)),
  },
  {
    name: "source of the own node",
    from: "liar",
    reason: "spoofed-source",
    frames: (cast) =>
      toVictims(cast, (family) => addressOf(cast.nodes[0] ?? cast.liar, family)).map((bytes) => fromLiar(cast, bytes)),
  },
  {
    name: "source outside the cluster",
    from: "liar",
    reason: "spoofed-source",
    frames: (cast) =>
      toVictims(cast, (family) => outside[family === 4 ? 0 : 1] ?? foreign).map((bytes) => fromLiar(cast, bytes)),
  },
  {
    name: "ARP request in another's name",
    from: "liar",
    reason: "spoofed-arp",
    frames: (cast) => [arpFrame(cast, 1, addressOf(cast.victim), gateways[4]), arpFrame(cast, 1, foreign, gateways[4])],
  },
  {
    name: "ARP reply and announcement for another and for the gateway",
    from: "liar",
    reason: "spoofed-arp",
    frames: (cast) =>
      [addressOf(cast.victim), gateways[4], addressOf(cast.far)].flatMap((claimed) => [
        arpFrame(cast, 2, claimed, addressOf(cast.liar)),
        arpFrame(cast, 1, claimed, claimed),
      ]),
  },
  {
    name: "neighbour advertisement for another",
    from: "liar",
    reason: "spoofed-neighbour",
    frames: (cast) =>
      [addressOf(cast.victim, 6), addressOf(cast.far, 6), gateways[6]].map((target) => {
        const ends = { source: addressOf(cast.liar, 6), destination: parseAddress("ff02::1") }
        const fields = { target, mac: cast.liarMac, override: true }
        return discovery(cast, ends, packet.neighbourAdvertisement(fields, ends))
      }),
  },
  {
    name: "neighbour solicitation in another's name",
    from: "liar",
    reason: "spoofed-neighbour",
    frames: (cast) =>
      [addressOf(cast.victim, 6), gateways[6]].map((source) => {
        const ends = { source, destination: packet.solicitedNode(gateways[6]) }
        return discovery(cast, ends, packet.neighbourSolicitation({ target: gateways[6], mac: cast.liarMac }, ends))
      }),
  },
  {
    name: "router advertisement",
    from: "liar",
    reason: "router-advertisement",
    frames: (cast) =>
      [parseAddress("fe80::bad"), addressOf(cast.liar, 6)].map((source) => {
        const ends = { source, destination: parseAddress("ff02::1") }
        return discovery(cast, ends, packet.routerAdvertisement(ends))
      }),
  },
  {
    name: "ICMP redirect",
    from: "liar",
    reason: "redirect",
    frames: (cast) => {
      const [four, six] = [ownEnds(cast, 4), ownEnds(cast, 6)]
      const quoted = syn({ source: four.destination, destination: four.source })
      const message = icmp({ type: 5, rest: Uint8Array.of(169, 254, 1, 1) }, quoted)
      return [
        fromLiar(cast, ip({ ...four, protocol: Protocol.ICMP }, message)),
        discovery(cast, six, icmp6({ type: 137 }, six, new Uint8Array(32))),
      ]
    },
  },
  {
    name: "VXLAN to the own node",
    from: "liar",
    reason: "overlay-port",
    frames: (cast) =>
      both((family) => {
        const lie = inner(syn({ source: addressOf(cast.far, family), destination: addressOf(cast.victim, family) }))
        const outer = {
          source: addressOf(cast.liar, family),
          destination: addressOf(cast.nodes[0] ?? cast.liar, family),
        }
        return fromLiar(cast, tunnelled(outer, lie))
      }),
  },
  {
    name: "VXLAN to another node",
    from: "liar",
    reason: "overlay-port",
    frames: (cast) =>
      both((family) => {
        const lie = inner(syn({ source: addressOf(cast.victim, family), destination: addressOf(cast.far, family) }))
        const outer = {
          source: addressOf(cast.liar, family),
          destination: addressOf(cast.nodes[1] ?? cast.liar, family),
        }
        return fromLiar(cast, tunnelled(outer, lie))
      }),
  },
  {
    name: "VXLAN from a host that is no node",
    from: "outside",
    reason: "overlay-source",
    frames: (cast) =>
      both((family) => {
        const lie = inner(syn({ source: addressOf(cast.far, family), destination: addressOf(cast.victim, family) }))
        return onWire(
          cast,
          tunnelled({ source: outside[0] ?? foreign, destination: addressOf(cast.nodes[0] ?? cast.far) }, lie),
        )
      }),
  },
  {
    name: "VXLAN of a node around a source that is not its pod's",
    from: "outside",
    reason: "overlay-source",
    frames: (cast) =>
      [addressOf(cast.liar), addressOf(cast.victim), outside[0] ?? foreign, addressOf(cast.nodes[0] ?? cast.far)].map(
        (source) => {
          const lie = inner(syn({ source, destination: addressOf(cast.victim) }))
          const [own, other] = cast.nodes.map((node) => addressOf(node))
          return onWire(cast, tunnelled({ source: other ?? foreign, destination: own ?? foreign }, lie))
        },
      ),
  },
  {
    name: "a pod's address on the wire",
    from: "outside",
    reason: "wrong-interface",
    frames: (cast) =>
      [cast.liar, cast.far].flatMap((talker) =>
        both((family) =>
          onWire(cast, syn({ source: addressOf(talker, family), destination: addressOf(cast.victim, family) })),
        ),
      ),
  },
  {
    name: "a node's address on the wire",
    from: "outside",
    reason: "wrong-interface",
    frames: (cast) =>
      both((family) => {
        const source = addressOf(cast.nodes[0] ?? cast.liar, family)
        return onWire(cast, syn({ source, destination: addressOf(cast.victim, family) }))
      }),
  },
  {
    name: "sources that no host has, on the wire",
    from: "outside",
    reason: "spoofed-source",
    frames: (cast) =>
      ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"].map((text) => {
        const source = parseAddress(text)
        return onWire(cast, syn({ source, destination: addressOf(cast.victim, text.includes(":") ? 6 : 4) }))
      }),
  },
  {
    name: "headers that lie in the padding behind the packet",
    from: "liar",
    reason: "malformed",
    frames: (cast) => {
      const ends = [ownEnds(cast, 4), ownEnds(cast, 6)] as const
      const [four, six] = ends.map((each) => tcp(ports, each)) as [Uint8Array, Uint8Array]
      return [
        packet.ipv4({ ...ends[0], protocol: Protocol.TCP, totalLength: 28 }, four),
        packet.ipv6({ ...ends[1], next: Protocol.TCP, payloadLength: 8 }, six),
        packet.ipv6({ ...ends[1], next: Protocol.TCP, payloadLength: 0 }, six),
      ].map((bytes) => fromLiar(cast, bytes))
    },
  },
  {
    name: "first fragment too short for the TCP header",
    from: "liar",
    reason: "fragment-invalid",
    frames: (cast) =>
      both((family) => {
        const ends = ownEnds(cast, family)
        return fromLiar(cast, at(family, ends, ++ids, 0, true, tcp(ports, ends).subarray(0, 16)))
      }),
  },
  {
    name: "fragment that overlaps the TCP header",
    from: "liar",
    reason: "fragment-invalid",
    passes: 2,
    frames: (cast) =>
      families.flatMap((family) => {
        const id = ++ids
        const [first] = cut(cast, family, id, 80)
        const ends = ownEnds(cast, family)
        const over = tcp({ ...ports, destinationPort: 22 }, ends)
        return [
          first ?? over,
          at(family, ends, id, 8, false, over.subarray(8)),
          at(family, ends, id, 16, false, over.subarray(16)),
        ].map((bytes) => fromLiar(cast, bytes))
      }),
  },
  {
    name: "second beginning of a datagram that passed, with another port",
    from: "liar",
    reason: "policy",
    passes: 2,
    frames: (cast) =>
      families.flatMap((family) => {
        const id = ++ids
        const [first] = cut(cast, family, id, 80)
        const [again] = cut(cast, family, id, 22)
        return [first, again].flatMap((bytes) => (bytes === undefined ? [] : [fromLiar(cast, bytes)]))
      }),
  },
  {
    name: "fragment without its first",
    from: "liar",
    reason: "fragment-early",
    frames: (cast) =>
      families.flatMap((family) =>
        cut(cast, family, ++ids, 80)
          .slice(1)
          .map((bytes) => fromLiar(cast, bytes)),
      ),
  },
  {
    name: "fragment that ends beyond 64 KB",
    from: "liar",
    reason: "fragment-invalid",
    frames: (cast) =>
      both((family) => fromLiar(cast, at(family, ownEnds(cast, family), ++ids, 65_528, false, new Uint8Array(64)))),
  },
  {
    name: "segment of a connection that never was",
    from: "liar",
    reason: "no-record",
    frames: (cast) =>
      both((family) => {
        const ends = ownEnds(cast, family)
        const fields = { ...ports, destinationPort: 22, flags: TcpFlag.ack }
        return fromLiar(cast, ip({ ...ends, protocol: Protocol.TCP }, tcp(fields, ends)))
      }),
  },
  {
    name: "DHCP",
    from: "liar",
    reason: "dhcp",
    frames: (cast) => {
      const ends = { source: parseAddress("0.0.0.0"), destination: parseAddress("255.255.255.255") }
      const message = udp({ sourcePort: 68, destinationPort: 67 }, ends, new Uint8Array(240))
      return [fromLiar(cast, ip({ ...ends, protocol: Protocol.UDP }, message))]
    },
  },
  {
    name: "broadcast",
    from: "liar",
    reason: "broadcast",
    frames: (cast) => {
      const ends = { source: addressOf(cast.liar), destination: parseAddress("255.255.255.255") }
      return [fromLiar(cast, syn(ends))]
    },
  },
  {
    name: "multicast",
    from: "liar",
    reason: "multicast",
    frames: (cast) =>
      [parseAddress("224.0.0.251"), parseAddress("ff02::fb")].map((destination) => {
        const ends = { source: addressOf(cast.liar, destination.includes(":") ? 6 : 4), destination }
        return fromLiar(
          cast,
          ip({ ...ends, protocol: Protocol.UDP }, udp({ sourcePort: 5_353, destinationPort: 5_353 }, ends)),
        )
      }),
  },
  {
    name: "frames that are neither IP nor ARP, and tagged ones",
    from: "liar",
    reason: "ethertype",
    frames: (cast) =>
      [0x8100, 0x88a8, 0x8847, 0x88cc, 0x8863, 0x0026].map((type) =>
        packet.ethernet(
          { source: cast.liarMac, destination: GATEWAY_MAC, type },
          packet.concat(Uint8Array.of(0, 1, 8, 0), syn(ownEnds(cast, 4))),
        ),
      ),
  },
  {
    name: "IPv6 headers that move the packet elsewhere",
    from: "liar",
    reason: "extension-header",
    frames: (cast) =>
      [135, 139, 140].map((next) => {
        const ends = ownEnds(cast, 6)
        const rest = packet.extension({ next: Protocol.TCP, data: new Uint8Array(6) }, tcp(ports, ends))
        return fromLiar(cast, packet.ipv6({ ...ends, next }, rest))
      }),
  },
  {
    name: "no hops left",
    from: "liar",
    reason: "hop-limit",
    frames: (cast) =>
      both((family) => {
        const ends = ownEnds(cast, family)
        return fromLiar(cast, ip({ ...ends, protocol: Protocol.TCP, ttl: 0 }, tcp(ports, ends)))
      }),
  },
  {
    name: "lengths that contradict the frame",
    from: "liar",
    reason: "malformed",
    frames: (cast) => {
      const ends = [ownEnds(cast, 4), ownEnds(cast, 6)] as const
      const four = { ...ends[0], protocol: Protocol.TCP }
      return [
        packet.ipv4({ ...four, totalLength: 2_000 }, tcp(ports, ends[0])),
        packet.ipv4({ ...four, totalLength: 10 }, tcp(ports, ends[0])),
        packet.ipv6({ ...ends[1], next: Protocol.TCP, payloadLength: 2_000 }, tcp(ports, ends[1])),
        packet.ipv4(four, tcp(ports, ends[0]).subarray(0, 12)),
      ].map((bytes) => fromLiar(cast, bytes))
    },
  },
  {
    name: "a link-local destination, and the gateway's",
    from: "liar",
    reason: "link-local",
    frames: (cast) =>
      [gateways[4], gateways[6], parseAddress("fe80::2")].map((destination) =>
        fromLiar(cast, syn({ source: addressOf(cast.liar, destination.includes(":") ? 6 : 4), destination })),
      ),
  },
]
