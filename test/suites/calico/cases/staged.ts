import { allow, type Case, deny, policy } from "../../builders.ts"
import { everyone, from, gnp, item, np, rule, staged, tier } from "../builders.ts"

/** Staged policies are evaluated beside the enforced ones and never decide (2.9, 2.3). */
export const stagedCases: readonly Case[] = [
  item(
    "2.9",
    "a staged policy denies nothing",
    [staged("NetworkPolicy", "x/p", { selector: "all()", types: ["Ingress"] })],
    allow("y/a > x/a 80"),
  ),
  item(
    "2.9",
    "a staged global policy denies nothing",
    [staged("GlobalNetworkPolicy", "p", { ...everyone, ingress: [rule("Deny")] })],
    allow("y/a > x/a 80", "x/a > z/a 80"),
  ),
  item(
    "2.9",
    "a staged policy allows nothing",
    [
      staged("GlobalNetworkPolicy", "p", { ...everyone, order: 1, ingress: [rule("Allow")] }),
      gnp("q", { ...everyone, order: 2, ingress: [from({ selector: "app == 'db'" })] }),
    ],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    "2.9",
    "a staged policy leaves the enforced one of its name in force",
    [
      np("x/p", { selector: "pod == 'a'", types: ["Ingress"], ingress: [from({ selector: "pod == 'b'" })] }),
      staged("NetworkPolicy", "x/p", { selector: "pod == 'a'", types: ["Ingress"], ingress: [rule("Allow")] }),
    ],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    "2.9",
    "a staged policy that came first leaves the enforced one of its name in force",
    [
      staged("NetworkPolicy", "x/p", { selector: "pod == 'a'", types: ["Ingress"], ingress: [rule("Allow")] }),
      np("x/p", { selector: "pod == 'a'", types: ["Ingress"] }),
    ],
    deny("y/a > x/a 80", "x/b > x/a 80"),
  ),
  item(
    "2.9",
    "a staged deletion deletes nothing",
    [gnp("p", everyone), staged("GlobalNetworkPolicy", "p", { stagedAction: "Delete" })],
    deny("y/a > x/a 80"),
  ),
  item(
    "2.9",
    "a staged Kubernetes policy leaves the enforced one of its name in force",
    [
      policy("x/p", { podSelector: {}, policyTypes: ["Ingress"] }),
      staged("KubernetesNetworkPolicy", "x/p", { podSelector: {}, policyTypes: ["Ingress"], ingress: [{}] }),
    ],
    deny("y/a > x/a 80"),
  ),
  item(
    "2.9",
    "a staged Kubernetes policy denies nothing",
    [staged("KubernetesNetworkPolicy", "x/p", { podSelector: {}, egress: [{}] })],
    allow("y/a > x/a 80", "x/a > y/a 80"),
  ),
  item(
    "2.9",
    "a staged deletion of a Kubernetes policy deletes nothing",
    [policy("x/p", { podSelector: {} }), staged("KubernetesNetworkPolicy", "x/p", { stagedAction: "Delete" })],
    deny("y/a > x/a 80"),
  ),
  item(
    "2.9",
    "a tier whose policies here are all staged is not there",
    [tier("security", { order: 100 }), staged("GlobalNetworkPolicy", "security.p", { ...everyone, tier: "security" })],
    allow("y/a > x/a 80"),
  ),
  item(
    "2.9",
    "a staged policy beside an enforced one does not keep the tier's end away",
    [
      tier("security", { order: 100 }),
      staged("GlobalNetworkPolicy", "security.open", { ...everyone, tier: "security", ingress: [rule("Allow")] }),
      gnp("security.some", { ...everyone, tier: "security", ingress: [from({ selector: "app == 'db'" })] }),
    ],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
]
