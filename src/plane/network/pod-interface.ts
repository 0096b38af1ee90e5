import { isKernelError } from "../../kernel/error.ts"
import { inNamespace, type NamespaceHandle, namespaceInode, openNamespace } from "../../kernel/namespace.ts"
import type { PacketLimits } from "../../kernel/netlink/link.ts"
import type { Netlink } from "../../kernel/netlink/netlink.ts"
import { inInitialNamespace } from "../../kernel/sysctl.ts"
import { familyOf } from "../../net/address.ts"
import type { Address, Family } from "../../net/types.ts"
import { NetworkError } from "./error.ts"
import { everything, GATEWAY_MAC, gateways, hostPrefix } from "./gateway.ts"
import { applySettings, linkSetting, type NodeNamespace } from "./node-namespace.ts"

/** What a pod's interface shall be. */
export interface PodInterface {
  /** Name in the pod. */
  readonly ifname: string
  readonly mac: Uint8Array
  readonly mtu: number
  readonly addresses: readonly Address[]
  /** Name on the node. */
  readonly hostName: string
  /** Of both ends, where they are not the kernel's own. */
  readonly limits?: PacketLimits | undefined
  /** MTU of the IPv6 routes, where it is less than the interface's. */
  readonly ipv6Mtu?: number | undefined
}

/** Opens a pod's namespace; throws `NetworkError` when it is gone, or no network namespace, or the node's own. */
export function openPodNamespace(path: string, node: NodeNamespace): { handle: NamespaceHandle; inode: number } {
  let handle: NamespaceHandle
  let inode: number
  try {
    inode = namespaceInode(path)
    handle = openNamespace(path)
  } catch (error) {
    throw new NetworkError(
      "unknownContainer",
      `Cannot open the pod's network namespace ${path}: ${error instanceof Error ? error.message : error}`,
      "The runtime makes it before ADD, and CNI_NETNS must name it",
      { cause: error },
    )
  }
  try {
    if (inode !== node.inode && !inNamespace(handle, inInitialNamespace)) return { handle, inode }
    throw new NetworkError(
      "invalidEnvironment",
      `Cannot attach: CNI_NETNS ${path} is the node's own network namespace`,
      "Pods with hostNetwork are not attached by CNI",
    )
  } catch (cause) {
    handle.close()
    if (!isKernelError(cause, "EINVAL")) throw cause
    throw new NetworkError(
      "invalidEnvironment",
      `Cannot attach: CNI_NETNS ${path} is no network namespace`,
      "CNI_NETNS names a file such as /proc/PID/ns/net or a bind mount of one",
      { cause },
    )
  }
}

/**
 * Makes the veth pair with both ends down and returns the index of the node's end. The pod's end is born in the pod. What
 * has the same name on the node is left from an attachment that nobody knows any more and makes room.
 */
export function createPair(node: NodeNamespace, pod: NamespaceHandle, wanted: PodInterface): number {
  const make = (): number =>
    node.netlink.addVeth({
      name: wanted.hostName,
      mac: GATEWAY_MAC,
      mtu: wanted.mtu,
      ...(wanted.limits === undefined ? {} : { limits: wanted.limits }),
      peer: { name: wanted.ifname, namespace: pod, mac: wanted.mac },
    }).index
  try {
    return make()
  } catch (error) {
    const stale = isKernelError(error, "EEXIST") ? node.netlink.link(wanted.hostName) : undefined
    if (stale === undefined) throw interfaceError(wanted.ifname, error)
    node.netlink.deleteLink(stale.index)
    return make()
  }
}

/**
 * Brings the node's end up. It has neither address nor route: a packet reaches the pod only by the hand of a program, and
 * comes from it only through the one at this hook. The stack still takes what that program lets through, so IPv6 stays
 * on, without an address of its own.
 */
export function raiseHostEnd(node: NodeNamespace, ifindex: number, name: string): void {
  node.set({
    [linkSetting("ipv4", name, "rp_filter")]: 0,
    [linkSetting("ipv4", name, "forwarding")]: 1,
    [linkSetting("ipv6", name, "disable_ipv6")]: 0,
    [linkSetting("ipv6", name, "accept_ra")]: 0,
    [linkSetting("ipv6", name, "forwarding")]: 1,
  })
  raise(node.netlink, ifindex)
}

/** Above the metric that the kernel gives IPv6 routes without one (IP6_RT_PRIO_USER, 1024). */
const FURTHER_METRIC = 2_048

/** Gives the pod's end its addresses and routes and brings it, and `lo`, up. */
export function configurePodEnd(handle: NamespaceHandle, netlink: Netlink, wanted: PodInterface): void {
  const { ifname, addresses } = wanted
  const families = familiesOf(addresses)
  inNamespace(handle, () =>
    applySettings({
      [linkSetting("ipv6", ifname, "disable_ipv6")]: families.includes(6) ? 0 : 1,
      [linkSetting("ipv6", ifname, "accept_ra")]: 0,
    }),
  )
  const link = netlink.link(ifname)
  const lo = netlink.link("lo")
  if (link === undefined) throw interfaceError(ifname, new Error("it is gone already"))
  if (lo !== undefined && !lo.up) netlink.setLink(lo.index, { up: true })
  const ifindex = link.index
  raise(netlink, ifindex)
  for (const address of addresses) {
    const prefixLength = familyOf(address) === 4 ? 32 : 128
    netlink.addAddress({ ifindex, address, prefixLength, noDad: true, noPrefixRoute: true })
  }
  for (const family of families) {
    const gateway = gateways[family]
    // A pod's further interfaces leave the routes of its first alone: theirs come after it.
    const isFurther = netlink.routes({ family, table: 254 }).some((route) => route.destination === everything[family])
    const metric = isFurther ? { metric: FURTHER_METRIC + ifindex } : {}
    const mtu = family === 6 && wanted.ipv6Mtu !== undefined ? { mtu: wanted.ipv6Mtu } : {}
    // A link-local IPv6 gateway needs no route to itself; the IPv4 one is behind a /32.
    if (family === 4) netlink.addRoute({ destination: hostPrefix(gateway), ifindex, scope: "link", ...metric })
    netlink.addRoute({ destination: everything[family], gateway, ifindex, onlink: true, ...metric, ...mtu })
  }
}

/** Two requests: within one the kernel brings the link up first, and with it an address of its own making. */
export function raise(netlink: Netlink, ifindex: number): void {
  try {
    netlink.setLink(ifindex, { ipv6AddressGeneration: "none" })
  } catch (error) {
    // No IPv6 on this link: its MTU is below 1280, or the kernel has none.
    if (!isKernelError(error, "EAFNOSUPPORT")) throw error
  }
  netlink.setLink(ifindex, { up: true })
}

export function familiesOf(addresses: readonly Address[]): readonly Family[] {
  return ([4, 6] as const).filter((family) => addresses.some((address) => familyOf(address) === family))
}

function interfaceError(ifname: string, cause: unknown): NetworkError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new NetworkError("interface", `Cannot make the interface ${ifname} in the pod: ${why}`, "Run DEL, then ADD", {
    cause,
  })
}
