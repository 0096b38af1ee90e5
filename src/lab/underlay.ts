import { createHash } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import {
  createNamespace,
  deleteNamespace,
  inNamespace,
  type NamespaceHandle,
  openNamespace,
} from "../kernel/namespace.ts"
import { Netlink } from "../kernel/netlink/netlink.ts"
import { familyOf } from "../net/address.ts"
import { parsePrefix } from "../net/prefix.ts"
import type { Address, Family, Prefix } from "../net/types.ts"
import type { LabPaths } from "./paths.ts"

/**
 * Next hop of every node towards what is outside. Link-local, so that no manifest can state it for a node, a pod or a
 * foreign host.
 */
const gateway: Readonly<Record<Family, Address>> = { 4: "169.254.254.254" as Address, 6: "fe80::fe" as Address }
const everything: Readonly<Record<Family, Prefix>> = { 4: parsePrefix("0.0.0.0/0"), 6: parsePrefix("::/0") }

/** A node's place on the wire. */
export interface UnderlayNode {
  readonly name: string
  /** At least one of each family that the lab has. */
  readonly addresses: readonly Address[]
}

/** Where an address outside the nodes' own is to be sent by the hosts outside. */
export interface UnderlayRoute {
  readonly address: Address
  /** Address of the node, of the same family. */
  readonly via: Address
}

/**
 * The wire of a lab: a bridge in a namespace of its own, a veth to each node (there `eth0`) and one to the namespace of
 * the hosts outside. Nodes hold their addresses as /32 and /128 and reach each other on the link, so manifests may state
 * any; everything else goes to the hosts outside, which own every foreign address asked for.
 */
export class Underlay {
  readonly #paths: LabPaths
  readonly #nodes = new Map<string, UnderlayNode>()
  #foreign: readonly Address[] = []
  #routes: readonly UnderlayRoute[] = []

  constructor(paths: LabPaths) {
    this.#paths = paths
  }

