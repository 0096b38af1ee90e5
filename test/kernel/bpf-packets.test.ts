import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { compile } from "../../src/compile/compile.ts"
import { EventKind, reasonNames } from "../../src/kernel/abi.generated.ts"
import {
  BROADCAST_MAC,
  concat,
  type Ends,
  EtherType,
  Extension,
  echo,
  ethernet,
  extension,
  fragment,
  icmp,
  icmp6,
  ip,
  ipv4,
  ipv6,
  routerAdvertisement,
  sctp,
  sctpChunk,
  sctpInit,
  sctpInitAck,
  TcpFlag,
  tcp,
  udp,
} from "../../src/net/packet.ts"
import { A, Action, app, block, cluster, GATEWAY_MAC, pods, policy, TestNode, tcpPort } from "./bpf-fixture.ts"

let node: TestNode

const specs = {
  web: { addresses: ["10.0.1.1", "fd00::1:1"] },
  client: { addresses: ["10.0.1.2", "fd00::1:2"] },
  stranger: { addresses: ["10.0.1.3", "fd00::1:3"] },
  jailed: { addresses: ["10.0.1.4", "fd00::1:4"] },
  unplugged: { addresses: ["10.0.1.5", "fd00::1:5"] },
  far: { node: "two", addresses: ["10.0.2.1", "fd00::2:1"] },
  pending: { addresses: ["10.0.1.6", "fd00::1:6"] },
}
const wanted = cluster(pods(specs), [
  policy("web", app("web"), {
    ingress: [
      {
        peer: app("client"),
        l4: [
          tcpPort(80),
          { protocols: [17], ports: [{ kind: "range", first: 53, last: 53 }] },
          { protocols: [132], ports: [{ kind: "range", first: 9, last: 9 }] },
          { protocols: [47] },
        ],
      },
      { peer: block("203.0.113.0/24", "2001:db8:f::/48") },
    ],
  }),
  policy("jailed", app("jailed"), { egress: [{ peer: app("web"), l4: [tcpPort(80)] }] }),
])

beforeAll(async () => {
  node = new TestNode()
  await node.plane.apply(node.state(compile(wanted, "one"), ["default/unplugged"]), null)
})
afterAll(() => node?.remove())

interface Both {
  readonly 4: string
  readonly 6: string
}
const address: Record<string, Both> = {
  client: { 4: "10.0.1.2", 6: "fd00::1:2" },
  web: { 4: "10.0.1.1", 6: "fd00::1:1" },
  stranger: { 4: "10.0.1.3", 6: "fd00::1:3" },
  jailed: { 4: "10.0.1.4", 6: "fd00::1:4" },
  unplugged: { 4: "10.0.1.5", 6: "fd00::1:5" },
  far: { 4: "10.0.2.1", 6: "fd00::2:1" },
  self: { 4: "192.0.2.1", 6: "2001:db8::1" },
  two: { 4: "192.0.2.2", 6: "2001:db8::2" },
  unknown: { 4: "10.0.9.9", 6: "fd00::9:9" },
  outside: { 4: "198.51.100.7", 6: "2001:db8:9::7" },
  partner: { 4: "203.0.113.5", 6: "2001:db8:f::5" },
  multicast: { 4: "224.0.0.251", 6: "ff02::fb" },
}

function ends(from: string, to: string, family: 4 | 6): Ends {
  const one = (name: string) => A(address[name]?.[family] ?? name)
  return { source: one(from), destination: one(to) }
}

/** What a program answers to a frame, and the reasons that it tells. */
function outcome(
  program: string,
  frame: Uint8Array,
  ifindex: number,
  gso: Parameters<TestNode["run"]>[3] = {},
): string {
  node.events()
  const { result } = node.run(program, frame, ifindex, gso)
  const reasons = node.events().flatMap((each) => (each.kind === EventKind.drop ? [reasonNames[each.reason]] : []))
  const action = Object.entries(Action).find(([, number]) => number === result)?.[0] ?? String(result)
  return reasons.length === 0 ? action : `${action} ${reasons.join(" ")}`
}

function sent(pod: string, packet: Uint8Array): string {
  return outcome("from_pod", node.frame(packet), node.port(`default/${pod}`).ifindex)
}

