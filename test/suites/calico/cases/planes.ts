import { allow, type Case, deny } from "../../builders.ts"
import { everyone, gnp, into, item, rule } from "../builders.ts"

const ping = (expect: "allow" | "deny", family: 4 | 6, icmpType: number, icmpCode = 0): object => ({
  ...(expect === "allow" ? allow : deny)(family === 4 ? "y/a > x/a ICMP" : "y/a > x/a ICMPv6 v6")[0],
  icmpType,
  icmpCode,
})

/** Where Calico's own planes disagree, the meaning that its API states (2.10). */
export const planes: readonly Case[] = [
  item(
    "2.10",
    "ICMPv6 by name is protocol 58",
    [into(rule("Allow", { protocol: "ICMPv6" }))],
    [ping("allow", 6, 128), ping("deny", 4, 8)],
    deny("y/a > x/a 80 v6"),
  ),
  item(
    "2.10",
    "ICMPv6 by number",
    [into(rule("Allow", { protocol: 58 }))],
    [ping("allow", 6, 128), ping("deny", 4, 8)],
    deny("y/a > x/a 80 v6"),
  ),
  item(
    "2.10",
    "ICMPv6 by name with a type",
    [into(rule("Allow", { protocol: "ICMPv6", icmp: { type: 128 } }))],
    [ping("allow", 6, 128), ping("deny", 6, 144)],
  ),
  item(
    "2.10",
    "UDPLite by name is protocol 136",
    [into(rule("Allow", { protocol: "UDPLite" }))],
    allow("y/a > x/a /136"),
    deny("y/a > x/a 53/UDP", "y/a > x/a /47"),
  ),
  item(
    "2.10",
    "notICMP with type and code excludes only both together",
    [into(rule("Allow", { protocol: "ICMP", notICMP: { type: 8, code: 0 } }))],
    [ping("deny", 4, 8, 0), ping("allow", 4, 8, 3), ping("allow", 4, 13, 0)],
  ),
  item(
    "2.10",
    "notICMP with type and code in IPv6",
    [into(rule("Allow", { protocol: "ICMPv6", notICMP: { type: 128, code: 0 } }))],
    [ping("deny", 6, 128, 0), ping("allow", 6, 128, 3), ping("allow", 6, 144, 0)],
  ),
  item(
    "2.10",
    "notICMP without a protocol speaks of ICMP alone: a TCP port is never mistaken for a type",
    [into(rule("Deny", { notICMP: { type: 8 } }), rule("Allow"))],
    [ping("allow", 4, 8), ping("deny", 4, 13)],
    allow("y/a > x/a 80", "y/a > x/a 2048", "y/a > x/a 53/UDP"),
  ),
  item(
    "2.10",
    "Log before Pass, at the end of which the profiles allow",
    [gnp("p", { ...everyone, ingress: [rule("Log"), rule("Pass")] })],
    allow("y/a > x/a 80", "198.51.100.7 > x/a 53/UDP"),
  ),
  item(
    "2.10",
    "applyOnForward changes nothing between pods, even where every tier passes",
    [gnp("p", { ...everyone, applyOnForward: true, ingress: [rule("Pass")] })],
    allow("y/a > x/a 80", "x/b > y/b 81"),
  ),
]
