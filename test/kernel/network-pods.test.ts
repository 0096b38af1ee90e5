import { execFileSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { createNamespace, deleteNamespace, inNamespace, openNamespace } from "../../src/kernel/namespace.ts"
import { Netlink } from "../../src/kernel/netlink/netlink.ts"
import { runNft } from "../../src/kernel/nft.ts"
import { getSysctl } from "../../src/kernel/sysctl.ts"
import { type Cluster, emptyCluster, type Node } from "../../src/model/cluster.ts"
import { parseAddress } from "../../src/net/address.ts"
import { macText } from "../../src/net/packet.ts"
import { parsePrefix } from "../../src/net/prefix.ts"
import type { Address } from "../../src/net/types.ts"
import { type AttachRequest, NodeNetwork, type NodeNetworkOptions } from "../../src/plane/network/network.ts"
import { ROUTE_PROTOCOL } from "../../src/plane/network/node-routes.ts"

let directory: string
let node: string
let attached: number[]
let commits: number
let failCommit: Error | undefined
let networks: NodeNetwork[]
const namespaces: string[] = []

function newNamespace(name: string): string {
  const path = join(directory, name)
  createNamespace(path)
  namespaces.push(path)
  return path
}

function in_<T>(path: string, use: (netlink: Netlink) => T): T {
  const handle = openNamespace(path)
  try {
    using netlink = Netlink.open(handle)
    return use(netlink)
  } finally {
    handle.close()
  }
}

function sysctl(path: string, name: string): string | undefined {
  const handle = openNamespace(path)
  try {
    return inNamespace(handle, () => getSysctl(name))
  } finally {
    handle.close()
  }
}

/** A node `a` with an uplink whose other end is in a namespace that does nothing. */
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "hd-net-"))
  attached = []
  commits = 0
  failCommit = undefined
  networks = []
  node = newNamespace("node")
  const wire = newNamespace("wire")
  const handle = openNamespace(wire)
  in_(node, (netlink) => {
    netlink.addVeth({ name: "up0", mtu: 1500, peer: { name: "up0", namespace: handle } })
    const ifindex = netlink.link("up0")?.index ?? 0
    in_(wire, (other) => other.setLink(other.link("up0")?.index ?? 0, { up: true }))
    netlink.setLink(ifindex, { up: true })
    netlink.addAddress({ ifindex, address: parseAddress("192.0.2.1"), prefixLength: 24 })
    netlink.addAddress({ ifindex, address: parseAddress("2001:db8::1"), prefixLength: 64, noDad: true })
  })
  handle.close()
})

afterEach(() => {
  for (const network of networks) network.close()
  for (const path of namespaces.splice(0)) deleteNamespace(path)
  rmSync(directory, { recursive: true, force: true })
})

function nodeOf(name: string, addresses: readonly string[], prefixes: readonly string[]): Node {
  return {
    name,
    labels: {},
    addresses: addresses.map((text) => parseAddress(text)),
    podPrefixes: prefixes.map((text) => parsePrefix(text)),
  }
}

function clusterOf(...nodes: readonly Node[]): Cluster {
  return {
    ...emptyCluster,
    nodes: new Map(nodes.map((one) => [one.name, one])),
    clusterPrefixes: nodes.flatMap((one) => one.podPrefixes),
  }
}

const a = nodeOf("a", ["192.0.2.1", "2001:db8::1"], ["10.1.0.0/24", "fd00:1::/64"])
const b = nodeOf("b", ["192.0.2.2", "2001:db8::2"], ["10.2.0.0/24", "fd00:2::/64"])

function networkOf(more: Partial<NodeNetworkOptions> = {}): NodeNetwork {
  const network = new NodeNetwork({
    node: "a",
    netns: node,
    stateDirectory: join(directory, "state"),
    uplink: undefined,
    routing: "vxlan",
    overlayPort: 4789,
    mtu: undefined,
    nonMasquerade: [],
    podPrefixes: [],
    podHook: (ifindex) => {
      attached.push(ifindex)
      return []
    },
    isHooked: (ifindex) => attached.includes(ifindex),
    onChange: async () => {
      commits++
      if (failCommit !== undefined) throw failCommit
    },
    ...more,
  })
  networks.push(network)
  return network
}