const segment = (e: Ends, sourcePort: number, destinationPort: number, flags: number = TcpFlag.syn) =>
  ip({ ...e, protocol: 6 }, tcp({ sourcePort, destinationPort, flags }, e))
const datagram = (e: Ends, sourcePort: number, destinationPort: number, payload = new Uint8Array(0)) =>
  ip({ ...e, protocol: 17 }, udp({ sourcePort, destinationPort }, e, payload))

describe.each([4, 6] as const)("IPv%i: what a pod sends", (family) => {
  const to = (from: string, name: string) => ends(from, name, family)
  const ping = (e: Ends, id: number, reply = false) =>
    ip({ ...e, protocol: family === 4 ? 1 : 58 }, echo({ id, sequence: 1, reply }, e))
  let port = 1_000

  test.each([
    ["client", "web", 80, "redirect"],
    ["client", "web", 81, "shot policy"],
    ["stranger", "web", 80, "shot policy"],
    ["client", "stranger", 1, "redirect"],
    ["jailed", "web", 80, "shot policy"],
    ["jailed", "client", 80, "shot policy"],
    ["client", "far", 80, "redirect"],
    ["client", "two", 80, "redirect"],
    ["jailed", "far", 80, "shot policy"],
    ["client", "self", 80, "ok"],
    ["jailed", "self", 80, "shot policy"],
    ["client", "outside", 80, "ok"],
    ["jailed", "outside", 80, "shot policy"],
    ["client", "unknown", 80, "shot no-route"],
    ["jailed", "unknown", 80, "shot unknown-peer"],
    ["client", "unplugged", 80, "shot no-endpoint"],
    ["client", "multicast", 80, "shot multicast"],
  ])("TCP %s → %s:%i: %s", (from, name, destination, expected) => {
    expect(sent(from, segment(to(from, name), port++, destination))).toBe(expected)
  })

  test("UDP, SCTP and a numbered protocol are judged by what the rule names", () => {
    const e = to("client", "web")
    const s = (chunk: Uint8Array, destinationPort: number, sourcePort = 7) =>
      ip({ ...e, protocol: 132 }, sctp({ sourcePort, destinationPort }, chunk))
    expect(sent("client", datagram(e, 5, 53))).toBe("redirect")
    expect(sent("client", datagram(e, 5, 54))).toBe("shot policy")
    expect(sent("client", s(sctpInit(1), 9))).toBe("redirect")
    expect(sent("client", s(sctpInit(1), 10))).toBe("shot policy")
    const back = to("web", "client")
    expect(
      sent("web", ip({ ...back, protocol: 132 }, sctp({ sourcePort: 9, destinationPort: 7 }, sctpInitAck(1)))),
    ).toBe("redirect")
    expect(sent("client", s(sctpChunk({ type: 10 }, new Uint8Array(4)), 9))).toBe("redirect")
    expect(sent("client", s(sctpChunk({ type: 0 }, new Uint8Array(16)), 11, 8))).toBe("shot no-record")
    expect(sent("client", ip({ ...e, protocol: 47 }, new Uint8Array(8)))).toBe("redirect")
    expect(sent("client", ip({ ...e, protocol: 50 }, new Uint8Array(8)))).toBe("shot policy")
    expect(sent("stranger", ip({ ...to("stranger", "web"), protocol: 47 }, new Uint8Array(8)))).toBe("shot policy")
  })

  test("an answer passes although its own direction is denied", () => {
    expect(sent("jailed", datagram(to("jailed", "client"), 53, 6))).toBe("shot policy")
    expect(sent("client", datagram(to("client", "jailed"), 6, 53))).toBe("redirect")
    expect(sent("jailed", datagram(to("jailed", "client"), 53, 6))).toBe("redirect")
    // The same pod, another port: not an answer.
    expect(sent("jailed", datagram(to("jailed", "client"), 53, 7))).toBe("shot policy")
  })

  test("a SYN against the direction of a connection is a connection of its own", () => {
    expect(sent("client", segment(to("client", "jailed"), 8_000, 8_001))).toBe("redirect")
    expect(sent("jailed", segment(to("jailed", "client"), 8_001, 8_000))).toBe("shot policy")
    expect(sent("jailed", segment(to("jailed", "client"), 8_001, 8_000, TcpFlag.syn | TcpFlag.ack))).toBe("redirect")
  })

  test("an echo's answer passes by its identifier, a request of the other end does not", () => {
    expect(sent("jailed", ping(to("jailed", "client"), 77, true))).toBe("shot policy")
    expect(sent("client", ping(to("client", "jailed"), 77))).toBe("redirect")
    expect(sent("jailed", ping(to("jailed", "client"), 77, true))).toBe("redirect")
    expect(sent("jailed", ping(to("jailed", "client"), 78, true))).toBe("shot policy")
    expect(sent("jailed", ping(to("jailed", "client"), 77))).toBe("shot policy")
  })

  test("TCP in the middle of an unknown connection is judged as given", () => {
    expect(sent("client", segment(to("client", "web"), 9_000, 80, TcpFlag.ack))).toBe("redirect")
    expect(sent("client", segment(to("client", "web"), 9_000, 81, TcpFlag.ack))).toBe("shot no-record")
    // What ends a connection that nobody knows is dropped without a word.
    expect(sent("client", segment(to("client", "web"), 9_000, 81, TcpFlag.rst))).toBe("shot")
    expect(sent("client", segment(to("client", "web"), 9_000, 81, TcpFlag.fin | TcpFlag.ack))).toBe("shot")
  })

  test("a source that is not the pod's own", () => {
    expect(sent("stranger", segment(to("client", "web"), 1, 80))).toBe("shot spoofed-source")
    expect(sent("stranger", segment(to("outside", "web"), 1, 80))).toBe("shot spoofed-source")
    expect(sent("stranger", segment(to("self", "web"), 1, 80))).toBe("shot spoofed-source")
    expect(sent("stranger", segment(to("unknown", "web"), 1, 80))).toBe("shot spoofed-source")
    // Nor by a connection that is there.
    expect(sent("client", segment(to("client", "web"), 9_100, 80))).toBe("redirect")
    expect(sent("stranger", segment(to("client", "web"), 9_100, 80, TcpFlag.ack))).toBe("shot spoofed-source")
  })

  test("a pod whose endpoint is not live", () => {
    expect(sent("pending-and-unknown", segment(to("client", "web"), 1, 80))).toBe("shot not-ready")
  })

  test("the overlay's port on any node", () => {
    expect(sent("client", datagram(to("client", "two"), 1, 4_789))).toBe("shot overlay-port")
    expect(sent("client", datagram(to("client", "self"), 1, 4_789))).toBe("shot overlay-port")
    expect(sent("client", datagram(to("client", "stranger"), 1, 4_789))).toBe("redirect")
    expect(sent("client", datagram(to("client", "outside"), 1, 4_789))).toBe("ok")
  })

  test("an error about a known flow passes as that flow, another is judged as given", () => {
    const e = to("client", "web")
    const first = segment(e, 12_000, 80)
    const about = (packet: Uint8Array, f: Ends) => {
      const quoted = packet.subarray(0, family === 4 ? 28 : 60)
      return family === 4
        ? ip({ ...f, protocol: 1 }, icmp({ type: 3, code: 3 }, quoted))
        : ip({ ...f, protocol: 58 }, icmp6({ type: 1, code: 4 }, f, quoted))
    }
    const fromJailed = datagram(to("client", "jailed"), 400, 401)
    expect(sent("jailed", about(fromJailed, to("jailed", "client")))).toBe("shot policy")
    expect(sent("client", fromJailed)).toBe("redirect")
    expect(sent("jailed", about(fromJailed, to("jailed", "client")))).toBe("redirect")
    expect(sent("client", first)).toBe("redirect")
    expect(sent("web", about(first, to("web", "client")))).toBe("redirect")
    // About a packet that went to another, or back to another.
    expect(sent("jailed", about(first, to("jailed", "client")))).toBe("shot policy")
    expect(sent("stranger", about(first, to("web", "client")))).toBe("shot spoofed-source")
    expect(sent("jailed", about(fromJailed, to("jailed", "stranger")))).toBe("shot policy")
  })

  test("fragments follow their first", () => {
    const e = to("client", "web")
    const whole = udp({ sourcePort: 3, destinationPort: 53 }, e, new Uint8Array(64))
    const part = (offset: number, end: number, id: number, protocol = 17, bytes = whole, f = e) => {
      const more = end < bytes.length
      const data = bytes.subarray(offset, end)
      return family === 4
        ? ipv4({ ...f, protocol, id, moreFragments: more, fragmentOffset: offset }, data)
        : ipv6({ ...f, next: Extension.fragment }, fragment({ next: protocol, id, offset, more }, data))
    }
    expect(sent("client", part(32, 72, 500))).toBe("shot fragment-early")
    expect(sent("client", part(0, 32, 500))).toBe("redirect")
    expect(sent("client", part(32, 72, 500))).toBe("redirect")
    expect(sent("client", part(32, 72, 501))).toBe("shot fragment-early")
    // A first that was denied is not remembered.
    const denied = udp({ sourcePort: 3, destinationPort: 54 }, e, new Uint8Array(64))
    expect(sent("client", part(0, 32, 502, 17, denied))).toBe("shot policy")
    expect(sent("client", part(32, 72, 502, 17, denied))).toBe("shot fragment-early")
    const stream = tcp({ sourcePort: 3, destinationPort: 80 }, e, new Uint8Array(40))
    expect(sent("client", part(0, 8, 503, 6, stream))).toBe("shot fragment-invalid")
    expect(sent("client", part(8, 60, 503, 6, stream))).toBe("shot fragment-invalid")
    expect(sent("client", part(65_528, 65_592, 504, 17, new Uint8Array(65_600)))).toBe("shot fragment-invalid")
    const call = echo({ id: 9, sequence: 1 }, to("client", "stranger"), new Uint8Array(64))
    const pingFor = to("client", "stranger")
    const icmpNumber = family === 4 ? 1 : 58
    expect(sent("client", part(0, 32, 505, icmpNumber, call, pingFor))).toBe("redirect")
    expect(sent("client", part(32, 72, 505, icmpNumber, call, pingFor))).toBe("redirect")
  })

  test("DHCP and broadcast", () => {
    if (family === 4) {
      const e = { source: A("0.0.0.0"), destination: A("255.255.255.255") }
      expect(sent("client", datagram(e, 68, 67))).toBe("shot dhcp")
      expect(sent("client", datagram({ ...e, source: A("10.0.1.2") }, 1, 2))).toBe("shot broadcast")
      expect(sent("client", datagram(to("client", "169.254.1.1"), 1, 2))).toBe("shot link-local")
    } else {
      expect(sent("client", datagram({ source: A("fe80::2"), destination: A("ff02::1:2") }, 546, 547))).toBe(
        "shot dhcp",
      )
      expect(sent("client", datagram({ source: A("fd00::1:2"), destination: A("fe80::1") }, 1, 2))).toBe(
        "shot link-local",
      )
      expect(sent("client", datagram({ source: A("fe80::2"), destination: A("fd00::1:1") }, 1, 53))).toBe(
        "shot link-local",
      )
    }
  })

  test("redirects and router advertisements", () => {
    const e = to("client", "web")
    if (family === 4) {
      expect(sent("client", ip({ ...e, protocol: 1 }, icmp({ type: 5, code: 1 }, new Uint8Array(28))))).toBe(
        "shot redirect",
      )
    } else {
      const all = { source: A("fe80::2"), destination: A("ff02::1") }
      expect(sent("client", ipv6({ ...all, next: 58, hopLimit: 255 }, routerAdvertisement(all)))).toBe(
        "shot router-advertisement",
      )
      expect(sent("client", ipv6({ ...e, next: 58, hopLimit: 255 }, icmp6({ type: 137 }, e, new Uint8Array(40))))).toBe(
        "shot redirect",
      )
    }
  })

  test("headers that are cut off or contradict themselves", () => {
    const e = to("client", "web")
    const whole = segment(e, 1, 80)
    const header = family === 4 ? 20 : 40
    expect(sent("client", whole.subarray(0, header))).toMatch(/^shot malformed/)
    expect(sent("client", whole.subarray(0, header + 10))).toMatch(/^shot malformed/)
    const ttl = family === 4 ? 8 : 7
    const dead = whole.slice()
    dead[ttl] = 0
    expect(sent("client", dead)).toBe("shot hop-limit")
    const short = whole.slice()
    short[header + 12] = 0x40
    expect(sent("client", short)).toBe("shot malformed")
    const version = whole.slice()
    version[0] = (version[0] ?? 0) ^ 0xf0
    const type = family === 4 ? EtherType.ipv4 : EtherType.ipv6
    const frame = ethernet({ source: BROADCAST_MAC, destination: GATEWAY_MAC, type }, version)
    expect(outcome("from_pod", frame, node.port("default/client").ifindex)).toBe("shot malformed")
    if (family === 4) {
      const tooLong = ipv4({ ...e, protocol: 17, totalLength: 500 }, new Uint8Array(20))
      expect(sent("client", tooLong)).toBe("shot malformed")
      expect(sent("client", ipv4({ ...e, protocol: 58 }, new Uint8Array(20)))).toBe("shot malformed")
      const options = ipv4({ ...e, protocol: 6, options: Uint8Array.of(1, 1, 1, 1) }, whole.subarray(20))
      expect(sent("client", options)).toBe("redirect")
    } else {
      const mapped = whole.slice()
      mapped.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 1, 2], 8)
      expect(sent("client", mapped)).toBe("shot malformed")
    }
  })
})

