import { allow, type Case, deny, ingress, pod, policy } from "../../builders.ts"
import { everyone, from, gnp, into, networkSet, np, outOf, rule, to } from "../../calico/builders.ts"
import { cidrGroup, cnp as cilium, ports } from "../../cilium/builders.ts"
import { item } from "../builders.ts"

const podA = { matchLabels: { pod: "a" } }
const block = (cidr: string): object => ({ from: [{ ipBlock: { cidr } }] })
const slice = (key: string, addresses: readonly string[], port: number): object => {
  const [namespace, name] = key.split("/")
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { namespace, name, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    endpoints: [{ addresses }],
    ports: [{ port, protocol: "TCP" }],
  }
}

/** One cluster seen by several languages: each means by blocks, sets, labels and services what its own system means. */
export const peers: readonly Case[] = [
  item(
    ["kubernetes", "cilium"],
    "a block of Kubernetes takes pods, the same block of Cilium does not",
    [
      ingress("x/k", podA, block("10.244.2.0/24")),
      cilium("x/c", { endpointSelector: { matchLabels: { pod: "b" } }, ingress: [{ fromCIDR: ["10.244.0.0/16"] }] }),
    ],
    allow("y/a > x/a 80", "x/b > x/a 80"),
    deny("y/b > x/a 80", "y/a > x/b 80", "x/a > x/b 80"),
  ),
  item(
    ["calico", "cilium"],
    "nets of Calico take pods, the same block of Cilium does not",
    [
      into(from({ nets: ["10.244.2.0/24"] })),
      cilium("x/c", {
        endpointSelector: podA,
        ingress: [{ fromCIDRSet: [{ cidr: "0.0.0.0/0", except: ["198.51.100.0/24"] }] }],
      }),
    ],
    allow("y/a > x/a 80", "203.0.113.9 > x/a 80"),
    deny("y/b > x/a 80", "198.51.100.7 > x/a 80"),
  ),
  item(
    ["calico", "cilium"],
    "a group of Cilium's is no network set of Calico's",
    [
      cidrGroup("partners", ["198.51.100.0/24"], { role: "partner" }),
      gnp("p", { ...everyone, ingress: [from({ selector: "role == 'partner'" })] }),
    ],
    deny("198.51.100.7 > x/a 80"),
  ),
  item(
    ["calico", "cilium"],
    "nor does all() of Calico's take it",
    [cidrGroup("partners", ["198.51.100.0/24"], {}), gnp("p", { ...everyone, ingress: [from({ selector: "all()" })] })],
    allow("y/a > x/a 80"),
    deny("198.51.100.7 > x/a 80"),
  ),
  item(
    ["calico", "cilium"],
    "a network set of Calico's is no group of Cilium's",
    [
      networkSet("partners", ["198.51.100.0/24"], { role: "partner" }),
      cilium("x/c", {
        endpointSelector: podA,
        ingress: [
          { fromCIDRSet: [{ cidrGroupSelector: { matchLabels: { role: "partner" } } }] },
          { fromCIDRSet: [{ cidrGroupRef: "partners" }] },
        ],
      }),
    ],
    deny("198.51.100.7 > x/a 80"),
  ),
  item(
    ["calico", "cilium"],
    "a set and a group of one name and one label",
    [
      networkSet("partners", ["198.51.100.0/24"], { role: "partner" }),
      cidrGroup("partners", ["203.0.113.0/24"], { role: "partner" }),
      gnp("p", { selector: "pod == 'b'", types: ["Ingress"], ingress: [from({ selector: "role == 'partner'" })] }),
      cilium("x/c", { endpointSelector: podA, ingress: [{ fromCIDRSet: [{ cidrGroupRef: "partners" }] }] }),
    ],
    allow("198.51.100.7 > x/b 80", "203.0.113.9 > x/a 80"),
    deny("203.0.113.9 > x/b 80", "198.51.100.7 > x/a 80"),
  ),
  item(
    ["calico", "kubernetes"],
    "a network set around pods is not seen by Kubernetes selectors",
    [
      networkSet("pods", ["10.244.0.0/16"], { app: "db" }),
      ingress("x/k", podA, { from: [{ podSelector: { matchLabels: { app: "db" } }, namespaceSelector: {} }] }),
    ],
    allow("x/b > x/a 80", "y/b > x/a 80"),
    deny("y/a > x/a 80", "z/a > x/a 80"),
  ),
  item(
    ["calico", "cilium"],
    "a network set around pods is not seen by Cilium selectors",
    [
      networkSet("pods", ["10.244.0.0/16"], { app: "db" }),
      cilium("x/c", { endpointSelector: podA, ingress: [{ fromEndpoints: [{ matchLabels: { app: "db" } }] }] }),
    ],
    allow("x/b > x/a 80"),
    deny("y/b > x/a 80", "y/a > x/a 80"),
  ),
  item(
    ["calico", "cilium"],
    "an address in a network set is still of the world",
    [
      networkSet("partners", ["198.51.100.0/24"], { role: "partner" }),
      gnp("p", {
        selector: "pod == 'b'",
        types: ["Ingress"],
        ingress: [rule("Deny", { source: { selector: "has(role)" } }), rule("Allow")],
      }),
      cilium("x/c", { endpointSelector: podA, ingress: [{ fromEntities: ["world"] }] }),
    ],
    allow("198.51.100.7 > x/a 80", "203.0.113.9 > x/a 80", "203.0.113.9 > x/b 80"),
    deny("198.51.100.7 > x/b 80", "y/a > x/a 80"),
  ),
  item(
    ["calico", "cilium"],
    "a label that Cilium leaves out of identities is seen by Calico",
    [
      pod("x/c", { labels: { pod: "c", "pod-template-hash": "1" }, node: "node-1", ips: ["10.244.1.30"] }),
      np("x/p", {
        selector: "pod == 'b'",
        types: ["Ingress"],
        ingress: [from({ selector: "pod-template-hash == '1'" })],
      }),
      cilium("x/c", {
        endpointSelector: podA,
        ingress: [{ fromEndpoints: [{ matchLabels: { "pod-template-hash": "1" } }] }],
      }),
    ],
    allow("x/c > x/b 80"),
    deny("x/c > x/a 80"),
  ),
  item(
    ["kubernetes", "calico"],
    "an absent label: NotIn of Kubernetes and not in of Calico agree",
    [
      policy("x/k", {
        podSelector: podA,
        ingress: [
          {
            from: [
              {
                namespaceSelector: {},
                podSelector: { matchExpressions: [{ key: "tier", operator: "NotIn", values: ["front"] }] },
              },
            ],
          },
        ],
      }),
      np("x/p", {
        selector: "pod == 'b'",
        types: ["Ingress"],
        ingress: [from({ selector: "tier not in {'front'}", namespaceSelector: "all()" })],
      }),
    ],
    allow("y/a > x/a 80", "z/a > x/a 80", "y/a > x/b 80", "z/a > x/b 80"),
    deny("y/b > x/a 80", "y/b > x/b 80", "x/a > x/b 80"),
  ),
  item(
    ["kubernetes", "calico", "cilium"],
    "a port by name in three languages",
    [
      ingress("x/k", { matchLabels: { tier: "front" } }, { ports: [{ port: "web" }] }),
      np("x/p", {
        selector: "pod == 'b'",
        types: ["Ingress"],
        ingress: [rule("Allow", { protocol: "TCP", destination: { ports: ["web"] } })],
      }),
      cilium("y/c", { endpointSelector: podA, ingress: [{ toPorts: ports("web/TCP") }] }),
    ],
    allow("z/a > x/a 80", "z/a > x/b 80", "z/a > y/a 80"),
    deny("z/a > x/a 81", "z/a > x/b 81", "z/a > y/a 81"),
  ),
  item(
    ["calico", "cilium"],
    "one service in both languages: Calico takes its slices with their ports, Cilium its pods",
    [
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { namespace: "y", name: "s" },
        spec: { selector: { app: "web" }, ports: [{ port: 80 }] },
      },
      slice("y/s", ["10.244.1.11"], 81),
      np("x/p", {
        selector: "pod == 'b'",
        types: ["Egress"],
        egress: [to({ services: { name: "s", namespace: "y" } })],
      }),
      cilium("x/c", {
        endpointSelector: podA,
        egress: [{ toServices: [{ k8sService: { serviceName: "s", namespace: "y" } }] }],
      }),
    ],
    allow("x/b > y/b 81", "x/a > y/a 80", "x/a > y/a 81", "x/a > y/a ICMP"),
    deny("x/b > y/a 80", "x/b > y/b 80", "x/a > y/b 81"),
  ),
  item(
    ["calico", "cilium"],
    "one service without selector in both languages",
    [
      { apiVersion: "v1", kind: "Service", metadata: { namespace: "y", name: "s" }, spec: { ports: [{ port: 80 }] } },
      slice("y/s", ["198.51.100.7", "10.244.1.11"], 80),
      np("x/p", {
        selector: "pod == 'b'",
        types: ["Egress"],
        egress: [to({ services: { name: "s", namespace: "y" } })],
      }),
      cilium("x/c", {
        endpointSelector: podA,
        egress: [{ toServices: [{ k8sService: { serviceName: "s", namespace: "y" } }] }],
      }),
    ],
    allow("x/b > 198.51.100.7 80", "x/b > y/b 80", "x/a > 198.51.100.7 80", "x/a > 198.51.100.7 443"),
    deny("x/b > 198.51.100.7 443", "x/a > y/b 80"),
  ),
  item(
    ["calico", "kubernetes"],
    "egress to nodes: a Kubernetes block around them, Calico nets, no selector",
    [
      policy("x/k", {
        podSelector: podA,
        policyTypes: ["Egress"],
        egress: [{ to: [{ ipBlock: { cidr: "172.18.0.12/32" } }] }],
      }),
      np("x/q", {
        selector: "pod == 'b'",
        types: ["Egress"],
        egress: [to({ selector: "all()", namespaceSelector: "all()" })],
      }),
      outOf(to({ nets: ["172.18.0.11/32"] })),
    ],
    allow("x/a > node:node-2 80", "x/a > node:node-1 80", "x/b > y/a 80"),
    deny("x/b > node:node-2 80", "x/a > y/a 80"),
  ),
]