function requestOf(name: string, netns: string, addresses: readonly string[] = []): AttachRequest {
  return {
    container: `c-${name}`,
    ifname: "eth0",
    netns,
    network: "pods",
    namespace: "shop",
    pod: name,
    addresses: addresses.map((text) => parseAddress(text)),
  }
}

function hostLinks(): string[] {
  return in_(node, (netlink) =>
    netlink
      .links()
      .filter((link) => /^hd[0-9a-f]/.test(link.name))
      .map((link) => link.name),
  )
}

describe("node", () => {
  test("has heddle0, heddle1, the overlay, routes and settings; others' are left alone", async () => {
    in_(node, (netlink) => {
      const ifindex = netlink.link("up0")?.index ?? 0
      netlink.addRoute({ destination: parsePrefix("10.9.0.0/16"), ifindex, gateway: parseAddress("192.0.2.9") })
    })
    const network = networkOf()
    const devices = await network.setup(clusterOf(a, b))
    in_(node, (netlink) => {
      const [heddle0, heddle1, overlay] = ["heddle0", "heddle1", "heddle-vxlan"].map((name) => netlink.link(name))
      expect(devices).toEqual({
        uplink: netlink.link("up0")?.index,
        heddle0: heddle0?.index,
        heddle1: heddle1?.index,
        overlay: overlay?.index,
      })
      for (const link of [heddle0, heddle1, overlay]) expect(link).toMatchObject({ up: true, noarp: true, mtu: 1450 })
      expect(macText(overlay?.mac ?? new Uint8Array())).toBe("02:68:64:00:00:01")
      const own = ([4, 6] as const)
        .flatMap((family) => netlink.routes({ family, table: 254 }))
        .filter((route) => route.protocol === ROUTE_PROTOCOL)
      expect(own.map((route) => [route.destination, route.source, route.ifindex])).toEqual([
        ["10.1.0.0/24", "192.0.2.1", heddle0?.index],
        ["10.2.0.0/24", "192.0.2.1", heddle0?.index],
        ["fd00:1::/64", "2001:db8::1", heddle0?.index],
        ["fd00:2::/64", "2001:db8::1", heddle0?.index],
      ])
      expect(
        netlink.addresses().filter((one) => one.ifindex !== devices.uplink && !one.address.includes("::1")),
      ).toEqual([expect.objectContaining({ address: "127.0.0.1" })])
    })
    expect(sysctl(node, "net.ipv4.ip_forward")).toBe("1")
    expect(sysctl(node, "net.ipv6.conf.all.forwarding")).toBe("1")
    expect(sysctl(node, "net.ipv4.conf.heddle1.forwarding")).toBe("0")
    expect(sysctl(node, "net.ipv6.conf.heddle1.disable_ipv6")).toBe("1")
    expect(await runNft("list table inet heddle\n", { namespace: node })).toContain("masquerade")

    await network.reconcile(clusterOf(a))
    await network.remove()
    in_(node, (netlink) => {
      expect(netlink.links().map((link) => link.name)).toEqual(["lo", "up0"])
      const left = netlink.routes({ family: 4, table: 254 })
      expect(left.map((route) => route.destination)).toEqual(["10.9.0.0/16", "192.0.2.0/24"])
    })
    expect(sysctl(node, "net.ipv4.ip_forward")).toBe("0")
    expect(await runNft("list ruleset\n", { namespace: node })).toBe("")
  })

  test("is repaired, and what is right is not made anew", async () => {
    const network = networkOf()
    const cluster = clusterOf(a, b)
    const devices = await network.setup(cluster)
    expect(await network.reconcile(cluster, { full: true })).toEqual({ devices, devicesChanged: false })
    in_(node, (netlink) => {
      netlink.deleteRoute({ destination: parsePrefix("10.2.0.0/24"), ifindex: devices.heddle0 })
      netlink.setLink(devices.heddle1, { up: false })
      netlink.deleteLink(devices.overlay ?? 0)
      netlink.addRoute({ destination: parsePrefix("10.77.0.0/16"), ifindex: devices.heddle0, protocol: ROUTE_PROTOCOL })
    })
    await runNft("delete table inet heddle\n", { namespace: node })
    const repaired = await network.reconcile(cluster, { full: true })
    expect(repaired.devicesChanged).toBe(true)
    expect(repaired.devices).toMatchObject({ heddle0: devices.heddle0 })
    in_(node, (netlink) => {
      const routes = netlink.routes({ family: 4, table: 254 }).filter((route) => route.protocol === ROUTE_PROTOCOL)
      expect(routes.map((route) => route.destination)).toEqual(["10.1.0.0/24", "10.2.0.0/24"])
      expect(netlink.link("heddle1")?.up).toBe(true)
    })
    await runNft("list table inet heddle\n", { namespace: node })
  })

  test("routes an address outside the ranges alone, and a range that holds a node's address not at all", async () => {
    const network = networkOf({ routing: "native" })
    const c = nodeOf("c", ["10.3.0.1"], ["10.3.0.0/16"])
    const endpoint = {
      ...{ namespace: "shop", name: "far", node: "c", labels: {}, serviceAccount: "default", namedPorts: [] },
      addresses: ["10.3.7.7", "172.20.0.9"].map((text) => parseAddress(text)),
    }
    const cluster = { ...clusterOf(a, c), endpoints: new Map([["shop/far", endpoint]]) }
    const devices = await network.setup(cluster)
    expect(devices.overlay).toBeUndefined()
    const own = (): string[] =>
      in_(node, (netlink) =>
        netlink
          .routes({ family: 4, table: 254 })
          .filter((route) => route.protocol === ROUTE_PROTOCOL)
          .map((route) => route.destination)
          .toSorted(),
      )
    expect(own()).toEqual(["10.1.0.0/24", "10.3.7.7/32", "172.20.0.9/32"])
    await network.add(requestOf("near", newNamespace("near"), ["172.20.0.10"]))
    // As every commit does.
    await network.reconcile(cluster)
    expect(own()).toEqual(["10.1.0.0/24", "10.3.7.7/32", "172.20.0.10/32", "172.20.0.9/32"])
    await network.del(requestOf("near", ""))
    await network.reconcile(clusterOf(a, c))
    expect(own()).toEqual(["10.1.0.0/24"])
  })

  test("IPv6 alone: the overlay's MTU and the node's source address follow", async () => {
    const network = networkOf()
    const [six, other] = [nodeOf("a", ["2001:db8::1"], ["fd00:1::/64"]), nodeOf("b", ["2001:db8::2"], ["fd00:2::/64"])]
    const devices = await network.setup(clusterOf(six))
    in_(node, (netlink) => expect(netlink.linkByIndex(devices.heddle0)?.mtu).toBe(1430))
    expect(await network.reconcile(clusterOf(six, other))).toEqual({ devices, devicesChanged: false })
    in_(node, (netlink) => {
      for (const name of ["heddle0", "heddle1", "heddle-vxlan"]) expect(netlink.link(name)?.mtu).toBe(1430)
      const own = netlink.routes({ family: 6, table: 254 }).filter((route) => route.protocol === ROUTE_PROTOCOL)
      expect(own.map((route) => [route.destination, route.source])).toEqual([
        ["fd00:1::/64", "2001:db8::1"],
        ["fd00:2::/64", "2001:db8::1"],
      ])
    })
    expect(network.forwarding()?.peers.get("b")?.address).toBe("2001:db8::2")
  })

  test("the machine's own namespace is refused", () => {
    expect(() => networkOf({ netns: "/proc/thread-self/ns/net" })).toThrow("it is the machine's own namespace")
  })
})

