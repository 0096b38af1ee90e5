import {
  allow,
  type Case,
  deny,
  denyIngress,
  egress,
  expression,
  ingress,
  labels,
  namespace,
  pod,
  policy,
  world,
} from "../../builders.ts"

/** Who a peer is: pod and namespace selectors alone and together, and several peers. */
const podA = labels({ pod: "a" })
const podB = labels({ pod: "b" })
const red = labels({ team: "red" })
const blue = labels({ team: "blue" })

function one(name: string, policies: readonly object[], ...probes: readonly (readonly object[])[]): Case {
  return { name, tags: ["peers"], manifests: [...world(), ...policies], probes: probes.flat() }
}

export const peers: readonly Case[] = [
  one(
    "podSelector alone means pods of the policy's namespace",
    [ingress("x/p", podA, { from: [{ podSelector: podB }] })],
    allow("x/b > x/a 80"),
    deny("y/b > x/a 80", "z/a > x/a 80"),
  ),
  one(
    "an empty podSelector as peer means all pods of the policy's namespace",
    [ingress("x/p", {}, { from: [{ podSelector: {} }] })],
    allow("x/b > x/a 80", "x/a > x/b 53/UDP"),
    deny("y/a > x/a 80", "z/a > x/b 80"),
  ),
  one(
    "namespaceSelector alone means all pods of those namespaces",
    [ingress("x/p", podA, { from: [{ namespaceSelector: blue }] })],
    allow("y/a > x/a 80", "y/b > x/a 81"),
    deny("x/b > x/a 80", "z/a > x/a 80"),
  ),
  one(
    "an empty namespaceSelector means all pods of all namespaces",
    [ingress("x/p", podA, { from: [{ namespaceSelector: {} }] })],
    allow("y/a > x/a 80", "x/b > x/a 80", "z/a > x/a 53/UDP"),
    deny("198.51.100.7 > x/a 80"),
  ),
  one(
    "both selectors of one peer must hold",
    [ingress("x/p", podA, { from: [{ namespaceSelector: blue, podSelector: podB }] })],
    allow("y/b > x/a 80"),
    deny("y/a > x/a 80", "x/b > x/a 80", "z/a > x/a 80"),
  ),
  one(
    "two peers of one rule are alternatives",
    [ingress("x/p", podA, { from: [{ namespaceSelector: blue }, { podSelector: podB }] })],
    allow("y/a > x/a 80", "y/b > x/a 80", "x/b > x/a 80"),
    deny("z/a > x/a 80"),
  ),
  one(
    "an empty podSelector beside a namespaceSelector means all its pods",
    [ingress("x/p", podA, { from: [{ namespaceSelector: blue, podSelector: {} }] })],
    allow("y/a > x/a 80", "y/b > x/a 80"),
    deny("x/b > x/a 80", "z/a > x/a 80"),
  ),
  one(
    "an empty namespaceSelector beside a podSelector means such pods anywhere",
    [ingress("x/p", podA, { from: [{ namespaceSelector: {}, podSelector: podB }] })],
    allow("x/b > x/a 80", "y/b > x/a 80"),
    deny("y/a > x/a 80", "z/a > x/a 80"),
  ),
  one(
    "the policy's own namespace is no peer unless it is selected",
    [ingress("x/p", {}, { from: [{ namespaceSelector: labels({ team: "green" }) }] })],
    allow("z/a > x/a 80", "z/a > x/b 80"),
    deny("x/a > x/b 80", "x/b > x/a 80"),
  ),
  one(
    "egress to pods of the policy's namespace",
    [egress("x/p", podA, { to: [{ podSelector: podB }] })],
    allow("x/a > x/b 80", "x/a > x/b 53/UDP v6"),
    deny("x/a > y/b 80", "x/a > z/a 80"),
  ),
  one(
    "egress to pods by both selectors",
    [egress("x/p", {}, { to: [{ namespaceSelector: blue, podSelector: podA }] })],
    allow("x/a > y/a 80", "x/b > y/a 81"),
    deny("x/a > y/b 80", "x/a > x/b 80"),
  ),
  one(
    "egress to two alternatives",
    [egress("x/p", podA, { to: [{ podSelector: podB }, { namespaceSelector: labels({ env: "prod" }) }] })],
    allow("x/a > x/b 80", "x/a > z/a 80"),
    deny("x/a > y/b 80"),
  ),
  one(
    "a peer that matches nobody allows nobody",
    [ingress("x/p", podA, { from: [{ podSelector: labels({ pod: "nobody" }) }] })],
    deny("x/b > x/a 80", "y/a > x/a 80"),
  ),
  one(
    "kubernetes.io/metadata.name selects a namespace by its name",
    [ingress("x/p", {}, { from: [{ namespaceSelector: labels({ "kubernetes.io/metadata.name": "y" }) }] })],
    allow("y/a > x/a 80", "y/b > x/b 80"),
    deny("x/a > x/b 80", "z/a > x/a 80"),
  ),
  one(
    "kubernetes.io/metadata.name with In selects several",
    [ingress("x/p", {}, { from: [{ namespaceSelector: expression("kubernetes.io/metadata.name", "In", "y", "z") }] })],
    allow("y/a > x/a 80", "z/a > x/b 80"),
    deny("x/a > x/b 80"),
  ),
  {
    name: "kubernetes.io/metadata.name is there although the manifest does not say so",
    tags: ["peers"],
    manifests: [
      namespace("x"),
      namespace("y"),
      pod("x/a", { ips: ["10.244.1.10"] }),
      pod("y/a", { ips: ["10.244.2.11"], node: "node-2" }),
      pod("x/b", { ips: ["10.244.2.10"], node: "node-2" }),
      ingress("x/p", podA, { from: [{ namespaceSelector: labels({ "kubernetes.io/metadata.name": "y" }) }] }),
    ],
    probes: [...allow("y/a > x/a 80"), ...deny("x/b > x/a 80")],
  },
  {
    name: "a namespace without labels is selected by the empty selector and by absence",
    tags: ["peers", "no-labels"],
    manifests: [
      namespace("x"),
      namespace("y"),
      pod("x/a", { ips: ["10.244.1.10"] }),
      pod("x/b", { ips: ["10.244.2.10"], node: "node-2" }),
      pod("y/a", { ips: ["10.244.2.11"], node: "node-2" }),
      ingress("x/everywhere", podA, { from: [{ namespaceSelector: {} }], ports: [{ port: 80 }] }),
      ingress("x/no-team", podA, {
        from: [{ namespaceSelector: expression("team", "DoesNotExist") }],
        ports: [{ port: 81 }],
      }),
      ingress("x/team", podA, {
        from: [{ namespaceSelector: expression("team", "Exists") }],
        ports: [{ port: 53, protocol: "UDP" }],
      }),
    ],
    probes: [...allow("y/a > x/a 80", "y/a > x/a 81", "x/b > x/a 81"), ...deny("y/a > x/a 53/UDP")],
  },
  {
    name: "a pod without labels is selected by the empty selector and by absence",
    tags: ["peers", "no-labels"],
    manifests: [
      namespace("x"),
      pod("x/bare", { labels: {}, ips: ["10.244.1.10"] }),
      pod("x/b", { ips: ["10.244.2.10"], node: "node-2" }),
      ingress("x/all", {}, { from: [{ podSelector: expression("pod", "DoesNotExist") }], ports: [{ port: 80 }] }),
      policy("x/bare-only", { podSelector: expression("pod", "DoesNotExist"), ingress: [{ ports: [{ port: 81 }] }] }),
    ],
    probes: [...allow("x/bare > x/b 80", "x/b > x/bare 81"), ...deny("x/bare > x/b 81", "x/b > x/bare 80")],
  },
  one(
    "rules of several policies do not mix: each peer goes with its own rule's ports",
    [
      ingress("x/one", podA, { from: [{ namespaceSelector: blue }], ports: [{ port: 80 }] }),
      ingress("x/two", podA, { from: [{ namespaceSelector: labels({ team: "green" }) }], ports: [{ port: 81 }] }),
    ],
    allow("y/a > x/a 80", "z/a > x/a 81"),
    deny("y/a > x/a 81", "z/a > x/a 80"),
  ),
  one(
    "every peer of a rule goes with every port of it",
    [
      ingress("x/p", podA, {
        from: [{ namespaceSelector: blue }, { namespaceSelector: labels({ team: "green" }) }],
        ports: [{ port: 80 }, { port: 53, protocol: "UDP" }],
      }),
    ],
    allow("y/a > x/a 80", "z/a > x/a 80", "y/b > x/a 53/UDP", "z/a > x/a 53/UDP"),
    deny("y/a > x/a 81", "z/a > x/a 53", "x/b > x/a 80"),
  ),
  one(
    "one pod may be selected by several policies with different peers",
    [
      denyIngress("y"),
      ingress("y/web", labels({ app: "web" }), { from: [{ namespaceSelector: red, podSelector: podA }] }),
      ingress("y/back", labels({ tier: "back" }), { from: [{ namespaceSelector: labels({ env: "prod" }) }] }),
    ],
    allow("x/a > y/a 80", "z/a > y/a 80"),
    deny("x/b > y/a 80", "y/b > y/a 80", "x/a > y/b 80", "z/a > y/b 80"),
  ),
  one(
    "a pod reaches itself whatever the policy",
    [policy("x/deny", { podSelector: {}, policyTypes: ["Ingress", "Egress"] })],
    allow("x/a > x/a 80", "x/b > x/b 53/UDP", "x/a > x/a 81 v6"),
    deny("x/a > x/b 80"),
  ),
  {
    name: "an object without a namespace lives in default",
    tags: ["peers"],
    manifests: [
      namespace("default"),
      namespace("x"),
      ...[
        pod("default/a", { ips: ["10.244.1.10"] }),
        policy("default/p", { podSelector: podA, ingress: [{ from: [{ podSelector: {} }] }] }),
      ].map((object) => {
        const { metadata, ...rest } = object as { metadata: { namespace?: string } }
        const { namespace: _, ...named } = metadata
        return { ...rest, metadata: named }
      }),
      pod("default/b", { ips: ["10.244.2.10"], node: "node-2" }),
      pod("x/b", { ips: ["10.244.2.11"], node: "node-2" }),
    ],
    probes: [...allow("default/b > default/a 80"), ...deny("x/b > default/a 80")],
  },
]
