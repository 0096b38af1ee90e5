import type { Packet } from "../model/packet.ts"
import type { Address, Prefix, ProtocolNumber } from "../net/types.ts"
import type { Manifest, Probe, SuiteCase } from "./format.ts"
import type { ProbeResult } from "./plane.ts"

/** The cluster of one case, complete: every pod has a node and addresses, every node an object and addresses. Pure data. */
export interface CaseState {
  readonly case: SuiteCase
  /** Whether it begins anew; otherwise it follows the state before it, in the same group. */
  readonly fresh: boolean
  /**
   * The objects to apply: the case's own, in its order, each once, with controllers replaced by their pods, addresses and
   * nodes filled in, and Namespace and Node objects added where the case leaves them out. Without the last manifest if
   * the case asks for its admission.
   */
  readonly objects: readonly Manifest[]
  /** The object whose admission the case asks for, as it was written. */
  readonly candidate?: Manifest
  /** By name. */
  readonly nodes: ReadonlyMap<string, StateNode>
  /** By `NAMESPACE/NAME`; those that have ended are not among them. */
  readonly pods: ReadonlyMap<string, StatePod>
  /** Hosts outside the cluster that any step of the group speaks of. */
  readonly outside: readonly Address[]
  readonly probes: readonly ResolvedProbe[]
}

export interface StateNode {
  readonly name: string
  /** 1-based, by name; the same in all steps of a group. */
  readonly number: number
  readonly addresses: readonly Address[]
  readonly podPrefixes: readonly Prefix[]
  /** What its own processes (and host-network pods) listen on. */
  readonly listens: readonly Listen[]
}

export interface StatePod {
  readonly namespace: string
  readonly name: string
  readonly node: string
  /** A host-network pod has its node's. */
  readonly addresses: readonly Address[]
  /** It lives in its node's namespace and is, for policy, the node. */
  readonly hostNetwork: boolean
  /** Declared ports, those of the annotation `referee/listen`, and all that any probe of its group asks of it. */
  readonly listens: readonly Listen[]
  readonly manifest: Manifest
}

/** A port on which something answers; protocols without ports are not listed. */
export interface Listen {
  readonly protocol: ProtocolNumber
  readonly port: number
}

export type Place =
  | { readonly kind: "pod"; readonly key: string; readonly node: string }
  | { readonly kind: "node"; readonly node: string }
  | { readonly kind: "outside" }

export interface ResolvedEnd {
  readonly place: Place
  readonly address: Address
}

/** A probe as a packet, or with the answer where none need be sent. */
export type ResolvedProbe =
  | {
      readonly kind: "ask"
      readonly probe: Probe
      readonly source: ResolvedEnd
      readonly target: ResolvedEnd
      /** `fromNodeSocket` is set for a node's process asking a pod of that node. */
      readonly packet: Packet
      /** Both ends are one pod or one node: the packet never leaves it, and nobody judges it. */
      readonly within: boolean
    }
  | {
      readonly kind: "settled"
      readonly probe: Probe
      readonly result: ProbeResult
      /** The suite is wrong about this probe: it fails, whatever it expects and whatever is allowed. */
      readonly mistake?: true
    }
