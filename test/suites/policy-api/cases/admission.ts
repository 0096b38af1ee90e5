import { type Case, expression } from "../../builders.ts"
import { anp, banp, cnp, everyone, from, networks, nodes, pods, tcp, tcpRange, team, to, udp } from "../builders.ts"

/** What the CRDs take and refuse: their markers and CEL rules, unknown fields refused. */
const accept = (name: string, manifest: object): Case => ({
  name: `admission takes ${name}`,
  tags: ["admission"],
  manifests: [manifest],
  admit: "accept",
})
const reject = (name: string, manifest: object): Case => ({
  name: `admission refuses ${name}`,
  tags: ["admission"],
  manifests: [manifest],
  admit: "reject",
})

const red = team("red")
const many = (count: number, item: (index: number) => unknown): readonly unknown[] =>
  Array.from({ length: count }, (_, index) => item(index))
const base = cnp("Admin 10 a", red, {}) as { readonly spec: object }
const withSpec = (change: object): object => ({ ...base, spec: { ...base.spec, ...change } })
const without = (field: string): object => ({
  ...base,
  spec: Object.fromEntries(Object.entries(base.spec).filter(([name]) => name !== field)),
})
const ingress = (rule: object): object => cnp("Admin 10 a", red, { ingress: [rule] })
const egress = (rule: object): object => cnp("Admin 10 a", red, { egress: [rule] })
const protocol = (item: object): object => ingress(from("Deny", everyone, item))
const network = (...cidrs: readonly string[]): object => egress(to("Deny", networks(...cidrs)))
const anpPort = (item: object): object =>
  anp("10 a", red, { ingress: [{ action: "Deny", from: [everyone], ports: [item] }] })

