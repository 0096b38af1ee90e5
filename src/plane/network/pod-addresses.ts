import type { Cluster, Endpoint } from "../../model/cluster.ts"
import type { Address } from "../../net/types.ts"
import type { Attachment } from "./attachment.ts"
import { NetworkError } from "./error.ts"
import type { Ipam } from "./ipam.ts"

/** Decides which addresses a pod gets. */
export class PodAddresses {
  readonly #ipam: Ipam
  readonly #node: string
  #endpoints: ReadonlyMap<string, Endpoint> | undefined
  #nodes: Cluster["nodes"] | undefined
  #used: ReadonlySet<Address> = new Set()

  constructor(ipam: Ipam, node: string) {
    this.#ipam = ipam
    this.#node = node
  }

  /**
   * Those stated by the runtime; else those that the pod's object states, so that a pod keeps its addresses; else one of
   * each family that the node has ranges of. All or none are taken; throws `NetworkError`.
   */
  take(
    request: { readonly namespace: string; readonly pod: string; readonly addresses: readonly Address[] },
    owner: string,
    cluster: Cluster,
    attachments: readonly Attachment[],
  ): readonly Address[] {
    const own = [...new Set(request.addresses)]
    if (own.length > 0) return this.#claim(own, owner)
    const endpoint = cluster.endpoints.get(`${request.namespace}/${request.pod}`)
    const stated = endpoint?.node === this.#node ? endpoint.addresses : []
    // A sandbox made anew while the old one is still there: the object still shows the old one's addresses.
    const ofOldSandbox = attachments.some(
      (one) =>
        one.namespace === request.namespace &&
        one.pod === request.pod &&
        one.addresses.some((address) => stated.includes(address)),
    )
    if (stated.length > 0 && !(ofOldSandbox && this.#ipam.families.length > 0)) return this.#claim(stated, owner)
    if (this.#ipam.families.length === 0)
      throw new NetworkError(
        "tryAgain",
        `Cannot give ${owner} an address: node ${this.#node} has no ranges for pods`,
        "Set podCIDRs on its Node object, or podPrefixes in the agent's configuration",
      )
    return this.#allocate(owner, cluster)
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
    const used = this.#usedIn(cluster)
    return this.#allOrNone(owner, (taken) => {
      for (const family of this.#ipam.families)
        taken.push(this.#ipam.allocate(family, owner, (address) => used.has(address)))
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

  /** Addresses that the cluster's objects show: also those stated for pods that are not attached yet, and of nodes. */
  #usedIn(cluster: Cluster): ReadonlySet<Address> {
    if (cluster.endpoints === this.#endpoints && cluster.nodes === this.#nodes) return this.#used
    const used = new Set<Address>()
    for (const { addresses } of cluster.endpoints.values()) for (const address of addresses) used.add(address)
    for (const { addresses } of cluster.nodes.values()) for (const address of addresses) used.add(address)
    this.#endpoints = cluster.endpoints
    this.#nodes = cluster.nodes
    this.#used = used
    return used
  }
}
