import type { Address, Prefix, ProtocolNumber } from "../net/types.ts"
import type { Policy, Tier } from "./policy.ts"
import type { Labels } from "./selector.ts"

/** A port that a workload gave a name (`containers[].ports[].name`). */
export interface NamedPort {
  readonly name: string
  readonly protocol: ProtocolNumber
  /** 1–65535. */
  readonly port: number
}

export interface Namespace {
  readonly name: string
  readonly labels: Labels
}

export interface ServiceAccount {
  readonly namespace: string
  readonly name: string
  readonly labels: Labels
}

/**
 * A workload with addresses of its own, subject to policy. Host-network pods are not endpoints: they are their node.
 * Pods that have ended (phase Succeeded or Failed) have no addresses and are left out.
 */
export interface Endpoint {
  readonly namespace: string
  readonly name: string
  /** The node it runs on; empty while unscheduled. */
  readonly node: string
  readonly addresses: readonly Address[]
  readonly labels: Labels
  /** Service account name; `default` when the pod names none. */
  readonly serviceAccount: string
  readonly namedPorts: readonly NamedPort[]
}

export interface Node {
  readonly name: string
  readonly labels: Labels
  /** The node's own addresses (InternalIP, ExternalIP). */
  readonly addresses: readonly Address[]
  /** Ranges from which the node's pods get addresses; may be empty. */
  readonly podPrefixes: readonly Prefix[]
}

/** A labelled list of blocks (Calico NetworkSet, GlobalNetworkSet; Cilium CIDRGroup): a peer with labels, never a subject. */
export interface NetworkSet {
  readonly kind: string
  /** Empty for a cluster-wide one. */
  readonly namespace: string
  readonly name: string
  readonly labels: Labels
  readonly prefixes: readonly Prefix[]
}

/** What stands behind a Service, as policies that name services see it: readiness is of no consequence. */
export interface Service {
  readonly namespace: string
  readonly name: string
  /** Absent when there are only endpoint slices of it and no Service. */
  readonly labels?: Labels
  /** Labels of the pods for which it stands; absent where its endpoints are stated by others. */
  readonly selector?: Labels
  /** Each address once, ascending: what its endpoint slices list, else its pods. */
  readonly backends: readonly ServiceBackend[]
}

export interface ServiceBackend {
  readonly address: Address
  readonly ports: readonly ServicePort[]
}

/** A port at which a backend serves; 1–65535. */
export interface ServicePort {
  readonly protocol: ProtocolNumber
  readonly port: number
}

/**
 * Everything that decides a verdict, as of one moment. It is a value: maps are never changed after it is made, and a
 * new state shares what did not change. Keys: namespaces and nodes by name; the others by `NAMESPACE/NAME`;
 * policies by `policyKey`, with `#N` behind it for further policies of one object; network sets by `KIND/NAMESPACE/NAME`.
 */
export interface Cluster {
  readonly namespaces: ReadonlyMap<string, Namespace>
  readonly serviceAccounts: ReadonlyMap<string, ServiceAccount>
  readonly endpoints: ReadonlyMap<string, Endpoint>
  readonly nodes: ReadonlyMap<string, Node>
  readonly networkSets: ReadonlyMap<string, NetworkSet>
  readonly services: ReadonlyMap<string, Service>
  /** User tiers by name. The built-in ones (`builtinTiers`) are always there and not listed. */
  readonly tiers: ReadonlyMap<string, Tier>
  readonly policies: ReadonlyMap<string, Policy>
  /**
   * The cluster's own ranges: an address inside one that belongs to nothing known is *unknown*, not outside.
   * Node pod prefixes and configured cluster prefixes together.
   */
  readonly clusterPrefixes: readonly Prefix[]
}

/** A cluster in which there is nothing. */
export const emptyCluster: Cluster = {
  namespaces: new Map(),
  serviceAccounts: new Map(),
  endpoints: new Map(),
  nodes: new Map(),
  networkSets: new Map(),
  services: new Map(),
  tiers: new Map(),
  policies: new Map(),
  clusterPrefixes: [],
}
