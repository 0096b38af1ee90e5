import { isKernelError } from "../../kernel/error.ts"
import { inNamespace, type NamespaceHandle, namespaceInode, openNamespace } from "../../kernel/namespace.ts"
import { decodeLink, type PacketLimits } from "../../kernel/netlink/link.ts"
import type { Message } from "../../kernel/netlink/message.ts"
import {
  addAddress,
  addRoute,
  addVeth,
  changeLink,
  deleteLink,
  findLink,
  listRoutes,
} from "../../kernel/netlink/requests.ts"
import { decodeRoute } from "../../kernel/netlink/route.ts"
import type { Request } from "../../kernel/netlink/socket.ts"
import type { KernelSteps, Step } from "../../kernel/netlink/steps.ts"
import { inInitialNamespace } from "../../kernel/sysctl.ts"
import { familyOf } from "../../net/address.ts"
import type { Address, Family } from "../../net/types.ts"
import { NetworkError } from "./error.ts"
import { everything, GATEWAY_MAC, gateways, hostPrefix } from "./gateway.ts"
import { linkSetting, type NodeNamespace } from "./node-namespace.ts"

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

/** A pair that was made, both ends down. */
export interface Pair {
  /** Index of the node's end, on the node. */
  readonly ifindex: number
  /** Index of the pod's end, in the pod. */
  readonly podIfindex: number
  /** Families in which the pod has a default route already: its first interface's. */
  readonly routed: readonly Family[]
}

const ENODEV = 19
const ENOENT = 2
const EEXIST = 17
const EAFNOSUPPORT = 97
/** LOOPBACK_IFINDEX of include/net/flow.h. */
const LOOPBACK = 1
const MAIN = 254

/**
 * Makes the veth pair with both ends down. The pod's end is born in the pod. What has the same name on the node is left from an
 * attachment that nobody knows any more and makes room.
 */
export async function createPair(
  steps: KernelSteps,
  node: NodeNamespace,
  pod: NamespaceHandle,
  wanted: PodInterface,
): Promise<Pair> {
  const { ifname, hostName, mac, mtu, limits, addresses } = wanted
  const pair = addVeth({
    ...{ name: hostName, mac: GATEWAY_MAC, mtu },
    ...(limits === undefined ? {} : { limits }),
    peer: { name: ifname, namespace: pod, mac },
  })
  const families = familiesOf(addresses)
  const make = async (): Promise<Pair> => {
    const [found, ...tables] = await steps.take([
      { namespace: node.handle, requests: [pair, findLink(hostName)] },
      // A table that was never used is not there.
      ...families.map((family) => ({
        namespace: pod,
        requests: [listRoutes({ family, table: MAIN })],
        tolerate: ENOENT,
      })),
    ])
    const link = found?.[0] && decodeLink(found[0])
    if (link?.peer === undefined) throw new Error("it is gone already; see who removes links on this node")
    const isDefault = (message: Message, family: Family): boolean => {
      const route = decodeRoute(message)
      return route?.table === MAIN && route.destination === everything[family]
    }
    const routed = families.filter((family, i) => tables[i]?.some((message) => isDefault(message, family)))
    return { ifindex: link.index, podIfindex: link.peer, routed }
  }
  try {
    return await make()
  } catch (error) {
    if (!isKernelError(error, "EEXIST")) throw interfaceError(ifname, error)
    if (await isThere(steps, pod, ifname)) throw nameTaken(ifname, pod.path)
    await steps.take([{ namespace: node.handle, requests: [deleteLink(hostName)], tolerate: ENODEV }])
    return await make()
  }
}

/** Whether the namespace has a link of this name. */
export async function isThere(steps: KernelSteps, namespace: NamespaceHandle, name: string): Promise<boolean> {
  const [found] = await steps.take([{ namespace, requests: [findLink(name)], tolerate: ENODEV }])
  return found?.length === 1
}

export function nameTaken(ifname: string, netns: string): NetworkError {
  return new NetworkError(
    "interface",
    `Cannot make the interface ${ifname} in ${netns}: there is one of that name`,
    "Run DEL first, or choose another CNI_IFNAME",
  )
}

