import { isDeepStrictEqual } from "node:util"
import {
  implicitNamespace,
  type SelectablePod,
  type ServiceDeclaration,
  type SliceDeclaration,
} from "../dialect/kubernetes/index.ts"
import type { Cluster, Endpoint, Namespace, NetworkSet, Node, Service, ServiceAccount } from "../model/cluster.ts"
import { type Policy, policyKey, type Tier } from "../model/policy.ts"
import { ShardedMap } from "../model/sharded-map.ts"
import type { Address, Prefix } from "../net/types.ts"
import type { ModelPart } from "./kinds.ts"
import { ServiceParts } from "./service-parts.ts"

/** What each map of the cluster holds. */
interface Pieces {
  readonly namespaces: Namespace
  readonly serviceAccounts: ServiceAccount
  readonly endpoints: Endpoint
  readonly nodes: Node
  readonly networkSets: NetworkSet
  readonly services: Service
  readonly tiers: Tier
  readonly policies: Policy
}

type PodPart = Extract<ModelPart, { kind: "pod" }>

/** What is known of a node from its own object and from the pods on it. */
interface NodeParts {
  declared: Node | undefined
  /** Pods on it, by key. */
  readonly pods: Map<string, PodPart>
  /** Of these, the ones in its own network. */
  readonly hosts: Map<string, PodPart>
}

/** What the network of a node gave to a pod whose object does not state its addresses yet. */
export interface LocalAddresses {
  /** Counts only while the pod's object is on this node. */
  readonly node: string
  readonly addresses: readonly Address[]
}

/**
 * Keeps the cluster of a changing set of objects. Each `cluster()` is a value that shares with the one before whatever did
 * not change: a pod's change costs one shard of the endpoint map.
 */
