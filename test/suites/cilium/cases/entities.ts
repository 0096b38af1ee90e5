import { allow, type Case, deny, pod } from "../../builders.ts"
import { cidrGroup, cnp, item, nodeIps, podA, ports } from "../builders.ts"

/** Entities (43–46) and blocks (48–52). */
const from = (...fromEntities: readonly string[]): object =>
  cnp("x/p", { endpointSelector: podA, ingress: [{ fromEntities }] })
const to = (...toEntities: readonly string[]): object =>
  cnp("x/p", { endpointSelector: podA, egress: [{ toEntities }] })
const fromBlock = (...fromCIDR: readonly string[]): object =>
  cnp("x/p", { endpointSelector: podA, ingress: [{ fromCIDR }] })
const toBlock = (...toCIDR: readonly string[]): object => cnp("x/p", { endpointSelector: podA, egress: [{ toCIDR }] })
const fromSet = (...fromCIDRSet: readonly object[]): object =>
  cnp("x/p", { endpointSelector: podA, ingress: [{ fromCIDRSet }] })
const toSet = (...toCIDRSet: readonly object[]): object =>
  cnp("x/p", { endpointSelector: podA, egress: [{ toCIDRSet }] })

const hosted = (): readonly object[] => [
  pod("x/host", { labels: { pod: "a", role: "host" }, node: "node-1", ips: nodeIps["node-1"], hostNetwork: true }),
  pod("y/host", { labels: { pod: "b", role: "host" }, node: "node-2", ips: nodeIps["node-2"], hostNetwork: true }),
]

