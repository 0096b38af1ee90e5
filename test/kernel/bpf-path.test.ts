import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { EventKind, reasonNames } from "../../src/kernel/abi.generated.ts"
import type { NamespaceHandle } from "../../src/kernel/namespace.ts"
import { inNamespace } from "../../src/kernel/namespace.ts"
import { Netlink } from "../../src/kernel/netlink/netlink.ts"
import { openSocket, type Socket } from "../../src/kernel/socket.ts"
import { setSysctl } from "../../src/kernel/sysctl.ts"
import { EtherType, ethernet, ip, macBytes, TcpFlag, tcp, udp, vxlan } from "../../src/net/packet.ts"
import { parseFrame, parseIp, parseVxlan } from "../../src/net/parse.ts"
import { parsePrefix } from "../../src/net/prefix.ts"
import { A, app, block, cluster, GATEWAY_MAC, pods, policy, TestNode, tcpPort } from "./bpf-fixture.ts"

const WIRE_MAC = "02:00:00:00:00:77"
const specs = {
  web: { addresses: ["10.0.1.1", "fd00::1:1"] },
  client: { addresses: ["10.0.1.2", "fd00::1:2"] },
  far: { node: "two", addresses: ["10.0.2.1", "fd00::2:1"] },
}
const wanted = cluster(pods(specs), [
  policy("web", app("web"), {
    ingress: [{ peer: app("far", "client"), l4: [tcpPort(80)] }, { peer: block("203.0.113.0/24") }],
  }),
])

/** Everything that arrives at one interface. */
class Ear {
  readonly ifindex: number
  readonly #socket: Socket
  constructor(namespace: NamespaceHandle, ifindex: number) {
    this.ifindex = ifindex
    this.#socket = openSocket({ namespace, family: 4, type: "packet" })
    this.#socket.bindInterface(ifindex)
  }

  say(frame: Uint8Array): void {
    this.#socket.sendFrame(frame, this.ifindex)
  }

  /** IP packets that came, with transport; waits a little for the first. */
  async heard(): Promise<{ frame: Uint8Array; source: string; destination: string; port: number }[]> {
    const found = []
    const buffer = new Uint8Array(2_048)
    for (let i = 0; i < 20 && found.length === 0; i++) {
      await sleep(10)
      for (let got = this.#socket.receive(buffer); got; got = this.#socket.receive(buffer)) {
        const frame = buffer.slice(0, got.length)
        const parsed = parseFrame(frame)
        const packet = parsed && parseIp(parsed.payload)
        if (packet?.transport && packet.protocol !== 58)
          found.push({
            frame,
            source: packet.source as string,
            destination: packet.destination as string,
            port: packet.transport.destinationPort,
          })
      }
    }
    return found
  }

  async ports(): Promise<number[]> {
    return (await this.heard()).map((each) => each.port)
  }

  close(): void {
    this.#socket.close()
  }
}

let node: TestNode
let wire: Ear
let side: Ear
let web: Ear
let client: Ear

