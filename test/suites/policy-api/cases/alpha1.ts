import { allow, type Case, deny, denyIngress, ingress } from "../../builders.ts"
import { anp, banp, everyone, inWorld, labelledNodes, networks, nodes, pods, team } from "../builders.ts"

/** AdminNetworkPolicy and BaselineAdminNetworkPolicy v1alpha1. */
const one = inWorld("v1alpha1")
const red = team("red")
const rule = (action: string, side: "from" | "to", peer: object, ...ports: readonly object[]): object => ({
  action,
  [side]: [peer],
  ...(ports.length === 0 ? {} : { ports }),
})
const port = (number: number): object => ({ portNumber: { protocol: "TCP", port: number } })

export const alpha1: readonly Case[] = [
  one(
    "Allow wins over a NetworkPolicy",
    [anp("10 a", red, { ingress: [rule("Allow", "from", team("blue"))] }), denyIngress("x")],
    allow("y/a > x/a 80"),
    deny("z/a > x/a 80"),
  ),
  one(
    "Deny wins over a NetworkPolicy",
    [anp("10 a", red, { ingress: [rule("Deny", "from", team("blue"))] }), ingress("x/p", {}, {})],
    deny("y/a > x/a 80"),
    allow("z/a > x/a 80"),
  ),
  one(
    "Pass leaves it to the NetworkPolicy",
    [
      anp("10 a", red, { ingress: [rule("Pass", "from", team("blue")), rule("Deny", "from", everyone)] }),
      denyIngress("x"),
    ],
    deny("y/a > x/a 80", "z/a > x/a 80"),
    allow("x/a > y/a 80"),
  ),
  one(
    "Pass leaves it to the baseline where no NetworkPolicy selects the pod",
    [
      anp("10 a", red, { ingress: [rule("Pass", "from", team("blue")), rule("Allow", "from", everyone)] }),
      banp(red, { ingress: [rule("Deny", "from", everyone)] }),
    ],
    deny("y/a > x/a 80"),
    allow("z/a > x/a 80"),
  ),
  one(
    "priorities",
    [
      anp("60 late", red, { egress: [rule("Allow", "to", everyone)] }),
      anp("50 early", red, { egress: [rule("Deny", "to", team("blue"), port(80))] }),
    ],
    deny("x/a > y/a 80"),
    allow("x/a > y/a 81", "x/a > z/a 80"),
  ),
  one(
    "the baseline denies what nobody speaks of",
    [banp(everyone, { ingress: [rule("Deny", "from", everyone)] })],
    deny("x/a > y/a 80", "y/a > x/b 53/UDP"),
    allow("x/a > x/a 80", "198.51.100.7 > x/a 80"),
  ),
  one(
    "a NetworkPolicy overrides the baseline for the pods that it selects",
    [
      banp(everyone, { ingress: [rule("Deny", "from", everyone)] }),
      ingress("x/p", { matchLabels: { pod: "a" } }, { from: [{ namespaceSelector: {} }] }),
    ],
    allow("y/a > x/a 80"),
    deny("y/a > x/b 80", "x/a > y/a 80"),
  ),
  one(
    "rules of the baseline in their order",
    [
      banp(red, {
        ingress: [rule("Allow", "from", pods("blue", { app: "web" }), port(80)), rule("Deny", "from", everyone)],
      }),
    ],
    allow("y/a > x/a 80"),
    deny("y/a > x/a 81", "y/b > x/a 80"),
  ),
  one(
    "the baseline for egress to networks",
    [
      banp(red, {
        egress: [rule("Allow", "to", networks("198.51.100.0/24")), rule("Deny", "to", networks("0.0.0.0/0"))],
      }),
    ],
    allow("x/a > 198.51.100.7 80", "x/a > y/a 80 v6"),
    deny("x/a > 203.0.113.7 80", "x/a > y/a 80 v4"),
  ),
  one(
    "nodes",
    [
      ...labelledNodes(),
      anp("10 a", red, {
        egress: [rule("Allow", "to", nodes({ zone: "b" }), port(6443)), rule("Deny", "to", { nodes: {} })],
      }),
    ],
    allow("x/a > node:node-2 6443", "x/a > y/a 80"),
    deny("x/a > node:node-2 80", "x/a > node:node-1 6443"),
  ),
  one(
    "a subject of pods",
    [anp("10 a", pods("red", { app: "db" }), { ingress: [rule("Deny", "from", everyone)] })],
    deny("x/a > x/b 80"),
    allow("y/a > x/a 80"),
  ),
  one(
    "all three languages of SIG network at once",
    [
      anp("30 a", red, { ingress: [rule("Deny", "from", team("green")), rule("Pass", "from", team("blue"))] }),
      ingress("x/p", { matchLabels: { pod: "a" } }, { ports: [{ port: 80 }] }),
      banp(everyone, { ingress: [rule("Deny", "from", everyone)] }),
    ],
    allow("y/a > x/a 80", "x/b > x/a 80"),
    deny("z/a > x/a 80", "y/a > x/a 81", "y/a > x/b 80", "x/a > y/a 80"),
  ),
]
