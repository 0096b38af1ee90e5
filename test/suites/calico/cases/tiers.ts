import { allow, type Case, deny, policy } from "../../builders.ts"
import { everyone, from, gnp, item, np, rule, tier } from "../builders.ts"

const db = { selector: "app == 'db'" }
const allowAll = rule("Allow")
const denyAll = rule("Deny")

/** Order of tiers, policies and rules; what happens at the end of a tier (2.3). */
export const tiers: readonly Case[] = [
  item(
    "2.3",
    "no policy: everything is allowed",
    [],
    allow("x/b > x/a 80", "198.51.100.7 > x/a 80", "x/a > 198.51.100.7 80"),
  ),
  item(
    "2.3",
    "a policy without rules denies",
    [np("x/p", { selector: "all()" })],
    deny("y/a > x/a 80"),
    allow("x/a > y/a 80"),
  ),
  item(
    "2.3",
    "egress rules alone mean type Egress",
    [np("x/p", { selector: "all()", egress: [allowAll] })],
    allow("y/a > x/a 80", "x/a > y/a 80"),
  ),
  item(
    "2.3",
    "rules of both directions mean both types",
    [np("x/p", { selector: "all()", ingress: [from({ selector: "pod == 'b'" })], egress: [rule("Deny")] })],
    deny("x/b > y/a 80", "y/a > x/a 80"),
    allow("y/a > y/b 80"),
  ),
  item(
    "2.3",
    "ingress rules alone mean type Ingress",
    [np("x/p", { selector: "all()", ingress: [denyAll] })],
    deny("y/a > x/a 80"),
    allow("x/a > y/a 80"),
  ),
  item(
    "2.3",
    "types win over the rules that are there",
    [np("x/p", { selector: "all()", types: ["Egress"], ingress: [denyAll], egress: [from({})] })],
    allow("y/a > x/a 80", "x/a > y/a 80"),
  ),
  item(
    "2.3",
    "the first rule that matches decides",
    [np("x/p", { selector: "pod == 'a'", ingress: [rule("Deny", { source: db }), allowAll] })],
    deny("x/b > x/a 80 by:default/NetworkPolicy x/p ingress[0]"),
    allow("y/a > x/a 80 by:default/NetworkPolicy x/p ingress[1]"),
  ),
  item(
    "2.3",
    "a narrow allow before a broad deny",
    [np("x/p", { selector: "pod == 'a'", ingress: [from(db), denyAll] })],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "lower order goes first",
    [
      gnp("late", { ...everyone, order: 20, ingress: [allowAll] }),
      gnp("soon", { ...everyone, order: 10, ingress: [rule("Deny", { source: db })] }),
    ],
    deny("x/b > x/a 80", "y/b > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "orders may be fractions and negative",
    [
      gnp("a", { ...everyone, order: 0.5, ingress: [allowAll] }),
      gnp("b", { ...everyone, order: -1.5, ingress: [rule("Deny", { source: db })] }),
    ],
    deny("x/b > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "no order is last",
    [
      gnp("a", { ...everyone, ingress: [denyAll] }),
      gnp("b", { ...everyone, order: 1_000_000_000, ingress: [from(db)] }),
    ],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "equal orders go by name",
    [
      gnp("b", { ...everyone, order: 5, ingress: [allowAll] }),
      gnp("a", { ...everyone, order: 5, ingress: [rule("Deny", { source: db })] }),
    ],
    deny("x/b > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "names are compared with namespace and kind behind a slash, so a longer name may go first",
    [
      gnp("a", { ...everyone, order: 5, ingress: [allowAll] }),
      gnp("a-b", { ...everyone, order: 5, ingress: [rule("Deny", { source: db })] }),
    ],
    deny("x/b > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "of one name the global policy goes first: its namespace is empty",
    [
      np("x/p", { selector: "all()", types: ["Ingress"], order: 5, ingress: [allowAll] }),
      gnp("p", { ...everyone, order: 5, ingress: [rule("Deny", { source: db })] }),
    ],
    deny("x/b > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "policies of one tier: the end of the tier comes after all of them",
    [
      np("x/p", { selector: "all()", types: ["Ingress"], order: 1, ingress: [from(db)] }),
      gnp("q", { ...everyone, order: 2, ingress: [from({ selector: "app == 'cache'" })] }),
    ],
    allow("x/b > x/a 80", "z/a > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "an earlier tier decides first",
    [
      tier("security", { order: 100 }),
      gnp("security.deny-db", { ...everyone, tier: "security", ingress: [rule("Deny", { source: db }), rule("Pass")] }),
      gnp("open", { ...everyone, ingress: [allowAll] }),
    ],
    deny("x/b > x/a 80 by:security/GlobalNetworkPolicy security.deny-db ingress[0]"),
    allow("y/a > x/a 80 by:default/GlobalNetworkPolicy open ingress[0]"),
  ),
  item(
    "2.3",
    "what an earlier tier allows no later one denies",
    [
      tier("security", { order: 100 }),
      gnp("security.allow-db", { ...everyone, tier: "security", ingress: [from(db), rule("Pass")] }),
      gnp("closed", everyone),
    ],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "the end of a tier denies what its policies left over",
    [
      tier("security", { order: 100 }),
      gnp("security.allow-db", { ...everyone, tier: "security", ingress: [from(db)] }),
      gnp("open", { ...everyone, ingress: [allowAll] }),
    ],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "a tier that passes by default leaves the rest to the next",
    [
      tier("security", { order: 100, defaultAction: "Pass" }),
      gnp("security.deny-db", { ...everyone, tier: "security", ingress: [rule("Deny", { source: db })] }),
    ],
    deny("x/b > x/a 80"),
    allow("y/a > x/a 80", "198.51.100.7 > x/a 80"),
  ),
  item(
    "2.3",
    "a tier whose policies select nothing here is not there",
    [
      tier("security", { order: 100 }),
      gnp("security.y", {
        selector: "all()",
        namespaceSelector: "team == 'blue'",
        tier: "security",
        types: ["Ingress"],
      }),
    ],
    deny("x/a > y/a 80"),
    allow("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "a tier whose policies speak of the other direction is not there",
    [tier("security", { order: 100 }), gnp("security.e", { selector: "all()", tier: "security", types: ["Egress"] })],
    deny("x/a > y/a 80 by:security/GlobalNetworkPolicy security.e default-deny egress"),
    allow("198.51.100.7 > x/a 80"),
  ),
  item(
    "2.3",
    "Pass skips the rest of its tier, later policies included",
    [
      tier("security", { order: 100 }),
      gnp("security.a", { ...everyone, tier: "security", order: 1, ingress: [rule("Pass", { source: db })] }),
      gnp("security.b", { ...everyone, tier: "security", order: 2, ingress: [denyAll] }),
    ],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "Pass out of the last tier leads to the profiles, which allow",
    [np("x/p", { selector: "pod == 'a'", types: ["Ingress"], ingress: [rule("Pass", { source: db }), denyAll] })],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "a tier without order is last",
    [
      tier("last", {}),
      gnp("last.open", { ...everyone, tier: "last", ingress: [allowAll] }),
      gnp("closed", { ...everyone, ingress: [rule("Deny", { source: db }), rule("Pass")] }),
    ],
    deny("x/b > x/a 80"),
    allow("y/a > x/a 80 by:last/GlobalNetworkPolicy last.open ingress[0]"),
  ),
  item(
    "2.3",
    "tiers of one order go by name",
    [
      tier("b", { order: 7 }),
      tier("a", { order: 7 }),
      gnp("b.p", { ...everyone, tier: "b", ingress: [allowAll] }),
      gnp("a.p", { ...everyone, tier: "a", ingress: [rule("Deny", { source: db }), rule("Pass")] }),
    ],
    deny("x/b > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "a tier behind default is reached only by a pass",
    [
      tier("late", { order: 2_000_000 }),
      gnp("late.open", { ...everyone, tier: "late", ingress: [allowAll] }),
      np("x/p", { selector: "pod == 'a'", types: ["Ingress"], ingress: [rule("Pass", { source: db })] }),
    ],
    allow("x/b > x/a 80", "y/a > x/b 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "policies of a tier that nobody made are enforced last, and deny what they leave over",
    [gnp("ghost.p", { ...everyone, tier: "ghost", ingress: [from(db)] })],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "a tier that nobody made stands behind all others",
    [
      gnp("ghost.p", { ...everyone, tier: "ghost" }),
      gnp("p", { ...everyone, ingress: [from(db), rule("Pass", { source: { selector: "app == 'cache'" } })] }),
    ],
    allow("x/b > x/a 80"),
    deny("z/a > x/a 80", "y/a > x/a 80"),
  ),
  item(
    "2.3",
    "Log goes on to the next rule and decides nothing",
    [np("x/p", { selector: "pod == 'a'", types: ["Ingress"], ingress: [rule("Log"), from(db)] })],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "Log alone leaves the packet to the end of the tier",
    [np("x/p", { selector: "pod == 'a'", ingress: [rule("Log")] })],
    deny("y/a > x/a 80"),
  ),
  item(
    "2.3",
    "both ends must allow",
    [
      np("x/p", {
        selector: "pod == 'a'",
        types: ["Egress"],
        egress: [rule("Allow", { destination: { namespaceSelector: "team == 'blue'" } })],
      }),
      np("y/p", { selector: "pod == 'a'", types: ["Ingress"] }),
    ],
    deny("x/a > y/a 80", "x/a > z/a 80"),
    allow("x/a > y/b 80"),
  ),
  item(
    "2.3",
    "the node of a pod reaches it whatever the policy, other nodes do not",
    [gnp("p", everyone)],
    allow("node:node-1 > x/a 80", "node:node-2 > x/b 80"),
    deny("node:node-2 > x/a 80"),
  ),
  item(
    "2.3",
    "untracked and pre-DNAT policies are not about workloads",
    [
      gnp("untracked", {
        selector: "all()",
        types: ["Ingress"],
        doNotTrack: true,
        applyOnForward: true,
        ingress: [denyAll],
      }),
      gnp("early", { selector: "all()", types: ["Ingress"], preDNAT: true, applyOnForward: true, ingress: [denyAll] }),
    ],
    allow("y/a > x/a 80", "198.51.100.7 > x/a 80"),
  ),
  item(
    "2.3",
    "a policy with applyOnForward is about workloads too",
    [gnp("p", { ...everyone, applyOnForward: true })],
    deny("y/a > x/a 80"),
  ),
  item(
    "2.7",
    "a Kubernetes policy stands at order 1000: a Calico deny before it wins",
    [
      gnp("deny-db", { ...everyone, order: 900, ingress: [rule("Deny", { source: db })] }),
      policy("x/open", { podSelector: {}, policyTypes: ["Ingress"], ingress: [{}] }),
    ],
    deny("x/b > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  item(
    "2.7",
    "a Kubernetes policy stands at order 1000: a Calico deny behind it loses",
    [
      gnp("deny-all", { ...everyone, order: 1001, ingress: [denyAll] }),
      policy("x/web", {
        podSelector: {},
        policyTypes: ["Ingress"],
        ingress: [{ from: [{ podSelector: { matchLabels: { app: "db" } } }] }],
      }),
    ],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80", "y/b > x/a 80"),
  ),
  item(
    "2.7",
    "at order 1000 a Kubernetes policy is sorted among Calico's by name: behind",
    [
      gnp("a-deny", { ...everyone, order: 1000, ingress: [rule("Deny", { source: db })] }),
      policy("x/open", { podSelector: {}, policyTypes: ["Ingress"], ingress: [{}] }),
    ],
    deny("x/b > x/a 80"),
    allow("y/a > x/a 80"),
  ),
  item(
    "2.7",
    "at order 1000 a Kubernetes policy is sorted among Calico's by name: before",
    [
      gnp("z-deny", { ...everyone, order: 1000, ingress: [rule("Deny", { source: db })] }),
      policy("x/open", { podSelector: {}, policyTypes: ["Ingress"], ingress: [{}] }),
    ],
    allow("x/b > x/a 80", "y/a > x/a 80"),
    deny("x/b > y/a 80"),
  ),
  item(
    "2.7",
    "the end of tier default comes after Calico's and Kubernetes policies alike",
    [
      np("x/calico", { selector: "pod == 'a'", types: ["Ingress"], ingress: [from(db)] }),
      policy("x/kubernetes", {
        podSelector: { matchLabels: { pod: "a" } },
        policyTypes: ["Ingress"],
        ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: "green" } } }] }],
      }),
    ],
    allow("x/b > x/a 80", "z/a > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    "2.8",
    "a user tier before kube-admin decides before the cluster's administrators",
    [
      tier("first", { order: 10 }),
      gnp("first.allow-db", { ...everyone, tier: "first", ingress: [from(db), rule("Pass")] }),
      {
        apiVersion: "policy.networking.k8s.io/v1alpha2",
        kind: "ClusterNetworkPolicy",
        metadata: { name: "deny" },
        spec: {
          tier: "Admin",
          priority: 0,
          subject: { namespaces: {} },
          ingress: [{ action: "Deny", from: [{ namespaces: {} }] }],
        },
      },
    ],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
]
