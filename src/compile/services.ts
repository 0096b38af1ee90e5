import type { Cluster, Service, ServicePort } from "../model/cluster.ts"
import type { Direction, L4Match, Match, Policy, PolicySide, PortSpec, Rule, ServiceMatch } from "../model/policy.ts"
import { isTarget, namesService, selectsPods } from "../model/services.ts"
import { changedKeys, ShardedMap } from "../model/sharded-map.ts"
import { familyOf } from "../net/address.ts"
import { prefixOf } from "../net/prefix.ts"
import type { Address, ProtocolNumber } from "../net/types.ts"
import type { ClusterChange } from "./change.ts"

/*
 * The tables know addresses, labels and ports, not services. Policies that name services are rewritten here into ones that name
 * what is behind them now, anew whenever a service changes; all others pass as they are.
 */

interface Expanded {
  readonly policy: Policy
  readonly expanded: Policy
}

/** Rewrites one cluster after another, at the cost of what changed. */
export class ServiceExpansion {
  #policies: Cluster["policies"] = new Map()
  #services: Cluster["services"] = new Map()
  #result: Cluster["policies"] = new Map()
  /** Policies that name services. */
  #using = new Map<string, Expanded>()

  /** The cluster with every policy expanded, and the change that led to it from the one before. */
  expand(cluster: Cluster, change: ClusterChange): { readonly cluster: Cluster; readonly change: ClusterChange } {
    const { policies, services } = cluster
    const keys = new Set<string>()
    for (const key of change.policies ?? changedKeys(this.#policies, policies)) {
      const policy = policies.get(key)
      if (policy !== undefined && usesServices(policy)) keys.add(key)
      else this.#using.delete(key)
    }
    const touched = new Set(keys)
    if (services !== this.#services) for (const key of this.#using.keys()) keys.add(key)
    for (const key of keys) {
      const policy = policies.get(key)
      if (policy === undefined) continue
      const expanded = expandPolicy(policy, services)
      const before = this.#using.get(key)
      if (before?.policy === policy && JSON.stringify(before.expanded) === JSON.stringify(expanded)) continue
      this.#using.set(key, { policy, expanded })
      touched.add(key)
    }
    const same = policies === this.#policies && touched.size === 0
    if (!same) this.#result = this.#overlaid(policies)
    this.#policies = policies
    this.#services = services
    return {
      cluster: this.#result === policies ? cluster : { ...cluster, policies: this.#result },
      change: change.policies === undefined ? change : { ...change, policies: [...change.policies, ...touched] },
    }
  }

  #overlaid(policies: Cluster["policies"]): Cluster["policies"] {
    if (this.#using.size === 0) return policies
    const changes = new Map([...this.#using].map(([key, { expanded }]) => [key, expanded]))
    return policies instanceof ShardedMap ? policies.with(changes) : new Map([...policies, ...changes])
  }
}

/** Whether the policy's meaning depends on what services there are. */
export function usesServices(policy: Policy): boolean {
  const rules = [...(policy.ingress?.rules ?? []), ...(policy.egress?.rules ?? [])]
  return (
    namesServices(policy.subject) ||
    rules.some(
      (rule) =>
        namesServices(rule.peer) ||
        (rule.local !== undefined && namesServices(rule.local)) ||
        rule.l4.some((match) => match.ports?.some((spec) => spec.kind === "service")),
    )
  )
}

function namesServices(match: Match): boolean {
  switch (match.kind) {
    case "and":
    case "or":
      return match.of.some(namesServices)
    case "not":
    case "inNetworkSet":
      return namesServices(match.of)
    default:
      return match.kind === "service"
  }
}

/** The same policy in terms of addresses, labels and ports. */
export function expandPolicy(policy: Policy, services: Cluster["services"]): Policy {
  const side = (direction: Direction): { [D in Direction]?: PolicySide } => {
    const written = policy[direction]
    if (written === undefined) return {}
    const rules = written.rules.flatMap((rule) => expandPorts(expandRule(rule, services), direction, services))
    return { [direction]: { ...written, rules } }
  }
  return { ...policy, subject: expandMatch(policy.subject, services), ...side("ingress"), ...side("egress") }
}

function expandRule(rule: Rule, services: Cluster["services"]): Rule {
  return {
    ...rule,
    peer: expandMatch(rule.peer, services),
    ...(rule.local === undefined ? {} : { local: expandMatch(rule.local, services) }),
  }
}

function expandMatch(match: Match, services: Cluster["services"]): Match {
  switch (match.kind) {
    case "and":
    case "or":
      return { kind: match.kind, of: match.of.map((part) => expandMatch(part, services)) }
    case "not":
    case "inNetworkSet":
      return { kind: match.kind, of: expandMatch(match.of, services) }
    case "service": {
      const named = servicesNamed(match.of, services)
      if (match.as === "backends") return addressed(named.flatMap(({ backends }) => backends.map((b) => b.address)))
      return { kind: "or", of: named.filter(isTarget).map(targetOf) }
    }
    default:
      return match
  }
}

function servicesNamed(of: ServiceMatch, services: Cluster["services"]): readonly Service[] {
  const exact = of.namespace !== undefined && of.name !== undefined
  const candidates = exact ? [services.get(`${of.namespace}/${of.name}`)] : [...services.values()]
  return candidates.filter((service) => service !== undefined).filter((service) => namesService(of, service))
}

function targetOf(service: Service): Match {
  if (!selectsPods(service)) {
    return { kind: "and", of: [{ kind: "is", what: "outside" }, addressed(service.backends.map((b) => b.address))] }
  }
  const labels = Object.entries(service.selector ?? {}).map(
    ([key, value]): Match => ({ kind: "labels", of: "self", selector: { kind: "in", key, values: [value] } }),
  )
  return {
    kind: "and",
    of: [{ kind: "is", what: "endpoint" }, { kind: "namespace", names: [service.namespace] }, ...labels],
  }
}

/** One of these addresses; nothing when there is none. */
function addressed(addresses: readonly Address[]): Match {
  if (addresses.length === 0) return { kind: "none" }
  const blocks = new Set(addresses.map((address) => prefixOf(address, familyOf(address) === 4 ? 32 : 128)))
  return { kind: "cidr", prefixes: [...blocks].sort() }
}

/**
 * A rule that asks for a service's ports becomes one rule for every list of ports that backends share: for those backends and these
 * ports. Alternatives that ask for other ports stay in a rule of their own.
 */
function expandPorts(rule: Rule, direction: Direction, services: Cluster["services"]): readonly Rule[] {
  const plain = rule.l4.filter((match) => serviceSpecs(match).length === 0)
  if (plain.length === rule.l4.length) return [rule]
  const rules: Rule[] = plain.length === 0 ? [] : [{ ...rule, l4: plain }]
  for (const match of rule.l4) {
    const numbered = (match.ports ?? []).filter((spec) => spec.kind !== "service")
    if (serviceSpecs(match).length > 0 && numbered.length > 0)
      rules.push({ ...rule, l4: [{ ...match, ports: numbered }] })
    for (const { namespace, name } of serviceSpecs(match)) {
      for (const { addresses, ports } of portGroups(services.get(`${namespace}/${name}`))) {
        const l4 = portsOf(match, ports)
        if (l4.length > 0) rules.push({ ...atDestination(rule, direction, addressed(addresses)), l4 })
      }
    }
  }
  return rules
}

function serviceSpecs(match: L4Match): readonly Extract<PortSpec, { kind: "service" }>[] {
  return (match.ports ?? []).filter((spec) => spec.kind === "service")
}

/** Backends by the ports that they share. */
function portGroups(service: Service | undefined): Iterable<{
  readonly addresses: Address[]
  readonly ports: readonly ServicePort[]
}> {
  const groups = new Map<string, { readonly addresses: Address[]; readonly ports: readonly ServicePort[] }>()
  for (const { address, ports } of service?.backends ?? []) {
    const key = JSON.stringify(ports.map(({ protocol, port }) => `${protocol}:${port}`).sort())
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { addresses: [address], ports })
    else group.addresses.push(address)
  }
  return groups.values()
}

/** The alternative with these ports in the place of the service, one for each of their protocols. */
function portsOf(match: L4Match, ports: readonly ServicePort[]): readonly L4Match[] {
  const byProtocol = new Map<ProtocolNumber, PortSpec[]>()
  for (const { protocol, port } of ports) {
    if (match.protocols !== undefined && match.protocols.length > 0 && !match.protocols.includes(protocol)) continue
    const specs = byProtocol.get(protocol) ?? []
    byProtocol.set(protocol, [...specs, { kind: "range", first: port, last: port }])
  }
  return [...byProtocol].map(([protocol, specs]) => ({ ...match, protocols: [protocol], ports: specs }))
}

function atDestination(rule: Rule, direction: Direction, match: Match): Rule {
  const both = (given: Match): Match => ({ kind: "and", of: [given, match] })
  if (direction === "egress") return { ...rule, peer: both(rule.peer) }
  return { ...rule, local: rule.local === undefined ? match : both(rule.local) }
}