describe("pod", () => {
  test("ADD makes it reachable by programs alone; CHECK confirms; DEL leaves nothing", async () => {
    const network = networkOf()
    await network.setup(clusterOf(a, b))
    const netns = newNamespace("pod")
    const request = requestOf("web", netns)
    const made = await network.add(request)
    expect(made).toMatchObject({
      mtu: 1450,
      addresses: ["10.1.0.2", "fd00:1::2"],
      gateways: ["169.254.1.1", "fe80::1"],
    })
    expect(commits).toBe(1)
    in_(netns, (netlink) => {
      const eth0 = netlink.link("eth0")
      expect(eth0).toMatchObject({ up: true, carrier: true, mtu: 1450 })
      expect(macText(eth0?.mac ?? new Uint8Array())).toBe("0a:68:0a:01:00:02")
      expect(netlink.link("lo")?.up).toBe(true)
      const own = netlink.addresses().filter((one) => one.ifindex === eth0?.index)
      expect(own.map((one) => `${one.address}/${one.prefixLength} ${one.tentative}`)).toEqual([
        "10.1.0.2/32 false",
        "fd00:1::2/128 false",
      ])
      const routes = ([4, 6] as const).flatMap((family) => netlink.routes({ family, table: 254 }))
      expect(routes.map((route) => `${route.destination} ${route.gateway ?? "-"}`)).toEqual([
        "0.0.0.0/0 169.254.1.1",
        "169.254.1.1/32 -",
        "::/0 fe80::1",
      ])
    })
    in_(node, (netlink) => {
      const host = netlink.link(made.hostInterface.name)
      expect(host).toMatchObject({ up: true, index: attached[0] })
      expect(macText(host?.mac ?? new Uint8Array())).toBe("02:68:64:00:00:01")
      for (const family of [4, 6] as const)
        for (const route of netlink.routes({ family, table: 254 })) expect(route.ifindex).not.toBe(host?.index)
      expect(netlink.addresses().some((one) => one.ifindex === host?.index)).toBe(false)
    })
    expect(network.forwarding()?.ports.get("shop/web")).toMatchObject({ ifindex: attached[0], sandbox: "c-web" })
    expect(network.forwarding()?.peers.get("b")).toEqual({ number: 1, address: "192.0.2.2" })

    const check = { ...request, addresses: made.addresses, gateways: made.gateways }
    await network.check(check)
    expect(await failureOf(network.check({ ...check, addresses: [parseAddress("10.1.0.3")] }))).toBe("mismatch")
    in_(netns, (netlink) => {
      const ifindex = netlink.link("eth0")?.index ?? 0
      netlink.deleteRoute({ destination: parsePrefix("0.0.0.0/0"), ifindex })
    })
    expect(await failureOf(network.check(check))).toBe("mismatch")
    await network.check({ ...check, gateways: [] })
    expect(await failureOf(network.add(request))).toBe("interface")

    await network.del(request)
    expect(commits).toBe(2)
    await network.del(request)
    expect(in_(netns, (netlink) => netlink.link("eth0"))).toBeUndefined()
    expect(hostLinks()).toEqual([])
    expect(network.attachments()).toEqual([])
    expect(await failureOf(network.check(check))).toBe("unknownContainer")
  })

  test("IPv4 alone and IPv6 alone", async () => {
    for (const [name, prefix] of [
      ["four", "10.5.0.0/24"],
      ["six", "fd00:5::/64"],
    ] as const) {
      const network = networkOf({ podPrefixes: [parsePrefix(prefix)] })
      await network.setup(clusterOf(a))
      const netns = newNamespace(name)
      const made = await network.add(requestOf(name, netns))
      expect(made.addresses.length).toBe(1)
      expect(sysctl(netns, "net.ipv6.conf.eth0.disable_ipv6")).toBe(name === "six" ? "0" : "1")
      await network.check({ ...requestOf(name, netns), addresses: made.addresses, gateways: made.gateways })
      await network.del(requestOf(name, netns))
    }
  })

  test("stated addresses are kept; a conflict names who has it", async () => {
    const network = networkOf()
    await network.setup(clusterOf(a))
    const first = await network.add(requestOf("one", newNamespace("one"), ["10.1.0.77", "fd00:9::9"]))
    expect(first.addresses).toEqual(["10.1.0.77", "fd00:9::9"])
    const second = network.add(requestOf("two", newNamespace("two"), ["10.1.0.77"]))
    await expect(second).rejects.toThrow("Cannot give 10.1.0.77 to pod shop/two (sandbox c-two, eth0): pod shop/one")
    expect(hostLinks().length).toBe(1)
    const endpoint = {
      ...{ namespace: "shop", name: "three", node: "a", labels: {}, serviceAccount: "default", namedPorts: [] },
      addresses: [parseAddress("10.1.0.3")] as readonly Address[],
    }
    await network.reconcile({ ...clusterOf(a), endpoints: new Map([["shop/three", endpoint]]) })
    const two = await network.add(requestOf("two", join(directory, "two")))
    expect((await network.add(requestOf("three", newNamespace("three")))).addresses).toEqual(["10.1.0.3"])
    expect(two.addresses).toEqual(["10.1.0.2", "fd00:1::2"])
  })

  test("a failed commit undoes ADD, and the address is free after the next good one", async () => {
    const network = networkOf()
    await network.setup(clusterOf(a))
    const netns = newNamespace("pod")
    failCommit = new Error("table full")
    const request = requestOf("web", netns, ["10.1.0.9"])
    await expect(network.add(request)).rejects.toThrow("Cannot enforce the pod's policy: table full")
    expect(hostLinks()).toEqual([])
    expect(network.forwarding()?.ports.size).toBe(0)
    expect(await failureOf(network.add({ ...request, container: "c-other" }))).toBe("address")
    failCommit = undefined
    await network.del(request)
    expect((await network.add({ ...request, container: "c-other" })).addresses).toEqual(["10.1.0.9"])
  })

  test("the plane learns of the pod while its interface is made; for a crash it is unfinished until ADD answers", async () => {
    const seen: unknown[] = []
    const phases = (): string[] => {
      const files = join(directory, "state", "attachments")
      return readdirSync(files).map((file) => JSON.parse(readFileSync(join(files, file), "utf8")).phase)
    }
    const network: NodeNetwork = networkOf({
      onChange: async () => void seen.push([...(network.forwarding()?.ports.keys() ?? [])], phases()),
    })
    await network.setup(clusterOf(a))
    await network.add(requestOf("web", newNamespace("pod")))
    expect(seen).toEqual([["shop/web"], ["making"]])
    expect(phases()).toEqual(["attached"])
    await network.del(requestOf("web", ""))
    expect(seen.slice(2)).toEqual([[], ["leaving"]])
    expect(phases()).toEqual([])
  })

  test("without its program no end of a pair comes up, and ADD leaves nothing", async () => {
    const ups: (boolean | undefined)[] = []
    const netns = newNamespace("pod")
    const network = networkOf({
      // A qdisc that the kernel does not know.
      podHook: (ifindex) => [{ operation: "attach", type: 36, flags: 0x600, payload: tcMessage(ifindex) }],
      // Called while the interface is taken into use, or has failed to be: the removal waits for this to end.
      onChange: async () => {
        await new Promise((resolve) => setTimeout(resolve, 50))
        ups.push(...in_(node, (netlink) => hostLinks().map((name) => netlink.link(name)?.up)))
        ups.push(in_(netns, (netlink) => netlink.link("eth0")?.up))
      },
    })
    await network.setup(clusterOf(a))
    await expect(network.add(requestOf("web", netns))).rejects.toThrow("Cannot attach: ")
    expect(ups.slice(0, 2)).toEqual([false, false])
    expect(hostLinks()).toEqual([])
    expect(network.attachments()).toEqual([])
    expect(network.forwarding()?.ports.size).toBe(0)
  })

  test("a namespace that is gone, is none, or is the node's own", async () => {
    const network = networkOf()
    await network.setup(clusterOf(a))
    expect(await failureOf(network.add(requestOf("x", join(directory, "nothing"))))).toBe("unknownContainer")
    const file = join(directory, "file")
    writeFileSync(file, "")
    expect(await failureOf(network.add(requestOf("x", file)))).toBe("invalidEnvironment")
    expect(await failureOf(network.add(requestOf("x", node)))).toBe("invalidEnvironment")
    expect(await failureOf(network.add(requestOf("x", "/proc/thread-self/ns/net")))).toBe("invalidEnvironment")
    expect(network.attachments()).toEqual([])
  })

  test("before the cluster is known the runtime is asked to try again", async () => {
    const network = networkOf()
    expect(await failureOf(network.add(requestOf("x", newNamespace("x"))))).toBe("tryAgain")
    expect(await failureOf(network.status())).toBe("unavailable")
    await network.setup(clusterOf(a))
    await network.status()
  })
})

