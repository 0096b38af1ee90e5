import type { Compiled } from "../compile/compiled.ts"
import type { Address, Prefix } from "../net/types.ts"

/** The whole state that a node shall enforce and forward. Immutable. */
export interface NodeState {
  readonly compiled: Compiled
  readonly forwarding: Forwarding
}

/** How packets find their way: which interface a local endpoint is behind, which node a remote address is at. */
export interface Forwarding {
  /** Local endpoints that have an interface, by `NAMESPACE/NAME`. Those in `compiled.endpoints` but not here drop. */
  readonly ports: ReadonlyMap<string, EndpointPort>
  /** Other nodes by name: where the tunnel ends, or the next hop of native routing. */
  readonly peers: ReadonlyMap<string, Peer>
  readonly self: { readonly name: string; readonly addresses: readonly Address[] }
  /** Destinations to which a pod's packet leaves with its own address. */
  readonly nonMasquerade: readonly Prefix[]
}

export interface EndpointPort {
  /** Host-side interface index. */
  readonly ifindex: number
  /** MAC address of the pod's own interface, six bytes. */
  readonly mac: Uint8Array
  /** The runtime's id for the sandbox (CNI_CONTAINERID), which tells two pods of the same name apart in time. */
  readonly sandbox: string
}

export interface Peer {
  /** The node's number here, 1–65535; stable while the node exists. */
  readonly number: number
  /** Outer address for the overlay, or next hop for native routing. */
  readonly address: Address
}

/** What `apply` may use to avoid looking at everything; null means: trust nothing, compare all. */
export interface Change {
  readonly previous: NodeState
}

export interface Capabilities {
  readonly plane: "ebpf" | "nftables" | "iptables"
  /** Feature → true, or the reason why not, for `status`, `doctor` and `unsupported` answers. */
  readonly features: Readonly<Record<string, true | string>>
}

/** Budget of one table: what a state needs and what there is. */
export interface Need {
  readonly table: string
  readonly need: number
  readonly budget: number
}

export class OverBudget extends Error {
  readonly code = "over-budget"
  readonly needs: readonly Need[]
  constructor(needs: readonly Need[]) {
    super(
      `Cannot apply: ${needs.map((n) => `${n.table} needs ${n.need} entries, ${n.budget} are there`).join("; ")}. The state before stays in force`,
    )
    this.needs = needs
  }
}

/** What the kernel holds, read back as the same type that was applied; verdict texts come from the caller. */
export interface PlaneReading {
  readonly generation: number
  readonly compiled: Pick<
    Compiled,
    "addresses" | "prefixes" | "outsideSlot" | "nodeSocketSlot" | "classes" | "endpoints" | "sets" | "rows"
  >
  readonly ports: ReadonlyMap<number, EndpointPort>
}

/** The contract of a data plane (docs/design.md, 4). One instance per node; calls are made one at a time. */
export interface Plane {
  capabilities(): Capabilities
  /**
   * Makes the kernel enforce `next` and returns its generation once it does. Idempotent; repairs what someone else
   * changed when `change` is null. Throws `OverBudget` before anything is written when a table is too small; on any
   * other error the generation before stays in force.
   */
  apply(next: NodeState, change: Change | null): Promise<number>
  /** What the kernel holds now. */
  read(): Promise<PlaneReading>
  /** Takes everything of this plane out of the kernel. */
  remove(): Promise<void>
}
