import { allow, type Case, deny, denyIngress, ingress } from "../../builders.ts"
import { everyone, from, gnp, into, rule, stored, tier } from "../../calico/builders.ts"
import { cnp as cilium } from "../../cilium/builders.ts"
import { cnp as clusterPolicy, everyone as everyNamespace, from as peer, pods } from "../../policy-api/builders.ts"
import { item } from "../builders.ts"

const podA = { matchLabels: { pod: "a" } }
const db = { matchLabels: { app: "db" } }

const steps = (group: string, ...cases: readonly Case[]): readonly Case[] =>
  cases.map((one, step) => ({ ...one, name: `${one.name} (${group}, step ${step})`, group: `mixed-${group}`, step }))

const kubernetes = ingress("x/k", podA, { from: [{ podSelector: db }] })
const denial = cilium("x/c", { endpointSelector: podA, ingressDeny: [{ fromEndpoints: [db] }] })
const early = gnp("early", { ...everyone, order: 1, ingress: [from({ selector: "app == 'db'" }), rule("Pass")] })
const administrators = clusterPolicy("Admin 5 a", everyNamespace, { ingress: [peer("Deny", pods("", { app: "db" }))] })

/** Policies of several languages come and go. */
export const histories: readonly Case[] = [
  ...steps(
    "layers come one by one",
    item([], "nothing yet", [], allow("x/b > x/a 80", "y/a > x/a 80")),
    item(["kubernetes"], "a Kubernetes allow", [kubernetes], allow("x/b > x/a 80"), deny("y/a > x/a 80")),
    item(["kubernetes", "cilium"], "a Cilium deny", [kubernetes, denial], deny("x/b > x/a 80", "y/a > x/a 80")),
    item(
      ["kubernetes", "cilium", "calico"],
      "a Calico policy before it",
      [kubernetes, denial, early],
      allow("x/b > x/a 80", "y/a > x/a 80"),
    ),
    item(
      ["kubernetes", "cilium", "calico", "policy-api"],
      "the administrators before all",
      [kubernetes, denial, early, administrators],
      deny("x/b > x/a 80"),
      allow("y/a > x/a 80"),
    ),
    item(["cilium", "calico"], "two of them gone", [denial, early], allow("x/b > x/a 80", "y/a > x/a 80")),
    item(["cilium"], "the deny alone", [denial], deny("x/b > x/a 80", "y/a > x/a 80")),
    item([], "nothing again", [], allow("x/b > x/a 80", "y/a > x/a 80")),
  ),
  ...steps(
    "a tier moves",
    item(
      ["calico", "policy-api"],
      "behind the administrators",
      [administrators, tier("t", { order: 5_000 }), gnp("t.p", { ...everyone, tier: "t", ingress: [rule("Allow")] })],
      deny("x/b > x/a 80"),
      allow("y/a > x/a 80"),
    ),
    item(
      ["calico", "policy-api"],
      "before the administrators",
      [administrators, tier("t", { order: 5 }), gnp("t.p", { ...everyone, tier: "t", ingress: [rule("Allow")] })],
      allow("x/b > x/a 80", "y/a > x/a 80"),
    ),
    item(
      ["calico", "policy-api"],
      "its object is gone, its policy stays",
      [administrators, gnp("t.p", { ...everyone, tier: "t", ingress: [rule("Allow")] })],
      deny("x/b > x/a 80"),
      allow("y/a > x/a 80"),
    ),
  ),
  ...steps(
    "an object moves to the other group of Calico's",
    item(
      ["calico"],
      "under the API's group",
      [into(from({ selector: "app == 'db'" }))],
      allow("x/b > x/a 80"),
      deny("y/a > x/a 80"),
    ),
    item(
      ["calico"],
      "under the storing group",
      [stored(into(from({ selector: "app == 'db'" })))],
      allow("x/b > x/a 80"),
      deny("y/a > x/a 80"),
    ),
    item(["calico"], "gone", [], allow("y/a > x/a 80")),
  ),
  ...steps(
    "one language takes over from another",
    item(["kubernetes"], "by Kubernetes", [kubernetes], allow("x/b > x/a 80"), deny("y/a > x/a 80")),
    item(
      ["kubernetes", "calico"],
      "by both",
      [kubernetes, into(from({ selector: "app == 'db'" }))],
      allow("x/b > x/a 80"),
      deny("y/a > x/a 80"),
    ),
    item(
      ["calico"],
      "by Calico",
      [into(from({ selector: "app == 'db'" }))],
      allow("x/b > x/a 80"),
      deny("y/a > x/a 80"),
    ),
    item(
      ["cilium"],
      "by Cilium",
      [cilium("x/c", { endpointSelector: podA, ingress: [{ fromEndpoints: [db] }] })],
      allow("x/b > x/a 80"),
      deny("y/a > x/a 80"),
    ),
    item(["kubernetes"], "closed", [denyIngress("x")], deny("x/b > x/a 80", "y/a > x/a 80")),
  ),
]
