import type { Address } from "../net/types.ts"
import type { NamedPort } from "./cluster.ts"
import type { Labels } from "./selector.ts"

/**
 * Everything that a rule can see of one address. `unknown`: inside the cluster's ranges but of nothing known; atoms over
 * labels and kind are undecidable for it.
 */
export interface Facts {
  readonly address: Address
  readonly kind: "endpoint" | "node" | "networkSet" | "outside" | "unknown"
  /** For a node: its name. For an endpoint: the node it runs on. */
  readonly node?: string
  readonly namespace?: string
  readonly name?: string
  readonly labels: Labels
  readonly namespaceLabels: Labels
  readonly serviceAccount?: string
  readonly serviceAccountLabels: Labels
  readonly namedPorts: readonly NamedPort[]
}
