import {
  inBlock,
  kubernetesAllows,
  namespaceOf,
  type Party,
  parties,
  protocolOf,
  type RawObject,
  type RawProbe,
  type RawSelector,
  selectorMatches,
} from "./kubernetes.ts"

/**
 * A second, independent evaluator of the policy API (ClusterNetworkPolicy v1alpha2, AdminNetworkPolicy and
 * BaselineAdminNetworkPolicy v1alpha1) over raw manifests, written from the comments of the API's types. It shares
 * nothing with the sources under test and exists to check the expectations of suites.
 */

interface RawPods {
  readonly namespaceSelector?: RawSelector
  readonly podSelector?: RawSelector
}

interface RawPeer {
  readonly namespaces?: RawSelector
  readonly pods?: RawPods
  readonly nodes?: RawSelector
  readonly networks?: readonly string[]
}

interface RawNumbers {
  readonly number?: number
  readonly range?: { readonly start: number; readonly end: number }
}

interface RawPort {
  readonly tcp?: { readonly destinationPort?: RawNumbers }
  readonly udp?: { readonly destinationPort?: RawNumbers }
  readonly sctp?: { readonly destinationPort?: RawNumbers }
  readonly destinationNamedPort?: string
  readonly portNumber?: { readonly protocol?: string; readonly port: number }
  readonly portRange?: { readonly protocol?: string; readonly start: number; readonly end: number }
  readonly namedPort?: string
}

interface RawRule {
  readonly action: string
  readonly from?: readonly RawPeer[]
  readonly to?: readonly RawPeer[]
  readonly protocols?: readonly RawPort[]
  readonly ports?: readonly RawPort[]
}

interface RawPolicy {
  readonly kind: string
  readonly spec: {
    readonly tier?: string
    readonly priority?: number
    readonly subject: RawPeer
    readonly ingress?: readonly RawRule[]
    readonly egress?: readonly RawRule[]
  }
}

type Direction = "ingress" | "egress"

/** Whether the documentation lets this connection begin. */
export function policyApiAllows(manifests: readonly RawObject[], probe: RawProbe): boolean {
  const [from, to] = parties(manifests, probe)
  if (to === undefined) return false
  if (from.pod !== undefined && from.pod === to.pod) return true
  // The node reaches its own pods, before all tiers.
  const kubelet = from.node !== undefined && to.pod !== undefined && to.pod.spec?.nodeName === from.node
  const sends = from.pod === undefined || passes(manifests, "egress", from, to, to, probe)
  const receives = to.pod === undefined || kubelet || passes(manifests, "ingress", to, from, to, probe)
  return sends && receives
}

function passes(
  manifests: readonly RawObject[],
  direction: Direction,
  own: Party,
  peer: Party,
  to: Party,
  probe: RawProbe,
): boolean {
  const decide = (tier: string): string | undefined => {
    for (const { spec } of policiesOf(manifests, tier)) {
      if (!isPeer(manifests, spec.subject, own)) continue
      for (const rule of spec[direction] ?? []) {
        const peers = rule.from ?? rule.to ?? []
        const ports = rule.protocols ?? rule.ports ?? []
        if (!understood(peers, ports)) {
          // "For Accept rules, fail closed means: treat the rule as matching no traffic. For Deny and Pass: as Deny all."
          if (rule.action === "Accept" || rule.action === "Allow") continue
          return "Deny"
        }
        if (!peers.some((item) => isPeer(manifests, item, peer))) continue
        if (ports.length > 0 && !ports.some((port) => isPort(port, to, probe))) continue
        return rule.action
      }
    }
    return undefined
  }
  const admin = decide("Admin")
  if (admin === "Accept" || admin === "Allow") return true
  if (admin === "Deny") return false
  const namespaced = networkPolicyVerdict(manifests, direction, probe)
  if (namespaced !== undefined) return namespaced
  return decide("Baseline") !== "Deny"
}

/** Policies of a tier, lower priority first; the one BaselineAdminNetworkPolicy last. */
function policiesOf(manifests: readonly RawObject[], tier: string): readonly RawPolicy[] {
  const policies = manifests as unknown as readonly RawPolicy[]
  const found = policies.filter(({ kind, spec }) => {
    if (kind === "ClusterNetworkPolicy") return spec.tier === tier
    return kind === (tier === "Admin" ? "AdminNetworkPolicy" : "BaselineAdminNetworkPolicy")
  })
  return found.sort((a, b) => (a.spec.priority ?? 2000) - (b.spec.priority ?? 2000))
}

