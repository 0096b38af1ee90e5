import type { Cluster, Endpoint } from "../../model/cluster.ts"
import { familyOf } from "../../net/address.ts"
import { bitsOf, prefixContains, prefixContainsPrefix, prefixFamily, prefixLength, prefixOf } from "../../net/prefix.ts"
import type { Address, Family, Prefix } from "../../net/types.ts"
import { hostPrefix } from "./gateway.ts"

/**
 * Which destinations the node routes into heddle0: every node's pod range as a whole, and each pod address outside them
 * alone. A range that holds a node's own address, or that someone else's route already names, is not taken as a whole.
 * Pure, but remembers per endpoint (clusters share what did not change).
 */
export class PodRoutes {
  #ranges: readonly Prefix[] = []
  #cover: ReadonlySet<Prefix> = new Set()
  #lengths: Readonly<Record<Family, readonly number[]>> = { 4: [], 6: [] }
  #uncovered = new WeakMap<Endpoint, readonly Address[]>()
  #counted:
    | {
        readonly endpoints: Cluster["endpoints"]
        readonly ranges: readonly Prefix[]
        readonly wanted: ReadonlySet<Prefix>
      }
    | undefined

  /** `own`: this node's ranges; `attached`: addresses of pods here that the cluster may not know yet. */
  wanted(
    cluster: Cluster,
    own: readonly Prefix[],
    attached: Iterable<Address>,
    foreign: ReadonlySet<Prefix> = new Set(),
  ): ReadonlySet<Prefix> {
    this.#setRanges(wholeRanges(cluster, own, foreign))
    const wanted = new Set<Prefix>(this.#ofEndpoints(cluster.endpoints))
    for (const address of attached) if (!this.covers(address)) wanted.add(hostPrefix(address))
    return wanted
  }

  /** What does not change while the endpoints and ranges do not, as when pods come and go on this node. */
  #ofEndpoints(endpoints: Cluster["endpoints"]): ReadonlySet<Prefix> {
    if (this.#counted?.endpoints === endpoints && this.#counted.ranges === this.#ranges) return this.#counted.wanted
    const wanted = new Set<Prefix>(this.#ranges)
    for (const endpoint of endpoints.values()) {
      let left = this.#uncovered.get(endpoint)
      if (left === undefined) {
        left = endpoint.addresses.filter((address) => !this.covers(address))
        this.#uncovered.set(endpoint, left)
      }
      for (const address of left) wanted.add(hostPrefix(address))
    }
    this.#counted = { endpoints, ranges: this.#ranges, wanted }
    return wanted
  }

  #setRanges(ranges: readonly Prefix[]): void {
    if (ranges.length === this.#ranges.length && ranges.every((prefix) => this.#cover.has(prefix))) return
    this.#ranges = ranges
    this.#cover = new Set(ranges)
    const lengths = (family: Family): number[] => [
      ...new Set(ranges.filter((prefix) => prefixFamily(prefix) === family).map(prefixLength)),
    ]
    this.#lengths = { 4: lengths(4), 6: lengths(6) }
    this.#uncovered = new WeakMap()
  }

  /** Whether a range routed as a whole holds the address. One look per prefix length in use, however many nodes there are. */
  covers(address: Address): boolean {
    return this.#lengths[familyOf(address)].some((length) => this.#cover.has(prefixOf(address, length)))
  }
}

function wholeRanges(cluster: Cluster, own: readonly Prefix[], foreign: ReadonlySet<Prefix>): readonly Prefix[] {
  const all = new Set(own)
  const nodeAddresses: Address[] = []
  for (const node of cluster.nodes.values()) {
    for (const prefix of node.podPrefixes) all.add(prefix)
    nodeAddresses.push(...node.addresses)
  }
  const usable = [...all].filter((prefix) => {
    if (foreign.has(prefix) || prefixLength(prefix) === 0) return false
    const length = prefixLength(prefix)
    return !nodeAddresses.some((a) => length < bitsOf(familyOf(a)) && prefixContains(prefix, a))
  })
  usable.sort((a, b) => prefixLength(a) - prefixLength(b))
  const kept: Prefix[] = []
  for (const prefix of usable) {
    if (!kept.some((outer) => prefixLength(outer) < prefixLength(prefix) && prefixContainsPrefix(outer, prefix)))
      kept.push(prefix)
  }
  return kept
}
