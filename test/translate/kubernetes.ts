/** Kubernetes NetworkPolicies as the translators and generators of these tests write them. */

export interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>
  readonly matchExpressions?: readonly Expression[]
}

export interface Expression {
  readonly key: string
  readonly operator: string
  readonly values?: readonly string[]
}

export interface Peer {
  readonly podSelector?: Selector
  readonly namespaceSelector?: Selector
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] }
}

export interface Port {
  readonly protocol?: string
  readonly port?: number | string
  readonly endPort?: number
}

export interface Rule {
  readonly from?: readonly Peer[]
  readonly to?: readonly Peer[]
  readonly ports?: readonly Port[]
}

export interface Spec {
  readonly podSelector: Selector
  readonly policyTypes?: readonly string[]
  readonly ingress?: readonly Rule[]
  readonly egress?: readonly Rule[]
}

export interface KubernetesPolicy {
  readonly namespace: string
  readonly name: string
  readonly spec: Spec
}

export const directions = ["ingress", "egress"] as const
export type Direction = (typeof directions)[number]

/** Whether a policy isolates in a direction (API reference: without types, egress only if it has egress rules). */
export function isolates({ spec }: KubernetesPolicy, direction: Direction): boolean {
  const types = spec.policyTypes ?? []
  if (types.length === 0) return direction === "ingress" || (spec.egress ?? []).length > 0
  return types.includes(direction === "ingress" ? "Ingress" : "Egress")
}

export function peersOf(rule: Rule, direction: Direction): readonly Peer[] {
  return (direction === "ingress" ? rule.from : rule.to) ?? []
}

/** All conditions of a selector as expressions. */
export function expressionsOf(selector: Selector): readonly Expression[] {
  const labels = Object.entries(selector.matchLabels ?? {})
  return [
    ...labels.map(([key, value]): Expression => ({ key, operator: "In", values: [value] })),
    ...(selector.matchExpressions ?? []),
  ]
}
