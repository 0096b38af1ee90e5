import {
  allow,
  type Case,
  deny,
  denyEgress,
  denyIngress,
  egress,
  ingress,
  labels,
  node,
  pod,
  policy,
  world,
} from "../../builders.ts"

/** Nodes and host-network pods as source and target. */
const nodeIps = { "node-1": ["172.18.0.11", "fd00:172:18::11"], "node-2": ["172.18.0.12", "fd00:172:18::12"] }
const nodes_ = (): readonly object[] => Object.entries(nodeIps).map(([name, ips]) => node(name, ips))
const block = (cidr: string, ...except: readonly string[]): object => ({
  ipBlock: { cidr, ...(except.length === 0 ? {} : { except }) },
})
const podA = labels({ pod: "a" })

function one(name: string, policies: readonly object[], ...probes: readonly (readonly object[])[]): Case {
  return { name, tags: ["nodes"], manifests: [...nodes_(), ...world(), ...policies], probes: probes.flat() }
}

/** A host-network pod on each node. */
const hosted = (): readonly object[] => [
  pod("x/host", {
    labels: { pod: "host" },
    node: "node-1",
    ips: nodeIps["node-1"],
    hostNetwork: true,
    ports: [{ containerPort: 9100, name: "metrics" }],
  }),
  pod("y/host", {
    labels: { pod: "host" },
    node: "node-2",
    ips: nodeIps["node-2"],
    hostNetwork: true,
    ports: [{ containerPort: 9100, name: "metrics" }],
  }),
]

export const nodes: readonly Case[] = [
  one(
    "a node always reaches its own pods",
    [denyIngress("x"), denyIngress("y")],
    allow("node:node-1 > x/a 80", "node:node-2 > x/b 80", "node:node-2 > y/a 53/UDP", "node:node-1 > x/a 80 v6"),
  ),
  one(
    "a node does not reach another node's isolated pods",
    [denyIngress("x"), denyIngress("y")],
    deny("node:node-2 > x/a 80", "node:node-1 > x/b 80", "node:node-1 > y/a 53/UDP", "node:node-2 > x/a 80 v6"),
    allow("node:node-2 > z/a 80"),
  ),
  one(
    "a block with a node's address lets the node in",
    [ingress("x/p", {}, { from: [block("172.18.0.12/32")], ports: [{ port: 80 }] })],
    allow("node:node-2 > x/a 80", "node:node-1 > x/a 80", "node:node-1 > x/a 81"),
    deny("node:node-2 > x/a 81", "node:node-1 > x/b 80"),
  ),
  one(
    "a block with a node's IPv6 address",
    [ingress("x/p", {}, { from: [block("fd00:172:18::/64")] })],
    allow("node:node-2 > x/a 80 v6"),
    deny("node:node-2 > x/a 80 v4"),
  ),
  one(
    "no selector matches a node",
    [ingress("x/p", {}, { from: [{ namespaceSelector: {} }, { podSelector: {} }] })],
    deny("node:node-2 > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  one(
    "a pod open for egress reaches nodes",
    [denyIngress("x")],
    allow("x/a > node:node-1 10250", "x/a > node:node-2 10250", "x/b > node:node-1 53/UDP"),
  ),
  one(
    "egress of a pod to another node is judged",
    [denyEgress("x")],
    deny("x/a > node:node-2 10250", "x/b > node:node-1 10250"),
  ),
  one(
    "egress of a pod to its own node is judged",
    [denyEgress("x")],
    deny("x/a > node:node-1 10250"),
    allow("z/a > node:node-1 10250"),
  ),
  one(
    "egress to a node by block",
    [egress("x/p", podA, { to: [block("172.18.0.0/24", "172.18.0.12/32")] })],
    allow("x/a > node:node-1 10250"),
    deny("x/a > node:node-2 10250", "x/a > y/a 80"),
  ),
  one(
    "no selector matches a node as receiver",
    [egress("x/p", podA, { to: [{ namespaceSelector: {} }] })],
    deny("x/a > node:node-2 80", "x/a > node:node-1 80"),
    allow("x/a > y/a 80"),
  ),
  one(
    "nodes reach one another whatever the policy",
    [denyIngress("x"), denyEgress("x")],
    allow("node:node-1 > node:node-2 10250", "node:node-2 > node:node-1 53/UDP"),
  ),
  one(
    "a node reaches hosts outside, and they it",
    [denyIngress("x")],
    allow("node:node-1 > 198.51.100.7 80", "198.51.100.7 > node:node-2 80"),
  ),
  one(
    "an address that is a node's means the node",
    [denyIngress("x"), ingress("x/p", podA, { from: [block("172.18.0.12/32")] })],
    allow("172.18.0.11 > x/a 80", "172.18.0.12 > x/a 80"),
    deny("172.18.0.11 > x/b 80"),
  ),
  one(
    "a host-network pod is not isolated by a policy that selects it",
    [...hosted(), policy("x/deny", { podSelector: labels({ pod: "host" }), policyTypes: ["Ingress", "Egress"] })],
    allow("y/a > x/host 9100", "x/host > y/a 80"),
  ),
  one(
    "a host-network pod is no peer of a pod selector",
    [
      ...hosted(),
      ingress("x/p", podA, {
        from: [{ podSelector: labels({ pod: "host" }) }, { namespaceSelector: labels({ team: "blue" }) }],
      }),
    ],
    deny("y/host > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  one(
    "a host-network pod reaches the pods of its node",
    [...hosted(), denyIngress("x")],
    allow("x/host > x/a 80"),
    deny("x/host > x/b 80", "y/host > x/a 80"),
  ),
  one(
    "a host-network pod is let in by its node's address",
    [...hosted(), ingress("x/p", podA, { from: [block("172.18.0.12/32")] })],
    allow("y/host > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  one(
    "egress to a host-network pod goes by its node's address",
    [...hosted(), egress("x/p", podA, { to: [{ podSelector: {} }, block("172.18.0.12/32")] })],
    allow("x/a > y/host 9100", "x/a > x/b 80"),
    deny("x/a > x/host 9100"),
  ),
  one(
    "a port name of a host-network pod means nothing",
    [...hosted(), egress("x/p", podA, { ports: [{ port: "metrics" }] })],
    deny("x/a > y/host 9100"),
  ),
  {
    name: "a node's address is known from its host-network pods",
    tags: ["nodes"],
    manifests: [...world(), ...hosted(), ingress("x/p", podA, { from: [block("172.18.0.12/32")] })],
    probes: [...allow("node:node-2 > x/a 80", "node:node-1 > x/a 80"), ...deny("y/a > x/a 80")],
  },
  {
    name: "nodes without any stated address",
    tags: ["nodes"],
    manifests: [...world(), denyIngress("x")],
    probes: [
      ...allow("node:node-1 > x/a 80", "node:node-2 > x/b 80"),
      ...deny("node:node-2 > x/a 80", "node:node-1 > x/b 80 v6"),
    ],
  },
  one(
    "ICMP between node and pod",
    [denyIngress("x"), denyEgress("y")],
    allow("node:node-1 > x/a ICMP", "z/a > node:node-1 ICMP"),
    deny("node:node-2 > x/a ICMP", "y/a > node:node-1 ICMP"),
  ),
]
