import type { Policy, PolicySide, Rule } from "../../model/policy.ts"
import { prefixContainsPrefix } from "../../net/prefix.ts"
import type { Prefix } from "../../net/types.ts"
import { alternativesOf, type Conjunction, isAny, labelSelector, requirePlain } from "./conjunction.ts"
import { type PortOfProtocol, portProtocolNames, portsOf } from "./l4.ts"
import { Unsayable } from "./refusal.ts"
import type { Draft, Source } from "./source.ts"

const NAME_LABEL = "kubernetes.io/metadata.name"

/** One policy as NetworkPolicies: one for each alternative of its subject. They only ever allow, and always isolate. */
export function toKubernetes(policy: Policy, source: Source): Draft[] {
  if (policy.tier !== "default") throw new Unsayable(`tier ${policy.tier}`, "a NetworkPolicy stands in tier default")
  const subjects = source.subject(policy)
  return subjects.flatMap((subject, i) => {
    const namespaces = subject.namespaces
    if (namespaces === undefined || subject.notNamespaces.length > 0 || subject.namespaceLabels.length > 0) {
      throw new Unsayable(
        "pods selected in all namespaces or by their namespace's labels",
        "a NetworkPolicy is of one namespace",
      )
    }
    if (subject.accounts !== undefined || subject.notAccounts.length > 0 || subject.accountLabels.length > 0) {
      throw new Unsayable("pods selected by service account", "a NetworkPolicy selects by labels")
    }
    return namespaces.map((namespace): Draft => {
      const sides = (["ingress", "egress"] as const).flatMap((direction) => {
        const side = policy[direction]
        return side === undefined ? [] : [{ direction, rules: rulesOf(policy, side, direction, namespace, source) }]
      })
      return {
        apiVersion: "networking.k8s.io/v1",
        kind: "NetworkPolicy",
        metadata: { name: source.name(policy, i, subjects.length), namespace },
        spec: {
          podSelector: labelSelector(subject.self),
          policyTypes: sides.map(({ direction }) => (direction === "ingress" ? "Ingress" : "Egress")),
          ...Object.fromEntries(sides.map(({ direction, rules }) => [direction, rules])),
        },
      }
    })
  })
}

function rulesOf(
  policy: Policy,
  side: PolicySide,
  direction: "ingress" | "egress",
  namespace: string,
  source: Source,
): unknown[] {
  if (!side.isolates) {
    source.refuse(policy.origin, new Unsayable(`${direction} that does not isolate`, "a NetworkPolicy always isolates"))
  }
  return source.rules(policy, side.rules, (rule) => toRule(rule, direction, namespace, source))
}

function toRule(rule: Rule, direction: "ingress" | "egress", namespace: string, source: Source): unknown[] {
  if (rule.action !== "allow") throw new Unsayable(`a rule that says ${rule.action}`, "a NetworkPolicy can only allow")
  if (rule.local !== undefined)
    throw new Unsayable("a condition on the pod's own end in a rule", "there the policy selects pods")
  const alternatives = alternativesOf(rule.peer, source.networkSets)
  // No alternative: it matches nothing.
  if (alternatives.length === 0) return []
  const ports = portsOf(rule.l4)
  // No ports would be all ports.
  if (ports?.length === 0) return []
  const field = direction === "ingress" ? "from" : "to"
  const peers = alternatives.some(isAny) ? undefined : alternatives.flatMap((one) => toPeers(one, namespace))
  if (peers?.length === 0) return []
  return [
    {
      ...(peers === undefined ? {} : { [field]: peers }),
      ...(ports === undefined ? {} : { ports: ports.map(toPort) }),
    },
  ]
}

function toPeers(c: Conjunction, namespace: string): unknown[] {
  requirePlain(c)
  if (c.node) throw new Unsayable("nodes as peers", "a NetworkPolicy names nodes by their addresses only")
  if (c.outside) {
    throw new Unsayable("addresses outside the cluster", "an ipBlock means the pods and nodes inside the block too")
  }
  if (!c.endpoint) return toBlocks(c.blocks[0] ?? [], c.notBlocks)
  if (c.accounts !== undefined || c.notAccounts.length > 0 || c.accountLabels.length > 0) {
    throw new Unsayable("peers selected by service account", "a NetworkPolicy selects by labels")
  }
  const podSelector = labelSelector(c.self)
  const own = c.namespaces?.length === 1 && c.namespaces[0] === namespace
  if (own && c.namespaceLabels.length === 0 && c.notNamespaces.length === 0) return [{ podSelector }]
  const atoms = [
    ...c.namespaceLabels,
    ...(c.namespaces === undefined ? [] : [{ kind: "in", key: NAME_LABEL, values: c.namespaces } as const]),
    ...(c.notNamespaces.length === 0 ? [] : [{ kind: "notIn", key: NAME_LABEL, values: c.notNamespaces } as const]),
  ]
  const namespaceSelector = labelSelector(atoms)
  return c.self.length === 0 ? [{ namespaceSelector }] : [{ namespaceSelector, podSelector }]
}

function toBlocks(blocks: readonly Prefix[], except: readonly Prefix[]): unknown[] {
  if (blocks.length === 0) throw new Unsayable("every address but some blocks", "an ipBlock names what it means first")
  return blocks.flatMap((cidr) => {
    if (except.some((one) => prefixContainsPrefix(one, cidr))) return []
    const inside = except.filter((one) => prefixContainsPrefix(cidr, one))
    return [{ ipBlock: inside.length === 0 ? { cidr } : { cidr, except: inside } }]
  })
}

function toPort({ protocol, port }: PortOfProtocol): unknown {
  const name = portProtocolNames.get(protocol)
  if (port === undefined) return { protocol: name }
  if (port.kind === "named") return { protocol: name, port: port.name }
  return { protocol: name, port: port.first, ...(port.last === port.first ? {} : { endPort: port.last }) }
}
