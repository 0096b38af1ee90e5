import { allow, type Case, deny, denyIngress, ingress } from "../../builders.ts"
import { ccnp, cnp, inNamespace, item, podA, podB, ports } from "../builders.ts"

/** Default deny (26–33) and precedence of denials (35). */
const open = { enableDefaultDeny: { ingress: false } }

export const denials: readonly Case[] = [
  item(
    26,
    "no rule of a direction selects the pod: everything is allowed",
    [cnp("x/out", { endpointSelector: podA, egress: [{ toEndpoints: [podB] }] })],
    allow("y/a > x/a 80", "z/a > x/a 53/UDP", "x/a > x/b 80"),
    deny("x/a > y/a 80"),
  ),
  item(
    26,
    "an ingress rule isolates its subject for ingress only",
    [cnp("x/in", { endpointSelector: podA, ingress: [{ fromEndpoints: [podB] }] })],
    allow("x/b > x/a 80", "x/a > y/a 80", "y/a > x/b 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    [27, 35],
    "a policy that only denies turns default deny on as well",
    [cnp("x/deny", { endpointSelector: podA, ingressDeny: [{ fromEndpoints: [inNamespace("y")] }] })],
    deny("y/a > x/a 80", "x/b > x/a 80", "z/a > x/a 80"),
    allow("x/a > y/a 80"),
  ),
  item(
    27,
    "a policy that only denies egress turns default deny of egress on",
    [cnp("x/deny", { endpointSelector: podA, egressDeny: [{ toEndpoints: [inNamespace("y")] }] })],
    deny("x/a > y/a 80", "x/a > x/b 80", "x/a > 198.51.100.7 80"),
    allow("y/a > x/a 80"),
  ),
  item(
    28,
    "with default deny disabled an allowing rule isolates nobody",
    [cnp("x/open", { endpointSelector: podA, ...open, ingress: [{ fromEndpoints: [podB] }] })],
    allow("x/b > x/a 80", "y/a > x/a 80", "198.51.100.7 > x/a 80"),
  ),
  item(
    28,
    "with default deny disabled denials still bite",
    [cnp("x/open", { endpointSelector: podA, ...open, ingressDeny: [{ fromEndpoints: [inNamespace("y")] }] })],
    deny("y/a > x/a 80", "y/b > x/a 53/UDP"),
    allow("x/b > x/a 80", "z/a > x/a 80"),
  ),
  item(
    28,
    "one rule with default deny is enough",
    [
      cnp("x/open", { endpointSelector: podA, ...open, ingress: [{ fromEndpoints: [podB] }] }),
      cnp("x/closed", { endpointSelector: podA, ingress: [{ fromEndpoints: [inNamespace("z")] }] }),
    ],
    allow("x/b > x/a 80", "z/a > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    28,
    "default deny disabled for egress",
    [
      cnp("x/open", {
        endpointSelector: podA,
        enableDefaultDeny: { egress: false },
        egressDeny: [{ toEndpoints: [podB] }],
      }),
    ],
    deny("x/a > x/b 80"),
    allow("x/a > y/a 80", "x/a > 198.51.100.7 80"),
  ),
  item(
    28,
    "default deny disabled for one direction leaves the other",
    [
      cnp("x/open", {
        endpointSelector: podA,
        ...open,
        ingress: [{ fromEndpoints: [podB] }],
        egress: [{ toEndpoints: [podB] }],
      }),
    ],
    allow("y/a > x/a 80", "x/a > x/b 80"),
    deny("x/a > y/a 80"),
  ),
  item(
    28,
    "default deny enabled by word isolates as by default",
    [
      cnp("x/closed", {
        endpointSelector: podA,
        enableDefaultDeny: { ingress: true },
        ingress: [{ fromEndpoints: [podB] }],
      }),
    ],
    allow("x/b > x/a 80", "x/a > y/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    31,
    "a node reaches its own pods under default deny",
    [cnp("x/closed", { endpointSelector: {}, ingress: [{ fromEndpoints: [podB] }] })],
    allow("node:node-1 > x/a 80", "node:node-2 > x/b 80", "node:node-1 > x/a 80 v6"),
    deny("node:node-2 > x/a 80", "node:node-1 > x/b 80"),
  ),
  item(
    [31, 35],
    "a denial of the host entity stops the node's own probes",
    [
      cnp("x/deny", {
        endpointSelector: podA,
        ingressDeny: [{ fromEntities: ["host"] }],
        ingress: [{ fromEntities: ["all"] }],
      }),
    ],
    deny("node:node-1 > x/a 80"),
    allow("node:node-2 > x/a 80", "y/a > x/a 80"),
  ),
  item(
    [31, 35],
    "a denial of the host entity for one port",
    [
      cnp("x/deny", {
        endpointSelector: podA,
        ingressDeny: [{ fromEntities: ["host"], toPorts: ports("80/TCP") }],
        ingress: [{ fromEntities: ["all"] }],
      }),
    ],
    deny("node:node-1 > x/a 80"),
    allow("node:node-1 > x/a 81", "y/a > x/a 80"),
  ),
  item(
    [31, 48],
    "a denial of a block with the node's address does not stop its probes",
    [
      cnp("x/deny", {
        endpointSelector: podA,
        ingressDeny: [{ fromCIDR: ["172.18.0.0/24"] }],
        ingress: [{ fromEntities: ["all"] }],
      }),
    ],
    allow("node:node-1 > x/a 80"),
  ),
  item(
    33,
    "a policy counts only for pods of its namespace",
    [cnp("x/closed", { endpointSelector: podA, ingress: [{ fromEndpoints: [podB] }] })],
    allow("z/a > y/a 80", "x/a > z/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    35,
    "a denial beats an allowance of the same peer",
    [
      cnp("x/p", {
        endpointSelector: podA,
        ingress: [{ fromEndpoints: [podB] }],
        ingressDeny: [{ fromEndpoints: [podB] }],
      }),
    ],
    deny("x/b > x/a 80"),
  ),
  item(
    35,
    "a denial of all ports beats an allowance of one",
    [
      cnp("x/p", {
        endpointSelector: podA,
        ingress: [{ fromEndpoints: [podB], toPorts: ports("80/TCP") }],
        ingressDeny: [{ fromEndpoints: [podB] }],
      }),
    ],
    deny("x/b > x/a 80", "x/b > x/a 81"),
  ),
  item(
    35,
    "a denial of one port leaves the others allowed",
    [
      cnp("x/p", {
        endpointSelector: podA,
        ingress: [{ fromEndpoints: [podB] }],
        ingressDeny: [{ fromEndpoints: [podB], toPorts: ports("80/TCP") }],
      }),
    ],
    deny("x/b > x/a 80"),
    allow("x/b > x/a 81", "x/b > x/a 80/UDP", "x/b > x/a ICMP"),
  ),
  item(
    35,
    "a denial of a range beats an allowance inside it",
    [
      cnp("x/p", {
        endpointSelector: podA,
        ingress: [{ fromEndpoints: [podB], toPorts: ports("8005/TCP", "9000/TCP") }],
        ingressDeny: [{ fromEndpoints: [podB], toPorts: ports("8000-8010/TCP") }],
      }),
    ],
    deny("x/b > x/a 8005", "x/b > x/a 8000"),
    allow("x/b > x/a 9000"),
  ),
  item(
    35,
    "a denial of a wide block beats an allowance of a narrow one",
    [
      cnp("x/p", {
        endpointSelector: podA,
        ingress: [{ fromCIDR: ["198.51.100.7/32"] }, { fromCIDR: ["203.0.113.0/24"] }],
        ingressDeny: [{ fromCIDR: ["198.51.0.0/16"] }],
      }),
    ],
    deny("198.51.100.7 > x/a 80"),
    allow("203.0.113.9 > x/a 80"),
  ),
  item(
    35,
    "a denial of everyone beats every allowance",
    [
      cnp("x/p", {
        endpointSelector: podA,
        ingress: [{ fromEndpoints: [podB] }, { fromEntities: ["world"] }],
        ingressDeny: [{ fromEntities: ["all"], toPorts: ports("80/TCP") }],
      }),
    ],
    deny("x/b > x/a 80", "198.51.100.7 > x/a 80"),
    allow("x/b > x/a 81", "198.51.100.7 > x/a 81"),
  ),
  item(
    35,
    "a denial without peers is a denial of all of them",
    [
      cnp("x/p", {
        endpointSelector: podA,
        ingress: [{ fromEntities: ["all"] }],
        ingressDeny: [{ toPorts: ports("80/TCP") }],
      }),
    ],
    deny("x/b > x/a 80", "198.51.100.7 > x/a 80", "node:node-2 > x/a 80"),
    allow("x/b > x/a 81", "198.51.100.7 > x/a 81"),
  ),
  item(
    35,
    "a denial of another policy of the namespace",
    [
      cnp("x/allow", { endpointSelector: podA, ingress: [{ fromEndpoints: [inNamespace("y")] }] }),
      cnp("x/deny", { endpointSelector: {}, ingressDeny: [{ fromEndpoints: [inNamespace("y", { pod: "a" })] }] }),
    ],
    deny("y/a > x/a 80"),
    allow("y/b > x/a 80"),
  ),
  item(
    35,
    "a clusterwide denial beats a namespace's allowance",
    [
      cnp("x/allow", { endpointSelector: podA, ingress: [{ fromEndpoints: [inNamespace("y")] }] }),
      ccnp("deny", { endpointSelector: {}, ingressDeny: [{ fromEndpoints: [podA] }] }),
    ],
    deny("y/a > x/a 80", "z/a > y/a 80"),
    allow("y/b > x/a 80"),
  ),
  item(
    35,
    "a denial beats a Kubernetes allowance",
    [
      ingress("x/allow", podA, { from: [{ namespaceSelector: {} }] }),
      cnp("x/deny", { endpointSelector: podA, ingressDeny: [{ fromEndpoints: [inNamespace("y")] }] }),
    ],
    deny("y/a > x/a 80"),
    allow("x/b > x/a 80", "z/a > x/a 80"),
  ),
  item(
    [34, 35],
    "Kubernetes and Cilium allowances are a union",
    [
      denyIngress("x"),
      cnp("x/allow", {
        endpointSelector: podA,
        ingress: [{ fromEndpoints: [inNamespace("y")], toPorts: ports("80/TCP") }],
      }),
      ingress("x/allow-z", podA, { from: [{ namespaceSelector: { matchLabels: { team: "green" } } }] }),
    ],
    allow("y/a > x/a 80", "z/a > x/a 81"),
    deny("y/a > x/a 81", "x/b > x/a 80", "y/a > x/b 80"),
  ),
  item(
    35,
    "a denial of egress beats an allowance of egress",
    [
      cnp("x/p", {
        endpointSelector: podA,
        egress: [{ toEntities: ["all"] }],
        egressDeny: [{ toEndpoints: [inNamespace("y")], toPorts: ports("80/TCP") }],
      }),
    ],
    deny("x/a > y/a 80"),
    allow("x/a > y/a 81", "x/a > z/a 80", "x/a > 198.51.100.7 80"),
  ),
  item(
    35,
    "a denial of egress to a block",
    [
      cnp("x/p", {
        endpointSelector: podA,
        egress: [{ toEntities: ["world"] }],
        egressDeny: [{ toCIDR: ["198.51.100.0/24"] }],
      }),
    ],
    deny("x/a > 198.51.100.7 80"),
    allow("x/a > 203.0.113.9 80"),
  ),
  item(
    35,
    "a denial is named as what decided",
    [
      cnp("x/p", {
        endpointSelector: podA,
        ingress: [{ fromEntities: ["all"] }],
        ingressDeny: [{ fromEndpoints: [podB] }],
      }),
    ],
    deny("x/b > x/a 80 by:CiliumNetworkPolicy x/p ingressDeny[0]"),
    allow("y/a > x/a 80 by:CiliumNetworkPolicy x/p ingress[0]"),
  ),
  item(
    66,
    "both ends enforce",
    [
      cnp("x/out", { endpointSelector: {}, egress: [{ toEndpoints: [inNamespace("y")] }] }),
      cnp("y/in", { endpointSelector: {}, ingress: [{ fromEndpoints: [inNamespace("x", { pod: "a" })] }] }),
    ],
    allow("x/a > y/a 80", "x/a > y/b 80"),
    deny("x/b > y/a 80", "x/a > z/a 80", "z/a > y/a 80"),
  ),
  item(
    66,
    "both ends enforce on one node",
    [
      cnp("x/out", { endpointSelector: podA, egress: [{ toEndpoints: [inNamespace("y")], toPorts: ports("80/TCP") }] }),
      cnp("y/in", {
        endpointSelector: podB,
        ingress: [{ fromEndpoints: [inNamespace("x")], toPorts: ports("81/TCP", "80/TCP") }],
      }),
    ],
    allow("x/a > y/b 80"),
    deny("x/a > y/b 81", "z/a > y/b 80"),
  ),
]
