import { BlockList, isIPv6 } from "node:net"

/**
 * A second, independent evaluator of networking.k8s.io/v1 NetworkPolicy over raw manifests. It was written from the API's
 * documentation (NetworkPolicySpec, NetworkPolicyPeer, NetworkPolicyPort, LabelSelector; "Network Policies" in the concepts)
 * and shares nothing with the sources under test: it exists to produce and to check the expectations of suites. It is
 * slow, literal, and knows only accepted objects.
 */

export interface RawSelector {
  readonly matchLabels?: Record<string, string>
  readonly matchExpressions?: readonly {
    readonly key: string
    readonly operator: string
    readonly values?: readonly string[]
  }[]
}

interface RawPeer {
  readonly podSelector?: RawSelector
  readonly namespaceSelector?: RawSelector
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] }
}

interface RawPort {
  readonly protocol?: string
  readonly port?: number | string
  readonly endPort?: number
}

interface RawRule {
  readonly from?: readonly RawPeer[]
  readonly to?: readonly RawPeer[]
  readonly ports?: readonly RawPort[]
}

interface RawContainer {
  readonly ports?: readonly { readonly name?: string; readonly protocol?: string; readonly containerPort: number }[]
}

/** The fields of Namespaces, Nodes, Pods and NetworkPolicies that the documentation gives a part in the matter. */
export interface RawObject {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> }
  readonly spec?: {
    readonly nodeName?: string
    readonly hostNetwork?: boolean
    readonly containers?: readonly RawContainer[]
    readonly podSelector?: RawSelector
    readonly policyTypes?: readonly string[]
    readonly ingress?: readonly RawRule[]
    readonly egress?: readonly RawRule[]
  }
  readonly status?: {
    readonly phase?: string
    readonly podIPs?: readonly { readonly ip: string }[]
    readonly addresses?: readonly { readonly address: string }[]
  }
}

export interface RawEnd {
  readonly ns?: string
  readonly pod?: string
  readonly node?: string
  readonly ip?: string
}

export interface RawProbe {
  readonly from: RawEnd
  readonly to: RawEnd
  readonly protocol?: string | number
  readonly port?: number
  readonly family?: string
}

/** Someone who sends or receives: a pod with addresses of its own, a node, or a host outside. */
export interface Party {
  readonly pod?: RawObject
  readonly node?: string
  readonly ip: string
}

/** Whether the documentation lets this connection begin. */
export function kubernetesAllows(manifests: readonly RawObject[], probe: RawProbe): boolean {
  const [from, to] = parties(manifests, probe)
  if (to === undefined) return false
  if (from.pod !== undefined && from.pod === to.pod) return true
  if (from.pod === undefined && to.pod === undefined) return true
  // "Traffic from the node where a Pod is running is always allowed" (kubelet's probes).
  const kubelet = from.node !== undefined && to.pod !== undefined && to.pod.spec?.nodeName === from.node
  const sends = from.pod === undefined || passes(manifests, from.pod, "Egress", to, to, probe)
  const receives = to.pod === undefined || kubelet || passes(manifests, to.pod, "Ingress", from, to, probe)
  return sends && receives
}

function passes(
  manifests: readonly RawObject[],
  pod: RawObject,
  type: "Ingress" | "Egress",
  peer: Party,
  to: Party,
  probe: RawProbe,
) {
  const isolating = manifests.filter(
    (object) =>
      object.kind === "NetworkPolicy" &&
      namespaceOf(object) === namespaceOf(pod) &&
      selectorMatches(object.spec?.podSelector, pod.metadata.labels) &&
      policyTypes(object.spec).includes(type),
  )
  // "By default, a pod is non-isolated"; isolated pods get what any rule of any policy allows.
  if (isolating.length === 0) return true
  return isolating.some((policy) => {
    const rules = (type === "Ingress" ? policy.spec?.ingress : policy.spec?.egress) ?? []
    return rules.some((rule) => {
      const peers = (type === "Ingress" ? rule.from : rule.to) ?? []
      const ports = rule.ports ?? []
      const peerMatches = peers.length === 0 || peers.some((item) => peerIs(manifests, policy, item, peer))
      return peerMatches && (ports.length === 0 || ports.some((item) => portIs(item, to, probe)))
    })
  })
}

/** "If this field is not specified, it will default based on the existence of ingress or egress rules". */
function policyTypes(spec: RawObject["spec"]): readonly string[] {
  if (spec?.policyTypes !== undefined && spec.policyTypes.length > 0) return spec.policyTypes
  return (spec?.egress ?? []).length > 0 ? ["Ingress", "Egress"] : ["Ingress"]
}

function peerIs(manifests: readonly RawObject[], policy: RawObject, peer: RawPeer, party: Party): boolean {
  if (peer.ipBlock !== undefined) {
    const { cidr, except } = peer.ipBlock
    return inBlock(party.ip, cidr) && !(except ?? []).some((hole) => inBlock(party.ip, hole))
  }
  if (party.pod === undefined) return false
  const podMatches = peer.podSelector === undefined || selectorMatches(peer.podSelector, party.pod.metadata.labels)
  if (peer.namespaceSelector === undefined) return podMatches && namespaceOf(party.pod) === namespaceOf(policy)
  const name = namespaceOf(party.pod)
  const namespace = manifests.find((object) => object.kind === "Namespace" && object.metadata.name === name)
  // The control plane sets kubernetes.io/metadata.name on every namespace.
  const labels = { ...namespace?.metadata.labels, "kubernetes.io/metadata.name": name }
  return podMatches && selectorMatches(peer.namespaceSelector, labels)
}

