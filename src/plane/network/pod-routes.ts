import type { Cluster } from "../../model/cluster.ts"
import { changedKeys } from "../../model/sharded-map.ts"
import { familyOf } from "../../net/address.ts"
import { bitsOf, prefixContains, prefixContainsPrefix, prefixFamily, prefixLength, prefixOf } from "../../net/prefix.ts"
import type { Address, Family, Prefix } from "../../net/types.ts"
import { hostPrefix } from "./gateway.ts"

interface RangeInput {
  readonly nodes: Cluster["nodes"]
  readonly own: readonly Prefix[]
  readonly foreign: ReadonlySet<Prefix>
}

/**
 * Which destinations the node routes into heddle0: every node's pod range as a whole, and each pod address outside them
 * alone. A range that holds a node's own address, or that someone else's route already names, is not taken as a whole.
 * Pure; follows what changes (clusters share what did not).
 */
export class PodRoutes {
  #input: RangeInput | undefined
  #ranges: ReadonlySet<Prefix> = new Set()
  #lengths: Readonly<Record<Family, readonly number[]>> = { 4: [], 6: [] }
  #endpoints: Cluster["endpoints"] = new Map()
  /** Addresses of pods here, counted: the cluster may not know them yet. */
  readonly #attached = new Map<Address, number>()
  /** Destinations outside the ranges, counted by who has them. */
  #alone = new Map<Prefix, number>()
  /** Destinations that may have come or gone since the last `update`; undefined: any. */
  #touched: Set<Prefix> | undefined

  /** A pod here has the address from now on. */
  attach(address: Address): void {
    this.#attached.set(address, (this.#attached.get(address) ?? 0) + 1)
    this.#count(address, 1)
  }

  detach(address: Address): void {
    const left = (this.#attached.get(address) ?? 0) - 1
    if (left > 0) this.#attached.set(address, left)
    else this.#attached.delete(address)
    this.#count(address, -1)
  }

  /**
   * Follows the cluster; `own`: this node's ranges, `foreign`: destinations that someone else routes. Returns the destinations
   * that may have come or gone since the last call; undefined: any may have.
   */
  update(cluster: Cluster, own: readonly Prefix[], foreign: ReadonlySet<Prefix>): ReadonlySet<Prefix> | undefined {
    const { nodes, endpoints } = cluster
    const before = this.#input
    if (before?.nodes !== nodes || before.foreign !== foreign || before.own.join() !== own.join()) {
      this.#input = { nodes, own, foreign }
      this.#setRanges(wholeRanges(cluster, own, foreign))
    }
    for (const key of changedKeys(this.#endpoints, endpoints)) {
      for (const address of this.#endpoints.get(key)?.addresses ?? []) this.#count(address, -1)
      for (const address of endpoints.get(key)?.addresses ?? []) this.#count(address, 1)
    }
    this.#endpoints = endpoints
    const touched = this.#touched
    this.#touched = new Set()
    return touched
  }

  /** Whether there is to be a route to exactly this destination. */
  has(destination: Prefix): boolean {
    return this.#ranges.has(destination) || this.#alone.has(destination)
  }

  /** All destinations to which there is to be a route. */
  all(): ReadonlySet<Prefix> {
    return new Set([...this.#ranges, ...this.#alone.keys()])
  }

  #count(address: Address, by: 1 | -1): void {
    if (this.covers(address)) return
    const prefix = hostPrefix(address)
    const count = (this.#alone.get(prefix) ?? 0) + by
    if (count > 0) this.#alone.set(prefix, count)
    else this.#alone.delete(prefix)
    this.#touched?.add(prefix)
  }

  #setRanges(ranges: readonly Prefix[]): void {
    if (ranges.length === this.#ranges.size && ranges.every((prefix) => this.#ranges.has(prefix))) return
    this.#ranges = new Set(ranges)
    const lengths = (family: Family): number[] => [
      ...new Set(ranges.filter((prefix) => prefixFamily(prefix) === family).map(prefixLength)),
    ]
    this.#lengths = { 4: lengths(4), 6: lengths(6) }
    this.#touched = undefined
    this.#alone = new Map()
    for (const { addresses } of this.#endpoints.values()) for (const address of addresses) this.#count(address, 1)
    for (const [address, count] of this.#attached) for (let i = 0; i < count; i++) this.#count(address, 1)
  }

  /** Whether a range routed as a whole holds the address. One look per prefix length in use, however many nodes there are. */
  covers(address: Address): boolean {
    return this.#lengths[familyOf(address)].some((length) => this.#ranges.has(prefixOf(address, length)))
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
