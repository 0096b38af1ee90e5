import { prefixContains } from "../net/prefix.ts"
import type { Address } from "../net/types.ts"
import type { Cluster, Endpoint, NamedPort, NetworkSet, Node } from "./cluster.ts"
import type { Match } from "./policy.ts"
import type { Labels } from "./selector.ts"
import { selects } from "./selector.ts"
import { behindServices, namesService, type ServiceFacts } from "./services.ts"

/**
 * Everything that a rule can see of one address. `unknown`: inside the cluster's ranges but of nothing known; atoms over
 * labels and kind are undecidable for it.
 */
export interface Facts {
  readonly address: Address
  readonly kind: "endpoint" | "node" | "networkSet" | "outside" | "unknown"
  /** For a node: its name. For an endpoint: the node it runs on. */
  readonly node?: string
  /** It is the node that judges (`is localNode`). */
  readonly localNode?: boolean
  readonly namespace?: string
  readonly name?: string
  readonly labels: Labels
  readonly namespaceLabels: Labels
  readonly serviceAccount?: string
  readonly serviceAccountLabels: Labels
  readonly namedPorts: readonly NamedPort[]
  /** Facts of every network set that has a block around the address, each with the set's labels and namespace. */
  readonly networkSets?: readonly Facts[]
  /** Every service behind which the address is, or for an unknown address may be. */
  readonly services?: readonly ServiceFacts[]
}

/** What a predicate over facts can be: `maybe` where it depends on what an unknown address turns out to be. */
export type Truth = true | false | "maybe"

/**
 * Whether the address of which these are the facts satisfies `match`, three-valued (Kleene): for an unknown address all
 * atoms but the blocks it lies in, and that it is neither outside nor a network set, are `maybe`.
 */
export function matches(match: Match, facts: Facts): Truth {
  switch (match.kind) {
    case "any":
      return true
    case "none":
      return false
    case "and":
    case "or": {
      // One value ends it: false for `and`, true for `or`.
      const ending = match.kind === "or"
      let result: Truth = !ending
      for (const part of match.of) {
        const truth = matches(part, facts)
        if (truth === ending) return ending
        if (truth === "maybe") result = "maybe"
      }
      return result
    }
    case "not": {
      const truth = matches(match.of, facts)
      return truth === "maybe" ? "maybe" : !truth
    }
    case "cidr":
      return match.prefixes.some((prefix) => prefixContains(prefix, facts.address))
    case "inNetworkSet":
      return (facts.networkSets ?? []).some((set) => matches(match.of, set) === true)
    case "service": {
      const truths = (facts.services ?? []).filter(({ service }) => namesService(match.of, service))
      if (match.as === "backends") return truths.some(({ backend }) => backend !== undefined)
      if (truths.some(({ target }) => target === true)) return true
      return truths.some(({ target }) => target === "maybe") ? "maybe" : false
    }
    case "is":
      return isKind(match.what, facts)
    case "labels":
      if (match.selector.kind === "all") return true
      if (match.selector.kind === "none") return false
      return facts.kind === "unknown" ? "maybe" : selects(match.selector, labelsOf(match.of, facts))
    case "namespace":
      if (facts.kind === "unknown") return "maybe"
      return facts.namespace !== undefined && match.names.includes(facts.namespace)
    case "serviceAccount":
      if (facts.kind === "unknown") return "maybe"
      return facts.serviceAccount !== undefined && match.names.includes(facts.serviceAccount)
    case "hasNamedPort":
      if (facts.kind === "unknown") return "maybe"
      return facts.namedPorts.some(
        (port) => port.name === match.name && (match.protocol === undefined || match.protocol === port.protocol),
      )
  }
}

function isKind(what: "endpoint" | "node" | "localNode" | "networkSet" | "outside", facts: Facts): Truth {
  switch (what) {
    case "outside":
      return facts.kind === "outside" || facts.kind === "networkSet"
    case "networkSet":
      return facts.kind === "networkSet"
    case "localNode":
      return facts.kind === "unknown" ? "maybe" : facts.localNode === true
    default:
      return facts.kind === "unknown" ? "maybe" : facts.kind === what
  }
}

