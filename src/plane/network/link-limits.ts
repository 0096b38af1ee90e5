import { isKernelError } from "../../kernel/error.ts"
import type { Link, PacketLimits } from "../../kernel/netlink/link.ts"
import { Netlink } from "../../kernel/netlink/netlink.ts"
import type { Attachment } from "./attachment.ts"
import { limitsOf, longest } from "./big-tcp.ts"
import { NetworkError } from "./error.ts"
import { gateways } from "./gateway.ts"
import type { NodeNamespace } from "./node-namespace.ts"
import { openPodNamespace } from "./pod-interface.ts"
import { isRecord, readState, writeState } from "./state-file.ts"

/**
 * GRO gives a long IPv6 packet a hop-by-hop header, and the kernel counts it into each segment's length when it forwards
 * (skb_gso_validate_network_len): a node that forwards to others than its pods would refuse what is cut by their full MTU.
 */
const KEPT = "groMaxSize"

type Limits = Readonly<Record<string, number>>

/** A link of others: what it had before us, and what we gave it. */
interface Raised {
  readonly before: Limits
  readonly given: Limits
}

/** Raises the packet limits of links that are not ours, and remembers on disk what they were, to give them back. */
export class LinkLimits {
  readonly #netlink: Netlink
  readonly #file: string
  readonly #raised: Map<string, Raised>

  constructor(netlink: Netlink, file: string) {
    this.#netlink = netlink
    this.#file = file
    const state = readState(file)
    const links = isRecord(state) ? Object.entries(state) : []
    this.#raised = new Map(links.flatMap(([name, value]) => (isRaised(value) ? [[name, value]] : [])))
  }

  /**
   * Lets these links carry packets of so many bytes, as far as their devices do: raises what is lower, never lowers. All
   * others that were raised get back what they had.
   */
  raise(links: readonly Link[], bytes: number): void {
    const names = new Set(links.map((link) => link.name))
    for (const name of [...this.#raised.keys()]) if (!names.has(name)) this.#giveBack(name)
    for (const link of links) {
      const have = limitsIn(link)
      const most = Math.min(bytes, longest(link))
      const given = mapped(have, (value, key) => (key === KEPT ? value : Math.max(value, most)))
      if (isSame(have, given)) continue
      this.#raised.set(link.name, { before: this.#raised.get(link.name)?.before ?? have, given })
      // On disk first: after a crash the values before are known, whether they were changed or not.
      this.#save()
      this.#netlink.setLink(link.index, given)
    }
  }

  /** Gives all back what they had, but for what somebody else has changed since. */
  restore(): void {
    this.raise([], 0)
  }

  #giveBack(name: string): void {
    const raised = this.#raised.get(name)
    const link = this.#netlink.link(name)
    if (raised !== undefined && link !== undefined) {
      const have = limitsIn(link)
      const back = mapped(have, (value, key) => (value === raised.given[key] ? (raised.before[key] ?? value) : value))
      if (!isSame(have, back)) this.#netlink.setLink(link.index, back)
    }
    this.#raised.delete(name)
    this.#save()
  }

  #save(): void {
    writeState(this.#file, Object.fromEntries(this.#raised))
  }
}

export interface PairChange {
  /** The node's end. */
  readonly host: Link
  readonly limits: PacketLimits
  /** MTU of the pod's IPv6 route; undefined: the interface's. */
  readonly ipv6Mtu: number | undefined
}

/**
 * Changes the limits of both ends of a pod's pair, and the MTU of its IPv6 route. The pod's end first: the node's, which is looked at, tells that both are done.
 * Does nothing when the pod is gone or its namespace is another by now.
 */
export function limitPair(node: NodeNamespace, attachment: Attachment, { host, limits, ipv6Mtu }: PairChange): void {
  try {
    const { handle, inode } = openPodNamespace(attachment.netns, node)
    try {
      if (inode !== attachment.netnsInode || host.peer === undefined) return
      const netlink = Netlink.open(handle)
      try {
        netlink.setLink(host.peer, limits)
        // Anew, so that connections look their route up again and learn of both.
        for (const { mtu: _, ...route } of netlink.routes({ family: 6, table: 254 }))
          if (route.ifindex === host.peer && route.gateway === gateways[6])
            netlink.addRoute({
              ...route,
              type: "unicast",
              onlink: true,
              ...(ipv6Mtu === undefined ? {} : { mtu: ipv6Mtu }),
            })
      } finally {
        netlink.close()
      }
    } finally {
      handle.close()
    }
    node.netlink.setLink(host.index, limits)
  } catch (error) {
    if (!(error instanceof NetworkError) && !isKernelError(error, "ENODEV")) throw error
  }
}

/** What to change so that a link of ours has exactly these limits; undefined when it has. */
export function limitChange(link: Link, wanted: Required<PacketLimits>): PacketLimits | undefined {
  const have = limitsIn(link)
  const change = mapped(have, (value, key) => limitIn(wanted, key) ?? value)
  return isSame(have, change) ? undefined : change
}

/** The limits that the link has: the kernel tells none that it does not know. */
function limitsIn(link: Link): Limits {
  const found = Object.keys(limitsOf()).flatMap((key) => {
    const value = limitIn(link, key)
    return value === undefined ? [] : [[key, value] as const]
  })
  return Object.fromEntries(found)
}

function limitIn(limits: PacketLimits, key: string): number | undefined {
  return limits[key as keyof PacketLimits]
}

function mapped(limits: Limits, change: (value: number, key: string) => number): Limits {
  return Object.fromEntries(Object.entries(limits).map(([key, value]) => [key, change(value, key)]))
}

function isSame(one: Limits, other: Limits): boolean {
  return Object.entries(one).every(([key, value]) => other[key] === value)
}

function isRaised(value: unknown): value is Raised {
  const isLimits = (part: unknown): boolean =>
    isRecord(part) && Object.values(part).every((one) => typeof one === "number")
  return isRecord(value) && isLimits(value["before"]) && isLimits(value["given"])
}
