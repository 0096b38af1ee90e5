import { isFilteredKey } from "../../dialect/cilium/labels.ts"
import type { L4Match, Policy, PolicySide, Rule } from "../../model/policy.ts"
import { Protocol } from "../../net/types.ts"
import { alternativesOf, type Conjunction, isAny, type LabelAtom, labelSelector, requirePlain } from "./conjunction.ts"
import { type PortOfProtocol, portProtocolNames, portsOf } from "./l4.ts"
import { Unsayable } from "./refusal.ts"
import type { Draft, Source } from "./source.ts"

const NAMESPACE = "k8s:io.kubernetes.pod.namespace"
const NAMESPACE_LABEL = "k8s:io.cilium.k8s.namespace.labels."
const ACCOUNT = "k8s:io.cilium.k8s.policy.serviceaccount"
/** Ports of one list of `toPorts`. */
const MOST_PORTS = 40

/** One policy as Cilium's: of its namespace, or clusterwide. It can only be one that allows and isolates. */
export function toCilium(policy: Policy, source: Source): Draft[] {
  if (policy.tier !== "default") throw new Unsayable(`tier ${policy.tier}`, "Cilium has no tiers")
  const subjects = source.subject(policy)
  return subjects.map((subject, i): Draft => {
    const [namespace, ...others] = subject.namespaces ?? []
    const scoped = others.length > 0 || subject.namespaceLabels.length > 0 || subject.notNamespaces.length > 0
    const own = scoped ? undefined : namespace
    const atoms = own === undefined ? [...subject.self.map(ofPod), ...namespaceAtoms(subject)] : subject.self.map(ofPod)
    const sides = (["ingress", "egress"] as const).flatMap((direction) => {
      const side = policy[direction]
      return side === undefined ? [] : [[direction, entriesOf(policy, side, direction, own, source)] as const]
    })
    return {
      apiVersion: "cilium.io/v2",
      kind: own === undefined ? "CiliumClusterwideNetworkPolicy" : "CiliumNetworkPolicy",
      metadata: { name: source.name(policy, i, subjects.length), ...(own === undefined ? {} : { namespace: own }) },
      spec: { endpointSelector: labelSelector([...atoms, ...accountAtoms(subject)]), ...Object.fromEntries(sides) },
    }
  })
}

function entriesOf(
  policy: Policy,
  side: PolicySide,
  direction: "ingress" | "egress",
  own: string | undefined,
  source: Source,
): unknown[] {
  if (!side.isolates) {
    source.refuse(
      policy.origin,
      new Unsayable(`${direction} that does not isolate`, "only Cilium itself has such policies"),
    )
  }
  const entries = source.rules(policy, side.rules, (rule) => toEntries(rule, direction, own, source))
  // An entry that selects nobody isolates all the same.
  return entries.length === 0 ? [{}] : entries
}

function toEntries(rule: Rule, direction: "ingress" | "egress", own: string | undefined, source: Source): unknown[] {
  if (rule.action !== "allow") {
    const why =
      rule.action === "deny"
        ? "Cilium's denies come before all allows, whatever the order"
        : "Cilium's rules allow or deny"
    throw new Unsayable(`a rule that says ${rule.action}`, why)
  }
  if (rule.local !== undefined)
    throw new Unsayable("a condition on the pod's own end in a rule", "there the policy selects pods")
  const alternatives = alternativesOf(rule.peer, source.networkSets)
  if (alternatives.length === 0) return []
  const word = direction === "ingress" ? "from" : "to"
  const peers = alternatives.some(isAny)
    ? { [`${word}Entities`]: ["all"] }
    : { [`${word}Endpoints`]: alternatives.map((one) => toSelector(one, own)) }
  return l4Entries(rule.l4).map((l4) => ({ ...peers, ...l4 }))
}

function toSelector(c: Conjunction, own: string | undefined): unknown {
  requirePlain(c)
  if (c.node) throw new Unsayable("nodes as peers", "a selector of Cilium selects pods")
  if (!c.endpoint) {
    const blocks = [...(c.blocks[0] ?? [])]
    const shown = c.outside ? "addresses outside the cluster" : `the block ${blocks[0] ?? "that is left"}`
    throw new Unsayable(
      shown,
      "Cilium's CIDRs mean addresses outside the cluster only, others mean pods and nodes in it too",
    )
  }
  const scope = namespaceAtoms(c)
  // Without a word about the namespace it would be the policy's own.
  const anywhere: LabelAtom[] = scope.length === 0 ? [{ kind: "has", key: NAMESPACE }] : []
  const ownOnly = own !== undefined && c.namespaces?.length === 1 && c.namespaces[0] === own && scope.length === 1
  return labelSelector([...c.self.map(ofPod), ...(ownOnly ? [] : [...scope, ...anywhere]), ...accountAtoms(c)])
}

function ofPod(atom: LabelAtom): LabelAtom {
  if (isFilteredKey(atom.key)) throw new Unsayable(`the label ${atom.key}`, "Cilium leaves it out of identities")
  return { ...atom, key: `k8s:${atom.key}` }
}

function namespaceAtoms(c: Conjunction): LabelAtom[] {
  return [
    ...c.namespaceLabels.map((atom): LabelAtom => ({ ...atom, key: `${NAMESPACE_LABEL}${atom.key}` })),
    ...(c.namespaces === undefined ? [] : [{ kind: "in", key: NAMESPACE, values: c.namespaces } as const]),
    ...(c.notNamespaces.length === 0 ? [] : [{ kind: "notIn", key: NAMESPACE, values: c.notNamespaces } as const]),
  ]
}

function accountAtoms(c: Conjunction): LabelAtom[] {
  if (c.accountLabels.length > 0)
    throw new Unsayable("labels of service accounts", "Cilium knows service accounts by name only")
  return [
    ...(c.accounts === undefined ? [] : [{ kind: "in", key: ACCOUNT, values: c.accounts } as const]),
    ...(c.notAccounts.length === 0 ? [] : [{ kind: "notIn", key: ACCOUNT, values: c.notAccounts } as const]),
  ]
}

function l4Entries(l4: readonly L4Match[]): Record<string, unknown>[] {
  if (l4.length === 0) return [{}]
  const isIcmp = (match: L4Match): boolean =>
    match.icmp !== undefined &&
    match.icmp.code === undefined &&
    Object.keys(match).every((key) => ["protocols", "icmp", "family"].includes(key))
  const ports = portsOf(l4.filter((match) => !isIcmp(match))) ?? []
  const entries: Record<string, unknown>[] = []
  for (let i = 0; i < ports.length; i += MOST_PORTS) {
    entries.push({ toPorts: [{ ports: ports.slice(i, i + MOST_PORTS).map(toPort) }] })
  }
  const fields = l4.filter(isIcmp).flatMap((match) =>
    (match.protocols ?? []).map((protocol) => ({
      family: protocol === Protocol.ICMPv6 ? "IPv6" : "IPv4",
      type: match.icmp?.type,
    })),
  )
  if (fields.length > 0) entries.push({ icmps: [{ fields }] })
  return entries
}

function toPort({ protocol, port }: PortOfProtocol): unknown {
  const name = portProtocolNames.get(protocol)
  if (port === undefined) return { port: "0", protocol: name }
  if (port.kind === "named") return { port: port.name, protocol: name }
  return { port: `${port.first}`, ...(port.last === port.first ? {} : { endPort: port.last }), protocol: name }
}