export const admission: readonly Case[] = [
  accept("a policy without rules", base),
  accept("priority 0", withSpec({ priority: 0 })),
  accept("priority 1000", withSpec({ priority: 1000 })),
  accept("the Baseline tier with Pass", cnp("Baseline 1 a", everyone, { ingress: [from("Pass", everyone)] })),
  accept(
    "all kinds of peers",
    cnp("Admin 1 a", pods("red", {}), {
      egress: [
        { action: "Accept", to: [team("red"), pods("", {}), networks("10.0.0.0/8", "fd00::/8"), nodes({ a: "b" })] },
      ],
    }),
  ),
  accept(
    "all kinds of protocols",
    ingress(
      from(
        "Accept",
        everyone,
        tcp(1),
        udp(65535),
        tcpRange(1, 65535),
        {
          sctp: { destinationPort: { range: { start: 1, end: 2 } } },
        },
        { destinationNamedPort: "web" },
      ),
    ),
  ),
  accept("25 rules", withSpec({ ingress: many(25, () => from("Deny", everyone)) })),
  accept("25 peers", ingress({ action: "Deny", from: many(25, () => everyone) })),
  accept("a name of 100 characters", ingress({ ...from("Deny", everyone), name: "a".repeat(100) })),
  accept("pods without namespaceSelector", withSpec({ subject: { pods: { podSelector: {} } } })),
  accept("expressions", withSpec({ subject: { namespaces: expression("a", "NotIn", "b") } })),
  accept("a status", { ...base, status: { conditions: [] } }),

  reject("no spec", { ...base, spec: undefined }),
  reject("no tier", without("tier")),
  reject("no priority", without("priority")),
  reject("no subject", without("subject")),
  reject("another tier", withSpec({ tier: "NetworkPolicy" })),
  reject("a tier in lower case", withSpec({ tier: "admin" })),
  reject("priority 1001", withSpec({ priority: 1001 })),
  reject("a negative priority", withSpec({ priority: -1 })),
  reject("a priority as a text", withSpec({ priority: "10" })),
  reject("a fraction as priority", withSpec({ priority: 1.5 })),
  reject("an empty subject", withSpec({ subject: {} })),
  reject("two subjects", withSpec({ subject: { ...red, ...pods("", {}) } })),
  reject("a subject of networks", withSpec({ subject: networks("10.0.0.0/8") })),
  reject("pods without podSelector", withSpec({ subject: { pods: { namespaceSelector: {} } } })),
  reject("an unknown field", withSpec({ subjects: red })),
  reject("a NetworkPolicy's podSelector", withSpec({ podSelector: {} })),
  reject("26 rules", withSpec({ egress: many(26, () => to("Deny", everyone)) })),
  reject("26 peers", ingress({ action: "Deny", from: many(26, () => everyone) })),
  reject("26 protocols", ingress({ action: "Deny", from: [everyone], protocols: many(26, (i) => tcp(i + 1)) })),
  reject("26 networks", network(...(many(26, (i) => `10.0.${i}.0/24`) as string[]))),
  reject("a name of 101 characters", ingress({ ...from("Deny", everyone), name: "a".repeat(101) })),
  reject("no action", ingress({ from: [everyone] })),
  reject("the action Allow", ingress(from("Allow", everyone))),
  reject("an action in lower case", ingress(from("deny", everyone))),
  reject("no peers", ingress({ action: "Deny" })),
  reject("an empty list of peers", ingress({ action: "Deny", from: [] })),
  reject("an empty peer", ingress(from("Deny", {}))),
  reject("two kinds in one peer", ingress(from("Deny", { ...team("red"), ...pods("", {}) }))),
  reject("a misspelt peer", ingress(from("Deny", { namespace: {} }))),
  reject("a peer of a kind from the future", egress(to("Deny", { workloadIdentities: {} }))),
  reject("networks in ingress", ingress(from("Deny", networks("10.0.0.0/8")))),
  reject("nodes in ingress", ingress(from("Deny", nodes({})))),
  reject("to in ingress", ingress({ action: "Deny", to: [everyone] })),
  reject("from in egress", egress({ action: "Deny", from: [everyone] })),
  reject("an empty list of protocols", ingress({ action: "Deny", from: [everyone], protocols: [] })),
  reject("an empty protocol", protocol({})),
  reject("two protocols in one entry", protocol({ ...tcp(80), ...udp(80) })),
  reject("TCP without port", protocol({ tcp: {} })),
  reject("a port of nothing", protocol({ tcp: { destinationPort: {} } })),
  reject("a number and a range", protocol({ tcp: { destinationPort: { number: 1, range: { start: 1, end: 2 } } } })),
  reject("port 0", protocol(tcp(0))),
  reject("port 65536", protocol(udp(65536))),
  reject("a range of one", protocol(tcpRange(80, 80))),
  reject("a range from high to low", protocol(tcpRange(81, 80))),
  reject("a range from 0", protocol(tcpRange(0, 80))),
  reject("a range without end", protocol({ tcp: { destinationPort: { range: { start: 1 } } } })),
  reject("a port of v1alpha1", protocol({ portNumber: { port: 80 } })),
  reject("ports in v1alpha2", ingress({ action: "Deny", from: [everyone], ports: [{ portNumber: { port: 80 } }] })),
  reject("a network that is an address", network("10.0.0.1")),
  reject("a network that is a name", network("example.com")),
  reject("a network with too long a length", network("10.0.0.0/33")),
  reject("a network twice", network("10.0.0.0/8", "10.0.0.0/8")),
  reject("an empty list of networks", egress(to("Deny", networks()))),
  reject(
    "a named port to networks",
    egress({ action: "Deny", to: [networks("10.0.0.0/8")], protocols: [{ destinationNamedPort: "web" }] }),
  ),
  reject(
    "a named port to nodes",
    egress({ action: "Deny", to: [everyone, nodes({})], protocols: [{ destinationNamedPort: "web" }] }),
  ),
  reject("a bad label", withSpec({ subject: team("not a label") })),
  reject("an expression without values", withSpec({ subject: { namespaces: expression("a", "In") } })),
  reject("a name in capitals", { ...base, metadata: { name: "A" } }),
  reject("a version that does not exist", { ...base, apiVersion: "policy.networking.k8s.io/v1alpha1" }),
  reject("a kind that does not exist", { ...base, kind: "ClusterNetworkPolicies" }),

  accept("an AdminNetworkPolicy", anp("0 a", red, { ingress: [{ action: "Allow", from: [everyone] }] })),
  accept("100 rules in v1alpha1", anp("0 a", red, { egress: many(100, () => ({ action: "Pass", to: [everyone] })) })),
  accept("a port of v1alpha1 without protocol", anpPort({ portNumber: { port: 80 } })),
  accept("a range of v1alpha1", anpPort({ portRange: { protocol: "SCTP", start: 1, end: 2 } })),
  accept("the baseline", banp(everyone, { ingress: [{ action: "Deny", from: [everyone] }] })),
  reject("101 rules in v1alpha1", anp("0 a", red, { egress: many(101, () => ({ action: "Pass", to: [everyone] })) })),
  reject("Accept in v1alpha1", anp("0 a", red, { ingress: [{ action: "Accept", from: [everyone] }] })),
  reject("Pass in the baseline", banp(everyone, { ingress: [{ action: "Pass", from: [everyone] }] })),
  reject("a baseline of another name", { ...banp(everyone, {}), metadata: { name: "other" } }),
  reject("a baseline with a priority", { ...banp(everyone, {}), spec: { subject: everyone, priority: 1 } }),
  reject("an AdminNetworkPolicy with a tier", anp("0 a", red, { tier: "Admin" })),
  reject("an AdminNetworkPolicy without priority", {
    apiVersion: "policy.networking.k8s.io/v1alpha1",
    kind: "AdminNetworkPolicy",
    metadata: { name: "a" },
    spec: { subject: red },
  }),
  reject("two kinds in one port of v1alpha1", anpPort({ portNumber: { port: 80 }, namedPort: "web" })),
  reject("port 0 in v1alpha1", anpPort({ portNumber: { port: 0 } })),
  reject(
    "an empty list of ports in v1alpha1",
    anp("0 a", red, { ingress: [{ action: "Deny", from: [everyone], ports: [] }] }),
  ),
  reject("a subject of pods without namespaceSelector in v1alpha1", anp("0 a", { pods: { podSelector: {} } }, {})),
  reject(
    "a named port to networks in v1alpha1",
    anp("0 a", red, {
      egress: [{ action: "Deny", to: [networks("10.0.0.0/8")], ports: [{ namedPort: "web" }] }],
    }),
  ),
]
