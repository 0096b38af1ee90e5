import type { Cluster, Endpoint } from "../model/cluster.ts"
import type { Address } from "../net/types.ts"

/** What the network of this node knows of a pod before its object does. */
export interface LocalAddresses {
  readonly namespace: string
  readonly pod: string
  readonly addresses: readonly Address[]
}

/**
 * The cluster with the addresses that this node's own network gave to pods whose objects do not state any yet, so that a pod's
 * policy is in force before its runtime hears that it has an address. The same value when there is nothing to add.
 */
export function withLocalAddresses(cluster: Cluster, node: string, local: Iterable<LocalAddresses>): Cluster {
  let endpoints: Map<string, Endpoint> | undefined
  for (const { namespace, pod, addresses } of local) {
    const key = `${namespace}/${pod}`
    const endpoint = cluster.endpoints.get(key)
    if (endpoint === undefined || endpoint.node !== node || endpoint.addresses.length > 0) continue
    endpoints ??= new Map(cluster.endpoints)
    endpoints.set(key, { ...endpoint, addresses })
  }
  return endpoints === undefined ? cluster : { ...cluster, endpoints }
}