beforeAll(async () => {
  node = new TestNode()
  const { namespace, podNamespace, entrances } = node
  const netlink = Netlink.open(namespace)
  const podLinks = Netlink.open(podNamespace)
  const up = (name: string) => {
    const link = netlink.link(name)
    if (!link) throw new Error(`no ${name}`)
    netlink.setLink(link.index, { up: true })
    return link.index
  }
  inNamespace(namespace, () => {
    setSysctl("net.ipv4.ip_forward", "1")
    setSysctl("net.ipv6.conf.all.forwarding", "1")
    setSysctl("net.ipv4.conf.all.rp_filter", "0")
    setSysctl("net.ipv4.conf.default.rp_filter", "0")
    setSysctl("net.ipv4.conf.all.accept_local", "1")
  })
  netlink.addVeth({ name: "side", peer: { name: "sidewire" } })
  for (const name of ["wire", "uplink", "heddle1", "heddle0", "overlay", "side", "sidewire"]) up(name)
  netlink.setLink(entrances.heddle0, { noarp: true })
  netlink.setLink(entrances.uplink, { noarp: true })
  inNamespace(namespace, () => setSysctl("net.ipv4.conf.side.rp_filter", "0"))
  netlink.addAddress({ ifindex: entrances.uplink, address: A("192.0.2.1"), prefixLength: 24 })
  for (const text of ["10.0.0.0/16", "fd00::/48"])
    netlink.addRoute({ destination: parsePrefix(text), ifindex: entrances.heddle0 })
  const ears: Ear[] = []
  for (const name of ["default/web", "default/client"]) {
    const { ifindex } = node.port(name)
    netlink.setLink(ifindex, { up: true })
    const peer = netlink.linkByIndex(ifindex)?.peer ?? 0
    podLinks.setLink(peer, { up: true })
    ears.push(new Ear(podNamespace, peer))
  }
  ;[web, client] = ears as [Ear, Ear]
  const sideLink = netlink.link("side")
  netlink.setLink(sideLink?.index ?? 0, { mac: macBytes(GATEWAY_MAC) })
  wire = new Ear(namespace, netlink.link("wire")?.index ?? 0)
  side = new Ear(namespace, netlink.link("sidewire")?.index ?? 0)
  netlink.close()
  podLinks.close()
  node.plane.attachEntrances()
  await node.enforce(wanted)
  await sleep(200)
  for (const ear of [web, client, wire, side]) await ear.heard()
  node.events()
})
afterAll(() => {
  for (const ear of [wire, side, web, client]) ear?.close()
  node?.remove()
})

const syn = (from: string, to: string, destinationPort: number, sourcePort = 1_000) => {
  const ends = { source: A(from), destination: A(to) }
  return ip({ ...ends, protocol: 6 }, tcp({ sourcePort, destinationPort, flags: TcpFlag.syn }, ends))
}
const frame = (packet: Uint8Array, destination = GATEWAY_MAC) => {
  const type = (packet[0] ?? 0) >> 4 === 6 ? EtherType.ipv6 : EtherType.ipv4
  return ethernet({ source: WIRE_MAC, destination, type }, packet)
}
const reasons = () =>
  node
    .events()
    .flatMap((each) => (each.kind === EventKind.drop && each.protocol === 6 ? [reasonNames[each.reason]] : []))

/** A frame as it comes from another node through the tunnel. */
function tunnelled(outer: string, packet: Uint8Array): Uint8Array {
  const ends = { source: A(outer), destination: A("192.0.2.1") }
  const inner = vxlan(1, frame(packet))
  const uplink = inNamespace(node.namespace, () => {
    const netlink = Netlink.open()
    const mac = netlink.linkByIndex(node.entrances.uplink)?.mac ?? new Uint8Array(6)
    netlink.close()
    return mac
  })
  const mac = Array.from(uplink, (byte) => byte.toString(16).padStart(2, "0")).join(":")
  return frame(ip({ ...ends, protocol: 17 }, udp({ sourcePort: 5_000, destinationPort: 4_789 }, ends, inner)), mac)
}

