import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { KernelError } from "../../src/kernel/error.ts"
import type { NamespaceHandle } from "../../src/kernel/namespace.ts"
import { Netlink } from "../../src/kernel/netlink/netlink.ts"
import { openSocket, Poller, type Socket } from "../../src/kernel/socket.ts"
import { parseAddress } from "../../src/net/address.ts"
import type { Family } from "../../src/net/types.ts"
import { Ground } from "./native-fixture.ts"

const ground = new Ground()
let a: NamespaceHandle
let b: NamespaceHandle
let ifindexA = 0

const addresses = {
  4: { a: parseAddress("10.9.0.1"), b: parseAddress("10.9.0.2"), nobody: parseAddress("10.9.0.99"), length: 24 },
  6: { a: parseAddress("fd09::1"), b: parseAddress("fd09::2"), nobody: parseAddress("fd09::99"), length: 64 },
} as const
const families: readonly Family[] = [4, 6]

beforeAll(() => {
  a = ground.namespace("a")
  b = ground.namespace("b")
  using here = Netlink.open(a)
  using there = Netlink.open(b)
  const link = here.addVeth({ name: "hd-a", up: true, peer: { name: "hd-b", namespace: b, up: true } })
  ifindexA = link.index
  for (const family of families) {
    const { length: prefixLength, ...ends } = addresses[family]
    here.addAddress({ ifindex: ifindexA, address: ends.a, prefixLength, noDad: true })
    there.addAddress({ ifindex: link.peer ?? 0, address: ends.b, prefixLength, noDad: true })
  }
})

afterAll(() => ground.remove())

const bytes = (text: string) => new TextEncoder().encode(text)
const room = new Uint8Array(2048)
const read = (length: number) => new TextDecoder().decode(room.subarray(0, length))

/** Waits until the socket is readable or writable. */
async function until(socket: Socket, interest: "read" | "write"): Promise<void> {
  using poller = new Poller()
  poller.add(socket, { [interest]: true }, 1)
  expect(await poller.wait(5000)).toHaveLength(1)
}

describe.each(families)("IPv%i between two namespaces", (family) => {
  const ends = addresses[family]

  test("TCP: connect, accept, send, receive, end", async () => {
    using server = openSocket({ namespace: b, family, type: "stream" })
    server.option("reuseAddress", true).bind(ends.b, 8080)
    server.listen(16)
    expect(server.accept()).toBeUndefined()
    using client = openSocket({ namespace: a, family, type: "stream" })
    client.option("noDelay", true)
    client.bind(ends.a, 4321)
    if (client.connect(ends.b, 8080) === "pending") await until(client, "write")
    expect(client.error()).toBe("")
    expect(client.localPort()).toBe(4321)
    await until(server, "read")
    const accepted = server.accept()
    expect(accepted).toMatchObject({ address: ends.a, port: 4321 })
    if (!accepted) return
    using conversation = accepted.socket
    expect(client.receive(room)).toBeUndefined()
    expect(conversation.send(bytes("hello"))).toBe(5)
    await until(client, "read")
    expect(read(client.receive(room)?.length ?? 0)).toBe("hello")
    client.shutdown()
    await until(conversation, "read")
    expect(conversation.receive(room)?.length).toBe(0)
  })

  test("TCP: a closed port is refused", async () => {
    using client = openSocket({ namespace: a, family, type: "stream" })
    if (client.connect(ends.b, 9) === "pending") await until(client, "write")
    expect(client.error()).toBe("ECONNREFUSED")
    expect(client.error()).toBe("")
  })

  test("UDP: addresses of both ends, and a refusal by ICMP", async () => {
    using server = openSocket({ namespace: b, family, type: "dgram" })
    server.bind(ends.b, 5353)
    using client = openSocket({ namespace: a, family, type: "dgram" })
    client.bind(ends.a, 5454)
    client.sendTo(bytes("ping"), ends.b, 5353)
    await until(server, "read")
    const got = server.receive(room)
    expect(got).toEqual({ length: 4, address: ends.a, port: 5454 })
    if (!got) return
    server.sendTo(bytes("pong"), got.address, got.port)
    await until(client, "read")
    expect(client.receive(room)).toEqual({ length: 4, address: ends.b, port: 5353 })
    client.connect(ends.b, 5354)
    client.send(bytes("?"))
    await until(client, "read")
    expect(() => client.receive(room)).toThrow(KernelError)
  })

  test("raw: an echo request of our own and its reply", async () => {
    const protocol = family === 4 ? 1 : 58
    using raw = openSocket({ namespace: a, family, type: "raw", protocol })
    const request = Uint8Array.of(family === 4 ? 8 : 128, 0, 0, 0, 0x12, 0x34, 0, 1)
    // ICMPv6 checksums are the kernel's work; the IPv4 one is over the eight bytes alone.
    if (family === 4) request.set([0xe5, 0xca], 2)
    // Only echo replies: all other types are filtered away.
    if (family === 4) raw.option("icmpFilter", ~1)
    else raw.option("icmp6Filter", new Uint8Array(Uint32Array.of(-1, -1, -1, -1, ~2, -1, -1, -1).buffer))
    raw.sendTo(request, ends.b, 0)
    await until(raw, "read")
    const got = raw.receive(room)
    expect(got?.address).toBe(ends.b)
    const reply = room.subarray(family === 4 ? 20 : 0, got?.length)
    expect([reply[0], ...reply.subarray(4, 8)]).toEqual([family === 4 ? 0 : 129, 0x12, 0x34, 0, 1])
  })

  test("bound to an address of nobody only when told", () => {
    using socket = openSocket({ namespace: a, family, type: "dgram" })
    expect(() => socket.bind(ends.nobody, 7)).toThrow(/EADDRNOTAVAIL/)
    socket.option(family === 4 ? "freebind" : "freebind6", true).bind(ends.nobody, 7)
    expect(socket.localAddress()).toEqual({ address: ends.nobody, port: 7 })
  })
})