function portIs(port: RawPort, to: Party, probe: RawProbe): boolean {
  if ((port.protocol ?? "TCP") !== protocolOf(probe)) return false
  if (port.port === undefined) return true
  if (typeof port.port === "string") {
    const declared = (to.pod?.spec?.containers ?? []).flatMap((container) => container.ports ?? [])
    return declared.some(
      (own) =>
        own.name === port.port && (own.protocol ?? "TCP") === protocolOf(probe) && own.containerPort === probe.port,
    )
  }
  return probe.port !== undefined && probe.port >= port.port && probe.port <= (port.endPort ?? port.port)
}

export function protocolOf(probe: RawProbe): string | number {
  const protocol = probe.protocol ?? "TCP"
  return ({ 6: "TCP", 17: "UDP", 132: "SCTP" } as Record<string, string>)[protocol] ?? protocol
}

export function selectorMatches(selector: RawSelector | undefined, labels: Record<string, string> = {}): boolean {
  const own = new Map(Object.entries(labels))
  const wanted = Object.entries(selector?.matchLabels ?? {})
  if (!wanted.every(([key, value]) => own.get(key) === value)) return false
  return (selector?.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = own.get(key)
    if (operator === "In") return value !== undefined && values.includes(value)
    if (operator === "NotIn") return value === undefined || !values.includes(value)
    if (operator === "Exists") return value !== undefined
    return value === undefined
  })
}

export function inBlock(ip: string, cidr: string): boolean {
  const [base = "", length] = cidr.split("/")
  if (isIPv6(base) !== isIPv6(ip)) return false
  const list = new BlockList()
  list.addSubnet(base, Number(length), isIPv6(base) ? "ipv6" : "ipv4")
  return list.check(ip, isIPv6(ip) ? "ipv6" : "ipv4")
}

export function namespaceOf(object: RawObject): string {
  return object.metadata.namespace ?? "default"
}

/** The two parties of a probe, with addresses of one family; no receiver when the pod named is gone or has ended. */
export function parties(manifests: readonly RawObject[], probe: RawProbe): readonly [Party, Party | undefined] {
  const [from, to] = [candidates(manifests, probe.from), candidates(manifests, probe.to)]
  const wanted =
    probe.family === undefined
      ? probe.protocol === "ICMPv6"
        ? [true]
        : [probe.to, probe.from].some((end) => end.ip !== undefined)
          ? [isIPv6((probe.to.ip ?? probe.from.ip) as string)]
          : [...from, ...to].map((party) => isIPv6(party.ip))
      : [probe.family === "ipv6"]
  for (const six of wanted) {
    const source = from.find((party) => isIPv6(party.ip) === six)
    const target = to.find((party) => isIPv6(party.ip) === six)
    if (source !== undefined && target !== undefined) return [source, target]
  }
  const source = from[0]
  if (source === undefined) throw new Error(`nobody sends: ${JSON.stringify(probe)}`)
  if (to.length > 0) throw new Error(`no family in common: ${JSON.stringify(probe)}`)
  return [source, undefined]
}

function candidates(manifests: readonly RawObject[], end: RawEnd): readonly Party[] {
  const pods = manifests.filter(
    (object) => object.kind === "Pod" && !["Succeeded", "Failed"].includes(object.status?.phase ?? "Running"),
  )
  if (end.pod !== undefined) {
    const pod = pods.find((object) => namespaceOf(object) === end.ns && object.metadata.name === end.pod)
    return pod === undefined ? [] : partiesOfPod(pod)
  }
  if (end.node !== undefined) {
    const node = manifests.find((object) => object.kind === "Node" && object.metadata.name === end.node)
    const hosted = pods.find((pod) => pod.spec?.hostNetwork === true && pod.spec?.nodeName === end.node)
    const stated =
      node?.status?.addresses?.map((entry) => entry.address) ?? hosted?.status?.podIPs?.map((entry) => entry.ip)
    // Where nothing is stated, no policy of the suite speaks of the node's address: any will do.
    return (stated ?? ["192.0.2.254", "2001:db8::254"]).map((ip) => ({ node: end.node as string, ip }))
  }
  const owner = pods.flatMap(partiesOfPod).find((party) => party.ip === end.ip)
  if (owner !== undefined) return [owner]
  const node = manifests.find(
    (object) => object.kind === "Node" && object.status?.addresses?.some((entry) => entry.address === end.ip),
  )
  return [{ ip: end.ip as string, ...(node === undefined ? {} : { node: node.metadata.name }) }]
}

function partiesOfPod(pod: RawObject): readonly Party[] {
  // Where none is stated, no policy of the suite speaks of the pod's address: any will do.
  const addresses = pod.status?.podIPs?.map((entry) => entry.ip) ?? ["192.0.2.253", "2001:db8::253"]
  return addresses.map((ip) => (pod.spec?.hostNetwork === true ? { node: pod.spec.nodeName ?? "", ip } : { pod, ip }))
}
