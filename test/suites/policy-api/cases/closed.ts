import { allow, type Case, deny, denyIngress } from "../../builders.ts"
import { anp, cnp, everyone, from, inWorld, tcp, team, to } from "../builders.ts"

/**
 * Peers and ports of kinds that are not known, in an object that an API server accepted: "For Accept rules, fail closed means:
 * treat the rule as matching no traffic. For Deny and Pass rules: treat the rule as a Deny all rule."
 */
const one = inWorld("fail-closed")
const red = team("red")
const future = { workloadIdentities: { matchLabels: { a: "b" } } }

export const closed: readonly Case[] = [
  one(
    "an empty peer in an accepting rule matches nothing",
    [cnp("Admin 10 a", red, { ingress: [from("Accept", {})] }), denyIngress("x")],
    deny("y/a > x/a 80"),
    allow("x/a > y/a 80"),
  ),
  one(
    "an empty peer in a denying rule denies all",
    [cnp("Admin 10 a", red, { ingress: [from("Deny", {}, tcp(80))] })],
    deny("y/a > x/a 80", "y/a > x/a 81", "198.51.100.7 > x/a 80", "y/a > x/a ICMP"),
    allow("x/a > y/a 80"),
  ),
  one(
    "an empty peer in a passing rule denies all",
    [cnp("Admin 10 a", red, { ingress: [from("Pass", {})] })],
    deny("y/a > x/a 80", "z/a > x/a 53/UDP"),
    allow("y/a > z/a 80"),
  ),
  one(
    "rules before the one that is not understood still decide",
    [cnp("Admin 10 a", red, { ingress: [from("Accept", team("blue")), from("Deny", {})] })],
    allow("y/a > x/a 80"),
    deny("z/a > x/a 80"),
  ),
  one(
    "one peer of several that is not understood spoils an accepting rule",
    [cnp("Admin 10 a", red, { ingress: [{ action: "Accept", from: [team("blue"), {}] }] }), denyIngress("x")],
    deny("y/a > x/a 80"),
    allow("x/a > y/a 80"),
  ),
  one(
    "a peer of a kind from the future",
    [cnp("Admin 10 a", red, { egress: [to("Deny", future)] })],
    deny("x/a > y/a 80", "x/a > 198.51.100.7 80"),
    allow("y/a > x/a 80"),
  ),
  one(
    "a peer of a kind from the future in an accepting rule",
    [cnp("Admin 10 a", red, { egress: [to("Accept", future), to("Deny", everyone)] })],
    deny("x/a > y/a 80"),
    allow("x/a > 198.51.100.7 80"),
  ),
  one(
    "an empty protocol in an accepting rule matches nothing",
    [cnp("Admin 10 a", red, { ingress: [from("Accept", everyone, {})] }), denyIngress("x")],
    deny("y/a > x/a 80"),
    allow("x/a > y/a 80"),
  ),
  one(
    "an empty protocol in a denying rule denies all",
    [cnp("Admin 10 a", red, { ingress: [from("Deny", team("blue"), {})] })],
    deny("y/a > x/a 80", "z/a > x/a 80"),
    allow("x/a > y/a 80"),
  ),
  one(
    "in Baseline",
    [cnp("Baseline 10 a", red, { ingress: [from("Deny", {})] })],
    deny("y/a > x/a 80"),
    allow("x/a > y/a 80"),
  ),
  one(
    "in v1alpha1",
    [anp("10 a", red, { egress: [{ action: "Pass", to: [{}] }] })],
    deny("x/a > y/a 80", "x/a > 198.51.100.7 80"),
    allow("y/a > x/a 80"),
  ),
  one(
    "a port of v1alpha1 that is not understood",
    [anp("10 a", red, { ingress: [{ action: "Allow", from: [everyone], ports: [{}] }] }), denyIngress("x")],
    deny("y/a > x/a 80"),
    allow("x/a > y/a 80"),
  ),
]
