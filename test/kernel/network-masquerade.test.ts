import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { createNamespace, deleteNamespace, inNamespace, openNamespace } from "../../src/kernel/namespace.ts"
import { Netlink } from "../../src/kernel/netlink/netlink.ts"
import { openSocket, type Socket } from "../../src/kernel/socket.ts"
import { setSysctl } from "../../src/kernel/sysctl.ts"
import { type Cluster, emptyCluster } from "../../src/model/cluster.ts"
import { familyOf, parseAddress } from "../../src/net/address.ts"
import { type IpPacket, parseFrame } from "../../src/net/parse.ts"
import { parsePrefix } from "../../src/net/prefix.ts"
import { GATEWAY_MAC, gateways, hostPrefix } from "../../src/plane/network/gateway.ts"
import { NodeNetwork } from "../../src/plane/network/network.ts"

const PORT = 9_999
const directory = mkdtempSync(join(tmpdir(), "hd-masq-"))
const [node, pod, outside] = ["node", "pod", "outside"].map((name) => join(directory, name)) as [string, string, string]
const outsideAddresses = ["192.0.2.50", "198.51.100.5", "2001:db8::50", "2001:db8:5::5"]
const nodeAddresses = ["192.0.2.1", "2001:db8::1"]
let network: NodeNetwork

function on<T>(path: string, use: (netlink: Netlink) => T): T {
  const handle = openNamespace(path)
  const netlink = Netlink.open(handle)
  try {
    return use(netlink)
  } finally {
    netlink.close()
    handle.close()
  }
}

function socketIn(path: string, family: 4 | 6): Socket {
  const namespace = openNamespace(path)
  try {
    return openSocket({ namespace, family, type: "dgram" })
  } finally {
    namespace.close()
  }
}

/**
 * A node between a pod and a host outside. No plane is loaded: the pod knows the gateway's MAC address from here, and
 * what leaves its interface goes straight into the node's stack, as the pod program passes on what goes outside.
 */
beforeAll(async () => {
  for (const path of [node, pod, outside]) {
    createNamespace(path)
    // Link-local addresses are usable at once: neighbours are asked from them.
    const handle = openNamespace(path)
    inNamespace(handle, () => setSysctl("net.ipv6.conf.default.accept_dad", 0))
    handle.close()
  }
  const far = openNamespace(outside)
  on(node, (netlink) => {
    netlink.addVeth({ name: "up0", up: true, peer: { name: "up0", namespace: far, up: true } })
    const ifindex = netlink.link("up0")?.index ?? 0
    for (const text of nodeAddresses)
      netlink.addAddress({ ...addressOf(text, ifindex), prefixLength: text.includes(":") ? 64 : 24 })
    for (const text of outsideAddresses)
      netlink.addRoute({ destination: hostPrefix(parseAddress(text)), ifindex, scope: "link" })
  })
  far.close()
  on(outside, (netlink) => {
    const ifindex = netlink.link("up0")?.index ?? 0
    for (const text of outsideAddresses) netlink.addAddress(addressOf(text, ifindex))
    for (const text of nodeAddresses)
      netlink.addRoute({ destination: hostPrefix(parseAddress(text)), ifindex, scope: "link" })
  })
  network = new NodeNetwork({
    ...{ node: "a", netns: node, stateDirectory: join(directory, "state"), uplink: undefined, routing: "vxlan" },
    ...{ overlayPort: 4789, mtu: undefined, podPrefixes: [] },
    nonMasquerade: ["198.51.100.0/24", "2001:db8:5::/48"].map((text) => parsePrefix(text)),
    podHook: () => [],
    isHooked: () => true,
    onChange: () => Promise.resolve(),
  })
  const podPrefixes = ["10.1.0.0/24", "fd00:1::/64"].map((text) => parsePrefix(text))
  const self = { name: "a", labels: {}, addresses: nodeAddresses.map((text) => parseAddress(text)), podPrefixes }
  const cluster: Cluster = { ...emptyCluster, nodes: new Map([["a", self]]), clusterPrefixes: podPrefixes }
  await network.setup(cluster)
  const request = { container: "c", ifname: "eth0", netns: pod, network: "n", namespace: "x", pod: "p", addresses: [] }
  await network.add(request)
  on(pod, (netlink) => {
    const ifindex = netlink.link("eth0")?.index ?? 0
    for (const family of [4, 6] as const)
      netlink.addNeighbour({ ifindex, address: gateways[family], mac: GATEWAY_MAC, permanent: true })
  })
})

