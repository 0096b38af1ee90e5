import { Netlink } from "../../kernel/netlink/netlink.ts"
import { macText } from "../../net/packet.ts"
import type { Address } from "../../net/types.ts"
import type { Attachment } from "./attachment.ts"
import { NetworkError } from "./error.ts"
import { everything, GATEWAY_MAC, gateways } from "./gateway.ts"
import type { NodeNamespace } from "./node-namespace.ts"
import { familiesOf, openPodNamespace } from "./pod-interface.ts"

/** What is expected besides what the attachment's record says. */
export interface Expectation {
  readonly netns: string
  /** Addresses that the runtime's copy of ADD's result gives the interface. */
  readonly addresses: readonly Address[]
  /** Next hops of its default routes there: a later plugin of a chain may have changed them. */
  readonly gateways: readonly Address[]
  /** Whether the program at the node's end is in place. */
  readonly isHooked: (ifindex: number) => boolean
}

/** Compares a pod's interface with its record; throws `NetworkError` that names the first difference. */
export function checkAttachment(node: NodeNamespace, attachment: Attachment, expected: Expectation): void {
  const { hostName, ifindex, addresses } = attachment
  const differ = (what: string): NetworkError =>
    new NetworkError(
      "mismatch",
      `Cannot confirm the network of pod ${attachment.namespace}/${attachment.pod}: ${what}`,
      "Delete the pod so that it is made anew",
    )
  const same = (one: readonly Address[], other: readonly Address[]): boolean =>
    one.length === other.length && one.every((address) => other.includes(address))
  if (!same(expected.addresses, addresses))
    throw differ(`prevResult says ${list(expected.addresses)}, the node gave it ${list(addresses)}`)

  const host = node.netlink.link(hostName)
  if (host === undefined || host.index !== ifindex) throw differ(`${hostName} is gone from the node`)
  if (!host.up || macText(host.mac) !== macText(GATEWAY_MAC)) throw differ(`${hostName} was changed on the node`)
  if (!expected.isHooked(ifindex)) throw differ(`no program judges at ${hostName}`)

  const { handle, inode } = openPodNamespace(expected.netns, node)
  try {
    if (inode !== attachment.netnsInode) throw differ(`${expected.netns} is not the namespace that was attached`)
    const netlink = Netlink.open(handle)
    try {
      const found = podDifference(netlink, attachment, expected.gateways)
      if (found !== undefined) throw differ(found)
    } finally {
      netlink.close()
    }
  } finally {
    handle.close()
  }
}

/** The first thing inside the pod that is not as recorded. */
function podDifference(
  netlink: Netlink,
  { ifname, ifindex, hostName, mac, mtu, addresses }: Attachment,
  defaults: readonly Address[],
): string | undefined {
  const link = netlink.link(ifname)
  if (link === undefined) return `${ifname} is gone`
  if (link.peer !== ifindex) return `${ifname} is not the other end of ${hostName}`
  if (!link.up) return `${ifname} is down`
  if (macText(link.mac) !== mac) return `${ifname} has the address ${macText(link.mac)}, it was given ${mac}`
  if (link.mtu > mtu) return `${ifname} has MTU ${link.mtu}, the way carries ${mtu}`
  const found = netlink.addresses().filter((one) => one.ifindex === link.index)
  const missing = addresses.filter((address) => !found.some((one) => one.address === address))
  if (missing.length > 0) return `${ifname} lacks ${list(missing)}`
  for (const family of familiesOf(addresses)) {
    if (!defaults.includes(gateways[family])) continue
    const isDefault = netlink
      .routes({ family, table: 254 })
      .some((r) => r.destination === everything[family] && r.gateway === gateways[family] && r.ifindex === link.index)
    if (!isDefault) return `the default route via ${gateways[family]} is gone`
  }
  return undefined
}

function list(addresses: readonly Address[]): string {
  return addresses.length === 0 ? "no address" : addresses.join(", ")
}
