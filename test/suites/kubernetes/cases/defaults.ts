import { allow, type Case, deny, denyEgress, denyIngress, policy, world } from "../../builders.ts"

/** What isolates a pod, in which direction, and what that means with no rule, one rule and rules for all. */
const all = {}
const onlyXa = { matchLabels: { pod: "a" } }

function one(name: string, policies: readonly object[], ...probes: readonly (readonly object[])[]): Case {
  return { name, tags: ["defaults"], manifests: [...world(), ...policies], probes: probes.flat() }
}

export const defaults: readonly Case[] = [
  one(
    "without a policy everything is allowed",
    [],
    allow("x/a > x/b 80", "y/a > x/a 53/UDP", "z/a > y/b 3868/SCTP", "x/a > z/a 80 v6"),
  ),
  one(
    "default deny ingress isolates every pod of the namespace and no other",
    [denyIngress("x")],
    deny("x/b > x/a 80", "y/a > x/a 80", "z/a > x/b 53/UDP", "y/b > x/b 3868/SCTP", "y/a > x/a 80 v6"),
    allow("x/a > y/a 80", "y/a > y/b 80", "x/a > x/a 80"),
  ),
  one(
    "default deny egress isolates every pod of the namespace and no other",
    [denyEgress("x")],
    deny("x/a > x/b 80", "x/a > y/a 80", "x/b > z/a 53/UDP", "x/a > y/b 81 v6"),
    allow("y/a > x/a 80", "z/a > x/b 53/UDP", "x/a > x/a 81"),
  ),
  one(
    "default deny of both directions",
    [policy("x/deny-all", { podSelector: all, policyTypes: ["Ingress", "Egress"] })],
    deny("x/a > x/b 80", "x/a > y/a 80", "y/a > x/a 80", "z/a > x/b 3868/SCTP"),
    allow("y/a > z/a 80", "x/b > x/b 80"),
  ),
  one(
    "the default deny is named as what decided",
    [denyIngress("x"), denyEgress("y")],
    deny(
      "z/a > x/a 80 by:NetworkPolicy x/deny-ingress",
      "y/a > z/a 80 by:default/NetworkPolicy y/deny-egress default-deny egress",
    ),
  ),
  one(
    "without policyTypes a policy isolates for ingress",
    [policy("x/implied", { podSelector: all })],
    deny("y/a > x/a 80", "x/a > x/b 80"),
    allow("x/a > y/a 80"),
  ),
  one(
    "without policyTypes a policy with egress rules isolates for both",
    [
      policy("x/implied", {
        podSelector: all,
        egress: [{ to: [{ namespaceSelector: { matchLabels: { team: "blue" } } }] }],
      }),
    ],
    deny("y/a > x/a 80", "x/a > z/a 80", "x/a > x/b 80"),
    allow("x/a > y/a 80", "x/b > y/b 53/UDP"),
  ),
  one(
    "without policyTypes an empty list of egress rules does not isolate for egress",
    [policy("x/implied", { podSelector: all, egress: [] })],
    deny("y/a > x/a 80"),
    allow("x/a > y/a 80", "x/b > z/a 80"),
  ),
  one(
    "without policyTypes ingress rules are in force and egress is open",
    [policy("x/implied", { podSelector: onlyXa, ingress: [{ ports: [{ port: 80 }] }] })],
    allow("y/a > x/a 80", "x/a > z/a 53/UDP"),
    deny("y/a > x/a 81", "y/a > x/a 53/UDP"),
  ),
  one(
    "an empty list of policyTypes counts as none given",
    [policy("x/implied", { podSelector: all, policyTypes: [], egress: [{}] })],
    deny("y/a > x/a 80"),
    allow("x/a > y/a 80"),
  ),
  one(
    "ingress rules have no effect when policyTypes names only Egress",
    [policy("x/egress-only", { podSelector: all, policyTypes: ["Egress"], ingress: [{ ports: [{ port: 80 }] }] })],
    allow("y/a > x/a 81", "z/a > x/b 53/UDP"),
    deny("x/a > y/a 80", "x/a > x/b 80"),
  ),
  one(
    "egress rules have no effect when policyTypes names only Ingress",
    [policy("x/ingress-only", { podSelector: all, policyTypes: ["Ingress"], egress: [{ ports: [{ port: 80 }] }] })],
    allow("x/a > y/a 81", "x/a > z/a 53/UDP"),
    deny("y/a > x/a 80", "x/a > x/b 80"),
  ),
  one(
    "an empty ingress rule allows all",
    [policy("x/open", { podSelector: all, ingress: [{}] })],
    allow("y/a > x/a 80", "z/a > x/b 53/UDP", "x/b > x/a 3868/SCTP by:NetworkPolicy x/open ingress[0]"),
  ),
  one(
    "an empty ingress rule opens what a default deny beside it closes",
    [denyIngress("x"), policy("x/open", { podSelector: onlyXa, ingress: [{}] })],
    allow("y/a > x/a 80", "x/b > x/a 81", "z/a > x/a 3868/SCTP"),
    deny("y/a > x/b 80", "x/a > x/b 80"),
  ),
  one(
    "an empty egress rule allows all",
    [denyEgress("x"), policy("x/open", { podSelector: onlyXa, policyTypes: ["Egress"], egress: [{}] })],
    allow("x/a > y/a 80", "x/a > z/a 53/UDP", "x/a > x/b 81 v6"),
    deny("x/b > x/a 80", "x/b > y/a 80"),
  ),
  one(
    "an empty list of ingress rules allows nothing",
    [policy("x/nothing", { podSelector: onlyXa, policyTypes: ["Ingress"], ingress: [] })],
    deny("y/a > x/a 80", "x/b > x/a 80"),
    allow("y/a > x/b 80"),
  ),
  one(
    "an empty list of egress rules allows nothing",
    [policy("x/nothing", { podSelector: onlyXa, policyTypes: ["Egress"], egress: [] })],
    deny("x/a > y/a 80", "x/a > x/b 80"),
    allow("x/b > y/a 80"),
  ),
  one(
    "empty from and empty ports mean everyone and every port",
    [policy("x/open", { podSelector: all, ingress: [{ from: [], ports: [] }] })],
    allow("y/a > x/a 80", "z/a > x/b 53/UDP", "x/a > x/b 3868/SCTP"),
  ),
  one(
    "empty to and empty ports mean everywhere and every port",
    [policy("x/open", { podSelector: all, policyTypes: ["Egress"], egress: [{ to: [], ports: [] }] })],
    allow("x/a > y/a 80", "x/b > z/a 53/UDP"),
  ),
  one(
    "a policy that selects no pod changes nothing",
    [policy("x/nobody", { podSelector: { matchLabels: { pod: "nobody" } }, policyTypes: ["Ingress", "Egress"] })],
    allow("y/a > x/a 80", "x/a > y/a 80"),
  ),
  one(
    "a policy counts only in its own namespace",
    [policy("y/deny", { podSelector: onlyXa, policyTypes: ["Ingress"] })],
    allow("z/a > x/a 80"),
    deny("z/a > y/a 80"),
  ),
  one(
    "ingress must be allowed at the receiver and egress at the sender",
    [
      denyEgress("x"),
      denyIngress("y"),
      policy("x/to-y", {
        podSelector: all,
        policyTypes: ["Egress"],
        egress: [{ to: [{ namespaceSelector: { matchLabels: { team: "blue" } } }] }],
      }),
      policy("y/a-from-x", {
        podSelector: onlyXa,
        ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: "red" } } }], ports: [{ port: 80 }] }],
      }),
    ],
    allow("x/a > y/a 80", "x/b > y/a 80 v6"),
    deny("x/a > y/b 80", "x/a > y/a 81", "x/a > z/a 80", "z/a > y/a 80"),
  ),
  one(
    "policies add up: what any of them allows is allowed",
    [
      denyIngress("x"),
      policy("x/one", { podSelector: onlyXa, ingress: [{ from: [{ podSelector: { matchLabels: { pod: "b" } } }] }] }),
      policy("x/two", {
        podSelector: onlyXa,
        ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: "blue" } } }], ports: [{ port: 80 }] }],
      }),
      policy("x/three", { podSelector: all, ingress: [{ ports: [{ port: 53, protocol: "UDP" }] }] }),
    ],
    allow("x/b > x/a 81", "y/a > x/a 80", "z/a > x/a 53/UDP", "z/a > x/b 53/UDP"),
    deny("y/a > x/a 81", "z/a > x/a 80", "x/a > x/b 80"),
  ),
  one(
    "rules of one policy add up",
    [
      policy("x/two-rules", {
        podSelector: all,
        ingress: [{ ports: [{ port: 80 }] }, { from: [{ podSelector: {} }], ports: [{ port: 81 }] }],
      }),
    ],
    allow("y/a > x/a 80", "x/b > x/a 81 by:x/two-rules ingress[1]", "x/b > x/a 80 by:x/two-rules ingress[0]"),
    deny("y/a > x/a 81", "x/b > x/a 53/UDP"),
  ),
  one(
    "a reply needs no rule of its own",
    [denyIngress("x"), policy("y/web", { podSelector: all, ingress: [{ ports: [{ port: 80 }] }] })],
    allow("x/a > y/a 80", "x/b > y/b 80"),
    deny("y/a > x/a 80"),
  ),
  {
    name: "denials are silent",
    tags: ["defaults", "denial"],
    denial: "drop",
    manifests: [...world(), denyIngress("x"), denyEgress("z")],
    probes: [
      ...deny("y/a > x/a 80", "y/a > x/a 53/UDP", "z/a > y/a 80", "z/a > y/b 3868/SCTP", "y/b > x/b 80 v6"),
      ...allow("x/a > y/a 80"),
    ],
  },
]
