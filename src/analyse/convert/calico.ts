import { l4Words } from "../../compile/words.ts"
import { KUBERNETES_ORDER, type L4Match, type Policy, type PortSpec, type Rule } from "../../model/policy.ts"
import { familyOf } from "../../net/address.ts"
import { prefixBase } from "../../net/prefix.ts"
import type { Prefix } from "../../net/types.ts"
import { alternativesOf, type Conjunction, isAny, type LabelAtom, requirePlain } from "./conjunction.ts"
import { Unsayable } from "./refusal.ts"
import type { Draft, Source } from "./source.ts"

const API = "projectcalico.org/v3"
/** Where Cilium's denies go, which come before every other rule of their order. */
const CILIUM_DENY_ORDER = 999.5
/** Tiers that stand for those of policy-api; what their policies leave over goes on. */
const tiers: Readonly<Record<string, { readonly name: string; readonly order: number }>> = {
  "kube-admin": { name: "converted-admin", order: 1_000 },
  "kube-baseline": { name: "converted-baseline", order: 10_000_000 },
}

/** The Tier objects that converted policies need. */
export function calicoTiers(policies: readonly Policy[]): Draft[] {
  return Object.entries(tiers).flatMap(([tier, { name, order }]) =>
    policies.some((policy) => policy.tier === tier)
      ? [{ apiVersion: API, kind: "Tier", metadata: { name }, spec: { order, defaultAction: "Pass" } }]
      : [],
  )
}

/** One policy as Calico's: of its namespace, or global. */
export function toCalico(policy: Policy, source: Source): Draft[] {
  const tier = policy.tier === "default" ? undefined : tiers[policy.tier]
  if (policy.tier !== "default" && tier === undefined)
    throw new Unsayable(`tier ${policy.tier}`, "it has no counterpart")
  const isDeny = policy.group === "cilium.io" && policy.tieBreak === ""
  const order = tier === undefined ? (isDeny ? CILIUM_DENY_ORDER : KUBERNETES_ORDER) : rankOf(policy, source)
  const subjects = source.subject(policy)
  return subjects.map((subject, i) => {
    const [namespace, ...others] = subject.namespaces ?? []
    const own =
      others.length === 0 && subject.namespaceLabels.length === 0 && subject.notNamespaces.length === 0
        ? namespace
        : undefined
    const sides = (["ingress", "egress"] as const).flatMap((direction) => {
      const side = policy[direction]
      if (side === undefined) return []
      if (!side.isolates && tier === undefined) {
        source.refuse(
          policy.origin,
          new Unsayable(`${direction} that does not isolate`, "in tier default Calico's policies always do"),
        )
      }
      return [
        { direction, rules: source.rules(policy, side.rules, (rule) => toRules(rule, direction, own, policy, source)) },
      ]
    })
    // One object may have become two policies: what it denies, and what it allows.
    const suffix = isDeny ? "-deny" : ""
    const account = accountText(subject)
    return {
      apiVersion: API,
      kind: own === undefined ? "GlobalNetworkPolicy" : "NetworkPolicy",
      metadata: {
        name: `${tier === undefined ? "" : `${tier.name}.`}${source.name(policy, i, subjects.length)}${suffix}`,
        ...(own === undefined ? {} : { namespace: own }),
      },
      spec: {
        ...(tier === undefined ? {} : { tier: tier.name }),
        order,
        selector: selectorText(subject.self) || "all()",
        ...(own === undefined ? { namespaceSelector: namespaceText(subject) } : {}),
        ...(account === "" ? {} : { serviceAccountSelector: account }),
        types: sides.map(({ direction }) => (direction === "ingress" ? "Ingress" : "Egress")),
        ...Object.fromEntries(sides.map(({ direction, rules }) => [direction, rules])),
      },
    }
  })
}

