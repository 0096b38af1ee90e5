import { cnp } from "../suites/cilium/builders.ts"
import {
  type Direction,
  directions,
  expressionsOf,
  isolates,
  type KubernetesPolicy,
  type Peer,
  type Port,
  peersOf,
  type Rule,
  type Selector,
} from "./kubernetes.ts"

/**
 * The same policy as a CiliumNetworkPolicy: one entry for every peer. Blocks must hold no pod and no node, as Cilium's speak of
 * addresses outside only.
 */
export function toCilium(policy: KubernetesPolicy): object {
  const { namespace, name, spec } = policy
  const sections = directions
    .filter((direction) => isolates(policy, direction))
    .map((direction) => {
      const entries = (spec[direction] ?? []).flatMap((rule) => entriesOf(rule, direction))
      // An entry that says nothing allows nothing, but isolates.
      return [direction, entries.length === 0 ? [{}] : entries]
    })
  return cnp(`${namespace}/${name}`, {
    endpointSelector: keyed(spec.podSelector, "k8s:"),
    ...Object.fromEntries(sections),
  })
}

function entriesOf(rule: Rule, direction: Direction): readonly object[] {
  const word = direction === "ingress" ? "from" : "to"
  const ports = (rule.ports ?? []).map(portOf)
  const toPorts = ports.length === 0 ? {} : { toPorts: [{ ports }] }
  const peers = peersOf(rule, direction)
  if (peers.length === 0) return [{ [`${word}Entities`]: ["all"], ...toPorts }]
  return peers.map((peer) => ({ ...peerOf(peer, word), ...toPorts }))
}

function portOf({ protocol = "TCP", port, endPort }: Port): object {
  return { protocol, port: String(port ?? 0), ...(endPort === undefined ? {} : { endPort }) }
}

function peerOf({ podSelector = {}, namespaceSelector, ipBlock }: Peer, word: string): object {
  if (ipBlock !== undefined) return { [`${word}CIDRSet`]: [ipBlock] }
  const pods = keyed(podSelector, "k8s:")
  if (namespaceSelector === undefined) return { [`${word}Endpoints`]: [pods] }
  const namespaces = keyed(namespaceSelector, "k8s:io.cilium.k8s.namespace.labels.").matchExpressions ?? []
  // Without a condition on the namespace the policy's own would be meant.
  const anywhere = { key: "k8s:io.kubernetes.pod.namespace", operator: "Exists" }
  return { [`${word}Endpoints`]: [{ matchExpressions: [...(pods.matchExpressions ?? []), ...namespaces, anywhere] }] }
}

function keyed(selector: Selector, prefix: string): Selector {
  return { matchExpressions: expressionsOf(selector).map((one) => ({ ...one, key: `${prefix}${one.key}` })) }
}
