import type { Address, Prefix } from "../net/types.ts"
import type { Manifest } from "../suite/format.ts"
import type { Listen } from "../suite/state.ts"

/** What a lab shall be: every pod with its node, every node with its addresses. Pure data. */
export interface LabState {
  /** By name. */
  readonly nodes: ReadonlyMap<string, LabNode>
  /** By `NAMESPACE/NAME`; pods that have ended are not among them. */
  readonly pods: ReadonlyMap<string, LabPod>
  /**
   * Everything that the nodes shall know, each object once; Pods and Nodes among them. A pod whose addresses the nodes
   * give gets them written into its object once it has them.
   */
  readonly objects: readonly Manifest[]
  /** Addresses of hosts outside the cluster. */
  readonly outside: readonly Address[]
  /** On what the hosts outside listen. */
  readonly outsideListens: readonly Listen[]
}

export interface LabNode {
  readonly name: string
  readonly addresses: readonly Address[]
  readonly podPrefixes: readonly Prefix[]
  readonly listens: readonly Listen[]
}

export interface LabPod {
  readonly namespace: string
  readonly name: string
  readonly node: string
  /** Stated addresses; empty: its node gives it some. A host-network pod has its node's. */
  readonly addresses: readonly Address[]
  readonly hostNetwork: boolean
  readonly listens: readonly Listen[]
}

/** Key of a pod among all: `NAMESPACE/NAME`. */
export function podKey(pod: Pick<LabPod, "namespace" | "name">): string {
  return `${pod.namespace}/${pod.name}`
}