/** Place among the policies of its tier: names need not tell, kinds of the same priority do. */
function rankOf(policy: Policy, source: Source): number {
  const key = (one: Policy): [number, string, string] => [one.order, one.kind, one.name]
  return source.policies.filter((other) => {
    const [a, b] = [key(other), key(policy)]
    return other.tier === policy.tier && (a[0] - b[0] || compare(a[1], b[1]) || compare(a[2], b[2])) < 0
  }).length
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function toRules(
  rule: Rule,
  direction: "ingress" | "egress",
  own: string | undefined,
  policy: Policy,
  source: Source,
): unknown[] {
  if (rule.local !== undefined) throw new Unsayable("a condition on the pod's own end", "only Calico itself has it")
  const action = { allow: "Allow", deny: "Deny", pass: "Pass", log: "Log" }[rule.action]
  const [near, far] =
    direction === "ingress" ? (["destination", "source"] as const) : (["source", "destination"] as const)
  const parts = l4Parts(rule.l4)
  return alternativesOf(rule.peer, source.networkSets).flatMap((one) => {
    if (
      policy.group === "cilium.io" &&
      rule.action === "deny" &&
      direction === "ingress" &&
      !one.endpoint &&
      !one.outside
    ) {
      throw new Unsayable(
        "a deny of Cilium that covers the pod's own node",
        "in Calico the node always reaches its pods",
      )
    }
    const entities = isAny(one) ? [{}] : toEntities(one, own)
    return entities.flatMap((entity) =>
      parts.map(({ head, source: from, destination: to }) => {
        const ports = { source: from, destination: to }
        const ends = { [near]: ports[near], [far]: { ...entity, ...ports[far] } }
        const told = Object.entries(ends).filter(([, value]) => Object.keys(value).length > 0)
        return { action, ...head, ...Object.fromEntries(told) }
      }),
    )
  })
}

/** One side of a rule, once for each family where blocks are named. */
function toEntities(c: Conjunction, own: string | undefined): Record<string, unknown>[] {
  requirePlain(c)
  if (c.node) throw new Unsayable("nodes as peers", "Calico knows them as host endpoints only")
  if (c.outside) {
    throw new Unsayable("addresses outside the cluster", "Calico's nets mean the pods and nodes inside the block too")
  }
  if (!c.endpoint) {
    const blocks = c.blocks[0] ?? []
    return ([4, 6] as const).flatMap((family) => {
      const of = (list: readonly Prefix[]): Prefix[] => list.filter((one) => familyOf(prefixBase(one)) === family)
      const [nets, notNets] = [of(blocks), of(c.notBlocks)]
      if (blocks.length > 0 ? nets.length === 0 : notNets.length === 0) return []
      if (blocks.length === 0 && of(c.notBlocks).length < c.notBlocks.length) {
        throw new Unsayable("every address but blocks of both families", "a rule of Calico names one family")
      }
      return [{ ...(nets.length === 0 ? {} : { nets }), ...(notNets.length === 0 ? {} : { notNets }) }]
    })
  }
  const ownOnly = c.namespaces?.length === 1 && c.namespaces[0] === own && c.namespaceLabels.length === 0
  // Network sets have labels too; that it is a workload says that none is meant.
  const workload: LabelAtom = { kind: "in", key: "projectcalico.org/orchestrator", values: ["k8s"] }
  const accounts = accountText(c)
  const names = accountNames(c)
  const account = c.accountLabels.length === 0 ? undefined : accounts
  const entity: Record<string, unknown> = {
    selector: [selectorText([...c.self]), atomText(workload), ...names].filter((text) => text !== "").join(" && "),
  }
  if (!ownOnly) entity["namespaceSelector"] = namespaceText(c)
  if (account !== undefined) entity["serviceAccounts"] = { selector: selectorText(c.accountLabels) }
  return [entity]
}

function accountNames(c: Conjunction): string[] {
  const key = "projectcalico.org/serviceaccount"
  const names: string[] = []
  if (c.accounts !== undefined) names.push(atomText({ kind: "in", key, values: c.accounts }))
  if (c.notAccounts.length > 0) names.push(atomText({ kind: "notIn", key, values: c.notAccounts }))
  return names
}

/** Conditions on the service account, its name included, as a selector over its labels. */
function accountText(c: Conjunction): string {
  const key = "projectcalico.org/name"
  const names: LabelAtom[] = []
  if (c.accounts !== undefined) names.push({ kind: "in", key, values: c.accounts })
  if (c.notAccounts.length > 0) names.push({ kind: "notIn", key, values: c.notAccounts })
  return [selectorText(c.accountLabels), ...names.map(atomText)].filter((text) => text !== "").join(" && ")
}

function namespaceText(c: Conjunction): string {
  const key = "projectcalico.org/name"
  const names: LabelAtom[] = []
  if (c.namespaces !== undefined) names.push({ kind: "in", key, values: c.namespaces })
  if (c.notNamespaces.length > 0) names.push({ kind: "notIn", key, values: c.notNamespaces })
  const text = [selectorText(c.namespaceLabels), ...names.map(atomText)].filter((part) => part !== "").join(" && ")
  return text === "" ? "all()" : text
}

function selectorText(atoms: readonly LabelAtom[]): string {
  return atoms
    .map((atom) => {
      if (/^(projectcalico\.org\/|pcns\.|pcsa\.)/.test(atom.key)) {
        throw new Unsayable(`the label ${atom.key}`, "Calico gives that key a meaning of its own")
      }
      return atomText(atom)
    })
    .join(" && ")
}

function atomText(atom: LabelAtom): string {
  switch (atom.kind) {
    case "has":
      return `has(${atom.key})`
    case "hasNot":
      return `!has(${atom.key})`
    case "in":
    case "notIn": {
      const [only] = atom.values
      if (atom.values.length === 1 && only !== undefined)
        return `${atom.key} ${atom.kind === "in" ? "==" : "!="} '${only}'`
      return `${atom.key} ${atom.kind === "in" ? "in" : "not in"} { ${atom.values.map((value) => `'${value}'`).join(", ")} }`
    }
    default: {
      const operator = { contains: "contains", startsWith: "starts with", endsWith: "ends with" }[atom.kind]
      const text = `${atom.key} ${operator} '${atom.value}'`
      return atom.negated ? `!(${text})` : text
    }
  }
}

interface L4Part {
  readonly head: Record<string, unknown>
  readonly source: Record<string, unknown>
  readonly destination: Record<string, unknown>
}

function l4Parts(l4: readonly L4Match[]): L4Part[] {
  if (l4.length === 0) return [{ head: {}, source: {}, destination: {} }]
  return l4.flatMap((match) => {
    const { protocols, notProtocols, ports, notPorts, sourcePorts, notSourcePorts, icmp, notIcmp, family } = match
    if (ports?.length === 0 || sourcePorts?.length === 0) return []
    if ((notProtocols?.length ?? 0) > 1) throw new Unsayable(`"${l4Words([match])}"`, "Calico excludes one protocol")
    const asksPorts = [ports, notPorts, sourcePorts, notSourcePorts].some((list) => (list?.length ?? 0) > 0)
    const open = protocols === undefined || protocols.length === 0
    if (open && (icmp !== undefined || notIcmp !== undefined)) {
      throw new Unsayable(`"${l4Words([match])}"`, "Calico asks for ICMP or ICMPv6 by name")
    }
    const named = open ? (asksPorts ? [6, 17, 132] : [undefined]) : protocols
    return named.map(
      (protocol): L4Part => ({
        head: {
          ...(protocol === undefined ? {} : { protocol: protocolText(protocol) }),
          ...(notProtocols?.[0] === undefined ? {} : { notProtocol: protocolText(notProtocols[0]) }),
          ...(icmp === undefined ? {} : { icmp }),
          ...(notIcmp === undefined ? {} : { notICMP: notIcmp }),
          ...(family === undefined ? {} : { ipVersion: family }),
        },
        source: { ...portList("ports", sourcePorts), ...portList("notPorts", notSourcePorts) },
        destination: { ...portList("ports", ports), ...portList("notPorts", notPorts) },
      }),
    )
  })
}

function protocolText(protocol: number): string | number {
  return (
    ({ 1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP", 136: "UDPLite" } as Record<number, string>)[
      protocol
    ] ?? protocol
  )
}

function portList(field: string, ports: readonly PortSpec[] | undefined): Record<string, unknown> {
  if (ports === undefined || ports.length === 0) return {}
  return {
    [field]: ports.map((port) => {
      if (port.kind === "named") return port.name
      if (port.kind === "service") throw new Unsayable("ports of a service", "name them by number")
      return port.first === port.last ? port.first : `${port.first}:${port.last}`
    }),
  }
}
