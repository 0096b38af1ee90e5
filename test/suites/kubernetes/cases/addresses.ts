import {
  allow,
  type Case,
  deny,
  denyIngress,
  egress,
  ingress,
  labels,
  namespace,
  namespaces,
  pod,
  policy,
  world,
  worldPods,
} from "../../builders.ts"

/** Families, addresses from anywhere, addresses that nobody states, and pods that have ended. */
const podA = labels({ pod: "a" })
const v6Only = (): readonly object[] => [...namespaces(), ...worldPods((key) => ({ ips: [sixOf[key] ?? ""] }))]
const sixOf: Readonly<Record<string, string>> = {
  "x/a": "fd00:10:244:1::10",
  "x/b": "fd00:10:244:2::10",
  "y/a": "fd00:10:244:2::11",
  "y/b": "fd00:10:244:1::11",
  "z/a": "fd00:10:244:1::12",
}

function one(name: string, manifests: readonly object[], ...probes: readonly (readonly object[])[]): Case {
  return { name, tags: ["addresses"], manifests, probes: probes.flat() }
}

export const addresses: readonly Case[] = [
  one(
    "both families of a dual-stack pod are judged alike by selectors",
    [
      ...world(),
      ingress("x/p", podA, { from: [{ namespaceSelector: labels({ team: "blue" }) }], ports: [{ port: 80 }] }),
    ],
    allow("y/a > x/a 80 v4", "y/a > x/a 80 v6", "y/b > x/a 80 v6"),
    deny("z/a > x/a 80 v4", "z/a > x/a 80 v6", "y/a > x/a 81 v6"),
  ),
  one(
    "IPv6 alone: default deny",
    [...v6Only(), denyIngress("x")],
    deny("y/a > x/a 80", "x/b > x/a 53/UDP"),
    allow("x/a > y/a 80", "x/a > x/a 80"),
  ),
  one(
    "IPv6 alone: selectors and ports",
    [
      ...v6Only(),
      ingress("x/p", podA, {
        from: [{ namespaceSelector: labels({ team: "blue" }) }],
        ports: [{ port: "web" }, { port: 3868, protocol: "SCTP" }],
      }),
    ],
    allow("y/a > x/a 80", "y/b > x/a 3868/SCTP"),
    deny("z/a > x/a 80", "y/a > x/a 81", "y/a > x/a 53/UDP"),
  ),
  one(
    "IPv6 alone: egress",
    [...v6Only(), egress("x/p", {}, { to: [{ podSelector: {} }, { ipBlock: { cidr: "2001:db8::/32" } }] })],
    allow("x/a > x/b 80", "x/a > 2001:db8::7 80"),
    deny("x/a > y/a 80", "x/b > z/a 53/UDP"),
  ),
  one(
    "IPv6 alone: ICMPv6",
    [...v6Only(), ingress("x/p", podA, { from: [{ podSelector: {} }] })],
    allow("x/b > x/a ICMPv6", "y/a > x/b ICMPv6"),
    deny("y/a > x/a ICMPv6"),
  ),
  one(
    "IPv6 alone: a node and its pods",
    [...v6Only(), denyIngress("x")],
    allow("node:node-1 > x/a 80"),
    deny("node:node-2 > x/a 80"),
  ),
  one(
    "a pod with IPv6 first",
    [
      ...namespaces(),
      ...worldPods((key) => (key === "x/a" ? { ips: ["fd00:10:244:1::10", "10.244.1.10"] } : {})),
      ingress("x/p", podA, { from: [{ ipBlock: { cidr: "10.244.0.0/16" } }] }),
    ],
    allow("y/a > x/a 80 v4"),
    deny("y/a > x/a 80 v6"),
  ),
  one(
    "pods of one node in unrelated ranges",
    [
      ...namespaces(),
      pod("x/a", { ips: ["10.244.1.10"] }),
      pod("x/b", { labels: { pod: "b" }, ips: ["192.168.77.3"] }),
      pod("y/a", { ips: ["100.64.9.1", "fd12:3456::9"], node: "node-2" }),
      pod("y/b", { labels: { pod: "b" }, ips: ["10.244.1.77"], node: "node-2" }),
      ingress("x/p", podA, {
        from: [
          { podSelector: labels({ pod: "b" }) },
          { namespaceSelector: labels({ team: "blue" }), podSelector: podA },
        ],
      }),
      ingress("x/q", labels({ pod: "b" }), { from: [{ ipBlock: { cidr: "10.244.1.0/24" } }] }),
    ],
    allow("x/b > x/a 80", "y/a > x/a 80", "x/a > x/b 80", "y/b > x/b 80"),
    deny("y/b > x/a 80", "y/a > x/b 80"),
  ),
  one(
    "pods that state no address",
    [
      ...namespaces(),
      pod("x/a", {}),
      pod("x/b", { labels: { pod: "b" }, node: "node-2" }),
      pod("y/a", { node: "node-2" }),
      ingress("x/p", {}, { from: [{ podSelector: labels({ pod: "b" }) }], ports: [{ port: 80 }] }),
    ],
    allow("x/b > x/a 80", "x/a > y/a 80"),
    deny("y/a > x/a 80", "x/a > x/b 80", "x/b > x/a 81"),
  ),
  one(
    "a pod that has ended is no peer, though its address has a new owner",
    [
      ...world(),
      pod("x/done", { labels: { pod: "done" }, ips: ["10.244.1.11"], phase: "Succeeded" }),
      ingress("x/p", podA, { from: [{ podSelector: labels({ pod: "done" }) }] }),
    ],
    deny("y/b > x/a 80"),
  ),
  one(
    "a pod that failed lends its labels to nobody",
    [
      ...world(),
      pod("y/crashed", { labels: { pod: "crashed" }, ips: ["10.244.1.12"], phase: "Failed" }),
      ingress("x/p", podA, { from: [{ namespaceSelector: labels({ team: "blue" }) }] }),
    ],
    deny("z/a > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  one(
    "a pod that has ended is not isolated in the place of its address's new owner",
    [...world(), pod("x/done", { labels: { pod: "done" }, ips: ["10.244.1.11"], phase: "Failed" }), denyIngress("x")],
    allow("z/a > y/b 80"),
  ),
  one(
    "nobody answers for a pod that has ended",
    [...world(), pod("x/done", { labels: { pod: "done" }, ips: ["10.244.1.99"], phase: "Succeeded" })],
    deny("y/a > x/done 80"),
  ),
  one(
    "pods with a phase that runs",
    [
      ...namespaces(),
      ...worldPods((key) => ({ phase: key === "x/a" ? "Pending" : "Running" })),
      ingress("x/p", podA, { from: [{ podSelector: {} }] }),
    ],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  one(
    "outside hosts that ask pods of either node, open and isolated",
    [...world(), denyIngress("x")],
    allow("198.51.100.7 > y/a 80", "198.51.100.7 > y/b 53/UDP", "2001:db8::7 > y/a 80"),
    deny("198.51.100.7 > x/a 80", "198.51.100.7 > x/b 80", "2001:db8::7 > x/a 53/UDP"),
  ),
  one(
    "pods ask outside hosts of both families",
    [...world(), policy("x/deny", { podSelector: podA, policyTypes: ["Egress"] })],
    allow("x/b > 198.51.100.7 80", "y/a > 2001:db8::7 80"),
    deny("x/a > 198.51.100.7 80", "x/a > 2001:db8::7 80"),
  ),
  one(
    "an outside host in the range of the pods' neighbours",
    [...world(), ingress("x/p", podA, { from: [{ namespaceSelector: {} }] })],
    deny("10.245.0.1 > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  {
    name: "pods of one namespace on five nodes",
    tags: ["addresses"],
    manifests: [
      namespace("x", { team: "red" }),
      ...Array.from({ length: 5 }, (_, i) =>
        pod(`x/p${i}`, { labels: { pod: `p${i}` }, node: `node-${i + 1}`, ips: [`10.244.${i + 1}.10`] }),
      ),
      ingress("x/ring", labels({ pod: "p0" }), { from: [{ podSelector: labels({ pod: "p4" }) }] }),
    ],
    probes: [
      ...allow("x/p4 > x/p0 80", "x/p1 > x/p2 80", "x/p3 > x/p4 53/UDP"),
      ...deny("x/p1 > x/p0 80", "x/p3 > x/p0 80"),
    ],
  },
  {
    name: "a deployment's pods are its template's",
    tags: ["deployment"],
    manifests: [
      namespace("x", { team: "red" }),
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name: "web", namespace: "x" },
        spec: {
          replicas: 2,
          selector: { matchLabels: { app: "web" } },
          template: {
            metadata: { labels: { app: "web" } },
            spec: { containers: [{ name: "c", image: "echo", ports: [{ name: "http", containerPort: 8080 }] }] },
          },
        },
      },
      pod("x/client", { labels: { app: "client" }, ips: ["10.244.1.10"] }),
      pod("x/other", { labels: { app: "other" }, ips: ["10.244.2.10"], node: "node-2" }),
      ingress("x/p", labels({ app: "web" }), {
        from: [{ podSelector: labels({ app: "client" }) }],
        ports: [{ port: "http" }],
      }),
    ],
    probes: [
      ...allow("x/client > x/web-0 8080", "x/client > x/web-1 8080", "x/web-0 > x/client 80"),
      ...deny("x/other > x/web-0 8080", "x/client > x/web-1 8081", "x/web-0 > x/web-1 8080"),
    ],
  },
]
