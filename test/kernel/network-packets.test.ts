import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { compile } from "../../src/compile/compile.ts"
import { mountBpffs, unmount } from "../../src/kernel/mount.ts"
import { createNamespace, deleteNamespace, inNamespace, openNamespace } from "../../src/kernel/namespace.ts"
import { Netlink } from "../../src/kernel/netlink/netlink.ts"
import { openSocket, type Socket } from "../../src/kernel/socket.ts"
import { setSysctl } from "../../src/kernel/sysctl.ts"
import { type Cluster, type Endpoint, emptyCluster, type Node } from "../../src/model/cluster.ts"
import { familyOf, parseAddress } from "../../src/net/address.ts"
import { parsePrefix } from "../../src/net/prefix.ts"
import type { Address } from "../../src/net/types.ts"
import { EbpfPlane } from "../../src/plane/ebpf/plane.ts"
import { everything, hostPrefix } from "../../src/plane/network/gateway.ts"
import { NodeNetwork } from "../../src/plane/network/network.ts"

const PORT = 7_777

function nodeOf(name: string, addresses: readonly string[], prefixes: readonly string[]): Node {
  return {
    name,
    labels: {},
    addresses: addresses.map((text) => parseAddress(text)),
    podPrefixes: prefixes.map((text) => parsePrefix(text)),
  }
}

function podOf(name: string, node: string, ...addresses: readonly string[]): Endpoint {
  const rest = { labels: {}, serviceAccount: "default", namedPorts: [] }
  return { namespace: "x", name, node, addresses: addresses.map((text) => parseAddress(text)), ...rest }
}

const layouts = {
  "dual stack": [
    ["192.0.2.1", "2001:db8::1"],
    ["192.0.2.2", "2001:db8::2"],
    ["192.0.2.9", "2001:db8::9"],
  ],
  "IPv6 nodes": [["2001:db8::1"], ["2001:db8::2"], ["2001:db8::9"]],
} as const