/** A test run takes no packet of 64 KiB: one of three segments stands for it, with the headers that a longer one has. */
describe.each([4, 6] as const)("IPv%i: BIG TCP, whose length field is 0", (family) => {
  const e = ends("client", "web", family)
  const three = { gsoSize: 1_000, gsoSegments: 3 }
  const payload = new Uint8Array(3_000)
  const big = (
    destinationPort: number,
    sourcePort: number,
    flags: number = TcpFlag.ack,
    rest = payload,
  ): Uint8Array => {
    const inner = tcp({ sourcePort, destinationPort, flags }, e, rest)
    if (family === 4) return ipv4({ ...e, protocol: 6, totalLength: 0 }, inner)
    const jumbo = Uint8Array.of(0xc2, 4, 0, 0, (inner.length + 8) >> 8, (inner.length + 8) & 0xff)
    return ipv6({ ...e, next: Extension.hopByHop, payloadLength: 0 }, extension({ next: 6, data: jumbo }, inner))
  }
  const as = (packet: Uint8Array, gso = three): string =>
    outcome("from_pod", node.frame(packet), node.port("default/client").ifindex, gso)

  test("is judged by its ports, and counted by its true bytes and segments", () => {
    // Ports of its own: records are found by them.
    const source = 30_000 + family
    expect(sent("client", segment(e, source, 80))).toBe("redirect")
    const flow = () => [...node.plane.flows()].find(({ key }) => key.lowPort === source || key.highPort === source)
    const before = flow()?.flow
    const packet = big(80, source)
    expect(as(packet)).toBe("redirect")
    const after = flow()?.flow
    expect(Number(after?.packets[0] ?? 0n) - Number(before?.packets[0] ?? 0n)).toBe(3)
    expect(Number(after?.bytes[0] ?? 0n) - Number(before?.bytes[0] ?? 0n)).toBe(packet.length)
    expect(as(big(81, source))).toBe("shot no-record")
    expect(as(big(81, source, TcpFlag.syn))).toBe("shot policy")
  })

  test("a packet that is not to be cut and has no length is none; nor is one without a whole TCP header", () => {
    expect(as(big(80, 30_000), { gsoSize: 0, gsoSegments: 0 })).toBe("shot malformed")
    const cut = big(80, 30_000, TcpFlag.ack, new Uint8Array(0))
    expect(as(cut.subarray(0, cut.length - 4))).toMatch(/^shot malformed/)
  })

  test("without the header that kernels up to 6.18 put into IPv6, as IPv4 is", () => {
    const inner = tcp({ sourcePort: 30_000, destinationPort: 80, flags: TcpFlag.ack }, e, payload)
    const bare = family === 4 ? big(80, 30_000) : ipv6({ ...e, next: 6, payloadLength: 0 }, inner)
    expect(sent("client", segment(e, 30_000, 80))).toBe("redirect")
    expect(as(bare)).toBe("redirect")
  })
})