/** What NetworkPolicies of one direction say; undefined where none selects the pod. */
function networkPolicyVerdict(
  manifests: readonly RawObject[],
  direction: Direction,
  probe: RawProbe,
): boolean | undefined {
  const type = direction === "ingress" ? "Ingress" : "Egress"
  const alone = (keepRules: boolean): readonly RawObject[] =>
    manifests.flatMap((object): RawObject[] => {
      if (object.kind !== "NetworkPolicy") return [object]
      const { spec = {} } = object
      const types = spec.policyTypes ?? ((spec.egress ?? []).length > 0 ? ["Ingress", "Egress"] : ["Ingress"])
      if (!types.includes(type)) return []
      const rules = keepRules ? { [direction]: spec[direction] ?? [] } : {}
      return [{ ...object, spec: { podSelector: spec.podSelector ?? {}, policyTypes: [type], ...rules } }]
    })
  // A pod that is isolated gets nothing when all rules are taken away.
  if (kubernetesAllows(alone(false), probe)) return undefined
  return kubernetesAllows(alone(true), probe)
}

function understood(peers: readonly RawPeer[], ports: readonly RawPort[]): boolean {
  const peerKinds = ["namespaces", "pods", "nodes", "networks"]
  const portKinds = ["tcp", "udp", "sctp", "destinationNamedPort", "portNumber", "portRange", "namedPort"]
  const known = (item: object, kinds: readonly string[]): boolean => {
    const given = Object.keys(item)
    return given.length === 1 && kinds.includes(given[0] ?? "")
  }
  return peers.every((peer) => known(peer, peerKinds)) && ports.every((port) => known(port, portKinds))
}

function isPeer(manifests: readonly RawObject[], peer: RawPeer, party: Party): boolean {
  if (peer.networks !== undefined) return peer.networks.some((cidr) => inBlock(party.ip, cidr))
  if (peer.nodes !== undefined) {
    if (party.node === undefined) return false
    const node = manifests.find((object) => object.kind === "Node" && object.metadata.name === party.node)
    return selectorMatches(peer.nodes, node?.metadata.labels)
  }
  // "Host-networked pods are not included."
  if (party.pod === undefined) return false
  const name = namespaceOf(party.pod)
  const namespace = manifests.find((object) => object.kind === "Namespace" && object.metadata.name === name)
  const labels = { ...namespace?.metadata.labels, "kubernetes.io/metadata.name": name }
  if (peer.namespaces !== undefined) return selectorMatches(peer.namespaces, labels)
  const { namespaceSelector, podSelector } = peer.pods ?? {}
  return selectorMatches(namespaceSelector, labels) && selectorMatches(podSelector, party.pod.metadata.labels)
}

function isPort(port: RawPort, to: Party, probe: RawProbe): boolean {
  const protocol = protocolOf(probe)
  const name = port.destinationNamedPort ?? port.namedPort
  if (name !== undefined) {
    const declared = (to.pod?.spec?.containers ?? []).flatMap((container) => container.ports ?? [])
    return declared.some(
      (own) => own.name === name && (own.protocol ?? "TCP") === protocol && own.containerPort === probe.port,
    )
  }
  const within = (start: number, end: number): boolean =>
    probe.port !== undefined && probe.port >= start && probe.port <= end
  if (port.portNumber !== undefined) {
    return (port.portNumber.protocol ?? "TCP") === protocol && within(port.portNumber.port, port.portNumber.port)
  }
  if (port.portRange !== undefined) {
    return (port.portRange.protocol ?? "TCP") === protocol && within(port.portRange.start, port.portRange.end)
  }
  const numbers = { TCP: port.tcp, UDP: port.udp, SCTP: port.sctp }[String(protocol)]?.destinationPort
  if (numbers === undefined) return false
  if (numbers.range !== undefined) return within(numbers.range.start, numbers.range.end)
  return numbers.number !== undefined && within(numbers.number, numbers.number)
}