afterAll(() => {
  network?.close()
  for (const path of [node, pod, outside]) if (existsSync(path)) deleteNamespace(path)
  rmSync(directory, { recursive: true, force: true })
})

function addressOf(text: string, ifindex: number) {
  const address = parseAddress(text)
  return { ifindex, address, prefixLength: familyOf(address) === 4 ? 32 : 128, noDad: true }
}

/** Sends a datagram from the pod and returns whom the receiver takes for its sender. */
async function senderSeenBy(path: string, text: string): Promise<string> {
  const address = parseAddress(text)
  const receiver = socketIn(path, familyOf(address))
  const sender = socketIn(pod, familyOf(address))
  try {
    receiver.bind(address, PORT)
    sender.sendTo(new Uint8Array(8), address, PORT)
    let from: string | undefined
    await expect.poll(() => (from ??= receiver.receive(new Uint8Array(64))?.address)).toBeDefined()
    return from ?? ""
  } finally {
    receiver.close()
    sender.close()
  }
}

test.each([
  ["an address outside", () => outside, "192.0.2.50", "192.0.2.1"],
  ["an address outside, IPv6", () => outside, "2001:db8::50", "2001:db8::1"],
  ["where pods keep their address", () => outside, "198.51.100.5", "10.1.0.2"],
  ["where pods keep their address, IPv6", () => outside, "2001:db8:5::5", "fd00:1::2"],
  ["the node", () => node, "192.0.2.1", "10.1.0.2"],
  ["the node, IPv6", () => node, "2001:db8::1", "fd00:1::2"],
])("a pod's packet to %s", async (_name, path, to, seen) => {
  expect(await senderSeenBy(path(), to)).toBe(seen)
})

test("only what is masqueraded is tracked", async () => {
  for (const to of ["198.51.100.5", "192.0.2.50", "2001:db8:5::5", "2001:db8::50"]) await senderSeenBy(outside, to)
  for (const to of nodeAddresses) await senderSeenBy(node, to)
  const handle = openNamespace(node)
  const table = inNamespace(handle, () => readFileSync("/proc/self/net/nf_conntrack", "utf8"))
  handle.close()
  const tracked = table.split("\n").flatMap((line) => / dst=(\S+) .* dport=9999 /.exec(line)?.[1] ?? [])
  expect(new Set(tracked.map((text) => parseAddress(text)))).toEqual(new Set(["192.0.2.50", "2001:db8::50"]))
})

test.each([
  ["IPv4", "10.1.0.2", "192.0.2.1"],
  ["IPv6", "fd00:1::2", "2001:db8::1"],
])("the node's own packet to a pod goes into heddle0 and, without a program, no further: %s", async (_name, to, source) => {
  const address = parseAddress(to)
  const handle = openNamespace(node)
  const wire = openSocket({ namespace: handle, family: 4, type: "packet" })
  handle.close()
  const sender = socketIn(node, familyOf(address))
  const receiver = socketIn(pod, familyOf(address))
  try {
    wire.bindInterface(on(node, (netlink) => netlink.link("heddle1")?.index ?? 0))
    receiver.bind(address, PORT)
    sender.sendTo(new Uint8Array(8), address, PORT)
    const bytes = new Uint8Array(2_000)
    let packet: IpPacket | undefined
    await expect
      .poll(() => {
        const length = wire.receive(bytes)?.length
        const frame = length === undefined ? undefined : parseFrame(bytes.subarray(0, length))
        if (frame?.ip !== undefined) packet = frame.ip
        return packet?.destination
      })
      .toBe(to)
    expect(packet).toMatchObject({ source, transport: { destinationPort: PORT } })
    expect(receiver.receive(new Uint8Array(64))).toBeUndefined()
  } finally {
    for (const socket of [wire, sender, receiver]) socket.close()
  }
})
