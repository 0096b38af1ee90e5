import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { Compiler } from "../../src/compile/compile.ts"
import { mountBpffs, unmount } from "../../src/kernel/mount.ts"
import { createNamespace, deleteNamespace, inNamespace, openNamespace } from "../../src/kernel/namespace.ts"
import type { PacketLimits } from "../../src/kernel/netlink/link.ts"
import { Netlink } from "../../src/kernel/netlink/netlink.ts"
import { setSysctl } from "../../src/kernel/sysctl.ts"
import { type Cluster, type Endpoint, emptyCluster, type Node } from "../../src/model/cluster.ts"
import { policyKey } from "../../src/model/policy.ts"
import { familyOf, parseAddress } from "../../src/net/address.ts"
import { parsePrefix } from "../../src/net/prefix.ts"
import type { Address } from "../../src/net/types.ts"
import { EbpfPlane } from "../../src/plane/ebpf/plane.ts"
import { everything } from "../../src/plane/network/gateway.ts"
import { NodeNetwork, type NodeNetworkOptions } from "../../src/plane/network/network.ts"
import { app, policy, tcpPort } from "./bpf-fixture.ts"
import { longPackets, socketIn } from "./long-packets.ts"

const OPEN = 7_777
const CLOSED = 7_778
const plain = 65_536
const big = 196_608

const wires = {
  a: ["192.0.2.1", "2001:db8::1"],
  b: ["192.0.2.2", "2001:db8::2"],
  outside: ["192.0.2.9", "2001:db8::9"],
} as const
const nodes: readonly Node[] = [
  nodeOf("a", wires.a, ["10.1.0.0/24", "fd00:1::/64"]),
  nodeOf("b", wires.b, ["10.2.0.0/24", "fd00:2::/64"]),
]
const pods = [
  podOf("a1", "a", "10.1.0.5", "fd00:1::5"),
  podOf("a2", "a", "10.1.0.6", "fd00:1::6"),
  podOf("b1", "b", "10.2.0.5", "fd00:2::5"),
]
const onlyOpen = ["a2", "b1"].map((name) => policy(name, app(name), { ingress: [{ l4: [tcpPort(OPEN)] }] }))
const cluster: Cluster = {
  ...emptyCluster,
  namespaces: new Map([["default", { name: "default", labels: {} }]]),
  nodes: new Map(nodes.map((node) => [node.name, node])),
  endpoints: new Map(pods.map((pod) => [`default/${pod.name}`, pod])),
  policies: new Map(onlyOpen.map((one) => [policyKey(one), one])),
  clusterPrefixes: nodes.flatMap((node) => node.podPrefixes),
}
const spaces = ["wire", ...Object.keys(wires), ...pods.map((pod) => pod.name)]

let directory: string
let closing: (() => void)[]

const path = (name: string): string => join(directory, name)

/** Two nodes and a host outside on one wire, which carries packets of any length. */
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "hd-big-"))
  closing = []
  for (const name of spaces) {
    createNamespace(path(name))
    const handle = openNamespace(path(name))
    inNamespace(handle, () => setSysctl("net.ipv6.conf.default.accept_dad", 0))
    handle.close()
  }
  on("wire", (netlink) => netlink.addBridge({ name: "wire", up: true }))
  for (const [name, addresses] of Object.entries(wires)) plug(name, addresses)
})

afterEach(() => {
  stop()
  for (const name of spaces) if (existsSync(path(name))) deleteNamespace(path(name))
  for (const name of ["pins-a", "pins-b"]) if (existsSync(path(name))) unmount(path(name))
  rmSync(directory, { recursive: true, force: true })
})

function stop(): void {
  for (const close of closing.splice(0)) close()
}

function on<T>(name: string, use: (netlink: Netlink) => T): T {
  const handle = openNamespace(path(name))
  const netlink = Netlink.open(handle)
  try {
    return use(netlink)
  } finally {
    netlink.close()
    handle.close()
  }
}

function plug(name: string, addresses: readonly string[]): void {
  const handle = openNamespace(path(name))
  on("wire", (netlink) => {
    const { index } = netlink.addVeth({
      name: `w-${name}`,
      up: true,
      peer: { name: "eth0", namespace: handle, up: true },
    })
    netlink.setLink(index, { master: netlink.link("wire")?.index ?? 0, gsoMaxSize: big, gsoIpv4MaxSize: big })
  })
  handle.close()
  on(name, (netlink) => {
    const ifindex = netlink.link("eth0")?.index ?? 0
    for (const address of addresses.map(parseAddress))
      netlink.addAddress({ ifindex, address, prefixLength: familyOf(address) === 4 ? 24 : 64, noDad: true })
    for (const address of name === "outside" ? [] : wires.outside.map(parseAddress))
      netlink.addRoute({ destination: everything[familyOf(address)], gateway: address, ifindex })
  })
}