test("IPv6 extension headers are walked, and those that would lead round policy are refused", () => {
  const e = ends("client", "web", 6)
  const inner = tcp({ sourcePort: 21, destinationPort: 80 }, e)
  const denied = tcp({ sourcePort: 21, destinationPort: 81 }, e)
  const six = (next: number, payload: Uint8Array) => ipv6({ ...e, next }, payload)
  expect(sent("client", six(Extension.hopByHop, extension({ next: 6 }, inner)))).toBe("redirect")
  expect(sent("client", six(Extension.destination, extension({ next: 6, data: new Uint8Array(22) }, inner)))).toBe(
    "redirect",
  )
  expect(sent("client", six(Extension.destination, extension({ next: 6 }, denied)))).toBe("shot policy")
  const chain = extension({ next: Extension.destination }, extension({ next: 6 }, inner))
  expect(sent("client", six(Extension.hopByHop, chain))).toBe("redirect")
  const late = extension({ next: Extension.hopByHop }, extension({ next: 6 }, inner))
  expect(sent("client", six(Extension.destination, late))).toBe("shot extension-header")
  // A routing header whose way is over (no segments left) is harmless, another is source routing.
  const route = (left: number) => extension({ next: 6, data: Uint8Array.of(2, left, 0, 0, 0, 0) }, inner)
  expect(sent("client", six(Extension.routing, route(0)))).toBe("redirect")
  expect(sent("client", six(Extension.routing, route(1)))).toBe("shot extension-header")
  let deep: Uint8Array = extension({ next: 6 }, inner)
  for (let i = 0; i < 10; i++) deep = extension({ next: Extension.destination }, deep)
  expect(sent("client", six(Extension.destination, deep))).toBe("shot extension-header")
  expect(sent("client", six(135, extension({ next: 6 }, inner)))).toBe("shot extension-header")
  const atomic = six(Extension.fragment, fragment({ next: 6, id: 1, offset: 0, more: false }, inner))
  expect(sent("client", atomic)).toBe("redirect")
  expect(sent("client", six(Extension.none, new Uint8Array(0)))).toBe("shot policy")
  expect(sent("client", six(Extension.destination, Uint8Array.of(6, 200, 0, 0)))).toMatch(/^shot malformed/)
})

