import type { Origin } from "./origin.ts"
import type { Direction } from "./policy.ts"

/**
 * What decided a packet at one end: a rule, the default deny of a tier, or the absence of any policy. It leads back to
 * object, rule and line. The text form (`ruleIdText`) is what flows, `why` and test suites show as `by`.
 */
export type RuleId =
  | {
      readonly kind: "rule"
      readonly tier: string
      readonly policy: {
        readonly group: string
        readonly kind: string
        readonly namespace: string
        readonly name: string
      }
      readonly direction: Direction
      readonly section: string
      readonly index: number
      readonly origin: Origin
    }
  /** No rule of the tier matched and `policy` (the least that isolates) selected the endpoint. */
  | {
      readonly kind: "defaultDeny"
      readonly tier: string
      readonly policy: {
        readonly group: string
        readonly kind: string
        readonly namespace: string
        readonly name: string
      }
      readonly direction: Direction
      readonly origin: Origin
    }
  /** No policy isolates this end in this direction. */
  | { readonly kind: "noPolicy"; readonly direction: Direction }
  /** The far end is inside the cluster but not known here, and labels could decide (docs/design.md, 3.3). */
  | { readonly kind: "unknownPeer"; readonly direction: Direction }
  /** A socket of the node reaching its own pod, before all tiers. */
  | { readonly kind: "nodeToOwnPod"; readonly direction: Direction }
  /** This end is not a workload of this cluster (a node, an outside address): nothing is enforced there. */
  | { readonly kind: "notEnforced"; readonly direction: Direction }

export interface Verdict {
  readonly action: "allow" | "deny"
  readonly by: RuleId
  /** Whether a `log` rule was passed on the way. */
  readonly log: boolean
  /** What staged policies would have decided, when that differs in action or rule. */
  readonly staged?: { readonly action: "allow" | "deny"; readonly by: RuleId }
}

/** `default/NetworkPolicy shop/web ingress[0]`, `default/NetworkPolicy shop/deny default-deny ingress`, `no-policy ingress`, … */
export function ruleIdText(id: RuleId): string {
  switch (id.kind) {
    case "rule":
      return `${id.tier}/${policyText(id.policy)} ${id.section}[${id.index}]`
    case "defaultDeny":
      return `${id.tier}/${policyText(id.policy)} default-deny ${id.direction}`
    case "noPolicy":
      return `no-policy ${id.direction}`
    case "unknownPeer":
      return `unknown-peer ${id.direction}`
    case "nodeToOwnPod":
      return `node-to-own-pod ${id.direction}`
    case "notEnforced":
      return `not-enforced ${id.direction}`
  }
}

function policyText(policy: { readonly kind: string; readonly namespace: string; readonly name: string }): string {
  return policy.namespace === "" ? `${policy.kind} ${policy.name}` : `${policy.kind} ${policy.namespace}/${policy.name}`
}