/** Two nodes on one wire, a host outside, three pods: the network together with the eBPF plane, everything allowed. */
describe.each([
  ["vxlan", "dual stack"],
  ["vxlan", "IPv6 nodes"],
  ["native", "dual stack"],
] as const)("%s between %s", (routing, layout) => {
  const [own, other, far] = layouts[layout]
  const nodes = [nodeOf("a", own, ["10.1.0.0/24", "fd00:1::/64"]), nodeOf("b", other, ["10.2.0.0/24", "fd00:2::/64"])]
  /** Pod a2 has addresses outside its node's ranges, one of them in the other's. */
  const pods = [
    podOf("a1", "a", "10.1.0.5", "fd00:1::5"),
    podOf("a2", "a", "172.20.0.7", "fd00:2::77"),
    podOf("b1", "b", "10.2.0.5", "fd00:2::5"),
  ]
  const cluster: Cluster = {
    ...emptyCluster,
    namespaces: new Map([["x", { name: "x", labels: {} }]]),
    nodes: new Map(nodes.map((node) => [node.name, node])),
    endpoints: new Map(pods.map((pod) => [`x/${pod.name}`, pod])),
    clusterPrefixes: nodes.flatMap((node) => node.podPrefixes),
  }
  const directory = mkdtempSync(join(tmpdir(), "hd-packets-"))
  const path = (name: string): string => join(directory, name)
  const networks: NodeNetwork[] = []
  const planes: EbpfPlane[] = []

  beforeAll(async () => {
    for (const name of ["wire", "a", "b", "outside", ...pods.map((pod) => pod.name)]) {
      createNamespace(path(name))
      const handle = openNamespace(path(name))
      inNamespace(handle, () => setSysctl("net.ipv6.conf.default.accept_dad", 0))
      handle.close()
    }
    on("wire", (netlink) => netlink.addBridge({ name: "wire", up: true }))
    plug("a", own)
    plug("b", other)
    plug("outside", far)
    for (const [name, addresses] of [
      ["a", own],
      ["b", other],
      ["outside", far],
    ] as const)
      on(name, (netlink) => {
        const ifindex = netlink.link("eth0")?.index ?? 0
        for (const text of [...own, ...other, ...far].filter((one) => !(addresses as readonly string[]).includes(one)))
          netlink.addRoute({ destination: hostPrefix(parseAddress(text)), ifindex, scope: "link" })
        for (const text of name === "outside" ? [] : far) {
          const gateway = parseAddress(text)
          netlink.addRoute({ destination: everything[familyOf(gateway)], gateway, ifindex, onlink: true })
        }
      })
    for (const node of nodes) await start(node)
  })

  afterAll(() => {
    for (const plane of planes) plane.close()
    for (const network of networks) network.close()
    for (const name of ["pins-a", "pins-b"]) if (existsSync(path(name))) unmount(path(name))
    for (const name of ["wire", "a", "b", "outside", ...pods.map((pod) => pod.name)])
      if (existsSync(path(name))) deleteNamespace(path(name))
    rmSync(directory, { recursive: true, force: true })
  })

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
      netlink.addVeth({ name: `w-${name}`, up: true, peer: { name: "eth0", namespace: handle, up: true } })
      netlink.setLink(netlink.link(`w-${name}`)?.index ?? 0, { master: netlink.link("wire")?.index ?? 0 })
    })
    handle.close()
    on(name, (netlink) => {
      const ifindex = netlink.link("eth0")?.index ?? 0
      for (const text of addresses) {
        const address = parseAddress(text)
        netlink.addAddress({ ifindex, address, prefixLength: familyOf(address) === 4 ? 32 : 128, noDad: true })
      }
    })
  }

  async function start(node: Node): Promise<void> {
    const { name } = node
    let plane: EbpfPlane | undefined
    const network: NodeNetwork = new NodeNetwork({
      ...{ node: name, netns: path(name), stateDirectory: path(`state-${name}`), uplink: undefined, routing },
      ...{ overlayPort: 4789, mtu: undefined, podPrefixes: [], nonMasquerade: [] },
      podHook: (ifindex) => plane?.podHook(ifindex) ?? [],
      isHooked: () => true,
      onChange: async () => {
        const forwarding = network.forwarding()
        if (plane === undefined || forwarding === undefined) throw new Error("the plane is not loaded")
        await plane.apply({ compiled: compile(cluster, name), forwarding }, null)
      },
    })
    networks.push(network)
    const entrances = await network.setup(cluster)
    mountBpffs(path(`pins-${name}`))
    const first = node.addresses[0]
    plane = EbpfPlane.open({
      ...{ pinDirectory: path(`pins-${name}`), routing, overlayPort: 4789, entrances },
      overlayFamily: first === undefined ? 4 : familyOf(first),
      namespace: openNamespace(path(name)),
    })
    planes.push(plane)
    plane.attachEntrances()
    for (const pod of pods.filter((one) => one.node === name))
      await network.add({
        ...{ container: `c-${pod.name}`, ifname: "eth0", netns: path(pod.name), network: "pods" },
        ...{ namespace: "x", pod: pod.name, addresses: [] },
      })
  }

  /** One datagram there and back; returns the sender as the receiver saw it. */
  async function exchange(from: string, to: string, address: Address, bytes = 100): Promise<string> {
    const family = familyOf(address)
    const server = socketIn(to, family)
    const client = socketIn(from, family)
    try {
      server.bind(address, PORT)
      client.sendTo(new Uint8Array(bytes), address, PORT)
      const request = await received(server)
      expect(request.length).toBe(bytes)
      server.sendTo(new Uint8Array(bytes), request.address, request.port)
      expect(await received(client)).toMatchObject({ address, port: PORT, length: bytes })
      return request.address
    } finally {
      server.close()
      client.close()
    }
  }

  function socketIn(name: string, family: 4 | 6): Socket {
    const namespace = openNamespace(path(name))
    try {
      return openSocket({ namespace, family, type: "dgram" })
    } finally {
      namespace.close()
    }
  }

  const addressesOf = (name: string): readonly Address[] =>
    (pods.find((pod) => pod.name === name) ?? nodes.find((node) => node.name === name))?.addresses ??
    far.map((text) => parseAddress(text))

  test.each([
    ["a1", "a2"],
    ["a2", "a1"],
    ["a1", "b1"],
    ["b1", "a2"],
  ])("pod %s reaches pod %s under its own address", async (from, to) => {
    for (const address of addressesOf(to)) {
      const source = addressesOf(from).find((one) => familyOf(one) === familyOf(address))
      expect(await exchange(from, to, address)).toBe(source)
      expect(await exchange(from, to, address, 1_300)).toBe(source)
    }
  })

  test("a packet as long as the pod's MTU arrives in one piece at the other node", async () => {
    const mtu = on("a1", (netlink) => netlink.link("eth0")?.mtu ?? 0)
    expect(mtu).toBe(routing === "native" ? 1500 : layout === "dual stack" ? 1450 : 1430)
    for (const address of addressesOf("b1"))
      await exchange("a1", "b1", address, mtu - (familyOf(address) === 4 ? 28 : 48))
  })

  test("pods reach their node and the other one, and both nodes reach pods", async () => {
    for (const node of ["a", "b"])
      for (const address of addressesOf(node)) {
        const source = addressesOf("a1").find((one) => familyOf(one) === familyOf(address))
        expect(await exchange("a1", node, address)).toBe(source)
        for (const pod of addressesOf("a1").filter((one) => familyOf(one) === familyOf(address)))
          expect(await exchange(node, "a1", pod)).toBe(address)
      }
  })

  test("outside, a pod is its node", async () => {
    for (const address of addressesOf("outside")) {
      const node = addressesOf("a").find((one) => familyOf(one) === familyOf(address))
      expect(await exchange("a1", "outside", address)).toBe(node)
      expect(await exchange("a2", "outside", address)).toBe(node)
    }
  })
})

interface Datagram {
  readonly address: Address
  readonly port: number
  readonly length: number
}

async function received(socket: Socket): Promise<Datagram> {
  const into = new Uint8Array(2_000)
  const deadline = performance.now() + 2_000
  for (;;) {
    const found = socket.receive(into)
    if (found !== undefined) return found
    if (performance.now() > deadline) throw new Error("Cannot receive: nothing came within 2 s")
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