test("frames that are neither IPv4, IPv6 nor ARP, or tagged", () => {
  const { ifindex } = node.port("default/client")
  const frame = (type: number) =>
    ethernet({ source: BROADCAST_MAC, destination: GATEWAY_MAC, type }, new Uint8Array(46))
  expect(outcome("from_pod", frame(0x88cc), ifindex)).toBe("shot ethertype")
  expect(outcome("from_pod", frame(EtherType.vlan), ifindex)).toBe("shot ethertype")
  expect(outcome("to_pods", frame(0x88cc), node.entrances.heddle0)).toBe("shot ethertype")
  expect(outcome("from_uplink", frame(0x88cc), node.entrances.uplink)).toBe("ok")
})

describe.each([4, 6] as const)("IPv%i: the node's own entrances", (family) => {
  const arrived = (program: string, name: "uplink" | "heddle0" | "overlay" | "heddle1", packet: Uint8Array) =>
    outcome(program, node.frame(packet), node.entrances[name])
  const at = (from: string, to: string) => ends(from, to, family)

  test("the uplink judges what comes from outside for a pod, and leaves the rest to the stack", () => {
    const up = (packet: Uint8Array) => arrived("from_uplink", "uplink", packet)
    expect(up(segment(at("partner", "web"), 1, 22))).toBe("redirect")
    expect(up(segment(at("outside", "web"), 1, 80))).toBe("shot policy")
    expect(up(segment(at("outside", "stranger"), 1, 80))).toBe("redirect")
    expect(up(segment(at("outside", "self"), 1, 80))).toBe("ok")
    expect(up(segment(at("outside", "partner"), 1, 80))).toBe("ok")
    expect(up(segment(at("outside", "far"), 1, 80))).toBe("ok")
    expect(up(segment(at("outside", "unplugged"), 1, 80))).toBe("shot no-endpoint")
  })

  test("what belongs to the cluster does not come over the wire beside the tunnel", () => {
    const up = (from: string) => arrived("from_uplink", "uplink", segment(at(from, "stranger"), 2, 80))
    for (const from of ["client", "far", "two", "self", "unknown"]) expect(up(from)).toBe("shot wrong-interface")
    // Nor on a connection that is there.
    expect(sent("client", segment(at("client", "stranger"), 31, 80))).toBe("redirect")
    expect(arrived("from_uplink", "uplink", segment(at("client", "stranger"), 31, 80, TcpFlag.ack))).toBe(
      "shot wrong-interface",
    )
  })

  test("the tunnel takes nothing without a tunnel's header", () => {
    const over = (from: string, to: string) => arrived("from_overlay", "overlay", segment(at(from, to), 3, 80))
    for (const from of ["far", "outside", "client", "self", "unknown"])
      expect(over(from, "stranger")).toBe("shot overlay-source")
  })

  // A test run has a socket: what is forwarded without one is tested with real packets (bpf-path.test.ts).
  test("at heddle0 the node's own sockets reach its own pods, whatever the policy, and no pod's address passes", () => {
    const down = (from: string, to: string, port = 80) => arrived("to_pods", "heddle0", segment(at(from, to), 4, port))
    expect(down("self", "web")).toBe("redirect")
    expect(down("self", "stranger")).toBe("redirect")
    expect(down("client", "stranger")).toBe("shot wrong-interface")
    expect(down("far", "stranger")).toBe("shot wrong-interface")
    expect(down("self", "far")).toBe("redirect")
    expect(down("self", "unknown")).toBe("shot no-route")
    expect(down("self", "outside")).toBe("shot no-route")
    expect(down("self", "unplugged")).toBe("shot no-endpoint")
    expect(sent("web", segment(at("web", "self"), 80, 4, TcpFlag.syn | TcpFlag.ack))).toBe("ok")
  })

  test("the answer to a pod's connection to the outside comes back through heddle0", () => {
    expect(sent("jailed", segment(at("jailed", "outside"), 5, 80))).toBe("shot policy")
    expect(sent("stranger", segment(at("stranger", "outside"), 5, 80))).toBe("ok")
    const answer = segment(at("outside", "stranger"), 80, 5, TcpFlag.syn | TcpFlag.ack)
    expect(arrived("to_pods", "heddle0", answer)).toBe("redirect")
    expect(sent("client", segment(at("client", "outside"), 6, 81))).toBe("ok")
    expect(arrived("from_uplink", "uplink", segment(at("outside", "client"), 81, 6, TcpFlag.syn | TcpFlag.ack))).toBe(
      "redirect",
    )
  })

  test("heddle0 gives the frame the pod's own MAC address, and another node's to the tunnel", () => {
    const frame = node.frame(segment(at("outside", "stranger"), 44, 80))
    const { packet } = node.run("to_pods", frame, node.entrances.heddle0)
    expect(packet.subarray(0, 6)).toEqual(node.port("default/stranger").mac)
    const tunnelled = node.run("to_pods", node.frame(segment(at("self", "far"), 44, 80)), node.entrances.heddle0).packet
    expect(tunnelled.subarray(0, 12)).toEqual(Uint8Array.of(2, 0x68, 0x64, 0, 0, 1, 2, 0x68, 0x64, 0, 0, 2))
  })

  test("heddle1 drops everything", () => {
    expect(arrived("drop_all", "heddle1", segment(at("outside", "stranger"), 4, 80))).toBe("shot no-route")
  })
})