export const entities: readonly Case[] = [
  item(
    45,
    "world is everything outside, of both families",
    [from("world")],
    allow("198.51.100.7 > x/a 80", "2001:db8::7 > x/a 80"),
    deny("x/b > x/a 80", "y/a > x/a 80", "node:node-2 > x/a 80"),
  ),
  item(
    44,
    "world as receiver, of both families",
    [to("world")],
    allow("x/a > 198.51.100.7 80", "x/a > 2001:db8::7 80"),
    deny("x/a > y/a 80", "x/a > node:node-1 80", "x/a > node:node-2 80"),
  ),
  item(
    45,
    "cluster is every pod and every node",
    [from("cluster")],
    allow("x/b > x/a 80", "y/a > x/a 80", "node:node-1 > x/a 80", "node:node-2 > x/a 80"),
    deny("198.51.100.7 > x/a 80", "2001:db8::7 > x/a 80"),
  ),
  item(
    45,
    "cluster as receiver",
    [to("cluster")],
    allow("x/a > y/a 80", "x/a > node:node-1 80", "x/a > node:node-2 80"),
    deny("x/a > 198.51.100.7 80"),
  ),
  item(
    45,
    "host is the pod's own node",
    [from("host")],
    allow("node:node-1 > x/a 80"),
    deny("node:node-2 > x/a 80", "y/a > x/a 80", "198.51.100.7 > x/a 80"),
  ),
  item(
    45,
    "host as receiver",
    [to("host")],
    allow("x/a > node:node-1 80"),
    deny("x/a > node:node-2 80", "x/a > y/a 80", "x/a > 198.51.100.7 80"),
  ),
  item(
    45,
    "remote-node is every other node",
    [from("remote-node")],
    allow("node:node-2 > x/a 80", "node:node-2 > x/a 80 v6"),
    deny("y/a > x/a 80", "198.51.100.7 > x/a 80"),
  ),
  item(
    45,
    "remote-node as receiver excludes the pod's own node",
    [to("remote-node")],
    allow("x/a > node:node-2 80"),
    deny("x/a > node:node-1 80", "x/a > y/a 80"),
  ),
  item(
    45,
    "none is nobody, and isolates",
    [from("none")],
    deny("x/b > x/a 80", "198.51.100.7 > x/a 80", "node:node-2 > x/a 80"),
  ),
  item(
    45,
    "several entities are alternatives",
    [from("world", "remote-node")],
    allow("198.51.100.7 > x/a 80", "node:node-2 > x/a 80"),
    deny("x/b > x/a 80"),
  ),
  item(
    45,
    "entities of which nobody is there match nobody",
    [from("init", "unmanaged", "ingress", "health")],
    deny("x/b > x/a 80", "198.51.100.7 > x/a 80", "node:node-2 > x/a 80"),
  ),
  item(
    45,
    "an entity with ports",
    [cnp("x/p", { endpointSelector: podA, ingress: [{ fromEntities: ["world"], toPorts: ports("80/TCP") }] })],
    allow("198.51.100.7 > x/a 80"),
    deny("198.51.100.7 > x/a 81", "y/a > x/a 80"),
  ),
  item(
    46,
    "a host-network pod of the node is the host",
    [...hosted(), from("host")],
    allow("x/host > x/a 80"),
    deny("y/host > x/a 80"),
  ),
  item(
    46,
    "a host-network pod of another node is a remote node",
    [...hosted(), from("remote-node")],
    allow("y/host > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    46,
    "a host-network pod is no endpoint as peer",
    [
      ...hosted(),
      cnp("x/p", {
        endpointSelector: podA,
        ingress: [
          {
            fromEndpoints: [
              { matchLabels: { role: "host" } },
              { matchLabels: { "k8s:io.kubernetes.pod.namespace": "y" } },
            ],
          },
        ],
      }),
    ],
    deny("y/host > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  item(
    46,
    "a host-network pod is no subject",
    [...hosted(), cnp("x/p", { endpointSelector: { matchLabels: { role: "host" } }, ingress: [{}], egress: [{}] })],
    allow("y/a > x/host 80", "x/host > y/a 80"),
  ),

  item(
    48,
    "a block never matches pods, though their addresses lie in it",
    [fromBlock("10.244.0.0/16", "198.51.100.0/24")],
    allow("198.51.100.7 > x/a 80"),
    deny("y/a > x/a 80", "x/b > x/a 80"),
  ),
  item(
    48,
    "a block as receiver never matches pods",
    [toBlock("10.0.0.0/8", "198.51.100.0/24")],
    allow("x/a > 198.51.100.7 80"),
    deny("x/a > y/a 80", "x/a > x/b 80"),
  ),
  item(
    48,
    "a block never matches nodes",
    [fromBlock("172.18.0.0/16")],
    deny("node:node-2 > x/a 80"),
    allow("172.18.7.7 > x/a 80"),
  ),
  item(
    48,
    "a block as receiver never matches nodes",
    [toBlock("172.18.0.0/16")],
    deny("x/a > node:node-1 80", "x/a > node:node-2 80"),
    allow("x/a > 172.18.7.7 80"),
  ),
  item(
    48,
    "an outside host in the range of the pods is outside",
    [fromBlock("10.244.77.0/24")],
    allow("10.244.77.7 > x/a 80"),
    deny("y/a > x/a 80", "10.244.78.7 > x/a 80"),
  ),
  item(
    49,
    "a longer prefix of another policy still lies in the shorter one",
    [fromBlock("198.51.0.0/16"), cnp("y/q", { endpointSelector: {}, ingress: [{ fromCIDR: ["198.51.100.0/24"] }] })],
    allow("198.51.100.7 > x/a 80", "198.51.1.1 > x/a 80", "198.51.100.7 > y/a 80"),
    deny("198.51.1.1 > y/a 80"),
  ),
  item(
    49,
    "nested prefixes of one policy with different ports",
    [
      cnp("x/p", {
        endpointSelector: podA,
        ingress: [
          { fromCIDR: ["198.51.0.0/16"], toPorts: ports("80/TCP") },
          { fromCIDR: ["198.51.100.0/24"], toPorts: ports("81/TCP") },
        ],
      }),
    ],
    allow("198.51.100.7 > x/a 80", "198.51.100.7 > x/a 81", "198.51.1.1 > x/a 80"),
    deny("198.51.1.1 > x/a 81"),
  ),
  item(
    50,
    "an exception takes from its own block",
    [fromSet({ cidr: "198.51.0.0/16", except: ["198.51.100.0/24"] })],
    allow("198.51.1.1 > x/a 80"),
    deny("198.51.100.7 > x/a 80"),
  ),
  item(
    50,
    "an exception is no denial: another entry may allow",
    [fromSet({ cidr: "198.51.0.0/16", except: ["198.51.100.0/24"] }, { cidr: "198.51.100.7/32" })],
    allow("198.51.1.1 > x/a 80", "198.51.100.7 > x/a 80"),
    deny("198.51.100.8 > x/a 80"),
  ),
  item(
    50,
    "an exception is no denial: another policy may allow",
    [
      fromSet({ cidr: "198.51.0.0/16", except: ["198.51.100.0/24"] }),
      cnp("x/q", { endpointSelector: {}, ingress: [{ fromCIDR: ["198.51.100.0/25"] }] }),
    ],
    allow("198.51.100.7 > x/a 80"),
    deny("198.51.100.200 > x/a 80"),
  ),
  item(
    50,
    "an exception of a block to which one sends",
    [toSet({ cidr: "198.51.0.0/16", except: ["198.51.100.0/24", "198.51.101.0/24"] })],
    allow("x/a > 198.51.1.1 80"),
    deny("x/a > 198.51.100.7 80", "x/a > 198.51.101.7 80"),
  ),
  item(
    51,
    "0.0.0.0/0 is the world of IPv4",
    [fromBlock("0.0.0.0/0")],
    allow("198.51.100.7 > x/a 80"),
    deny("2001:db8::7 > x/a 80", "y/a > x/a 80", "node:node-2 > x/a 80"),
  ),
  item(
    51,
    "::/0 is the world of IPv6",
    [fromBlock("::/0")],
    allow("2001:db8::7 > x/a 80"),
    deny("198.51.100.7 > x/a 80", "y/a > x/a 80 v6"),
  ),
  item(
    48,
    "an IPv6 block",
    [fromBlock("2001:db8:1::/48")],
    allow("2001:db8:1::7 > x/a 80"),
    deny("2001:db8:2::7 > x/a 80", "198.51.100.7 > x/a 80"),
  ),
  item(
    52,
    "a CIDR group by name",
    [cidrGroup("office", ["198.51.100.0/24", "203.0.113.9/32"]), fromSet({ cidrGroupRef: "office" })],
    allow("198.51.100.7 > x/a 80", "203.0.113.9 > x/a 80"),
    deny("203.0.113.10 > x/a 80", "y/a > x/a 80"),
  ),
  item(
    52,
    "a CIDR group by its labels",
    [
      cidrGroup("office", ["198.51.100.0/24"], { site: "north" }),
      cidrGroup("branch", ["203.0.113.0/24"], { site: "south" }),
      fromSet({ cidrGroupSelector: { matchLabels: { site: "north" } } }),
    ],
    allow("198.51.100.7 > x/a 80"),
    deny("203.0.113.9 > x/a 80"),
  ),
  item(
    52,
    "a CIDR group that is not there matches nothing and isolates",
    [fromSet({ cidrGroupRef: "nowhere" })],
    deny("198.51.100.7 > x/a 80", "y/a > x/a 80"),
  ),
  item(
    52,
    "a CIDR group as receiver",
    [cidrGroup("office", ["198.51.100.0/24"]), toSet({ cidrGroupRef: "office" })],
    allow("x/a > 198.51.100.7 80"),
    deny("x/a > 203.0.113.9 80", "x/a > y/a 80"),
  ),
  item(
    [35, 52],
    "a CIDR group in a denial",
    [
      cidrGroup("bad", ["198.51.100.0/24"]),
      cnp("x/p", {
        endpointSelector: podA,
        ingress: [{ fromEntities: ["world"] }],
        ingressDeny: [{ fromCIDRSet: [{ cidrGroupRef: "bad" }] }],
      }),
    ],
    deny("198.51.100.7 > x/a 80"),
    allow("203.0.113.9 > x/a 80"),
  ),
  item(
    [35, 50],
    "an exception in a denial is not denied",
    [
      cnp("x/p", {
        endpointSelector: podA,
        ingress: [{ fromEntities: ["world"] }],
        ingressDeny: [{ fromCIDRSet: [{ cidr: "198.51.0.0/16", except: ["198.51.100.0/24"] }] }],
      }),
    ],
    deny("198.51.1.1 > x/a 80"),
    allow("198.51.100.7 > x/a 80"),
  ),
]
