import { isKernelError } from "../../kernel/error.ts"
import type { Link } from "../../kernel/netlink/link.ts"
import type { Netlink } from "../../kernel/netlink/netlink.ts"
import { NetworkError } from "./error.ts"
import { GATEWAY_MAC, NODE_MAC } from "./gateway.ts"
import { linkSetting, type NodeNamespace, type Settings } from "./node-namespace.ts"

/** The node routes its pods' addresses into the first of this pair; a program at its egress judges and delivers. */
export const HEDDLE0 = "heddle0"
/** The other end drops whatever the program at heddle0 did not take. */
export const HEDDLE1 = "heddle1"
/** Tunnel to the other nodes; the programs set its ends, packet by packet. */
export const OVERLAY = "heddle-vxlan"

/** Indices of the node's interfaces that programs are attached to, or send by. */
export interface NodeDevices {
  readonly uplink: number
  readonly heddle0: number
  readonly heddle1: number
  /** Only with routing `vxlan`. */
  readonly overlay?: number
}

export interface DeviceOptions {
  readonly uplink: string
  readonly routing: "vxlan" | "native"
  readonly overlayPort: number
  /** MTU of what pods send. */
  readonly mtu: number
  /** UDP port of the overlay device that is there, if this node's state knows it. */
  readonly knownPort: number | undefined
}

/** Makes what is missing of the node's interfaces and repairs what differs; links that are right stay as they are. */
export function ensureDevices(node: NodeNamespace, options: DeviceOptions): NodeDevices {
  const { netlink } = node
  const uplink = netlink.link(options.uplink)
  if (uplink === undefined)
    throw new NetworkError(
      "invalidConfiguration",
      `Cannot set the node's network up: there is no interface ${options.uplink}`,
      `Set uplink to one of: ${netlink
        .links()
        .map((link) => link.name)
        .join(", ")}`,
    )
  const heddle0 = ensurePair(node, options.mtu)
  const heddle1 = netlink.link(HEDDLE1)
  if (heddle1 === undefined) throw new Error(`Cannot make ${HEDDLE1}: it is gone again; see who removes links`)
  const overlay = ensureOverlay(node, options)
  const devices = { uplink: uplink.index, heddle0: heddle0.index, heddle1: heddle1.index }
  return overlay === undefined ? devices : { ...devices, overlay: overlay.index }
}

/** Takes them away; true links of others with the same name stay. */
export function removeDevices(node: NodeNamespace): void {
  for (const [name, kind] of [
    [HEDDLE0, "veth"],
    [OVERLAY, "vxlan"],
  ]) {
    const link = name === undefined ? undefined : node.netlink.link(name)
    if (link !== undefined && link.kind === kind) node.netlink.deleteLink(link.index)
  }
}

/** Settings of the node; `uplinks` are the links from which pods' packets come in by another way than they leave. */
export function nodeSettings(devices: readonly string[], asymmetric: readonly string[]): Settings {
  const settings: Record<string, number> = {
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    // The stricter of `all` and the link's own counts, so `all` must not be strict.
    "net.ipv4.conf.all.rp_filter": 0,
  }
  for (const name of [...devices, ...asymmetric]) settings[linkSetting("ipv4", name, "rp_filter")] = 0
  for (const name of devices) {
    settings[linkSetting("ipv6", name, "accept_ra")] = 0
    settings[linkSetting("ipv6", name, "disable_ipv6")] = name === HEDDLE1 ? 1 : 0
    settings[linkSetting("ipv4", name, "forwarding")] = name === HEDDLE1 ? 0 : 1
    settings[linkSetting("ipv6", name, "forwarding")] = name === HEDDLE1 ? 0 : 1
  }
  return settings
}

function ensurePair(node: NodeNamespace, mtu: number): Link {
  const { netlink } = node
  const there = netlink.link(HEDDLE0)
  const other = netlink.link(HEDDLE1)
  const paired = there?.kind === "veth" && other !== undefined && there.peer === other.index
  if (!paired) {
    for (const link of [there, other]) if (link !== undefined) netlink.deleteLink(link.index)
    netlink.addVeth({ name: HEDDLE0, mac: NODE_MAC, mtu, peer: { name: HEDDLE1 } })
  }
  for (const name of [HEDDLE1, HEDDLE0]) settle(node, name, mtu)
  return linkNamed(node, HEDDLE0)
}

function ensureOverlay(node: NodeNamespace, options: DeviceOptions): Link | undefined {
  const { netlink } = node
  const there = netlink.link(OVERLAY)
  const wanted = options.routing === "vxlan"
  const right = wanted && there?.kind === "vxlan" && options.knownPort === options.overlayPort
  if (there !== undefined && !right) netlink.deleteLink(there.index)
  if (!wanted) return undefined
  if (!right) {
    netlink.addVxlan({
      name: OVERLAY,
      port: options.overlayPort,
      external: true,
      mac: GATEWAY_MAC,
      mtu: options.mtu,
      zeroChecksum6: true,
    })
  }
  settle(node, OVERLAY, options.mtu)
  return linkNamed(node, OVERLAY)
}

/** No ARP, no address of its own, right MTU, up. Settings before up, so that nothing is sent with the wrong ones. */
function settle(node: NodeNamespace, name: string, mtu: number): void {
  const link = linkNamed(node, name)
  if (link.noarp && link.mtu === mtu && link.up) return
  node.set(nodeSettings([name], []))
  node.netlink.setLink(link.index, { noarp: true, mtu })
  raise(node.netlink, link.index)
}

function linkNamed(node: NodeNamespace, name: string): Link {
  const link = node.netlink.link(name)
  if (link === undefined) throw new Error(`Cannot set ${name} up: it is gone; see who removes links on this node`)
  return link
}

/** Two requests: within one the kernel brings the link up first, and with it an address of its own making. */
function raise(netlink: Netlink, ifindex: number): void {
  try {
    netlink.setLink(ifindex, { ipv6AddressGeneration: "none" })
  } catch (error) {
    // No IPv6 on this link: its MTU is below 1280, or the kernel has none.
    if (!isKernelError(error, "EAFNOSUPPORT")) throw error
  }
  netlink.setLink(ifindex, { up: true })
}
