import { existsSync, statSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { attachClsact, attachments, attachTcx, detachClsact, hasTcx } from "../../src/kernel/bpf/attach.ts"
import { type LoadedObject, loadObject } from "../../src/kernel/bpf/object.ts"
import type { Program } from "../../src/kernel/bpf/program.ts"
import { KernelError } from "../../src/kernel/error.ts"
import { isMounted, mountBpffs, unmount } from "../../src/kernel/mount.ts"
import {
  createNamespace,
  currentNamespacePath,
  deleteNamespace,
  inNamespace,
  type NamespaceHandle,
  namespaceInode,
} from "../../src/kernel/namespace.ts"
import { Netlink } from "../../src/kernel/netlink/netlink.ts"
import { runNft } from "../../src/kernel/nft.ts"
import { killProcess, runCommand, startCommand } from "../../src/kernel/process.ts"
import { getSysctl, inInitialNamespace, setSysctl } from "../../src/kernel/sysctl.ts"
import { parseAddress } from "../../src/net/address.ts"
import { parsePrefix } from "../../src/net/prefix.ts"
import { Ground } from "./native-fixture.ts"

const ground = new Ground()
let a: NamespaceHandle
let b: NamespaceHandle

beforeAll(() => {
  a = ground.namespace("a")
  b = ground.namespace("b")
})

afterAll(() => ground.remove())

const macA = Uint8Array.of(2, 0x68, 0x64, 0, 0, 1)
const macB = Uint8Array.of(2, 0x68, 0x64, 0, 0, 2)

function thrown(fn: () => unknown): KernelError {
  try {
    fn()
  } catch (error) {
    if (error instanceof KernelError) return error
    throw error
  }
  throw new Error("nothing was thrown")
}

describe("namespaces", () => {
  test("are made beside the caller, entered, and left again also on a throw", () => {
    const home = namespaceInode(currentNamespacePath)
    expect(namespaceInode(a.path)).not.toBe(home)
    expect(inNamespace(a, () => namespaceInode(currentNamespacePath))).toBe(namespaceInode(a.path))
    expect(() =>
      inNamespace(a, () => {
        throw new Error("inside")
      }),
    ).toThrow("inside")
    expect(() => inNamespace(a, async () => 1)).toThrow(/must be synchronous/)
    expect(namespaceInode(currentNamespacePath)).toBe(home)
    expect(inNamespace(a, () => inNamespace(b, () => namespaceInode(currentNamespacePath)))).toBe(
      namespaceInode(b.path),
    )
  })

  test("have lo up and nothing else that is up", () => {
    using netlink = Netlink.open(a)
    const up = netlink.links().filter((link) => link.up)
    expect(up.map((link) => link.name)).toEqual(["lo"])
  })

  test("are refused where something is, and deleted twice without complaint", () => {
    const error = thrown(() => createNamespace(a.path))
    expect(error).toMatchObject({ code: "EEXIST" })
    expect(error.message).toContain(a.path)
    const path = join(ground.folder, "c")
    createNamespace(path)
    expect(isMounted(path)).toBe(true)
    deleteNamespace(path)
    deleteNamespace(path)
    expect(existsSync(path)).toBe(false)
    expect(isMounted(path)).toBe(false)
  })

  test("bpffs: mounted once, unmounted once", () => {
    const path = join(ground.folder, "with space")
    mountBpffs(path)
    mountBpffs(path)
    expect(isMounted(path)).toBe(true)
    expect(statSync(path).mode & 0o777).toBe(0o700)
    unmount(path)
    expect(isMounted(path)).toBe(false)
    expect(thrown(() => unmount(path)).code).toBe("EINVAL")
  })
})

describe("netlink", () => {
  test("veth pair into another namespace, read back from both", () => {
    using here = Netlink.open(a)
    using there = Netlink.open(b)
    const link = here.addVeth({
      name: "hd-a",
      mac: macA,
      mtu: 1400,
      up: true,
      peer: { name: "hd-b", namespace: b, mac: macB, up: true },
    })
    expect(link).toMatchObject({ name: "hd-a", mac: macA, mtu: 1400, up: true, kind: "veth" })
    const peer = there.link("hd-b")
    expect(peer).toMatchObject({ index: link.peer, mac: macB, mtu: 1400, up: true, peer: link.index })
    expect(here.linkByIndex(link.index)).toEqual(here.link("hd-a"))
    expect(here.link("none")).toBeUndefined()
    expect(here.linkByIndex(9999)).toBeUndefined()
    const twice = thrown(() => here.addVeth({ name: "hd-a", peer: { name: "hd-c" } }))
    expect(twice).toMatchObject({ code: "EEXIST", operation: "add the link hd-a" })
  })

  test("a veth pair is born with its packet limits, at both ends", () => {
    using here = Netlink.open(a)
    using there = Netlink.open(b)
    const limits = { gsoMaxSize: 190_000, groMaxSize: 180_000, gsoIpv4MaxSize: 170_000, groIpv4MaxSize: 160_000 }
    const link = here.addVeth({ name: "hd-big", limits, peer: { name: "hd-big", namespace: b } })
    expect(link).toMatchObject(limits)
    expect(there.link("hd-big")).toMatchObject({ ...limits, tsoMaxSize: 524_280 })
    here.deleteLink(link.index)
  })

  test("links are changed: name, mtu, noarp, sizes, IPv6 address generation, bridge", () => {
    using netlink = Netlink.open(a)
    const bridge = netlink.addBridge({ name: "hd-br", up: true })
    expect(bridge.kind).toBe("bridge")
    const { index } = netlink.addVeth({ name: "hd-x", peer: { name: "hd-y" } })
    netlink.setLink(index, { ipv6AddressGeneration: "none", noarp: true, mtu: 1300, gsoMaxSize: 100_000 })
    netlink.setLink(index, { name: "hd-z" })
    netlink.setLink(index, { up: true, master: bridge.index })
    expect(netlink.link("hd-z")).toMatchObject({
      index,
      up: true,
      noarp: true,
      mtu: 1300,
      master: bridge.index,
      gsoMaxSize: 100_000,
    })
    expect(netlink.addresses().filter((address) => address.ifindex === index)).toEqual([])
    netlink.setLink(index, { master: 0, up: false })
    expect(netlink.link("hd-z")?.master).toBeUndefined()
    expect(netlink.deleteLink(index)).toBe(true)
    expect(netlink.deleteLink(index)).toBe(false)
    expect(netlink.link("hd-y")).toBeUndefined()
    netlink.deleteLink(bridge.index)
  })

  test("a link moves into another namespace", () => {
    using here = Netlink.open(a)
    using there = Netlink.open(b)
    const { index } = here.addVeth({ name: "hd-m", peer: { name: "hd-n" } })
    here.setLink(index, { namespace: b, name: "eth7" })
    expect(here.linkByIndex(index)?.name).not.toBe("eth7")
    const moved = there.link("eth7")
    if (!moved) throw new Error("eth7 did not arrive")
    there.deleteLink(moved.index)
  })

  test("VXLAN in external mode", () => {
    using netlink = Netlink.open(a)
    const link = netlink.addVxlan({ name: "hd-vx", port: 4789, external: true, mac: macA, mtu: 1450, up: true })
    expect(link).toMatchObject({ kind: "vxlan", mtu: 1450, up: true, mac: macA })
    netlink.deleteLink(link.index)
  })

  test("addresses of both families", () => {
    using netlink = Netlink.open(a)
    using there = Netlink.open(b)
    const ifindex = netlink.link("hd-a")?.index ?? 0
    const other = there.link("hd-b")?.index ?? 0
    for (const [socket, index, end] of [
      [netlink, ifindex, 1],
      [there, other, 2],
    ] as const) {
      socket.addAddress({ ifindex: index, address: parseAddress(`10.9.0.${end}`), prefixLength: 24 })
      socket.addAddress({ ifindex: index, address: parseAddress(`fd09::${end}`), prefixLength: 64, noDad: true })
    }
    const address = { ifindex, address: parseAddress("10.9.1.1"), prefixLength: 32, scope: "link" } as const
    netlink.addAddress(address)
    netlink.addAddress(address)
    const found = netlink.addresses().filter((one) => one.ifindex === ifindex && !one.address.startsWith("fe80"))
    expect(found.sort((x, y) => (x.address < y.address ? -1 : 1))).toEqual([
      { ifindex, address: "10.9.0.1", prefixLength: 24, scope: "universe", tentative: false },
      { ifindex, address: "10.9.1.1", prefixLength: 32, scope: "link", tentative: false },
      { ifindex, address: "fd09::1", prefixLength: 64, scope: "universe", tentative: false },
    ])
    expect(netlink.deleteAddress(address)).toBe(true)
    expect(netlink.deleteAddress(address)).toBe(false)
  })

  test("routes are replaced, read back and deleted", () => {
    using netlink = Netlink.open(a)
    const ifindex = netlink.link("hd-a")?.index ?? 0
    const destination = parsePrefix("10.20.0.0/16")
    netlink.addRoute({ destination, gateway: parseAddress("10.9.0.2"), ifindex, mtu: 1350 })
    netlink.addRoute({ destination, gateway: parseAddress("10.9.0.3"), ifindex, source: parseAddress("10.9.0.1") })
    netlink.addRoute({ destination: parsePrefix("10.21.0.1/32"), ifindex })
    netlink.addRoute({ destination: parsePrefix("10.22.0.0/16"), type: "blackhole" })
    netlink.addRoute({
      destination: parsePrefix("10.23.0.0/16"),
      gateway: parseAddress("169.254.1.1"),
      ifindex,
      onlink: true,
    })
    netlink.addRoute({ destination: parsePrefix("10.24.0.0/16"), gateway: parseAddress("fd09::2"), ifindex })
    const routes = netlink.routes({ family: 4, table: 254 })
    const to = (prefix: string) => routes.filter((route) => route.destination === prefix)
    expect(to("10.20.0.0/16")).toEqual([
      {
        destination: "10.20.0.0/16",
        gateway: "10.9.0.3",
        ifindex,
        source: "10.9.0.1",
        scope: "universe",
        table: 254,
        type: "unicast",
        protocol: 4,
      },
    ])
    expect(to("10.21.0.1/32")).toMatchObject([{ ifindex, scope: "link" }])
    expect(to("10.22.0.0/16")).toMatchObject([{ type: "blackhole" }])
    expect(to("10.23.0.0/16")).toMatchObject([{ gateway: "169.254.1.1" }])
    expect(to("10.24.0.0/16")).toMatchObject([{ gateway: "fd09::2" }])
    expect(netlink.deleteRoute({ destination })).toBe(true)
    expect(netlink.deleteRoute({ destination })).toBe(false)
    expect(netlink.deleteRoute({ destination: parsePrefix("10.22.0.0/16"), type: "blackhole" })).toBe(true)

    const six = { destination: parsePrefix("fd20::/48"), ifindex, mtu: 1300 }
    netlink.addRoute({ ...six, gateway: parseAddress("fd09::2") })
    netlink.addRoute({ ...six, gateway: parseAddress("fd09::3") })
    const found = netlink.routes({ family: 6, table: 254 }).filter((route) => route.destination === "fd20::/48")
    expect(found).toMatchObject([{ gateway: "fd09::3", ifindex, mtu: 1300, type: "unicast" }])
    expect(netlink.deleteRoute({ destination: six.destination })).toBe(true)
    expect(netlink.routes({ family: 4, table: 77 })).toEqual([])
  })

  test("refusals carry the kernel's own words", () => {
    using netlink = Netlink.open(a)
    const ifindex = netlink.link("hd-a")?.index ?? 0
    const error = thrown(() =>
      netlink.addRoute({ destination: parsePrefix("10.30.0.0/16"), gateway: parseAddress("10.99.0.1"), ifindex }),
    )
    expect(error).toMatchObject({ code: "ENETUNREACH", operation: "add the route to 10.30.0.0/16" })
    expect(error.message).toContain("Nexthop has invalid gateway")
  })

  test("neighbours", () => {
    using netlink = Netlink.open(a)
    const ifindex = netlink.link("hd-a")?.index ?? 0
    for (const address of [parseAddress("10.9.0.77"), parseAddress("fd09::77")]) {
      netlink.addNeighbour({ ifindex, address, mac: macB, permanent: true })
      netlink.addNeighbour({ ifindex, address, mac: macA, permanent: true })
      const family = address.includes(":") ? 6 : 4
      const found = netlink.neighbours(family).find((one) => one.address === address)
      expect(found).toEqual({ ifindex, address, mac: macA, permanent: true })
      expect(netlink.deleteNeighbour({ ifindex, address })).toBe(true)
    }
  })

  test("a list longer than one datagram", () => {
    using netlink = Netlink.open(b)
    const ifindex = netlink.link("hd-b")?.index ?? 0
    for (let i = 0; i < 3000; i++) {
      netlink.addRoute({ destination: parsePrefix(`10.64.${i >> 8}.${i & 255}/32`), ifindex })
    }
    expect(netlink.routes({ family: 4 }).filter((route) => route.destination.startsWith("10.64."))).toHaveLength(3000)
  })
})

describe("attaching", () => {
  let object: LoadedObject
  beforeAll(() => {
    object = loadObject({ file: ground.compile("native.bpf.c"), layout: "net" })
  })
  afterAll(() => object?.close())
  const program = (name: string): Program => {
    const found = object.programs.get(name)
    if (!found) throw new Error(`no program ${name}`)
    return found
  }
  const ping = async () => (await runCommand(["ping", "-c1", "-W1", "10.9.0.2"], { namespace: a.path })).code
  const ifindex = () => {
    using netlink = Netlink.open(b)
    return netlink.link("hd-b")?.index ?? 0
  }

  test("clsact: attach, replace in place, list, detach", async () => {
    const place = { ifindex: ifindex(), direction: "ingress" } as const
    expect(await ping()).toBe(0)
    inNamespace(b, () => attachClsact({ ...place, program: program("drop") }))
    expect(await ping()).toBe(1)
    inNamespace(b, () => attachClsact({ ...place, program: program("pass") }))
    expect(await ping()).toBe(0)
    inNamespace(b, () => attachClsact({ ...place, direction: "egress", program: program("drop") }))
    expect(await ping()).toBe(1)
    expect(inNamespace(b, () => attachments(place.ifindex))).toMatchObject([
      { kind: "clsact", direction: "ingress", program: { id: program("pass").id, name: "pass" } },
      { kind: "clsact", direction: "egress", program: { id: program("drop").id, name: "drop" } },
    ])
    inNamespace(b, () => {
      detachClsact({ ...place, direction: "egress" })
      detachClsact(place)
      detachClsact(place)
    })
    expect(inNamespace(b, () => attachments(place.ifindex))).toEqual([])
    expect(await ping()).toBe(0)
  })

  test("clsact: no packet passes while one program takes the place of another", async () => {
    const place = { ifindex: ifindex(), direction: "ingress", program: program("drop") } as const
    inNamespace(b, () => attachClsact(place))
    const pings = runCommand(["ping", "-q", "-i", "0.002", "-w", "1", "10.9.0.2"], { namespace: a.path })
    let done = false
    pings.then(() => {
      done = true
    })
    let replaced = 0
    for (; !done; replaced++) {
      inNamespace(b, () => attachClsact(place))
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    expect(replaced).toBeGreaterThan(10)
    expect((await pings).stdout).toContain(" 0 received")
    inNamespace(b, () => detachClsact(place))
  })

  test("clsact: an interface that is not there", () => {
    const error = thrown(() =>
      inNamespace(b, () => attachClsact({ ifindex: 9999, direction: "ingress", program: program("pass") })),
    )
    expect(error.code).toBe("ENODEV")
  })

  test.runIf(hasTcx())("TCX: a pinned link outlives its descriptor and takes a new program in place", async () => {
    const pin = join(ground.bpffs(), "link")
    const place = { ifindex: ifindex(), direction: "ingress", pin } as const
    const attach = (name: string) => inNamespace(b, () => attachTcx({ ...place, program: program(name) }).close())
    attach("drop")
    expect(await ping()).toBe(1)
    attach("pass")
    expect(await ping()).toBe(0)
    expect(inNamespace(b, () => attachments(place.ifindex))).toMatchObject([
      { kind: "tcx", direction: "ingress", program: { id: program("pass").id, name: "pass" } },
    ])
    using netlink = Netlink.open(b)
    const { index } = netlink.addVeth({ name: "hd-t", peer: { name: "hd-u" } })
    const other = { ...place, ifindex: index, pin: `${pin}2` }
    inNamespace(b, () => attachTcx({ ...other, program: program("pass") }).close())
    netlink.deleteLink(index)
    // The link's interface is gone: the pin is made anew.
    const again = netlink.addVeth({ name: "hd-t", peer: { name: "hd-u" } }).index
    inNamespace(b, () => attachTcx({ ...other, ifindex: again, program: program("drop") }).close())
    expect(inNamespace(b, () => attachments(again))).toHaveLength(1)
  })
})

describe("commands", () => {
  test("run inside the namespace and give back what they wrote", async () => {
    const result = await runCommand(["cat"], { namespace: a.path, input: "hello" })
    expect(result).toEqual({ code: 0, signal: null, stdout: "hello", stderr: "", timedOut: false })
    const inode = await runCommand(["readlink", "/proc/self/ns/net"], { namespace: a.path })
    expect(inode.stdout).toContain(String(namespaceInode(a.path)))
    await expect(runCommand(["hd-no-such-program"])).rejects.toThrow(/no such program/)
  })

  test("end by signal and by time", async () => {
    expect(await runCommand(["sleep", "60"], { timeoutMs: 50 })).toMatchObject({ timedOut: true, signal: "SIGKILL" })
    const child = startCommand(["sleep", "60"], { namespace: a.path })
    const ended = new Promise((resolve) => child.on("exit", (_, signal) => resolve(signal)))
    expect(killProcess(child.pid ?? 0, "SIGKILL")).toBe(true)
    expect(await ended).toBe("SIGKILL")
    expect(() => killProcess(1)).toThrow(RangeError)
  })

  test("nft: applied inside, refused as a whole with the reason", async () => {
    const script = "table inet hd { chain c { type filter hook input priority 0; policy accept; }; }\n"
    await runNft(script, { namespace: a.path })
    expect(await runNft("list ruleset\n", { namespace: a.path })).toContain("table inet hd")
    expect(await runNft("list ruleset\n", { namespace: b.path })).toBe("")
    await expect(runNft("add table inet x\nadd nonsense\n", { namespace: a.path })).rejects.toThrow(
      /Cannot apply the nftables rules: .*rules before stay in force/s,
    )
    expect(await runNft("list tables\n", { namespace: a.path })).not.toContain("inet x")
  })
})

test("sysctls are the namespace's, and the machine's own are refused", () => {
  inNamespace(a, () => setSysctl("net.ipv4.ip_forward", 1))
  inNamespace(b, () => setSysctl("net.ipv4.ip_forward", 0))
  expect(inNamespace(a, () => getSysctl("net.ipv4.ip_forward"))).toBe("1")
  expect(inNamespace(b, () => getSysctl("net.ipv4.ip_forward"))).toBe("0")
  expect(inNamespace(a, () => inInitialNamespace())).toBe(false)
  expect(getSysctl("net.ipv4.no_such_thing")).toBeUndefined()
  expect(() => getSysctl("kernel.hostname")).toThrow(RangeError)
  expect(() => getSysctl("net.ipv4.../../x")).toThrow(RangeError)
  if (inInitialNamespace()) {
    const forward = getSysctl("net.ipv4.ip_forward") ?? ""
    expect(() => setSysctl("net.ipv4.ip_forward", forward)).toThrow(/stays as it is/)
  }
})