describe("after a crash", () => {
  test("a new agent knows its pods, and nothing half-made is left", async () => {
    const first = networkOf()
    await first.setup(clusterOf(a, b))
    const kept = await first.add(requestOf("kept", newNamespace("kept")))
    const crash = networkOf({
      podHook: () => {
        throw new Error("killed")
      },
    })
    await crash.setup(clusterOf(a, b))
    // As if the process had ended between making the pair and saying so.
    const files = join(directory, "state", "attachments")
    const [file] = readdirSync(files)
    const record = JSON.parse(readFileSync(join(files, file ?? ""), "utf8"))
    const half = {
      ...record,
      phase: "making",
      container: "c-half",
      pod: "half",
      hostName: "hd0123456789ab",
      ifindex: 0,
    }
    writeFileSync(join(files, "half.json"), JSON.stringify({ ...half, addresses: ["10.1.0.50"] }))
    in_(node, (netlink) => netlink.addVeth({ name: "hd0123456789ab", peer: { name: "hdpeer" } }))

    const second = networkOf()
    expect(second.attachments().length).toBe(2)
    const devices = await second.setup(clusterOf(a, b))
    await second.rehook()
    expect(devices).toEqual(await crash.setup(clusterOf(a, b)))
    expect(second.attachments().map((one) => one.pod)).toEqual(["kept"])
    expect(hostLinks()).toEqual([kept.hostInterface.name])
    expect(second.forwarding()?.ports.has("shop/kept")).toBe(true)
    expect(second.forwarding()?.peers.get("b")?.number).toBe(1)
    const next = await second.add(requestOf("next", newNamespace("next")))
    expect(next.addresses).not.toContain(kept.addresses[0])
  })

  test("GC deletes what the runtime does not know, and only of its network", async () => {
    const network = networkOf()
    await network.setup(clusterOf(a))
    for (const name of ["one", "two"]) await network.add(requestOf(name, newNamespace(name)))
    await network.add({ ...requestOf("other", newNamespace("other")), network: "others" })
    in_(node, (netlink) =>
      netlink.addVeth({
        name: "hdfedcba987654",
        mac: Uint8Array.of(2, 0x68, 0x64, 0, 0, 1),
        peer: { name: "hdpeer" },
      }),
    )
    await network.gc("pods", [{ container: "c-one", ifname: "eth0" }])
    expect(network.attachments().map((one) => one.pod)).toEqual(["one", "other"])
    expect(hostLinks().length).toBe(2)
  })

  test("a pod whose namespace ended without DEL gives its addresses back", async () => {
    const network = networkOf()
    await network.setup(clusterOf(a))
    const netns = newNamespace("pod")
    await network.add(requestOf("web", netns))
    deleteNamespace(netns)
    await expect.poll(() => hostLinks(), { timeout: 5000 }).toEqual([])
    await network.reconcile(clusterOf(a), { full: true })
    await expect.poll(() => network.attachments().length).toBe(0)
    await network.del(requestOf("web", netns))
  })
})