describe.each([
  ["IPv4", "10.0.1.1", "10.0.1.2", "10.0.2.1", "203.0.113.5", "198.51.100.1", "192.0.2.1"],
  ["IPv6", "fd00::1:1", "fd00::1:2", "fd00::2:1", "", "2001:db8:9::7", "2001:db8::1"],
] as const)("real packets, %s", (family, webAddress, clientAddress, far, partner, outside, self) => {
  test("from pod to pod of one node", async () => {
    client.say(frame(syn(clientAddress, webAddress, 80)))
    expect(await web.ports()).toContain(80)
    client.say(frame(syn(clientAddress, webAddress, 81)))
    expect(await web.ports()).toEqual([])
    expect(reasons()).toEqual(["policy"])
  })

  test("from a pod to another node's, through the tunnel to that node", async () => {
    await wire.heard()
    client.say(frame(syn(clientAddress, far, 7_001)))
    const [sent] = await wire.heard()
    expect(sent).toMatchObject({ source: "192.0.2.1", destination: "192.0.2.2", port: 4_789 })
    const outer = sent && parseFrame(sent.frame)
    const datagram = outer && parseIp(outer.payload)?.transport
    const inner = datagram && parseVxlan(datagram.payload)
    expect(inner?.vni).toBe(1)
    const packet = inner && parseIp(parseFrame(inner.frame)?.payload ?? inner.frame)
    expect(packet).toMatchObject({ source: clientAddress, destination: far })
    expect(packet?.transport?.destinationPort).toBe(7_001)
  })

  test("through the tunnel only from the node that owns the source", async () => {
    wire.say(tunnelled("192.0.2.2", syn(far, webAddress, 80)))
    expect(await web.ports()).toContain(80)
    wire.say(tunnelled("192.0.2.3", syn(far, webAddress, 80, 1_001)))
    wire.say(tunnelled("192.0.2.2", syn(clientAddress, webAddress, 80, 1_001)))
    wire.say(tunnelled("192.0.2.2", syn(outside, webAddress, 80, 1_001)))
    // Nor on a connection that is there.
    wire.say(tunnelled("192.0.2.3", syn(far, webAddress, 80)))
    expect(await web.ports()).toEqual([])
    expect(reasons()).toEqual(Array(4).fill("overlay-source"))
  })

  test("an address of the cluster that is not known yet must come from a node, and is told as unknown", async () => {
    const unknown = family === "IPv4" ? "10.0.9.9" : "fd00::9:9"
    wire.say(tunnelled("192.0.2.2", syn(unknown, webAddress, 80)))
    wire.say(tunnelled("192.0.2.2", syn(unknown, clientAddress, 80)))
    expect(await client.ports()).toContain(80)
    wire.say(tunnelled("192.0.2.3", syn(unknown, clientAddress, 82)))
    expect(await client.ports()).toEqual([])
    expect(reasons()).toEqual(["unknown-peer", "overlay-source"])
  })

  test("what the stack forwards is judged by its address: the node's own does not make it the node's", async () => {
    side.say(frame(syn(outside, webAddress, 80)))
    expect(await web.ports()).toEqual([])
    if (partner !== "") {
      side.say(frame(syn(partner, webAddress, 4_000)))
      expect(await web.ports()).toContain(4_000)
    }
    side.say(frame(syn(outside, clientAddress, 4_001)))
    expect(await client.ports()).toContain(4_001)
    side.say(frame(syn(clientAddress, webAddress, 80, 1_002)))
    side.say(frame(syn(far, webAddress, 80, 1_002)))
    expect(await web.ports()).toEqual([])
    const told = reasons()
    expect(told[0]).toBe("policy")
    expect(told.slice(1)).toEqual(["wrong-interface", "wrong-interface"])
    side.say(frame(syn(self, webAddress, 80, 1_003)))
    expect(await web.ports()).toEqual([])
    expect(reasons()).toEqual(["policy"])
  })

  test("the node's own sockets reach its pods whatever policy says, and heddle1 gets nothing", async () => {
    const before = node.plane.drops().get("no-route")?.packets ?? 0n
    const socket = openSocket({ namespace: node.namespace, family: family === "IPv4" ? 4 : 6, type: "dgram" })
    if (family === "IPv4") {
      socket.sendTo(new Uint8Array(4), A(webAddress), 9_999)
      const [sent] = await web.heard()
      expect(sent).toMatchObject({ source: self, destination: webAddress, port: 9_999 })
      expect(sent?.frame.subarray(0, 6)).toEqual(node.port("default/web").mac)
    }
    socket.close()
    expect(node.plane.drops().get("no-route")?.packets ?? 0n).toBe(before)
  })
})
