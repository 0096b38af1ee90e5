import type { PortRange, Prefix, ProtocolNumber } from "../net/types.ts"
import type { Origin } from "./origin.ts"
import type { Selector } from "./selector.ts"

/**
 * A predicate over everything that a rule can see of an address (`Facts`, model/facts.ts). Every dialect's subjects and
 * peers become one of these. Atoms over labels are undecidable for an *unknown* address (see evaluate.ts).
 */
export type Match =
  | { readonly kind: "any" }
  | { readonly kind: "none" }
  | { readonly kind: "and" | "or"; readonly of: readonly Match[] }
  | { readonly kind: "not"; readonly of: Match }
  /**
   * What the address is: a pod; the node that judges (`localNode`) or any node (`node`); a labelled network set; outside
   * the cluster (neither pod, node nor unknown; a network set's address is outside as well).
   */
  | { readonly kind: "is"; readonly what: "endpoint" | "node" | "localNode" | "networkSet" | "outside" }
  /** Labels of the workload, node or network set itself, of its namespace, or of its service account. */
  | { readonly kind: "labels"; readonly of: "self" | "namespace" | "serviceAccount"; readonly selector: Selector }
  /** Namespace by name (an endpoint's or a namespaced network set's). */
  | { readonly kind: "namespace"; readonly names: readonly string[] }
  /** Service account by name, in whatever namespace (combine with `namespace`). */
  | { readonly kind: "serviceAccount"; readonly names: readonly string[] }
  /** Address inside one of the blocks. Pods inside match too; combine with `is outside` for Cilium's meaning. */
  | { readonly kind: "cidr"; readonly prefixes: readonly Prefix[] }
  /**
   * The address lies in a block of some network set (`Cluster.networkSets`) whose own facts satisfy `of` (labels of `self`:
   * the set's; `namespace`: its namespace's). True for pods inside the block too; an address may lie in several sets. This is
   * how Calico's selectors meet NetworkSets and Cilium's CIDRGroups are named; the blocks of such sets count as named by a rule.
   */
  | { readonly kind: "inNetworkSet"; readonly of: Match }
  /**
   * The address is behind a service that `of` names. `backends`: it is listed among the service's backends (Calico). `target`: it
   * is a pod of the service's namespace with the labels that the service selects or, for a service without selector, one of its
   * backends outside the cluster (Cilium); the API server's own service `default/kubernetes` is no target.
   */
  | { readonly kind: "service"; readonly as: "backends" | "target"; readonly of: ServiceMatch }
  /** The workload declares a port of this name, whatever the protocol when none is given. */
  | { readonly kind: "hasNamedPort"; readonly name: string; readonly protocol?: ProtocolNumber }

/** Which services a rule names; all given parts must hold, and labels only services that exist as objects can have. */
export interface ServiceMatch {
  readonly namespace?: string
  readonly name?: string
  readonly labels?: Selector
}

/**
 * A port by number; by the name that the workload at that end of the connection gives it; or one at which the address at that end
 * is listed as backend of a service (only in `ports`; it matches only with the protocol that the service gives it).
 */
export type PortSpec =
  | ({ readonly kind: "range" } & PortRange)
  | { readonly kind: "named"; readonly name: string }
  | { readonly kind: "service"; readonly namespace: string; readonly name: string }

/** ICMP type, and code if it matters; 0–255 each. */
export interface IcmpMatch {
  readonly type: number
  readonly code?: number
}

/**
 * What a rule asks of protocol and ports; all given parts must hold, lists inside a part are alternatives. An empty
 * object matches every packet of every protocol. `ports` speak of the destination end. A named port matches only with the
 * protocol under which the workload declares it. `protocols` empty or absent: any protocol, but parts that need
 * ports (or ICMP) match only protocols that have them.
 */