test("a hundred pods at once", async () => {
  const network = networkOf()
  await network.setup(clusterOf(a, b))
  const pods = Array.from({ length: 100 }, (_, i) => requestOf(`p${i}`, newNamespace(`p${i}`)))
  const made = await Promise.all(pods.map((request) => network.add(request)))
  expect(new Set(made.map((one) => one.addresses[0])).size).toBe(100)
  expect(hostLinks().length).toBe(100)
  expect(network.forwarding()?.ports.size).toBe(100)
  await network.gc("pods", [])
  expect(hostLinks()).toEqual([])
  expect(network.attachments()).toEqual([])
})

test("this machine's own namespace is another one", () => {
  expect(execFileSync("ip", ["-o", "link"], { encoding: "utf8" })).not.toMatch(/heddle|: hd/)
})

/** Struct tcmsg for the root of an interface, and a kind of qdisc that nobody has. */
function tcMessage(ifindex: number): Uint8Array {
  const bytes = new Uint8Array(20 + 12)
  const view = new DataView(bytes.buffer)
  view.setInt32(4, ifindex, true)
  view.setUint32(12, 0xffff_ffff, true)
  view.setUint16(20, 11, true)
  view.setUint16(22, 1, true)
  bytes.set(new TextEncoder().encode("nobody"), 24)
  return bytes
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    if (typeof error === "object" && error !== null && "code" in error) return String(error.code)
    throw error
  }
  return "none"
}
