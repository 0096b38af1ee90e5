import { allow, type Case, deny, egress, ingress, labels, policy, world } from "../../builders.ts"

/** ipBlock: any address inside it (pods too) but for the holes; both families; with ports; beside selectors. */
const podA = labels({ pod: "a" })
const block = (cidr: string, ...except: readonly string[]): object => ({
  ipBlock: { cidr, ...(except.length === 0 ? {} : { except }) },
})

function one(name: string, policies: readonly object[], ...probes: readonly (readonly object[])[]): Case {
  return { name, tags: ["ipblock"], manifests: [...world(), ...policies], probes: probes.flat() }
}

const from = (...peers: readonly object[]): object => ingress("x/p", podA, { from: peers })
const to = (...peers: readonly object[]): object => egress("x/p", podA, { to: peers })

export const blocks: readonly Case[] = [
  one(
    "a block lets in pods inside it",
    [from(block("10.244.2.0/24"))],
    allow("y/a > x/a 80", "x/b > x/a 80"),
    deny("y/b > x/a 80", "z/a > x/a 80", "y/a > x/a 80 v6"),
  ),
  one(
    "a block of one address",
    [from(block("10.244.2.11/32"))],
    allow("y/a > x/a 80"),
    deny("x/b > x/a 80", "y/b > x/a 80"),
  ),
  one(
    "a block with a hole",
    [from(block("10.244.0.0/16", "10.244.2.0/24"))],
    allow("y/b > x/a 80", "z/a > x/a 80"),
    deny("y/a > x/a 80", "x/b > x/a 80"),
  ),
  one(
    "a block with several holes",
    [from(block("10.244.0.0/16", "10.244.2.11/32", "10.244.1.12/32"))],
    allow("x/b > x/a 80", "y/b > x/a 80"),
    deny("y/a > x/a 80", "z/a > x/a 80"),
  ),
  one(
    "holes that overlap",
    [from(block("10.244.0.0/16", "10.244.2.0/24", "10.244.2.11/32", "10.244.0.0/17"))],
    deny("y/a > x/a 80", "x/b > x/a 80", "y/b > x/a 80"),
    allow("10.244.200.1 > x/a 80"),
  ),
  one(
    "a hole of one block is filled by another",
    [from(block("10.244.0.0/16", "10.244.2.0/24"), block("10.244.2.11/32"))],
    allow("y/b > x/a 80", "y/a > x/a 80"),
    deny("x/b > x/a 80"),
  ),
  one(
    "a hole of one policy's block is filled by another policy",
    [
      from(block("10.244.0.0/16", "10.244.2.0/24")),
      ingress("x/q", podA, { from: [{ podSelector: labels({ pod: "b" }) }] }),
    ],
    allow("y/b > x/a 80", "x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  one(
    "hosts outside, inside the block",
    [from(block("198.51.100.0/24"))],
    allow("198.51.100.7 > x/a 80", "198.51.100.200 > x/a 53/UDP"),
    deny("203.0.113.9 > x/a 80", "y/a > x/a 80"),
  ),
  one(
    "hosts outside, in a hole",
    [from(block("198.51.100.0/24", "198.51.100.0/25"))],
    allow("198.51.100.200 > x/a 80"),
    deny("198.51.100.7 > x/a 80", "198.51.100.127 > x/a 80"),
  ),
  one(
    "everything of IPv4",
    [from(block("0.0.0.0/0"))],
    allow("198.51.100.7 > x/a 80", "y/a > x/a 80", "z/a > x/a 53/UDP"),
    deny("y/a > x/a 80 v6", "2001:db8::7 > x/a 80"),
  ),
  one(
    "everything of IPv6",
    [from(block("::/0"))],
    allow("2001:db8::7 > x/a 80", "y/a > x/a 80 v6"),
    deny("198.51.100.7 > x/a 80", "y/a > x/a 80 v4"),
  ),
  one(
    "everything of both families",
    [from(block("0.0.0.0/0"), block("::/0"))],
    allow("198.51.100.7 > x/a 80", "2001:db8::7 > x/a 80", "y/a > x/a 80", "y/a > x/a 80 v6"),
  ),
  one(
    "everything but the pods",
    [from(block("0.0.0.0/0", "10.244.0.0/16"))],
    allow("198.51.100.7 > x/a 80"),
    deny("y/a > x/a 80", "x/b > x/a 80"),
  ),
  one(
    "an IPv6 block lets in pods inside it",
    [from(block("fd00:10:244:2::/64"))],
    allow("y/a > x/a 80 v6", "x/b > x/a 80 v6"),
    deny("y/b > x/a 80 v6", "y/a > x/a 80 v4"),
  ),
  one(
    "an IPv6 block with a hole",
    [from(block("fd00:10:244::/48", "fd00:10:244:2::11/128"))],
    allow("x/b > x/a 80 v6", "y/b > x/a 80 v6"),
    deny("y/a > x/a 80 v6"),
  ),
  one(
    "an IPv6 block that ends inside a group",
    [from(block("2001:db8:0:10::/60", "2001:db8:0:18::/61"))],
    allow("2001:db8:0:11::1 > x/a 80", "2001:db8:0:17::1 > x/a 80"),
    deny("2001:db8:0:18::1 > x/a 80", "2001:db8:0:1f::1 > x/a 80", "2001:db8:0:20::1 > x/a 80"),
  ),
  one(
    "an IPv4 block that ends inside a byte",
    [from(block("198.51.96.0/20", "198.51.104.0/21"))],
    allow("198.51.96.1 > x/a 80", "198.51.103.254 > x/a 80"),
    deny("198.51.104.1 > x/a 80", "198.51.111.254 > x/a 80", "198.51.112.1 > x/a 80"),
  ),
  one(
    "nested blocks of two rules with different ports",
    [
      policy("x/p", {
        podSelector: podA,
        ingress: [
          { from: [block("198.51.0.0/16")], ports: [{ port: 80 }] },
          { from: [block("198.51.100.0/24")], ports: [{ port: 81 }] },
          { from: [block("198.51.100.7/32")], ports: [{ port: 53, protocol: "UDP" }] },
        ],
      }),
    ],
    allow(
      "198.51.1.1 > x/a 80",
      "198.51.100.9 > x/a 80",
      "198.51.100.9 > x/a 81",
      "198.51.100.7 > x/a 53/UDP",
      "198.51.100.7 > x/a 80",
    ),
    deny("198.51.1.1 > x/a 81", "198.51.100.9 > x/a 53/UDP"),
  ),
  one(
    "a block and a selector are alternatives",
    [from(block("198.51.100.0/24"), { podSelector: {} })],
    allow("198.51.100.7 > x/a 80", "x/b > x/a 80"),
    deny("y/a > x/a 80", "203.0.113.9 > x/a 80"),
  ),
  one(
    "a block with ports",
    [ingress("x/p", podA, { from: [block("198.51.100.0/24")], ports: [{ port: 80, endPort: 81 }] })],
    allow("198.51.100.7 > x/a 80", "198.51.100.7 > x/a 81"),
    deny("198.51.100.7 > x/a 82", "198.51.100.7 > x/a 53/UDP", "203.0.113.9 > x/a 80"),
  ),
  one(
    "egress to a block reaches pods inside it",
    [to(block("10.244.2.0/24"))],
    allow("x/a > x/b 80", "x/a > y/a 53/UDP"),
    deny("x/a > y/b 80", "x/a > y/a 80 v6", "x/a > 198.51.100.7 80"),
  ),
  one(
    "egress to a block with a hole",
    [to(block("10.244.0.0/16", "10.244.2.11/32"))],
    allow("x/a > x/b 80", "x/a > y/b 80"),
    deny("x/a > y/a 80"),
  ),
  one(
    "egress to hosts outside",
    [to(block("198.51.100.0/24", "198.51.100.128/25"))],
    allow("x/a > 198.51.100.7 80", "x/a > 198.51.100.7 53/UDP"),
    deny("x/a > 198.51.100.200 80", "x/a > 203.0.113.9 80", "x/a > y/a 80"),
  ),
  one(
    "egress to hosts outside of IPv6",
    [to(block("2001:db8::/32", "2001:db8:bad::/48"))],
    allow("x/a > 2001:db8::7 80"),
    deny("x/a > 2001:db8:bad::7 80", "x/a > y/a 80 v6", "x/a > 198.51.100.7 80"),
  ),
  one(
    "egress to everything but the cluster",
    [to(block("0.0.0.0/0", "10.0.0.0/8"))],
    allow("x/a > 198.51.100.7 80"),
    deny("x/a > x/b 80", "x/a > y/a 80"),
  ),
  one(
    "egress to a block with a port",
    [egress("x/p", podA, { to: [block("198.51.100.0/24")], ports: [{ port: 53, protocol: "UDP" }, { port: 53 }] })],
    allow("x/a > 198.51.100.7 53/UDP", "x/a > 198.51.100.7 53"),
    deny("x/a > 198.51.100.7 80"),
  ),
  one(
    "an outside host meets an open pod and is met by one",
    [],
    allow("198.51.100.7 > x/a 80", "x/a > 198.51.100.7 80", "2001:db8::7 > y/a 80", "y/a > 2001:db8::7 53/UDP"),
  ),
  one(
    "no selector matches an outside host",
    [from({ namespaceSelector: {} }, { podSelector: {} })],
    deny("198.51.100.7 > x/a 80", "2001:db8::7 > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  one(
    "an address that is a pod's means the pod",
    [from({ namespaceSelector: labels({ team: "blue" }) })],
    allow("10.244.2.11 > x/a 80", "y/a > 10.244.1.10 80", "fd00:10:244:2::11 > x/a 80"),
    deny("10.244.2.10 > x/a 80", "z/a > 10.244.1.10 80"),
  ),
  one(
    "ICMP with blocks",
    [from(block("198.51.100.0/24"))],
    allow("198.51.100.7 > x/a ICMP"),
    deny("203.0.113.9 > x/a ICMP", "2001:db8::7 > x/a ICMPv6"),
  ),
]