test("a row with many intervals is searched to its ends", async () => {
  const ports = Array.from({ length: 3_000 }, (_, i) => 2 * i + 1)
  const many = cluster(pods(specs), [
    policy("web", app("web"), { ingress: [{ peer: app("client"), l4: ports.map((each) => tcpPort(each)) }] }),
  ])
  await node.plane.apply(node.state(compile(many, "one")), null)
  for (const [port, expected] of [
    [0, "shot policy"],
    [1, "redirect"],
    [2, "shot policy"],
    [2_999, "redirect"],
    [3_000, "shot policy"],
    [5_999, "redirect"],
    [6_000, "shot policy"],
    [65_535, "shot policy"],
  ] as const)
    expect(sent("client", segment(ends("client", "web", 4), 50_000 + (port % 7), port))).toBe(expected)
})

test("drops of one reason are told one by one up to a burst, then as a number; counters count all", () => {
  const before = node.plane.drops().get("ethertype")?.packets ?? 0n
  const frame = concat(node.frame(new Uint8Array(46)))
  frame.set([0x88, 0xcc], 12)
  node.events()
  for (let i = 0; i < 100; i++) node.run("from_pod", frame, node.port("default/jailed").ifindex)
  const told = node.events().length
  expect(told).toBeLessThan(70)
  expect(told).toBeGreaterThan(0)
  expect(node.plane.drops().get("ethertype")?.packets).toBe(before + 100n)
})