export class ClusterBuilder {
  readonly #configured: readonly Prefix[]
  readonly #parts = new Map<string, ModelPart>()
  readonly #nodes = new Map<string, NodeParts>()
  /** Nodes that may be others since the last cluster. */
  readonly #touchedNodes = new Set<string>()
  readonly #declaredNamespaces = new Map<string, Namespace>()
  /** Endpoints of each namespace, counted. */
  readonly #inhabitants = new Map<string, number>()
  readonly #services = new ServiceParts()
  readonly #local = new Map<string, LocalAddresses>()
  /** Endpoints with local addresses → as their objects state them. */
  readonly #stated = new WeakMap<Endpoint, Endpoint>()
  readonly #pending: { readonly [K in keyof Pieces]: Map<string, Pieces[K] | undefined> } = {
    namespaces: new Map(),
    serviceAccounts: new Map(),
    endpoints: new Map(),
    nodes: new Map(),
    networkSets: new Map(),
    services: new Map(),
    tiers: new Map(),
    policies: new Map(),
  }
  #current: { readonly [K in keyof Pieces]: ShardedMap<Pieces[K]> } & Pick<Cluster, "clusterPrefixes">

  /** `clusterPrefixes`: the configured ranges of the cluster, besides those of its nodes. */
  constructor(clusterPrefixes: readonly Prefix[] = []) {
    this.#configured = clusterPrefixes
    this.#current = {
      namespaces: new ShardedMap(),
      serviceAccounts: new ShardedMap(),
      endpoints: new ShardedMap(),
      nodes: new ShardedMap(),
      networkSets: new ShardedMap(),
      services: new ShardedMap(),
      tiers: new ShardedMap(),
      policies: new ShardedMap(),
      clusterPrefixes: [...new Set(clusterPrefixes)].sort(),
    }
  }

  /** Puts what the object `key` contributes in the place of what it contributed before; undefined takes it out. */
  set(key: string, part: ModelPart | undefined): void {
    const before = this.#parts.get(key)
    if (part === undefined) this.#parts.delete(key)
    else this.#parts.set(key, part)
    if (before !== undefined && before.kind !== part?.kind) this.#change(key, before, undefined)
    this.#change(key, before?.kind === part?.kind ? before : undefined, part)
  }

  /**
   * Notes the addresses that a node's network gave to the pod `NAMESPACE/NAME`, so that its policy is in force before its runtime
   * hears that it has an address; undefined takes them back. They count at once in `settled`, and until the pod's object states its own.
   */
  setLocal(key: string, local: LocalAddresses | undefined): void {
    if (local === undefined) this.#local.delete(key)
    else this.#local.set(key, local)
    const coming = this.#pending.endpoints.get(key)
    if (coming !== undefined) this.#pending.endpoints.set(key, this.#located(key, coming))
    const there = this.#current.endpoints.get(key)
    const located = there && this.#located(key, there)
    if (located === undefined || located === there) return
    this.#current = { ...this.#current, endpoints: this.#current.endpoints.with(new Map([[key, located]])) }
  }

  /** An endpoint with the addresses that its object states, else those of its node's network. */
  #located(key: string, endpoint: Endpoint): Endpoint {
    const stated = this.#stated.get(endpoint) ?? endpoint
    const local = this.#local.get(key)
    if (local === undefined || stated.addresses.length > 0 || stated.node !== local.node) return stated
    if (isDeepStrictEqual(endpoint.addresses, local.addresses)) return endpoint
    const located = { ...stated, addresses: local.addresses }
    this.#stated.set(located, stated)
    return located
  }

  /** The cluster as `cluster()` gave it last, with local addresses as they are now: what was set since is not in it. */
  get settled(): Cluster {
    return this.#current
  }

  /** The cluster now; the same object as last time when nothing changed. */
  cluster(): Cluster {
    for (const name of this.#touchedNodes) this.#renewNode(name)
    this.#touchedNodes.clear()
    for (const [key, service] of this.#services.changes()) this.#propose("services", key, service)
    const now = this.#current
    const pending = this.#pending
    const nodes = now.nodes.with(pending.nodes)
    const next = {
      namespaces: now.namespaces.with(pending.namespaces),
      serviceAccounts: now.serviceAccounts.with(pending.serviceAccounts),
      endpoints: now.endpoints.with(pending.endpoints),
      nodes,
      networkSets: now.networkSets.with(pending.networkSets),
      services: now.services.with(pending.services),
      tiers: now.tiers.with(pending.tiers),
      policies: now.policies.with(pending.policies),
      clusterPrefixes: nodes === now.nodes ? now.clusterPrefixes : this.#prefixes(nodes, now.clusterPrefixes),
    }
    for (const changes of Object.values(pending)) changes.clear()
    const same = (Object.keys(next) as (keyof Cluster)[]).every((part) => next[part] === now[part])
    if (!same) this.#current = next
    return this.#current
  }

  #change(key: string, before: ModelPart | undefined, after: ModelPart | undefined): void {
    switch ((after ?? before)?.kind) {
      case "namespace":
        this.#changeNamespace(valueIn(before, "namespace"), valueIn(after, "namespace"))
        break
      case "serviceAccount":
        this.#changeServiceAccount(valueIn(before, "serviceAccount"), valueIn(after, "serviceAccount"))
        break
      case "networkSet":
        this.#changeNetworkSet(valueIn(before, "networkSet"), valueIn(after, "networkSet"))
        break
      case "service":
        this.#services.declare(valueIn(before, "service"), valueIn(after, "service"))
        break
      case "slice":
        this.#services.slice(key, valueIn(before, "slice"), valueIn(after, "slice"))
        break
      case "node":
        this.#changeNode(valueIn(before, "node"), valueIn(after, "node"))
        break
      case "tier":
        this.#changeTier(valueIn(before, "tier"), valueIn(after, "tier"))
        break
      case "policies":
        this.#changePolicies(valueIn(before, "policies") ?? [], valueIn(after, "policies") ?? [])
        break
      case "pod":
        this.#changePod(key, podOf(before), podOf(after))
        break
    }
  }

  #changeNamespace(before: Namespace | undefined, after: Namespace | undefined): void {
    const name = (after ?? before)?.name ?? ""
    if (after === undefined) this.#declaredNamespaces.delete(name)
    else this.#declaredNamespaces.set(name, after)
    this.#renewNamespace(name)
  }

  /** A declared namespace, or an implicit one as long as something is in it. */
  #renewNamespace(name: string): void {
    const implied = this.#inhabitants.has(name) ? implicitNamespace(name) : undefined
    this.#propose("namespaces", name, this.#declaredNamespaces.get(name) ?? implied)
  }

  #changeServiceAccount(before: ServiceAccount | undefined, after: ServiceAccount | undefined): void {
    const named = after ?? before
    if (named !== undefined) this.#propose("serviceAccounts", `${named.namespace}/${named.name}`, after)
  }

  #changeNetworkSet(before: NetworkSet | undefined, after: NetworkSet | undefined): void {
    const named = after ?? before
    if (named === undefined) return
    this.#propose("networkSets", `${named.kind}/${named.namespace}/${named.name}`, after)
    // A namespaced set shows its namespace's labels, declared or not.
    if (before !== undefined && before.namespace !== "") this.#countInhabitants(before.namespace, -1)
    if (after !== undefined && after.namespace !== "") this.#countInhabitants(after.namespace, 1)
  }

  #changeTier(before: Tier | undefined, after: Tier | undefined): void {
    const name = (after ?? before)?.name
    if (name !== undefined) this.#propose("tiers", name, after)
  }

  #changePolicies(before: readonly Policy[], after: readonly Policy[]): void {
    // One object may make several policies (Cilium's denials and allowances): they share its name.
    const key = (policy: Policy, index: number) => (index === 0 ? policyKey(policy) : `${policyKey(policy)}#${index}`)
    for (const [index, policy] of before.entries()) this.#propose("policies", key(policy, index), undefined)
    for (const [index, policy] of after.entries()) this.#propose("policies", key(policy, index), policy)
  }

  #changeNode(before: Node | undefined, after: Node | undefined): void {
    const name = (after ?? before)?.name ?? ""
    this.#nodeParts(name).declared = after
    this.#touchedNodes.add(name)
  }

  #changePod(key: string, before: PodPart | undefined, after: PodPart | undefined): void {
    const old = before?.place.kind === "endpoint" ? before.place.endpoint : undefined
    const next = after?.place.kind === "endpoint" ? after.place.endpoint : undefined
    if (old !== undefined && (next?.namespace !== old.namespace || next.name !== old.name)) {
      this.#propose("endpoints", `${old.namespace}/${old.name}`, undefined)
    }
    if (next !== undefined) this.#proposeEndpoint(`${next.namespace}/${next.name}`, next)
    if (old?.namespace !== next?.namespace) {
      if (old !== undefined) this.#countInhabitants(old.namespace, -1)
      if (next !== undefined) this.#countInhabitants(next.namespace, 1)
    }
    this.#changeHost(key, before, after)
    this.#services.pod(key, before && selectablePod(before), after && selectablePod(after))
  }

  /** Notes which node the pod is on: it shows which addresses are that node's. */
  #changeHost(key: string, before: PodPart | undefined, after: PodPart | undefined): void {
    if (before !== undefined && before.node !== "" && before.node !== after?.node) {
      const { pods, hosts } = this.#nodeParts(before.node)
      pods.delete(key)
      hosts.delete(key)
      this.#touchedNodes.add(before.node)
    }
    if (after === undefined || after.node === "") return
    const { pods, hosts } = this.#nodeParts(after.node)
    pods.set(key, after)
    if (after.place.kind === "host") hosts.set(key, after)
    else hosts.delete(key)
    this.#touchedNodes.add(after.node)
  }

  #countInhabitants(namespace: string, by: number): void {
    const count = (this.#inhabitants.get(namespace) ?? 0) + by
    if (count <= 0) this.#inhabitants.delete(namespace)
    else this.#inhabitants.set(namespace, count)
    this.#renewNamespace(namespace)
  }

  #nodeParts(name: string): NodeParts {
    const found = this.#nodes.get(name)
    if (found !== undefined) return found
    const created: NodeParts = { declared: undefined, pods: new Map(), hosts: new Map() }
    this.#nodes.set(name, created)
    return created
  }

  /** The node as its object declares it, else as its pods imply it; host-network pods' addresses are its own. */
  #renewNode(name: string): void {
    const { declared, pods, hosts } = this.#nodeParts(name)
    if (declared === undefined && pods.size === 0) {
      this.#nodes.delete(name)
      this.#propose("nodes", name, undefined)
      return
    }
    const node = declared ?? { name, labels: {}, addresses: [], podPrefixes: [] }
    const own = [...hosts.values()].flatMap(({ place }) => (place.kind === "host" ? place.addresses : [])).sort()
    let addresses = [...new Set([...node.addresses, ...own])]
    if (addresses.length === 0) addresses = [...new Set([...pods.values()].flatMap((pod) => pod.hostAddresses))].sort()
    this.#propose("nodes", name, addresses.length === node.addresses.length ? node : { ...node, addresses })
  }

  #prefixes(nodes: ReadonlyMap<string, Node>, before: readonly Prefix[]): readonly Prefix[] {
    const all = new Set(this.#configured)
    for (const node of nodes.values()) for (const prefix of node.podPrefixes) all.add(prefix)
    const sorted = [...all].sort()
    return isDeepStrictEqual(sorted, before) ? before : sorted
  }

  #proposeEndpoint(key: string, endpoint: Endpoint): void {
    const current = this.#current.endpoints.get(key)
    const same = current !== undefined && isDeepStrictEqual(this.#stated.get(current) ?? current, endpoint)
    this.#pending.endpoints.set(key, same ? current : this.#located(key, endpoint))
  }

  /** Notes a value for the next cluster; an equal one keeps the object that is there, so that `===` tells what changed. */
  #propose<K extends keyof Pieces>(map: K, key: string, value: Pieces[K] | undefined): void {
    const current = this.#current[map].get(key) as Pieces[K] | undefined
    this.#pending[map].set(key, value !== undefined && isDeepStrictEqual(current, value) ? current : value)
  }
}

function selectablePod({ place }: PodPart): SelectablePod | undefined {
  if (place.kind === "endpoint") return place.endpoint
  return place.kind === "host" ? place.pod : undefined
}

function podOf(part: ModelPart | undefined): PodPart | undefined {
  return part?.kind === "pod" ? part : undefined
}

interface PartValues {
  readonly namespace: Namespace
  readonly node: Node
  readonly serviceAccount: ServiceAccount
  readonly networkSet: NetworkSet
  readonly service: ServiceDeclaration
  readonly slice: SliceDeclaration
  readonly tier: Tier
  readonly policies: readonly Policy[]
}

/** The value of a part, if it is of that kind. */
function valueIn<K extends keyof PartValues>(part: ModelPart | undefined, kind: K): PartValues[K] | undefined {
  // `kind` decides the type of `value` (ModelPart), which the compiler cannot follow through K.
  return part?.kind === kind ? ((part as { readonly value: unknown }).value as PartValues[K]) : undefined
}
