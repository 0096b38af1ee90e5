import { describe, expect, test } from "vitest"
import { parseAddress } from "./address.ts"
import { crc32c, internetChecksum } from "./checksum.ts"
import * as build from "./packet.ts"
import { checksumRight, type IpPacket, parseFrame, parseIp, parseNeighbour, parseVxlan } from "./parse.ts"
import { Protocol } from "./types.ts"

const four = { source: parseAddress("10.0.0.1"), destination: parseAddress("10.0.0.2") }
const six = { source: parseAddress("fd00::1"), destination: parseAddress("fd00::2") }
const bytes = new TextEncoder()

function read(packet: Uint8Array): IpPacket {
  const parsed = parseIp(packet)
  if (parsed === undefined) throw new Error("not a packet")
  return parsed
}

describe("checksums", () => {
  test("CRC32c of the standard check string", () => expect(crc32c(bytes.encode("123456789"))).toBe(0xe3069283))
  test("Internet checksum of RFC 1071's example", () => {
    expect(internetChecksum(Uint8Array.of(0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7))).toBe(~0xddf2 & 0xffff)
  })
})

describe.each([
  ["IPv4", four],
  ["IPv6", six],
] as const)("%s", (_, ends) => {
  const ports = { sourcePort: 40_000, destinationPort: 80 }
  test.each([
    ["TCP", Protocol.TCP, build.tcp(ports, ends, bytes.encode("odd"))],
    ["UDP", Protocol.UDP, build.udp(ports, ends, bytes.encode("odd"))],
    ["SCTP", Protocol.SCTP, build.sctp(ports, build.sctpInit(7))],
  ])("%s is read back with a right checksum", (_name, protocol, segment) => {
    const packet = read(build.ip({ ...ends, protocol }, segment))
    expect(packet).toMatchObject({ ...ends, protocol, transport: ports })
    expect(checksumRight(packet)).toBe(true)
    segment[segment.length - 1] = (segment[segment.length - 1] ?? 0) ^ 1
    expect(checksumRight(read(build.ip({ ...ends, protocol }, segment)))).toBe(false)
  })

  test("echo", () => {
    const protocol = ends.source.includes(":") ? Protocol.ICMPv6 : Protocol.ICMP
    const packet = read(build.ip({ ...ends, protocol }, build.echo({ id: 3, sequence: 4 }, ends, bytes.encode("abc"))))
    expect(checksumRight(packet)).toBe(true)
    expect(packet.transport?.icmp).toMatchObject({ type: protocol === Protocol.ICMP ? 8 : 128, code: 0 })
    expect(packet.transport?.icmp?.rest).toEqual(Uint8Array.of(0, 3, 0, 4))
  })

  test("fragments hold the datagram in order", () => {
    const datagram = build.udp(ports, ends, new Uint8Array(100).fill(7))
    const parts = build.fragments({ ...ends, protocol: Protocol.UDP, id: 9 }, datagram, 48).map(read)
    expect(parts.map((part) => part.fragment)).toEqual([
      { id: 9, offset: 0, more: true },
      { id: 9, offset: 48, more: true },
      { id: 9, offset: 96, more: false },
    ])
    expect(parts.map((part) => part.transport?.destinationPort)).toEqual([80, undefined, undefined])
    expect(build.concat(...parts.map((part) => part.payload))).toEqual(datagram)
  })
})

test("IPv4 header with options has a right checksum", () => {
  const packet = build.ipv4(
    { ...four, protocol: 6, options: Uint8Array.of(1, 1, 1) },
    build.tcp({ sourcePort: 1, destinationPort: 2 }, four),
  )
  expect(internetChecksum(packet.subarray(0, 24))).toBe(0)
  expect(read(packet).transport?.destinationPort).toBe(2)
})

test("extension headers are passed to the transport header", () => {
  const udp = build.udp({ sourcePort: 1, destinationPort: 2 }, six)
  const chain = build.extension(
    { next: build.Extension.destination },
    build.extension({ next: Protocol.UDP, data: new Uint8Array(9) }, udp),
  )
  const packet = read(build.ipv6({ ...six, next: build.Extension.hopByHop }, chain))
  expect(packet).toMatchObject({ extensions: [0, 60], protocol: Protocol.UDP, transport: { destinationPort: 2 } })
})

test("ARP, neighbour discovery and VXLAN are read back", () => {
  const mac = "02:68:64:00:00:01"
  const fields = {
    operation: 1,
    senderMac: mac,
    sender: four.source,
    targetMac: "00:00:00:00:00:00",
    target: four.destination,
  } as const
  const frame = build.ethernet(
    { source: mac, destination: build.BROADCAST_MAC, type: build.EtherType.arp },
    build.arp(fields),
  )
  expect(parseFrame(frame)?.arp).toEqual(fields)

  const toMany = { source: six.source, destination: build.solicitedNode(six.destination) }
  const solicitation = read(
    build.ip(
      { ...toMany, protocol: Protocol.ICMPv6, ttl: 255 },
      build.neighbourSolicitation({ target: six.destination, mac }, toMany),
    ),
  )
  expect(toMany.destination).toBe(parseAddress("ff02::1:ff00:2"))
  expect(checksumRight(solicitation)).toBe(true)
  expect(solicitation.transport && parseNeighbour(solicitation.transport)).toEqual({ target: six.destination, mac })
  expect(checksumRight(read(build.ip({ ...six, protocol: Protocol.ICMPv6 }, build.routerAdvertisement(six))))).toBe(
    true,
  )
  expect(parseVxlan(build.vxlan(0x123456, frame))).toEqual({ vni: 0x123456, frame })
})

test("what is cut short is no packet, at every length", () => {
  for (const ends of [four, six]) {
    const frame = build.ethernet(
      {
        source: "02:00:00:00:00:01",
        destination: "02:00:00:00:00:02",
        type: ends === four ? build.EtherType.ipv4 : build.EtherType.ipv6,
      },
      build.ip({ ...ends, protocol: Protocol.TCP }, build.tcp({ sourcePort: 1, destinationPort: 2 }, ends)),
    )
    for (let length = 0; length < frame.length; length++) expect(parseFrame(frame.subarray(0, length))).toBeUndefined()
    expect(parseFrame(frame)?.ip?.transport?.destinationPort).toBe(2)
  }
})