/** Starts both nodes; pods are attached the first time. */
async function start(options: Pick<NodeNetworkOptions, "routing" | "bigTcp">): Promise<Map<string, NodeNetwork>> {
  const networks = new Map<string, NodeNetwork>()
  for (const { name } of nodes) {
    let plane: EbpfPlane | undefined
    const compiler = new Compiler(name)
    const network: NodeNetwork = new NodeNetwork({
      ...{ node: name, netns: path(name), stateDirectory: path(`state-${name}`), uplink: undefined, ...options },
      ...{ overlayPort: 4789, mtu: undefined, podPrefixes: [], nonMasquerade: [] },
      podHook: (ifindex) => plane?.podHook(ifindex) ?? [],
      isHooked: () => true,
      onChange: async () => {
        const forwarding = network.forwarding()
        if (plane === undefined || forwarding === undefined) throw new Error("the plane is not loaded")
        await plane.apply({ compiled: compiler.update(cluster), forwarding }, null)
      },
    })
    closing.push(() => network.close())
    const entrances = await network.setup(cluster)
    if (!existsSync(path(`pins-${name}`))) mountBpffs(path(`pins-${name}`))
    const namespace = openNamespace(path(name))
    const { routing } = options
    const loaded = EbpfPlane.open({
      pinDirectory: path(`pins-${name}`),
      overlayPort: 4789,
      ...{ routing, entrances, namespace },
    })
    plane = loaded
    closing.push(() => {
      loaded.close()
      namespace.close()
    })
    plane.attachEntrances()
    const here = pods.filter((pod) => pod.node === name && !network.attachments().some((one) => one.pod === pod.name))
    for (const pod of here)
      await network.add({
        ...{ container: `c-${pod.name}`, ifname: "eth0", netns: path(pod.name), network: "pods" },
        ...{ namespace: "default", pod: pod.name, addresses: [] },
      })
    networks.set(name, network)
  }
  return networks
}

function stream(from: string, to: string, address: Address, back = false): Promise<number> {
  return longPackets({ from: path(from), to: path(to), address, port: OPEN, back })
}

async function isRefused(from: string, to: string, address: Address): Promise<boolean> {
  const listener = socketIn(path(to), familyOf(address))
  const client = socketIn(path(from), familyOf(address))
  try {
    listener.bind(address, CLOSED)
    listener.listen(1)
    client.connect(address, CLOSED)
    await sleep(300)
    return listener.accept() === undefined
  } finally {
    listener.close()
    client.close()
  }
}

/** The limits of a link, shortly: all four are the same, but for the uplink's GRO of IPv6, which stays. */
function limits(place: string, name: string): number {
  const link: PacketLimits = on(place, (netlink) => netlink.link(name)) ?? {}
  const { gsoMaxSize = 0, groMaxSize, gsoIpv4MaxSize, groIpv4MaxSize } = link
  expect([gsoIpv4MaxSize, groIpv4MaxSize]).toEqual([gsoMaxSize, gsoMaxSize])
  expect(groMaxSize).toBe(name === "eth0" && place === "a" ? plain : gsoMaxSize)
  return gsoMaxSize
}

/** Limits of node a: its uplink, heddle0, its pods' pairs. */
function allLimits(network: NodeNetwork | undefined): readonly number[] {
  const pairs = (network?.attachments() ?? []).flatMap((one) => [limits("a", one.hostName), limits(one.pod, "eth0")])
  return [limits("a", "eth0"), limits("a", "heddle0"), ...pairs]
}

function addressesOf(name: string): readonly Address[] {
  const wire = name in wires ? wires[name as keyof typeof wires] : []
  return pods.find((pod) => pod.name === name)?.addresses ?? wire.map(parseAddress)
}

