import { allow, type Case, deny, denyIngress, egress, ingress } from "../../builders.ts"
import { everyone as everyIngress, from, gnp, into, np, outOf, rule, staged, tier, to } from "../../calico/builders.ts"
import { ccnp, cnp as cilium, inNamespace, ports } from "../../cilium/builders.ts"
import { cnp as clusterPolicy, everyone, from as peer, pods } from "../../policy-api/builders.ts"
import { item } from "../builders.ts"

const podA = { matchLabels: { pod: "a" } }
const db = { matchLabels: { app: "db" } }
const fromBlue = { from: [{ namespaceSelector: { matchLabels: { team: "blue" } } }] }

/** What several languages say together where none of them denies outright, and where one passes to the others. */
export const unions: readonly Case[] = [
  item(
    ["kubernetes", "cilium"],
    "Kubernetes and Cilium allows add up",
    [
      ingress("x/k", podA, fromBlue),
      cilium("x/c", { endpointSelector: podA, ingress: [{ fromEndpoints: [inNamespace("z")] }] }),
    ],
    allow("y/a > x/a 80", "y/b > x/a 80", "z/a > x/a 80"),
    deny("x/b > x/a 80", "198.51.100.7 > x/a 80"),
  ),
  item(
    ["kubernetes", "cilium"],
    "a Cilium policy isolates a pod that Kubernetes leaves alone, in its direction",
    [cilium("x/c", { endpointSelector: podA, ingress: [{}] }), egress("x/k", podA, { to: [{ podSelector: db }] })],
    deny("y/a > x/a 80", "x/a > y/a 80"),
    allow("x/a > x/b 80"),
  ),
  item(
    ["kubernetes", "cilium"],
    "a Cilium policy without default deny beside a Kubernetes one that isolates",
    [
      denyIngress("x"),
      cilium("x/c", {
        endpointSelector: podA,
        enableDefaultDeny: { ingress: false },
        ingress: [{ fromEndpoints: [inNamespace("y")] }],
      }),
    ],
    allow("y/a > x/a 80"),
    deny("z/a > x/a 80", "y/a > x/b 80"),
  ),
  item(
    ["kubernetes", "cilium"],
    "a Cilium deny of some ports and a Kubernetes allow of all",
    [
      ingress("x/k", podA, {}),
      cilium("x/c", { endpointSelector: podA, ingressDeny: [{ fromEntities: ["all"], toPorts: ports("81/TCP") }] }),
    ],
    allow("y/a > x/a 80", "198.51.100.7 > x/a 80", "y/a > x/a 81/UDP"),
    deny("y/a > x/a 81", "198.51.100.7 > x/a 81"),
  ),
  item(
    ["kubernetes", "cilium"],
    "a clusterwide Cilium deny over every namespace's Kubernetes allows",
    [
      ingress("x/k", {}, {}),
      ingress("z/k", {}, {}),
      ccnp("c", {
        endpointSelector: {},
        enableDefaultDeny: { ingress: false },
        ingressDeny: [{ fromEndpoints: [db] }],
      }),
    ],
    allow("y/a > x/a 80", "x/a > y/a 80"),
    deny("x/b > x/a 80", "y/b > z/a 80", "y/b > y/a 80"),
  ),
  item(
    ["kubernetes", "cilium"],
    "ANY port of Cilium is not ICMP, a Kubernetes rule without ports is",
    [
      ingress("x/k", podA, fromBlue),
      cilium("x/c", {
        endpointSelector: podA,
        ingress: [{ fromEndpoints: [inNamespace("z")], toPorts: ports("0/ANY") }],
      }),
    ],
    allow("y/a > x/a ICMP", "z/a > x/a 80", "z/a > x/a 53/UDP"),
    deny("z/a > x/a ICMP"),
  ),
  item(
    ["kubernetes", "calico"],
    "Kubernetes and Calico allows of one tier add up",
    [ingress("x/k", podA, fromBlue), into(from({ selector: "app == 'db'" }))],
    allow("y/a > x/a 80", "x/b > x/a 80"),
    deny("z/a > x/a 80"),
  ),
  item(
    ["kubernetes", "calico"],
    "a Calico pass in tier default leaves Kubernetes policies behind: the profiles allow",
    [
      gnp("skip", { ...everyIngress, order: 1, ingress: [rule("Pass", { source: { selector: "app == 'db'" } })] }),
      denyIngress("x"),
    ],
    allow("x/b > x/a 80", "y/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    ["kubernetes", "calico"],
    "a Calico pass in a tier before leads to Kubernetes policies",
    [
      tier("early", { order: 10 }),
      gnp("early.p", {
        ...everyIngress,
        tier: "early",
        ingress: [rule("Deny", { source: { selector: "app == 'cache'" } }), rule("Pass")],
      }),
      ingress("x/k", podA, fromBlue),
    ],
    allow("y/a > x/a 80", "x/a > y/a 80"),
    deny("z/a > x/a 80", "x/b > x/a 80", "z/a > y/a 80"),
  ),
  item(
    ["kubernetes", "calico"],
    "a Calico tier that denies at its end never asks the Kubernetes policies",
    [
      tier("early", { order: 10 }),
      gnp("early.p", {
        ...everyIngress,
        tier: "early",
        ingress: [rule("Pass", { source: { selector: "app == 'db'" } })],
      }),
      ingress("x/k", podA, {}),
    ],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    ["kubernetes", "calico"],
    "a staged Calico policy leaves Kubernetes policies as they are",
    [
      staged("GlobalNetworkPolicy", "p", { ...everyIngress, order: 1, ingress: [rule("Deny")] }),
      ingress("x/k", podA, fromBlue),
    ],
    allow("y/a > x/a 80", "x/a > y/a 80"),
    deny("z/a > x/a 80"),
  ),
  item(
    ["kubernetes", "calico"],
    "a policy of either kind may have one name",
    [
      ingress("x/p", podA, fromBlue),
      np("x/p", { selector: "pod == 'a'", types: ["Ingress"], ingress: [from({ selector: "pod == 'b'" })] }),
    ],
    allow("y/a > x/a 80", "x/b > x/a 80"),
    deny("z/a > x/a 80"),
  ),
  item(
    ["kubernetes", "policy-api"],
    "the administrators pass to the namespaces",
    [
      clusterPolicy("Admin 5 a", everyone, {
        ingress: [peer("Pass", pods("", { app: "db" })), peer("Deny", { namespaces: {} })],
      }),
      ingress("x/k", podA, { from: [{ podSelector: db }] }),
    ],
    allow("x/b > x/a 80", "y/b > z/a 80"),
    deny("y/b > x/a 80", "y/a > x/a 80", "x/a > z/a 80"),
  ),
  item(
    ["kubernetes", "policy-api"],
    "the baseline decides only where no policy isolates",
    [
      clusterPolicy("Baseline 5 b", everyone, { ingress: [peer("Deny", { namespaces: {} })] }),
      ingress("x/k", podA, fromBlue),
    ],
    allow("y/a > x/a 80"),
    deny("z/a > x/a 80", "y/a > x/b 80", "x/a > z/a 80"),
  ),
  item(
    ["cilium", "policy-api"],
    "a Cilium policy without default deny leaves the rest to the baseline",
    [
      clusterPolicy("Baseline 5 b", everyone, { ingress: [peer("Deny", { namespaces: {} })] }),
      cilium("x/c", {
        endpointSelector: podA,
        enableDefaultDeny: { ingress: false },
        ingress: [{ fromEndpoints: [inNamespace("y")] }],
      }),
    ],
    allow("y/a > x/a 80", "198.51.100.7 > x/a 80"),
    deny("z/a > x/a 80"),
  ),
  item(
    ["cilium", "policy-api"],
    "what the administrators accept no Cilium deny takes back",
    [
      clusterPolicy("Admin 5 a", everyone, { ingress: [peer("Accept", pods("blue", {}))] }),
      cilium("x/c", { endpointSelector: {}, ingressDeny: [{ fromEntities: ["all"] }] }),
    ],
    allow("y/a > x/a 80"),
    deny("z/a > x/a 80", "198.51.100.7 > x/a 80"),
  ),
  item(
    ["calico", "cilium"],
    "a Cilium deny beats a Calico allow of order 1000 and later",
    [
      into(from({ selector: "app == 'db'" })),
      gnp("open", { ...everyIngress, order: 1000, ingress: [rule("Allow")] }),
      cilium("x/c", { endpointSelector: podA, ingressDeny: [{ fromEndpoints: [db] }] }),
    ],
    allow("y/a > x/a 80"),
    deny("x/b > x/a 80"),
  ),
  item(
    ["calico", "cilium"],
    "a Calico allow of order 999 goes before a Cilium deny",
    [
      gnp("open", { ...everyIngress, order: 999, ingress: [from({ selector: "app == 'db'" })] }),
      cilium("x/c", { endpointSelector: podA, ingressDeny: [{ fromEntities: ["all"] }] }),
    ],
    allow("x/b > x/a 80", "y/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    ["calico", "cilium"],
    "a Calico pass of order 1 skips Cilium's policies too",
    [
      gnp("skip", { ...everyIngress, order: 1, ingress: [rule("Pass", { source: { selector: "app == 'db'" } })] }),
      cilium("x/c", { endpointSelector: podA, ingressDeny: [{ fromEntities: ["all"] }] }),
    ],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    ["calico", "cilium"],
    "each end by its own language",
    [
      outOf(to({ namespaceSelector: "team == 'blue'" })),
      cilium("y/c", {
        endpointSelector: podA,
        ingress: [{ fromEndpoints: [inNamespace("x")], toPorts: ports("80/TCP") }],
      }),
    ],
    allow("x/a > y/a 80", "x/a > y/b 81"),
    deny("x/a > y/a 81", "x/a > z/a 80", "z/a > y/a 80"),
  ),
  item(
    ["calico", "cilium", "kubernetes", "policy-api"],
    "all four languages at one pod",
    [
      clusterPolicy("Admin 5 a", everyone, { ingress: [peer("Deny", pods("green", {}))] }),
      np("x/calico", {
        selector: "pod == 'a'",
        order: 10,
        types: ["Ingress"],
        ingress: [from({ nets: ["198.51.100.0/24"] })],
      }),
      cilium("x/c", {
        endpointSelector: podA,
        ingressDeny: [{ fromEndpoints: [inNamespace("y", { pod: "b" })] }],
        ingress: [{ fromCIDR: ["203.0.113.0/24"] }],
      }),
      ingress("x/k", podA, fromBlue),
      clusterPolicy("Baseline 5 b", everyone, { ingress: [peer("Accept", { namespaces: {} })] }),
    ],
    allow("198.51.100.7 > x/a 80", "203.0.113.9 > x/a 80", "y/a > x/a 80"),
    deny("z/a > x/a 80", "y/b > x/a 80", "x/b > x/a 80", "192.0.2.1 > x/a 80"),
  ),
  item(
    ["cilium", "kubernetes"],
    "the node reaches its own pods past Kubernetes policies, but not past a Cilium deny from host",
    [denyIngress("x"), cilium("x/c", { endpointSelector: podA, ingressDeny: [{ fromEntities: ["host"] }] })],
    deny("node:node-1 > x/a 80", "node:node-2 > x/a 80"),
    allow("node:node-2 > x/b 80"),
  ),
  item(
    ["calico", "kubernetes"],
    "the node reaches its own pods past Calico and Kubernetes denies",
    [denyIngress("x"), gnp("closed", { ...everyIngress, order: 1, ingress: [rule("Deny")] })],
    allow("node:node-1 > x/a 80", "node:node-2 > x/b 80"),
    deny("node:node-2 > x/a 80", "node:node-1 > x/b 80"),
  ),
  item(
    ["policy-api", "cilium"],
    "the node reaches its own pods past the administrators, but not past a Cilium deny from host behind them",
    [
      clusterPolicy("Admin 5 a", everyone, { ingress: [peer("Deny", { namespaces: {} })] }),
      cilium("x/c", { endpointSelector: podA, ingressDeny: [{ fromEntities: ["host"] }] }),
    ],
    deny("node:node-1 > x/a 80", "x/b > x/a 80"),
    allow("node:node-1 > z/a 80"),
  ),
]