/**
 * The steps that take a pair into use, in this order: the program at the node's end, so that no packet of the pod ever passes a
 * hook that does not judge; the node's end up; the pod's end up with its addresses and routes.
 */
export function stepsToUse(
  node: NodeNamespace,
  pod: NamespaceHandle,
  wanted: PodInterface,
  pair: Pair,
  hook: readonly Request[],
): readonly Step[] {
  return [
    ...(hook.length === 0 ? [] : [{ namespace: node.handle, requests: hook, tolerate: EEXIST }]),
    ...nodeEndSteps(node.handle, wanted.hostName, pair.ifindex),
    ...podEndSteps(pod, wanted, pair),
    // The node's end sends only when the kernel has noticed its carrier, which asking for it hastens (rtnl_getlink, Linux 6.8): before that
    // the answer to the pod's first ARP request would be lost, and its first packet a second late.
    { namespace: node.handle, requests: [findLink(wanted.hostName)] },
  ]
}

/**
 * The node's end has neither address nor route: a packet reaches the pod only by the hand of a program, and comes from it only
 * through the one at this hook. The stack still takes what that program lets through, so IPv6 stays on, without an address of
 * its own.
 */
function nodeEndSteps(namespace: NamespaceHandle, name: string, ifindex: number): Step[] {
  const settings = {
    [linkSetting("ipv4", name, "rp_filter")]: 0,
    [linkSetting("ipv4", name, "forwarding")]: 1,
    [linkSetting("ipv6", name, "disable_ipv6")]: 0,
    [linkSetting("ipv6", name, "accept_ra")]: 0,
    [linkSetting("ipv6", name, "forwarding")]: 1,
  }
  return [{ namespace, settings }, noLinkLocal(namespace, ifindex), { namespace, requests: [up(ifindex)] }]
}

/** Above the metric that the kernel gives IPv6 routes without one (IP6_RT_PRIO_USER, 1024). */
const FURTHER_METRIC = 2_048

function podEndSteps(namespace: NamespaceHandle, wanted: PodInterface, pair: Pair): Step[] {
  const { ifname, addresses, ipv6Mtu } = wanted
  const ifindex = pair.podIfindex
  const families = familiesOf(addresses)
  const settings = {
    [linkSetting("ipv6", ifname, "disable_ipv6")]: families.includes(6) ? 0 : 1,
    [linkSetting("ipv6", ifname, "accept_ra")]: 0,
  }
  const own = addresses.map((address) => {
    const prefixLength = familyOf(address) === 4 ? 32 : 128
    return addAddress({ ifindex, address, prefixLength, noDad: true, noPrefixRoute: true })
  })
  const routes = families.flatMap((family) => {
    // A pod's further interfaces leave the routes of its first alone: theirs come after it.
    const metric = pair.routed.includes(family) ? { metric: FURTHER_METRIC + ifindex } : {}
    return routesBy(ifindex, family, { ...metric, ...(family === 6 && ipv6Mtu !== undefined ? { mtu: ipv6Mtu } : {}) })
  })
  return [
    { namespace, settings },
    noLinkLocal(namespace, ifindex),
    { namespace, requests: [up(LOOPBACK), up(ifindex), ...own, ...routes] },
  ]
}

function routesBy(
  ifindex: number,
  family: Family,
  more: { readonly metric?: number; readonly mtu?: number },
): Request[] {
  const gateway = gateways[family]
  const byDefault = addRoute({ destination: everything[family], gateway, ifindex, onlink: true, ...more })
  // A link-local IPv6 gateway needs no route to itself; the IPv4 one is behind a /32.
  if (family === 6) return [byDefault]
  return [addRoute({ destination: hostPrefix(gateway), ifindex, scope: "link", ...more }), byDefault]
}

/**
 * Before a link goes up: the kernel shall make no address of its own for it. In one request with it the kernel would bring the link up
 * first. Links may be without IPv6: their MTU is below 1280, or the kernel has none.
 */
function noLinkLocal(namespace: NamespaceHandle, ifindex: number): Step {
  return { namespace, requests: [changeLink(ifindex, { ipv6AddressGeneration: "none" })], tolerate: EAFNOSUPPORT }
}

function up(ifindex: number): Request {
  return changeLink(ifindex, { up: true })
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
