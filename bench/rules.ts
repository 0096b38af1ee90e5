import { type Cluster, type Endpoint, emptyCluster, type Node } from "../src/model/cluster.ts"
import { type L4Match, type Match, type Policy, policyKey, type Rule } from "../src/model/policy.ts"
import { parseAddress } from "../src/net/address.ts"
import { parsePrefix } from "../src/net/prefix.ts"

const origin = { file: "bench.yaml", line: 1, column: 1 }

export function endpointOf(name: string, node: string, addresses: readonly string[]): Endpoint {
  return {
    namespace: "default",
    name,
    node,
    addresses: addresses.map((text) => parseAddress(text)),
    labels: { app: name },
    serviceAccount: "default",
    namedPorts: [],
  }
}

export function nodeOf(name: string, addresses: readonly string[], prefixes: readonly string[]): Node {
  return {
    name,
    labels: {},
    addresses: addresses.map((text) => parseAddress(text)),
    podPrefixes: prefixes.map((text) => parsePrefix(text)),
  }
}

const app = (name: string): Match => ({
  kind: "and",
  of: [
    { kind: "is", what: "endpoint" },
    { kind: "labels", of: "self", selector: { kind: "in", key: "app", values: [name] } },
  ],
})

const port = (number: number): L4Match => ({ protocols: [6], ports: [{ kind: "range", first: number, last: number }] })

const PEERS = 1_000
/** Rules of one end that everybody may use: they stand in the row of every peer. */
const OPEN = 50
const RULES_A_POLICY = 100

/**
 * Policies with `count` rules in all, half of them what `client` may send, half what `server` may take; most of them
 * name other pods, some a port for everybody, so that the row between both is long. The last rule of each lets the other in.
 */
export function policiesOf(count: number, client: string, server: string): Policy[] {
  const sides = [
    { subject: client, peer: server, section: "egress" as const },
    { subject: server, peer: client, section: "ingress" as const },
  ]
  if (count === 0) return []
  return sides.flatMap(({ subject, peer, section }) => {
    const rules: Rule[] = []
    for (let i = 0; i < count / 2; i++) {
      const last = i + 1 >= count / 2
      const match: Match = last ? app(peer) : i >= OPEN ? app(`peer-${i % PEERS}`) : { kind: "any" }
      // Every second port only: neighbours would melt into one interval.
      const l4 = last ? [] : [port(10_000 + 2 * i)]
      rules.push({ action: "allow", peer: match, l4, section, index: i % RULES_A_POLICY, origin })
    }
    const found: Policy[] = []
    for (let i = 0; i < rules.length; i += RULES_A_POLICY) {
      found.push({
        group: "networking.k8s.io",
        kind: "NetworkPolicy",
        namespace: "default",
        name: `${section}-${i}`,
        tier: "default",
        order: 1_000,
        tieBreak: "",
        subject: app(subject),
        [section]: { isolates: true, rules: rules.slice(i, i + RULES_A_POLICY) },
        mode: "enforced",
        origin,
      })
    }
    return found
  })
}

/** Pods elsewhere that the rules of `policiesOf` name. */
export function peerEndpoints(count: number, node: string): Endpoint[] {
  return Array.from({ length: Math.min(count, PEERS) }, (_, i) =>
    endpointOf(`peer-${i}`, node, [`10.99.${i >> 8}.${i & 255}`, `fd00:99::${(i + 1).toString(16)}`]),
  )
}

export function clusterOf(
  nodes: readonly Node[],
  endpoints: readonly Endpoint[],
  policies: readonly Policy[],
): Cluster {
  return {
    ...emptyCluster,
    namespaces: new Map([["default", { name: "default", labels: {} }]]),
    nodes: new Map(nodes.map((node) => [node.name, node])),
    endpoints: new Map(endpoints.map((one) => [`${one.namespace}/${one.name}`, one])),
    policies: new Map(policies.map((one) => [policyKey(one), one])),
    clusterPrefixes: [parsePrefix("10.0.0.0/8"), parsePrefix("fd00::/16")],
  }
}