test("packet socket: sees frames of its interface and sends its own", async () => {
  using sniffer = openSocket({ namespace: b, family: 4, type: "packet" })
  using sender = openSocket({ namespace: a, family: 4, type: "packet" })
  using netlink = Netlink.open(b)
  sniffer.bindInterface(netlink.link("hd-b")?.index ?? 0)
  sniffer.option("ignoreOutgoing", true)
  const frame = new Uint8Array(60).fill(0xff, 0, 6)
  // An EtherType for experiments (IEEE 802, local experimental 1).
  frame.set([0x88, 0xb5], 12)
  expect(sender.sendFrame(frame, ifindexA)).toBe(60)
  for (;;) {
    await until(sniffer, "read")
    const got = sniffer.receive(room)
    if (room[12] !== 0x88 || room[13] !== 0xb5) continue
    expect(got).toMatchObject({ length: 60, outgoing: false })
    break
  }
})

test("a path that does not exist is told at once", () => {
  using socket = openSocket({ namespace: a, family: 4, type: "stream" })
  expect(() => socket.connect(parseAddress("192.0.2.1"), 80)).toThrow(
    /Cannot connect to 192\.0\.2\.1:80: Network is unreachable \(ENETUNREACH\)/,
  )
})

describe("Poller", () => {
  test("gives tokens, waits without events, and is woken by what comes later", async () => {
    using poller = new Poller()
    using one = openSocket({ namespace: b, family: 4, type: "dgram" })
    using two = openSocket({ namespace: b, family: 4, type: "dgram" })
    one.bind(addresses[4].b, 6001)
    two.bind(addresses[4].b, 6002)
    poller.add(one, { read: true }, 71)
    poller.add(two, { read: true }, 72)
    expect(await poller.wait(20)).toEqual([])
    using client = openSocket({ namespace: a, family: 4, type: "dgram" })
    const waiting = poller.wait(5000)
    expect(() => poller.wait(1)).toThrow(/being waited for/)
    setTimeout(() => client.sendTo(bytes("x"), addresses[4].b, 6002), 10)
    expect(await waiting).toEqual([{ token: 72, readable: true, writable: false, failed: false }])
    poller.change(two, { write: true }, 73)
    expect(poller.waitSync(0)).toEqual([{ token: 73, readable: false, writable: true, failed: false }])
    poller.remove(two)
    expect(poller.waitSync(0)).toEqual([])
  })

  test("many sockets, more events than one call returns", async () => {
    using poller = new Poller()
    const sockets = Array.from({ length: 400 }, () => openSocket({ namespace: a, family: 4, type: "dgram" }))
    sockets.forEach((socket, token) => {
      poller.add(socket, { write: true }, token)
    })
    const seen = new Set<number>()
    for (let turn = 0; turn < 10 && seen.size < 400; turn++) {
      for (const event of await poller.wait(1000)) {
        seen.add(event.token)
        const socket = sockets[event.token]
        if (socket) poller.remove(socket)
      }
    }
    expect(seen.size).toBe(400)
    for (const socket of sockets) socket.close()
  })

  test("closed while waited for: ends with nothing", async () => {
    const poller = new Poller()
    const waiting = poller.wait(60_000)
    poller.close()
    expect(await waiting).toEqual([])
  })
})
