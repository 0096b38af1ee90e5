import { np } from "../suites/calico/builders.ts"
import {
  type Direction,
  directions,
  expressionsOf,
  isolates,
  type KubernetesPolicy,
  type Peer,
  type Port,
  peersOf,
  type Selector,
} from "./kubernetes.ts"

/** The same policy as a NetworkPolicy of Calico's: one rule for every pair of a peer and a port. */
export function toCalico(policy: KubernetesPolicy): object {
  const { namespace, name, spec } = policy
  const types = directions.filter((direction) => isolates(policy, direction))
  const rules = (direction: Direction) =>
    (spec[direction] ?? []).flatMap((rule) =>
      orNone(peersOf(rule, direction)).flatMap((peer) =>
        orNone(rule.ports ?? []).map((port) => ruleOf(peer, port, direction)),
      ),
    )
  return np(`${namespace}/${name}`, {
    order: 1000,
    selector: selectorText(spec.podSelector),
    types: types.map((direction) => (direction === "ingress" ? "Ingress" : "Egress")),
    ...Object.fromEntries(types.map((direction) => [direction, rules(direction)])),
  })
}

/** The items of a list, or one that says nothing. */
function orNone<T>(items: readonly T[]): readonly (T | undefined)[] {
  return items.length === 0 ? [undefined] : items
}

function ruleOf(peer: Peer | undefined, port: Port | undefined, direction: Direction): object {
  const far = peer === undefined ? {} : entityOf(peer)
  const ports = port?.port === undefined ? {} : { ports: [portOf(port)] }
  const [source, destination] = direction === "ingress" ? [far, ports] : [{}, { ...far, ...ports }]
  return { action: "Allow", ...(port === undefined ? {} : { protocol: port.protocol ?? "TCP" }), source, destination }
}

function portOf(port: Port): number | string {
  return port.endPort === undefined ? (port.port ?? 0) : `${port.port}:${port.endPort}`
}

function entityOf({ podSelector, namespaceSelector, ipBlock }: Peer): object {
  if (ipBlock !== undefined) return { nets: [ipBlock.cidr], notNets: ipBlock.except ?? [] }
  const pods = "projectcalico.org/orchestrator == 'k8s'"
  return {
    selector: podSelector === undefined ? pods : `${pods} && ${selectorText(podSelector)}`,
    ...(namespaceSelector === undefined ? {} : { namespaceSelector: selectorText(namespaceSelector) }),
  }
}

function selectorText(selector: Selector): string {
  const parts = expressionsOf(selector).map(({ key, operator, values = [] }) => {
    const set = `{${values.map((value) => JSON.stringify(value)).join(", ")}}`
    if (operator === "In") return `${key} in ${set}`
    if (operator === "NotIn") return `${key} not in ${set}`
    return operator === "Exists" ? `has(${key})` : `!has(${key})`
  })
  return parts.length === 0 ? "all()" : parts.join(" && ")
}