function labelsOf(of: "self" | "namespace" | "serviceAccount", facts: Facts): Labels {
  if (of === "self") return facts.labels
  return of === "namespace" ? facts.namespaceLabels : facts.serviceAccountLabels
}

const nothing = { labels: {}, namespaceLabels: {}, serviceAccountLabels: {}, namedPorts: [] } as const

/**
 * The facts of one address as the node `judgingNode` sees them. A node's own address is the node's even if a workload
 * claims it; an address that two workloads (or nodes) claim belongs to the one whose name is least. Without an owner, an
 * address in the cluster's ranges is unknown; any other is outside, be it in a network set or not.
 */
export function factsOf(cluster: Cluster, judgingNode: string, address: Address): Facts {
  const facts = withServices(cluster, ownFacts(cluster, judgingNode, address))
  if (cluster.networkSets.size === 0) return facts
  const networkSets = networkSetsOf(cluster, address)
  if (networkSets.length === 0) return facts
  return { ...facts, kind: facts.kind === "outside" ? "networkSet" : facts.kind, networkSets }
}

function withServices(cluster: Cluster, facts: Facts): Facts {
  if (cluster.services.size === 0) return facts
  const services = behindServices(cluster, facts)
  return services.length === 0 ? facts : { ...facts, services }
}

function ownFacts(cluster: Cluster, judgingNode: string, address: Address): Facts {
  const owner = ownersOf(cluster).get(address)
  if (owner?.node !== undefined) return nodeFacts(owner.node, judgingNode, address)
  if (owner?.endpoint !== undefined) return endpointFacts(cluster, owner.endpoint, address)
  const unknown = cluster.clusterPrefixes.some((prefix) => prefixContains(prefix, address))
  return { ...nothing, address, kind: unknown ? "unknown" : "outside" }
}

export function nodeFacts(node: Pick<Node, "name" | "labels">, judgingNode: string, address: Address): Facts {
  const localNode = node.name === judgingNode
  return { ...nothing, address, kind: "node", node: node.name, localNode, labels: node.labels }
}

export function endpointFacts(cluster: Cluster, endpoint: Endpoint, address: Address): Facts {
  return {
    address,
    kind: "endpoint",
    node: endpoint.node,
    namespace: endpoint.namespace,
    name: endpoint.name,
    labels: endpoint.labels,
    namespaceLabels: cluster.namespaces.get(endpoint.namespace)?.labels ?? {},
    serviceAccount: endpoint.serviceAccount,
    serviceAccountLabels: cluster.serviceAccounts.get(`${endpoint.namespace}/${endpoint.serviceAccount}`)?.labels ?? {},
    namedPorts: endpoint.namedPorts,
  }
}

export function networkSetFacts(cluster: Cluster, set: NetworkSet, address: Address): Facts {
  const facts = { ...nothing, address, kind: "networkSet", name: set.name, labels: set.labels } as const
  if (set.namespace === "") return facts
  return {
    ...facts,
    namespace: set.namespace,
    namespaceLabels: cluster.namespaces.get(set.namespace)?.labels ?? {},
  }
}

function networkSetsOf(cluster: Cluster, address: Address): Facts[] {
  const found: Facts[] = []
  for (const set of cluster.networkSets.values()) {
    if (set.prefixes.some((prefix) => prefixContains(prefix, address))) {
      found.push(networkSetFacts(cluster, set, address))
    }
  }
  return found
}

interface Owner {
  readonly node?: Node
  readonly endpoint?: Endpoint
}

/** Owners of exact addresses, kept with the cluster value (which never changes) they were read from. */
const owners = new WeakMap<Cluster, ReadonlyMap<Address, Owner>>()

function ownersOf(cluster: Cluster): ReadonlyMap<Address, Owner> {
  const known = owners.get(cluster)
  if (known !== undefined) return known
  const index = new Map<Address, Owner>()
  const least = <T>(map: ReadonlyMap<string, T>): T[] => [...map].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, v]) => v)
  for (const node of least(cluster.nodes)) {
    for (const address of node.addresses) if (!index.has(address)) index.set(address, { node })
  }
  for (const endpoint of least(cluster.endpoints)) {
    for (const address of endpoint.addresses) if (!index.has(address)) index.set(address, { endpoint })
  }
  owners.set(cluster, index)
  return index
}