export interface L4Match {
  readonly protocols?: readonly ProtocolNumber[]
  readonly notProtocols?: readonly ProtocolNumber[]
  readonly ports?: readonly PortSpec[]
  readonly notPorts?: readonly PortSpec[]
  readonly sourcePorts?: readonly PortSpec[]
  readonly notSourcePorts?: readonly PortSpec[]
  readonly icmp?: IcmpMatch
  readonly notIcmp?: IcmpMatch
  /** Only packets of this family (Calico `ipVersion`). */
  readonly family?: 4 | 6
}

export type Action = "allow" | "deny" | "pass" | "log"
export type Direction = "ingress" | "egress"

/** One rule. It matches if `peer` holds for the far end, `local` (if given) for the near end, and any of `l4` for the packet. */
export interface Rule {
  readonly action: Action
  readonly peer: Match
  /** A further condition on the near end (Calico's `destination` in an ingress rule). */
  readonly local?: Match
  /** Alternatives; an empty list matches every packet. A rule that can match nothing has `peer: none`. */
  readonly l4: readonly L4Match[]
  /**
   * Place in the object as people count it: rule index in its section, and the section's field name, e.g.
   * `{section: "ingress", index: 0}`, `{section: "egressDeny", index: 2}`.
   */
  readonly section: string
  readonly index: number
  /** The rule's own name if its language has one. */
  readonly name?: string
  readonly origin: Origin
}

export interface PolicySide {
  /** Whether an endpoint selected by this policy is isolated in this direction: the tier's default action ends it. */
  readonly isolates: boolean
  readonly rules: readonly Rule[]
}

export interface Policy {
  /** Kubernetes kind, e.g. `NetworkPolicy`, with the group that tells the dialects apart. */
  readonly group: string
  readonly kind: string
  /** Empty for cluster-wide ones. */
  readonly namespace: string
  readonly name: string
  /** Name of its tier; one that does not exist orders after all others with default action Deny. */
  readonly tier: string
  /** Order in the tier, ascending; `Infinity` where the language leaves it open. Ties by `tieBreak`, then kind, namespace, name, group. */
  readonly order: number
  /** The dialect's own tie-break among equal orders (Calico: `name/namespace/kind`); empty where none matters. */
  readonly tieBreak: string
  readonly subject: Match
  readonly ingress?: PolicySide
  readonly egress?: PolicySide
  /** `enforced`, or evaluated beside the enforced ones. `stagedDelete`: as if the like-named enforced policy were gone. */
  readonly mode: "enforced" | "staged" | "stagedDelete"
  readonly origin: Origin
}

export interface Tier {
  readonly name: string
  readonly order: number
  readonly defaultAction: "deny" | "pass"
}

/** Tiers that exist without an object (docs/design.md, 3.1). */
export const builtinTiers: readonly Tier[] = [
  { name: "kube-admin", order: 1_000, defaultAction: "pass" },
  { name: "default", order: 1_000_000, defaultAction: "deny" },
  { name: "kube-baseline", order: 10_000_000, defaultAction: "pass" },
]

/** Order of Kubernetes and Cilium policies inside tier `default`. */
export const KUBERNETES_ORDER = 1_000

/**
 * Key of the enforced policy that a staged one stands for: its like-named one of the kind without `Staged`
 * (`StagedKubernetesNetworkPolicy`: the Kubernetes NetworkPolicy).
 */
export function stagedTarget(policy: Pick<Policy, "group" | "kind" | "namespace" | "name">): string {
  if (policy.kind === "StagedKubernetesNetworkPolicy") {
    return policyKey({ ...policy, group: "networking.k8s.io", kind: "NetworkPolicy" })
  }
  return policyKey({ ...policy, kind: policy.kind.replace(/^Staged/, "") })
}

/** Identity of a policy among all policies: `GROUP/KIND/NAMESPACE/NAME`. */
export function policyKey(policy: Pick<Policy, "group" | "kind" | "namespace" | "name">): string {
  return `${policy.group}/${policy.kind}/${policy.namespace}/${policy.name}`
}
