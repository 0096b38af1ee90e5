import { allow, type Case, deny, expression, namespace, pod } from "../../builders.ts"
import { cnp, everyone, from, inWorld, labelledNodes, networks, nodes, pods, tcp, team, to } from "../builders.ts"

/** Subjects and peers: namespaces, pods, nodes, networks. */
const one = inWorld("peers")
const hosted = (): readonly object[] => [
  pod("y/host", { node: "node-2", hostNetwork: true, ips: ["172.18.0.12", "fd00:172:18::12"] }),
]

export const peers: readonly Case[] = [
  one(
    "a subject of pods by both selectors",
    [cnp("Admin 10 a", pods("red", { app: "web" }), { ingress: [from("Deny", everyone)] })],
    deny("y/a > x/a 80", "x/b > x/a 80"),
    allow("y/a > x/b 80", "x/a > y/a 80"),
  ),
  one(
    "a subject of pods in all namespaces",
    [cnp("Admin 10 a", pods("", { app: "web" }), { ingress: [from("Deny", team("green"))] })],
    deny("z/a > x/a 80", "z/a > y/a 80"),
    allow("z/a > x/b 80", "z/a > y/b 80", "x/b > y/a 80"),
  ),
  one(
    "a subject without namespaceSelector is in all namespaces",
    [
      cnp(
        "Admin 10 a",
        { pods: { podSelector: { matchLabels: { app: "web" } } } },
        { ingress: [from("Deny", everyone)] },
      ),
    ],
    deny("z/a > x/a 80", "z/a > y/a 80"),
    allow("z/a > x/b 80"),
  ),
  one(
    "a subject with an empty podSelector is all pods of the namespaces",
    [cnp("Admin 10 a", pods("red", {}), { ingress: [from("Deny", everyone)] })],
    deny("z/a > x/a 80", "z/a > x/b 80"),
    allow("z/a > y/a 80"),
  ),
  one(
    "the empty namespace selector is every namespace, also those without labels",
    [
      namespace("bare"),
      pod("bare/a", { ips: ["10.244.1.40"] }),
      cnp("Admin 10 a", everyone, { ingress: [from("Deny", everyone)] }),
    ],
    deny("y/a > x/a 80", "bare/a > x/a 80", "x/a > bare/a 80"),
  ),
  one(
    "namespaces by expressions",
    [
      cnp(
        "Admin 10 a",
        { namespaces: expression("team", "NotIn", "green") },
        { ingress: [from("Deny", { namespaces: expression("env", "Exists") })] },
      ),
    ],
    deny("z/a > x/a 80", "z/a > y/b 80"),
    allow("y/a > x/a 80", "x/a > z/a 80"),
  ),
  one(
    "NotIn matches a namespace without the label",
    [
      namespace("bare"),
      pod("bare/a", { ips: ["10.244.1.40"] }),
      cnp("Admin 10 a", team("red"), { ingress: [from("Deny", { namespaces: expression("env", "NotIn", "prod") })] }),
    ],
    deny("bare/a > x/a 80", "y/a > x/a 80"),
    allow("z/a > x/a 80"),
  ),
  one(
    "a namespace by its name",
    [
      cnp(
        "Admin 10 a",
        { namespaces: { matchLabels: { "kubernetes.io/metadata.name": "x" } } },
        { ingress: [from("Deny", { namespaces: expression("kubernetes.io/metadata.name", "In", "y", "z") })] },
      ),
    ],
    deny("y/a > x/a 80", "z/a > x/b 80"),
    allow("x/b > x/a 80", "x/a > y/a 80"),
  ),
  one(
    "a peer of pods by both selectors",
    [cnp("Admin 10 a", team("red"), { ingress: [from("Deny", pods("blue", { app: "db" }))] })],
    deny("y/b > x/a 80"),
    allow("y/a > x/a 80", "x/b > x/a 80"),
  ),
  one(
    "a pod selector with DoesNotExist",
    [
      cnp("Admin 10 a", team("red"), {
        ingress: [from("Deny", { pods: { namespaceSelector: {}, podSelector: expression("tier", "DoesNotExist") } })],
      }),
    ],
    deny("x/b > x/a 80", "z/a > x/a 80"),
    allow("y/a > x/a 80", "x/a > x/b 80"),
  ),
  one(
    "several peers are alternatives",
    [
      cnp("Admin 10 a", team("red"), {
        ingress: [{ action: "Deny", from: [team("green"), pods("blue", { app: "db" })] }],
      }),
    ],
    deny("z/a > x/a 80", "y/b > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  one(
    "selectors match pods only: hosts outside and nodes are no peers",
    [cnp("Admin 10 a", team("red"), { ingress: [from("Deny", everyone)], egress: [to("Deny", everyone)] })],
    allow("198.51.100.7 > x/a 80", "x/a > 198.51.100.7 80", "node:node-2 > x/a 80"),
    deny("y/a > x/a 80", "x/a > y/a 80"),
  ),
  one(
    "host-network pods are neither subject nor peer of selectors",
    [
      ...labelledNodes(),
      ...hosted(),
      cnp("Admin 10 a", everyone, { ingress: [from("Deny", team("blue"))], egress: [to("Deny", pods("blue", {}))] }),
    ],
    allow("y/host > x/a 80", "x/a > y/host 80", "z/a > y/host 80"),
    deny("y/a > x/a 80", "x/a > y/a 80"),
  ),
  one(
    "networks outside",
    [cnp("Admin 10 a", team("red"), { egress: [to("Deny", networks("198.51.100.0/24"))] })],
    deny("x/a > 198.51.100.7 80", "x/b > 198.51.100.255 53/UDP"),
    allow("x/a > 198.51.101.7 80", "y/a > 198.51.100.7 80", "x/a > 2001:db8::7 80"),
  ),
  one(
    "networks match pods inside them as well",
    [cnp("Admin 10 a", team("red"), { egress: [to("Deny", networks("0.0.0.0/0"))] })],
    deny("x/a > y/a 80 v4", "x/a > x/b 80 v4", "x/a > 198.51.100.7 80"),
    allow("x/a > y/a 80 v6", "x/a > 2001:db8::7 80"),
  ),
  one(
    "networks match ICMP as well",
    [cnp("Admin 10 a", team("red"), { egress: [to("Deny", networks("0.0.0.0/0"))] })],
    deny("x/a > y/a ICMP", "x/a > 198.51.100.7 ICMP"),
    allow("x/a > y/a ICMPv6", "y/a > x/a ICMP"),
  ),
  one(
    "::/0 matches IPv6 and ICMPv6 only",
    [cnp("Admin 10 a", team("red"), { egress: [to("Deny", networks("::/0"))] })],
    deny("x/a > y/a 80 v6", "x/a > y/a ICMPv6", "x/a > 2001:db8::7 80"),
    allow("x/a > y/a 80 v4", "x/a > y/a ICMP"),
  ),
  one(
    "passing all pods first, then denying networks: only what is outside is denied",
    [cnp("Admin 10 a", team("red"), { egress: [to("Pass", everyone), to("Deny", networks("0.0.0.0/0", "::/0"))] })],
    allow("x/a > y/a 80 v4", "x/a > z/a 80 v6"),
    deny("x/a > 198.51.100.7 80", "x/a > 2001:db8::7 80"),
  ),
  one(
    "accepting a network before denying all",
    [
      cnp("Admin 10 a", team("red"), {
        egress: [to("Accept", networks("198.51.100.0/28"), tcp(80)), to("Deny", networks("0.0.0.0/0"))],
      }),
    ],
    allow("x/a > 198.51.100.7 80"),
    deny("x/a > 198.51.100.7 81", "x/a > 198.51.100.17 80"),
  ),
  one(
    "one address as a network",
    [cnp("Admin 10 a", team("red"), { egress: [to("Deny", networks("10.244.2.11/32", "fd00:10:244:2::11/128"))] })],
    deny("x/a > y/a 80 v4", "x/a > y/a 80 v6"),
    allow("x/a > y/b 80", "x/a > z/a 80 v6"),
  ),
  one(
    "a network with bits behind its length is the block",
    [cnp("Admin 10 a", team("red"), { egress: [to("Deny", networks("198.51.100.77/24"))] })],
    deny("x/a > 198.51.100.7 80"),
    allow("x/a > 198.51.101.7 80"),
  ),
  one(
    "networks in Baseline, overridden by a NetworkPolicy",
    [
      cnp("Baseline 10 a", team("red"), { egress: [to("Deny", networks("0.0.0.0/0", "::/0"))] }),
      {
        apiVersion: "networking.k8s.io/v1",
        kind: "NetworkPolicy",
        metadata: { name: "p", namespace: "x" },
        spec: {
          podSelector: { matchLabels: { pod: "a" } },
          policyTypes: ["Egress"],
          egress: [{ ports: [{ port: 80 }] }],
        },
      },
    ],
    allow("x/a > 198.51.100.7 80", "x/a > y/a 80"),
    deny("x/a > 198.51.100.7 81", "x/b > 198.51.100.7 80", "x/b > y/a 80"),
  ),
  one(
    "nodes by their labels",
    [...labelledNodes(), cnp("Admin 10 a", team("red"), { egress: [to("Deny", nodes({ zone: "b" }))] })],
    deny("x/a > node:node-2 10250", "x/b > node:node-2 10250 v6"),
    allow("x/a > node:node-1 10250", "y/a > node:node-2 10250", "x/a > y/a 80"),
  ),
  one(
    "the empty node selector is all nodes and no pod",
    [...labelledNodes(), cnp("Admin 10 a", team("red"), { egress: [to("Deny", { nodes: {} })] })],
    deny("x/a > node:node-1 10250", "x/a > node:node-2 80"),
    allow("x/a > y/a 80", "x/a > 198.51.100.7 80"),
  ),
  one(
    "a node with ports, before everything else is denied",
    [
      ...labelledNodes(),
      cnp("Admin 10 a", team("red"), {
        egress: [to("Accept", nodes({ zone: "b" }), tcp(6443)), to("Deny", networks("0.0.0.0/0"))],
      }),
    ],
    allow("x/a > node:node-2 6443"),
    deny("x/a > node:node-2 80", "x/a > node:node-1 6443", "x/a > y/a 6443 v4"),
  ),
  one(
    "host-network pods are reached as their node",
    [...labelledNodes(), ...hosted(), cnp("Admin 10 a", team("red"), { egress: [to("Deny", nodes({ zone: "b" }))] })],
    deny("x/a > y/host 80"),
    allow("z/a > y/host 80"),
  ),
  one(
    "nodes in Baseline",
    [...labelledNodes(), cnp("Baseline 10 a", team("red"), { egress: [to("Deny", { nodes: {} })] })],
    deny("x/a > node:node-2 80"),
    allow("x/a > y/a 80"),
  ),
  one(
    "a pod's label decides as it is now",
    [
      cnp("Admin 10 a", pods("", { role: "vault" }), { ingress: [from("Deny", everyone)] }),
      pod("x/v", { labels: { role: "vault" }, ips: ["10.244.1.50"] }),
    ],
    deny("x/a > x/v 80 v4"),
    allow("x/v > x/a 80 v4"),
  ),
]
