import { allow, type Case, deny, denyEgress, denyIngress, ingress, labels } from "../../builders.ts"
import { anp, banp, cnp, everyone, from, inWorld, pods, tcp, team, to } from "../builders.ts"

/** Tiers in their order, priorities in a tier, rules in a policy: the first that matches decides, Pass goes to the next tier. */
const one = inWorld("tiers")
const openToAll = ingress("x/open", {}, {})

export const tiers: readonly Case[] = [
  one(
    "an Admin rule that accepts wins over a NetworkPolicy that denies",
    [cnp("Admin 10 a", team("red"), { ingress: [from("Accept", team("blue"))] }), denyIngress("x")],
    allow("y/a > x/a 80", "y/b > x/b 53/UDP", "y/a > x/a 3868/SCTP"),
    deny("z/a > x/a 80", "x/b > x/a 80"),
  ),
  one(
    "an Admin rule that denies wins over a NetworkPolicy that allows",
    [cnp("Admin 10 a", team("red"), { ingress: [from("Deny", team("blue"))] }), openToAll],
    deny("y/a > x/a 80", "y/b > x/b 53/UDP"),
    allow("z/a > x/a 80", "x/b > x/a 80", "y/a > z/a 80"),
  ),
  one(
    "what no Admin rule matches goes on to NetworkPolicies and then is allowed",
    [cnp("Admin 10 a", team("red"), { ingress: [from("Accept", team("blue"), tcp(80))] })],
    allow("y/a > x/a 80", "y/a > x/a 81", "z/a > x/a 80"),
  ),
  one(
    "an Admin rule that passes leaves it to the NetworkPolicy",
    [
      cnp("Admin 10 a", team("red"), { ingress: [from("Pass", team("blue")), from("Deny", everyone)] }),
      ingress("x/p", labels({ pod: "a" }), { ports: [{ port: 80 }] }),
    ],
    allow("y/a > x/a 80", "y/a > x/b 81"),
    deny("y/a > x/a 81", "z/a > x/a 80", "z/a > x/b 80"),
  ),
  one(
    "Pass skips the rest of its tier, also later policies",
    [
      cnp("Admin 10 a", team("red"), { ingress: [from("Pass", team("blue"))] }),
      cnp("Admin 20 b", team("red"), { ingress: [from("Deny", everyone)] }),
    ],
    allow("y/a > x/a 80"),
    deny("z/a > x/a 80", "x/b > x/a 80"),
  ),
  one(
    "Pass where no NetworkPolicy selects the pod comes to the Baseline tier",
    [
      cnp("Admin 10 a", team("red"), { ingress: [from("Pass", everyone)] }),
      cnp("Baseline 10 b", team("red"), { ingress: [from("Deny", team("blue"))] }),
    ],
    deny("y/a > x/a 80"),
    allow("z/a > x/a 80", "x/b > x/a 80"),
  ),
  one(
    "a lower priority number decides first",
    [
      cnp("Admin 20 late", team("red"), { ingress: [from("Accept", everyone)] }),
      cnp("Admin 10 early", team("red"), { ingress: [from("Deny", team("blue"))] }),
    ],
    deny("y/a > x/a 80"),
    allow("z/a > x/a 80"),
  ),
  one(
    "priority 0 comes before 1 and 1000",
    [
      cnp("Admin 1000 last", everyone, { ingress: [from("Accept", everyone)] }),
      cnp("Admin 1 second", everyone, { ingress: [from("Accept", team("green"))] }),
      cnp("Admin 0 first", everyone, { ingress: [from("Deny", pods("", { app: "cache" }))] }),
    ],
    deny("z/a > x/a 80", "z/a > y/b 53/UDP"),
    allow("x/a > z/a 80"),
  ),
  one(
    "priorities compare as numbers, not as texts",
    [
      cnp("Admin 9 nine", team("red"), { ingress: [from("Accept", everyone)] }),
      cnp("Admin 10 ten", team("red"), { ingress: [from("Deny", everyone)] }),
    ],
    allow("y/a > x/a 80", "z/a > x/b 80"),
  ),
  one(
    "rules of one policy decide in the order in which they are written",
    [
      cnp("Admin 10 a", team("red"), {
        ingress: [from("Accept", pods("blue", { pod: "a" })), from("Deny", team("blue")), from("Accept", everyone)],
      }),
      denyIngress("x"),
    ],
    allow("y/a > x/a 80", "z/a > x/a 80", "x/b > x/a 80"),
    deny("y/b > x/a 80"),
  ),
  one(
    "the same rules the other way round",
    [
      cnp("Admin 10 a", team("red"), {
        ingress: [from("Deny", team("blue")), from("Accept", pods("blue", { pod: "a" }))],
      }),
    ],
    deny("y/a > x/a 80", "y/b > x/a 80"),
    allow("z/a > x/a 80"),
  ),
  one(
    "Baseline denies where no NetworkPolicy selects the pod",
    [cnp("Baseline 10 b", team("red"), { ingress: [from("Deny", team("blue"))] })],
    deny("y/a > x/a 80", "y/b > x/b 80"),
    allow("z/a > x/a 80", "x/a > y/a 80"),
  ),
  one(
    "a NetworkPolicy that allows overrides Baseline",
    [
      cnp("Baseline 10 b", team("red"), { ingress: [from("Deny", everyone)] }),
      ingress("x/p", labels({ pod: "a" }), {}),
    ],
    allow("y/a > x/a 80", "z/a > x/a 53/UDP"),
    deny("y/a > x/b 80", "x/a > x/b 80"),
  ),
  one(
    "a NetworkPolicy that selects a pod decides finally: Baseline cannot accept what it denies",
    [cnp("Baseline 10 b", team("red"), { ingress: [from("Accept", everyone)] }), denyIngress("x")],
    deny("y/a > x/a 80", "x/b > x/a 80"),
    allow("x/a > y/a 80"),
  ),
  one(
    "a NetworkPolicy for ingress leaves egress to Baseline",
    [cnp("Baseline 10 b", team("red"), { egress: [to("Deny", team("green"))] }), denyIngress("x")],
    deny("x/a > z/a 80", "y/a > x/a 80"),
    allow("x/a > y/a 80"),
  ),
  one(
    "Pass in Baseline is the end of all tiers: allowed",
    [
      cnp("Baseline 10 a", team("red"), { ingress: [from("Pass", team("blue"))] }),
      cnp("Baseline 20 b", team("red"), { ingress: [from("Deny", everyone)] }),
    ],
    allow("y/a > x/a 80"),
    deny("z/a > x/a 80"),
  ),
  one(
    "priorities in Baseline",
    [
      cnp("Baseline 5 a", team("red"), { ingress: [from("Accept", team("blue"), tcp(80))] }),
      cnp("Baseline 6 b", team("red"), { ingress: [from("Deny", everyone)] }),
    ],
    allow("y/a > x/a 80"),
    deny("y/a > x/a 81", "z/a > x/a 80"),
  ),
  one(
    "Admin and Baseline do not compare priorities: Admin 1000 comes before Baseline 0",
    [
      cnp("Admin 1000 a", team("red"), { ingress: [from("Accept", team("blue"))] }),
      cnp("Baseline 0 b", team("red"), { ingress: [from("Deny", everyone)] }),
    ],
    allow("y/a > x/a 80"),
    deny("z/a > x/a 80"),
  ),
  one(
    "all three tiers: Admin for one peer, NetworkPolicy for selected pods, Baseline for the rest",
    [
      cnp("Admin 10 a", team("red"), { ingress: [from("Deny", team("green"))] }),
      ingress("x/p", labels({ pod: "a" }), { from: [{ namespaceSelector: labels({ team: "blue" }) }] }),
      cnp("Baseline 10 b", everyone, { ingress: [from("Deny", everyone)] }),
    ],
    deny("z/a > x/a 80", "z/a > x/b 80", "x/b > x/a 80", "y/a > x/b 80", "x/a > y/a 80"),
    allow("y/a > x/a 80", "y/b > x/a 81"),
  ),
  one(
    "both ends are judged: egress of one, ingress of the other",
    [
      cnp("Admin 10 a", team("red"), { egress: [to("Accept", team("blue"))] }),
      cnp("Admin 20 b", team("blue"), { ingress: [from("Deny", team("red"), tcp(80))] }),
    ],
    deny("x/a > y/a 80"),
    allow("x/a > y/a 81", "z/a > y/a 80"),
  ),
  one(
    "accepting egress says nothing of ingress at the other end",
    [cnp("Admin 10 a", team("red"), { egress: [to("Accept", everyone)] }), denyIngress("y")],
    deny("x/a > y/a 80"),
    allow("x/a > z/a 80"),
  ),
  one(
    "a policy without ingress rules does not touch ingress",
    [cnp("Admin 10 a", team("red"), { egress: [to("Deny", everyone)] })],
    deny("x/a > y/a 80", "x/a > x/b 80"),
    allow("y/a > x/a 80", "z/a > x/b 80"),
  ),
  one(
    "a policy without any rules does nothing",
    [cnp("Admin 10 a", everyone, {})],
    allow("y/a > x/a 80", "x/a > z/a 80"),
  ),
  one(
    "an Admin rule that accepts egress wins over a NetworkPolicy that denies it",
    [cnp("Admin 10 a", team("red"), { egress: [to("Accept", team("blue"), tcp(80))] }), denyEgress("x")],
    allow("x/a > y/a 80"),
    deny("x/a > y/a 81", "x/a > z/a 80"),
  ),
  one(
    "replies need no rule",
    [cnp("Admin 10 a", team("red"), { egress: [to("Deny", everyone)] })],
    allow("y/a > x/a 80", "z/a > x/b 53/UDP"),
    deny("x/b > z/a 53/UDP"),
  ),
  one(
    "a pod reaches itself whatever the policy",
    [cnp("Admin 10 a", everyone, { ingress: [from("Deny", everyone)], egress: [to("Deny", everyone)] })],
    allow("x/a > x/a 80", "z/a > z/a 53/UDP"),
    deny("x/a > x/b 80"),
  ),
  one(
    "a node reaches its own pods before all tiers, other nodes do not match pods",
    [cnp("Admin 10 a", everyone, { ingress: [from("Deny", everyone)] })],
    allow("node:node-1 > x/a 80", "node:node-2 > x/a 80", "198.51.100.7 > x/a 80"),
    deny("x/b > x/a 80"),
  ),
  one(
    "AdminNetworkPolicy and ClusterNetworkPolicy share the Admin tier and its priorities",
    [
      anp("10 a", team("red"), { ingress: [{ action: "Allow", from: [team("blue")] }] }),
      cnp("Admin 20 b", team("red"), { ingress: [from("Deny", everyone)] }),
      cnp("Admin 5 c", team("red"), { ingress: [from("Deny", pods("blue", { pod: "b" }))] }),
    ],
    allow("y/a > x/a 80"),
    deny("y/b > x/a 80", "z/a > x/a 80"),
  ),
  one(
    "the BaselineAdminNetworkPolicy comes after the Baseline tier's ClusterNetworkPolicies",
    [
      banp(team("red"), { ingress: [{ action: "Deny", from: [everyone] }] }),
      cnp("Baseline 1000 b", team("red"), { ingress: [from("Accept", team("blue"))] }),
    ],
    allow("y/a > x/a 80"),
    deny("z/a > x/a 80"),
  ),
]
