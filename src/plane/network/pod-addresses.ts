import type { Cluster } from "../../model/cluster.ts"
import { changedKeys } from "../../model/sharded-map.ts"
import type { Address } from "../../net/types.ts"
import type { Attachment } from "./attachment.ts"
import { NetworkError } from "./error.ts"
import type { Ipam } from "./ipam.ts"

interface HasAddresses {
  readonly addresses: readonly Address[]
}

/** Decides which addresses a pod gets. */
export class PodAddresses {
  readonly #ipam: Ipam
  readonly #node: string
  #endpoints: Cluster["endpoints"] = new Map()
  #nodes: Cluster["nodes"] = new Map()
  /** By how many endpoints and nodes. */
  readonly #used = new Map<Address, number>()

  constructor(ipam: Ipam, node: string) {
    this.#ipam = ipam
    this.#node = node
  }

  /**
   * Those stated by the runtime; else those that the pod's object states, so that a pod keeps its addresses; else one of
   * each family that the node has ranges of. All or none are taken; throws `NetworkError`. `ofPod`: what is attached for it.
   */
  take(
    request: { readonly namespace: string; readonly pod: string; readonly addresses: readonly Address[] },
    owner: string,
    cluster: Cluster,
    ofPod: Iterable<Attachment>,
  ): readonly Address[] {
    const own = [...new Set(request.addresses)]
    if (own.length > 0) return this.#claim(own, owner)
    const endpoint = cluster.endpoints.get(`${request.namespace}/${request.pod}`)
    const stated = endpoint?.node === this.#node ? endpoint.addresses : []
    // A sandbox made anew while the old one is still there: the object still shows the old one's addresses.
    const ofOldSandbox = [...ofPod].some((one) => one.addresses.some((address) => stated.includes(address)))
    if (stated.length > 0 && !(ofOldSandbox && this.#ipam.families.length > 0)) return this.#claim(stated, owner)
    if (this.#ipam.families.length === 0)
      throw new NetworkError(
        "tryAgain",
        `Cannot give ${owner} an address: node ${this.#node} has no ranges for pods`,
        "Set podCIDRs on its Node object, or podPrefixes in the agent's configuration",
      )
    return this.#allocate(owner, cluster)
  }

  /** Looks for the next free addresses ahead of time: among the thousands that a full node's objects state it takes a while. */
  prepare(): void {
    this.#ipam.prepare((address) => this.#used.has(address))
  }

  #claim(addresses: readonly Address[], owner: string): readonly Address[] {
    return this.#allOrNone(owner, (taken) => {
      for (const address of addresses) {
        this.#ipam.claim(address, owner)
        taken.push(address)
      }
    })
  }

  #allocate(owner: string, cluster: Cluster): readonly Address[] {
    this.follow(cluster)
    return this.#allOrNone(owner, (taken) => {
      for (const family of this.#ipam.families)
        taken.push(this.#ipam.allocate(family, owner, (address) => this.#used.has(address)))
    })
  }

  #allOrNone(owner: string, take: (taken: Address[]) => void): readonly Address[] {
    const taken: Address[] = []
    try {
      take(taken)
      return taken
    } catch (error) {
      for (const address of taken) this.#ipam.release(address, owner)
      throw error
    }
  }

  /**
   * Counts the addresses that the cluster's objects show: also those stated for pods that are not attached yet, and of nodes. Takes
   * time in proportion to what changed since the last call.
   */
  follow({ endpoints, nodes }: Cluster): void {
    this.#recount(this.#endpoints, endpoints)
    this.#recount(this.#nodes, nodes)
    this.#endpoints = endpoints
    this.#nodes = nodes
  }

  #recount(before: ReadonlyMap<string, HasAddresses>, after: ReadonlyMap<string, HasAddresses>): void {
    for (const key of changedKeys(before, after)) {
      for (const address of before.get(key)?.addresses ?? []) this.#count(address, -1)
      for (const address of after.get(key)?.addresses ?? []) this.#count(address, 1)
    }
  }

  #count(address: Address, by: 1 | -1): void {
    const count = (this.#used.get(address) ?? 0) + by
    if (count > 0) this.#used.set(address, count)
    else this.#used.delete(address)
  }
}
