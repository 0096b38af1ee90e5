import type { L4Match, Policy, PolicySide, Rule } from "../../model/policy.ts"
import { alternativesOf, asksLabels, type Conjunction, isAny, labelSelector, requirePlain } from "./conjunction.ts"
import { type PortOfProtocol, portProtocolNames, portsOf } from "./l4.ts"
import { Unsayable } from "./refusal.ts"
import type { Draft, Source } from "./source.ts"

const NAME_LABEL = "kubernetes.io/metadata.name"
/** A BaselineAdminNetworkPolicy comes after all others of its tier; the greatest priority that there is. */
const LAST_PRIORITY = 1_000

/** One policy as ClusterNetworkPolicies (v1alpha2), of tier Admin or Baseline: policies that do not isolate. */
export function toPolicyApi(policy: Policy, source: Source): Draft[] {
  const tier = { "kube-admin": "Admin", "kube-baseline": "Baseline" }[policy.tier]
  if (tier === undefined) {
    throw new Unsayable(`tier ${policy.tier}`, "ClusterNetworkPolicies stand before it (Admin) or after it (Baseline)")
  }
  const priority = Number.isFinite(policy.order) ? policy.order : LAST_PRIORITY
  const equal = source.policies.filter(
    (other) =>
      other !== policy &&
      other.tier === policy.tier &&
      (Number.isFinite(other.order) ? other.order : LAST_PRIORITY) === priority,
  )
  if (equal.some((other) => other.kind !== policy.kind)) {
    throw new Unsayable(
      `priority ${priority} beside a policy of another kind`,
      "of one kind their names would decide which goes first",
    )
  }
  const subjects = source.subject(policy)
  return subjects.map((subject, i): Draft => {
    const sides = (["ingress", "egress"] as const).flatMap((direction) => {
      const side = policy[direction]
      return side === undefined ? [] : [[direction, rulesOf(policy, side, direction, source)] as const]
    })
    return {
      apiVersion: "policy.networking.k8s.io/v1alpha2",
      kind: "ClusterNetworkPolicy",
      metadata: { name: source.name(policy, i, subjects.length) },
      spec: { tier, priority, subject: pods(subject), ...Object.fromEntries(sides) },
    }
  })
}

function rulesOf(policy: Policy, side: PolicySide, direction: "ingress" | "egress", source: Source): unknown[] {
  if (side.isolates) {
    source.refuse(policy.origin, new Unsayable(`${direction} that isolates`, "a ClusterNetworkPolicy never isolates"))
  }
  return source.rules(policy, side.rules, (rule) => toRule(rule, direction, source))
}

function toRule(rule: Rule, direction: "ingress" | "egress", source: Source): unknown[] {
  const action = { allow: "Accept", deny: "Deny", pass: "Pass", log: undefined }[rule.action]
  if (action === undefined) throw new Unsayable("a rule that says log", "there rules accept, deny or pass")
  if (rule.local !== undefined)
    throw new Unsayable("a condition on the pod's own end in a rule", "there the policy selects pods")
  const alternatives = alternativesOf(rule.peer, source.networkSets)
  if (alternatives.length === 0) return []
  const protocols = rule.l4.flatMap(toProtocols)
  if (rule.l4.length > 0 && protocols.length === 0) return []
  return [
    {
      ...(rule.name === undefined ? {} : { name: rule.name }),
      action,
      [direction === "ingress" ? "from" : "to"]: alternatives.map((one) => toPeer(one, direction)),
      ...(protocols.length === 0 ? {} : { protocols }),
    },
  ]
}

function toPeer(c: Conjunction, direction: "ingress" | "egress"): unknown {
  requirePlain(c)
  if (isAny(c)) throw new Unsayable("any address as peer", "there a peer is pods, nodes or blocks")
  if (c.outside)
    throw new Unsayable("addresses outside the cluster", "networks mean the pods and nodes inside them too")
  if (c.endpoint) return pods(c)
  if (direction === "ingress")
    throw new Unsayable(c.node ? "nodes as sources" : "blocks as sources", "there only pods are")
  if (c.node) {
    if (asksLabels({ ...c, self: [] }))
      throw new Unsayable("nodes by more than their labels", "there labels select them")
    return { nodes: labelSelector(c.self) }
  }
  const [networks] = c.blocks
  if (networks === undefined || c.notBlocks.length > 0)
    throw new Unsayable("blocks with exceptions", "networks have none")
  return { networks: [...networks] }
}

function pods(c: Conjunction): unknown {
  if (c.accounts !== undefined || c.notAccounts.length > 0 || c.accountLabels.length > 0) {
    throw new Unsayable("pods selected by service account", "there labels select them")
  }
  const namespaceSelector = labelSelector([
    ...c.namespaceLabels,
    ...(c.namespaces === undefined ? [] : [{ kind: "in", key: NAME_LABEL, values: c.namespaces } as const]),
    ...(c.notNamespaces.length === 0 ? [] : [{ kind: "notIn", key: NAME_LABEL, values: c.notNamespaces } as const]),
  ])
  return c.self.length === 0
    ? { namespaces: namespaceSelector }
    : { pods: { namespaceSelector, podSelector: labelSelector(c.self) } }
}

function toProtocols(match: L4Match): unknown[] {
  const { protocols, ports, ...rest } = match
  const open = protocols === undefined || protocols.length === 0
  // A name alone matches under the protocol that the pod gives it.
  if (open && Object.keys(rest).length === 0 && ports?.every((port) => port.kind === "named")) {
    return ports.map((port) => ({ destinationNamedPort: port.kind === "named" ? port.name : "" }))
  }
  return (portsOf([match]) ?? []).map(toProtocol)
}

function toProtocol({ protocol, port }: PortOfProtocol): unknown {
  const name = (portProtocolNames.get(protocol) ?? "").toLowerCase()
  if (port === undefined)
    throw new Unsayable("a protocol without ports", "there a protocol comes with its ports, from 1 on")
  if (port.kind === "named") throw new Unsayable("a port's name with a protocol", "there a name goes without protocol")
  const { first, last } = port
  return { [name]: { destinationPort: first === last ? { number: first } : { range: { start: first, end: last } } } }
}
