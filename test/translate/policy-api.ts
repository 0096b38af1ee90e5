import { cnp } from "../suites/policy-api/builders.ts"
import {
  type Direction,
  directions,
  isolates,
  type KubernetesPolicy,
  type Peer,
  type Port,
  peersOf,
  type Rule,
  type Selector,
} from "./kubernetes.ts"

/**
 * The same policy between pods as ClusterNetworkPolicies of the Baseline tier: what it allows, before any, and that it isolates,
 * behind all. Without blocks (in ingress there are none) and named ports (which have a protocol in Kubernetes alone).
 */
export function toPolicyApi(policy: KubernetesPolicy): readonly object[] {
  const { namespace, name, spec } = policy
  const own: Selector = { matchLabels: { "kubernetes.io/metadata.name": namespace } }
  const subject = { pods: { namespaceSelector: own, podSelector: spec.podSelector } }
  const sides = directions.filter((direction) => isolates(policy, direction))
  const side = (rules: (direction: Direction) => readonly object[]) =>
    Object.fromEntries(sides.map((direction) => [direction, rules(direction)]))
  const accepting = (direction: Direction) =>
    (spec[direction] ?? []).map((rule) => ({
      action: "Accept",
      [direction === "ingress" ? "from" : "to"]: peers(rule, direction, own),
      ...((rule.ports ?? []).length === 0 ? {} : { protocols: rule.ports?.map(protocolOf) }),
    }))
  const denying = (direction: Direction) => [
    { action: "Deny", [direction === "ingress" ? "from" : "to"]: [{ namespaces: {} }] },
  ]
  return [
    cnp(`Baseline 1 ${namespace}-${name}-allow`, subject, side(accepting)),
    cnp(`Baseline 1000 ${namespace}-${name}-isolate`, subject, side(denying)),
  ]
}

function peers(rule: Rule, direction: Direction, own: Selector): readonly object[] {
  const all = peersOf(rule, direction)
  if (all.length === 0) return [{ namespaces: {} }]
  return all.map(({ podSelector = {}, namespaceSelector = own }: Peer) => ({
    pods: { namespaceSelector, podSelector },
  }))
}

function protocolOf({ protocol = "TCP", port, endPort }: Port): object {
  const range = { start: Number(port), end: endPort }
  const destinationPort = endPort === undefined || endPort === port ? { number: Number(port) } : { range }
  // Without a port: all of them.
  return {
    [protocol.toLowerCase()]: {
      destinationPort: port === undefined ? { range: { start: 1, end: 65_535 } } : destinationPort,
    },
  }
}