  /** Makes bridge and outside. */
  create(): void {
    mkdirSync(this.#paths.namespaces, { recursive: true })
    createNamespace(this.#paths.underlay)
    withNetlink(this.#paths.underlay, (netlink, namespace) => {
      quiet(namespace)
      netlink.addBridge({ name: "wire" })
      netlink.setLink(indexOf(netlink, "wire"), { up: true })
    })
    createNamespace(this.#paths.outside)
    this.#plug("outside", this.#paths.outside)
    withNetlink(this.#paths.outside, (netlink) => {
      const ifindex = indexOf(netlink, "eth0")
      netlink.addAddress({ ifindex, address: gateway[4], prefixLength: 32, noDad: true })
      netlink.addAddress({ ifindex, address: gateway[6], prefixLength: 64, noDad: true })
      for (const family of [4, 6] as const) netlink.addRoute({ destination: everything[family], ifindex })
    })
  }

  /** Learns what an earlier process made, so that later changes are differences to it. */
  adopt(nodes: readonly UnderlayNode[], foreign: readonly Address[], routes: readonly UnderlayRoute[]): void {
    for (const node of nodes) this.#nodes.set(node.name, node)
    this.#foreign = foreign
    this.#routes = routes
  }

  /** Makes the node's namespace with `eth0`, its addresses, and the ways to and from the other nodes. */
  addNode(node: UnderlayNode): void {
    const path = this.#paths.nodeNamespace(node.name)
    createNamespace(path)
    this.#plug(portName(node.name), path)
    withNetlink(path, (netlink) => {
      const ifindex = indexOf(netlink, "eth0")
      for (const address of node.addresses) {
        netlink.addAddress({ ifindex, address, prefixLength: bits(address), noDad: true })
      }
      for (const family of [4, 6] as const) {
        netlink.addRoute({ destination: everything[family], gateway: gateway[family], ifindex, onlink: true })
      }
      for (const other of this.#nodes.values()) addHosts(netlink, ifindex, other.addresses)
    })
    for (const place of this.#placesBeside(node.name)) {
      withNetlink(place, (netlink) => addHosts(netlink, indexOf(netlink, "eth0"), node.addresses))
    }
    this.#nodes.set(node.name, node)
  }

  /** Gives a node these addresses instead of those it has, and the others the ways to them. */
  changeNode(node: UnderlayNode): void {
    const before = this.#nodes.get(node.name)
    if (before === undefined) return
    const { added, removed } = difference(before.addresses, node.addresses, (address) => address)
    withNetlink(this.#paths.nodeNamespace(node.name), (netlink) => {
      const ifindex = indexOf(netlink, "eth0")
      for (const address of removed) netlink.deleteAddress({ ifindex, address, prefixLength: bits(address) })
      for (const address of added) {
        netlink.addAddress({ ifindex, address, prefixLength: bits(address), noDad: true })
      }
    })
    for (const place of this.#placesBeside(node.name)) {
      withNetlink(place, (netlink) => {
        const ifindex = indexOf(netlink, "eth0")
        for (const address of removed) netlink.deleteRoute({ destination: hostPrefix(address), ifindex })
        addHosts(netlink, ifindex, added)
      })
    }
    this.#nodes.set(node.name, node)
  }

  /** Takes the node's namespace away, and the ways to it. Its processes must have ended. */
  removeNode(name: string): void {
    const node = this.#nodes.get(name)
    if (node === undefined) return
    this.#nodes.delete(name)
    for (const place of this.#placesBeside(name)) {
      withNetlink(place, (netlink) => {
        const ifindex = indexOf(netlink, "eth0")
        for (const address of node.addresses) netlink.deleteRoute({ destination: hostPrefix(address), ifindex })
      })
    }
    withNetlink(this.#paths.underlay, (netlink) => {
      const port = netlink.link(portName(name))
      if (port !== undefined) netlink.deleteLink(port.index)
    })
    deleteNamespace(this.#paths.nodeNamespace(name))
  }

  /** Makes the hosts outside own exactly these addresses and reach pods exactly by these routes. */
  setOutside(foreign: readonly Address[], routes: readonly UnderlayRoute[]): void {
    if (same(foreign, this.#foreign, (a) => a) && same(routes, this.#routes, routeKey)) return
    withNetlink(this.#paths.outside, (netlink) => {
      const lo = indexOf(netlink, "lo")
      const ifindex = indexOf(netlink, "eth0")
      const { added, removed } = difference(this.#foreign, foreign, (a) => a)
      for (const address of removed) netlink.deleteAddress({ ifindex: lo, address, prefixLength: bits(address) })
      const ways = difference(this.#routes, routes, routeKey)
      for (const { address } of ways.removed) netlink.deleteRoute({ destination: hostPrefix(address), ifindex })
      for (const address of added) {
        netlink.addAddress({ ifindex: lo, address, prefixLength: bits(address), noDad: true })
      }
      for (const { address, via } of ways.added) {
        netlink.addRoute({ destination: hostPrefix(address), gateway: via, ifindex, onlink: true })
      }
    })
    this.#foreign = foreign
    this.#routes = routes
  }

  /** Namespaces of the hosts outside and of all nodes but that one. */
  #placesBeside(node: string): string[] {
    const others = [...this.#nodes.keys()].filter((name) => name !== node)
    return [this.#paths.outside, ...others.map((name) => this.#paths.nodeNamespace(name))]
  }

  /** A veth between the bridge and `eth0` of the namespace at `path`. */
  #plug(port: string, path: string): void {
    const there = openNamespace(path)
    try {
      quiet(there)
      withNetlink(this.#paths.underlay, (netlink) => {
        // The same name has the same address each time: what neighbours learnt of a node that is made anew stays true.
        netlink.addVeth({ name: port, peer: { name: "eth0", namespace: there, mac: macOf(port) } })
        // The wire carries whatever a node sends in one piece: what it cut would cost more than what it carries.
        const longest = netlink.link(port)?.tsoMaxSize ?? 65_536
        const limits = { gsoMaxSize: longest, gsoIpv4MaxSize: longest }
        netlink.setLink(indexOf(netlink, port), { up: true, master: indexOf(netlink, "wire"), ...limits })
      })
    } finally {
      there.close()
    }
    withNetlink(path, (netlink) => netlink.setLink(indexOf(netlink, "eth0"), { up: true }))
  }
}

/** Settings of a new namespace for the interfaces made in it later: no waiting for duplicate addresses, no routers sought. */
function quiet(namespace: NamespaceHandle): void {
  const settings: Readonly<Record<string, string>> = {
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/dad_transmits": "0",
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/conf/default/router_solicitations": "0",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
  }
  inNamespace(namespace, () => {
    for (const [name, value] of Object.entries(settings)) writeFileSync(`/proc/sys/net/${name}`, value)
  })
}

/** Runs `use` with a route socket in the namespace at `path`. */
export function withNetlink<T>(path: string, use: (netlink: Netlink, namespace: NamespaceHandle) => T): T {
  const namespace = openNamespace(path)
  try {
    const netlink = Netlink.open(namespace)
    try {
      return use(netlink, namespace)
    } finally {
      netlink.close()
    }
  } finally {
    namespace.close()
  }
}

function addHosts(netlink: Netlink, ifindex: number, addresses: readonly Address[]): void {
  for (const address of addresses) netlink.addRoute({ destination: hostPrefix(address), ifindex, scope: "link" })
}

function indexOf(netlink: Netlink, name: string): number {
  const link = netlink.link(name)
  if (link === undefined)
    throw new Error(`Cannot wire the lab: the interface ${name} is gone. Run heddle lab down and up again`)
  return link.index
}

/** Name of a node's port on the bridge: at most 15 characters, the kernel's limit, and different for different nodes. */
function portName(node: string): string {
  return node.length <= 13 ? `n-${node}` : `n-${digest(node).toString("hex").slice(0, 13)}`
}

/** A locally administered address (IEEE 802, second bit of the first byte). */
function macOf(name: string): Uint8Array {
  return Uint8Array.of(0x02, 0x68, 0x6c, ...digest(name).subarray(0, 3))
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest()
}

function bits(address: Address): number {
  return familyOf(address) === 4 ? 32 : 128
}

function hostPrefix(address: Address): Prefix {
  return `${address}/${bits(address)}` as Prefix
}

function routeKey(route: UnderlayRoute): string {
  return `${route.address} ${route.via}`
}

function same<T>(a: readonly T[], b: readonly T[], key: (item: T) => string): boolean {
  const { added, removed } = difference(a, b, key)
  return added.length === 0 && removed.length === 0
}

function difference<T>(
  before: readonly T[],
  after: readonly T[],
  key: (item: T) => string,
): { added: T[]; removed: T[] } {
  const old = new Set(before.map(key))
  const now = new Set(after.map(key))
  return { added: after.filter((item) => !old.has(key(item))), removed: before.filter((item) => !now.has(key(item))) }
}