test("native: long packets within the node, to another and outside, whole and still judged; off: none, on pods that were there", async () => {
  const first = await start({ routing: "native", bigTcp: "on" })
  expect(first.get("a")?.bigTcp).toBe("on: TCP packets of up to 196,608 bytes")
  expect(allLimits(first.get("a"))).toEqual([big, big, big, big, big, big])
  for (const [from, to] of [
    ["a1", "a2"],
    ["a1", "b1"],
    ["a1", "outside"],
    ["a1", "a"],
    ["a", "a1"],
    ["a", "b1"],
  ] as const)
    for (const address of addressesOf(to))
      expect({ from, address, long: (await stream(from, to, address)) > 0 }).toEqual({ from, address, long: true })
  // What comes back from outside, masqueraded, passes the node's stack too.
  on("outside", (netlink) =>
    netlink.setLink(netlink.link("eth0")?.index ?? 0, { gsoMaxSize: big, gsoIpv4MaxSize: big }),
  )
  for (const address of addressesOf("outside")) expect(await stream("a1", "outside", address, true)).toBeGreaterThan(0)
  for (const to of ["a2", "b1"])
    for (const address of addressesOf(to)) expect(await isRefused("a1", to, address)).toBe(true)

  stop()
  const second = await start({ routing: "native", bigTcp: "off" })
  expect(allLimits(second.get("a"))).toEqual([plain, plain, plain, plain, plain, plain])
  for (const to of ["a2", "b1"])
    for (const address of addressesOf(to))
      expect({ to: address, long: await stream("a1", to, address) }).toEqual({ to: address, long: 0 })

  stop()
  const third = await start({ routing: "native", bigTcp: "on" })
  expect(allLimits(third.get("a"))).toEqual([big, big, big, big, big, big])
  for (const address of addressesOf("a2")) expect(await stream("a1", "a2", address)).toBeGreaterThan(0)
})

test("vxlan: switched on, long packets stay within the node, and what goes to another arrives whole, cut", async () => {
  await start({ routing: "vxlan", bigTcp: "on" })
  for (const address of addressesOf("a2")) expect(await stream("a1", "a2", address)).toBeGreaterThan(0)
  for (const address of addressesOf("b1")) expect(await stream("a1", "b1", address)).toBe(0)
})

test("auto raises nothing with vxlan, nor where the uplink is a veth", async () => {
  for (const routing of ["vxlan", "native"] as const) {
    const networks = await start({ routing, bigTcp: "auto" })
    expect(networks.get("a")?.bigTcp).toMatch(/^off: /)
    expect(allLimits(networks.get("a"))).toEqual([plain, plain, plain, plain, plain, plain])
    stop()
  }
})

/** Loopback is the one device here that is no veth and takes long packets. */
describe("an uplink that takes them", () => {
  function networkOf(bigTcp: "auto" | "off"): NodeNetwork {
    const network = new NodeNetwork({
      ...{ node: "a", netns: path("a"), stateDirectory: path("state"), uplink: "lo", routing: "native", bigTcp },
      ...{ overlayPort: 4789, mtu: 1500, podPrefixes: [], nonMasquerade: [] },
      podHook: () => [],
      isHooked: () => true,
      onChange: async () => undefined,
    })
    closing.push(() => network.close())
    return network
  }
  const set = (change: PacketLimits): void =>
    on("a", (netlink) => netlink.setLink(netlink.link("lo")?.index ?? 0, change))
  const mine = { gsoMaxSize: plain, groMaxSize: plain, gsoIpv4MaxSize: 40_000, groIpv4MaxSize: 250_000 }
  const raised = { ...mine, gsoMaxSize: big, gsoIpv4MaxSize: big }

  test.each([
    ["off", (): Promise<unknown> => networkOf("off").setup(cluster)],
    ["the network's removal", (): Promise<unknown> => networkOf("auto").remove()],
  ])("is raised by auto, where it was lower, and %s gives it back what it had, after a restart too", async (_, end) => {
    set(mine)
    const network = networkOf("auto")
    await network.setup(cluster)
    expect(network.bigTcp).toBe("on: TCP packets of up to 196,608 bytes")
    expect(on("a", (netlink) => netlink.link("lo"))).toMatchObject(raised)
    expect(limits("a", "heddle0")).toBe(big)
    set({ gsoIpv4MaxSize: plain })
    await network.reconcile(cluster, { full: true })
    expect(on("a", (netlink) => netlink.link("lo"))).toMatchObject(raised)
    stop()
    await end()
    expect(on("a", (netlink) => netlink.link("lo"))).toMatchObject(mine)
  })

  test("keeps what somebody else gave it since", async () => {
    set(mine)
    const network = networkOf("auto")
    await network.setup(cluster)
    set({ gsoIpv4MaxSize: 150_000 })
    await network.remove()
    expect(on("a", (netlink) => netlink.link("lo"))).toMatchObject({ ...mine, gsoIpv4MaxSize: 150_000 })
  })
})

function nodeOf(name: string, addresses: readonly string[], prefixes: readonly string[]): Node {
  const all = { addresses: addresses.map(parseAddress), podPrefixes: prefixes.map((text) => parsePrefix(text)) }
  return { name, labels: {}, ...all }
}

function podOf(name: string, node: string, ...addresses: readonly string[]): Endpoint {
  const rest = { labels: { app: name }, serviceAccount: "default", namedPorts: [] }
  return { namespace: "default", name, node, addresses: addresses.map(parseAddress), ...rest }
}
