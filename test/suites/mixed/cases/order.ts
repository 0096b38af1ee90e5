import { allow, type Case, deny, ingress, policy } from "../../builders.ts"
import { from, gnp, rule, tier } from "../../calico/builders.ts"
import { cnp as cilium } from "../../cilium/builders.ts"
import { cnp as clusterPolicy, everyone, from as peer, pods } from "../../policy-api/builders.ts"
import { item } from "../builders.ts"

/** Something said about what app=db sends to x/a, and where it stands in the order of decision (docs/design.md, 3.1). */
interface Statement {
  readonly place: number
  readonly action: "allow" | "deny"
  readonly says: string
  readonly language: string
  readonly objects: readonly object[]
}

const db = { selector: "app == 'db'" }
const dbPods = { matchLabels: { app: "db" } }
const podA = { matchLabels: { pod: "a" } }
const both = ["allow", "deny"] as const

const calico = (name: string, action: "allow" | "deny", spec: object): object =>
  gnp(name, {
    selector: "pod == 'a'",
    namespaceSelector: "team == 'red'",
    types: ["Ingress"],
    ingress: [action === "allow" ? from(db) : rule("Deny", { source: db })],
    ...spec,
  })
const ciliumRule = (name: string, spec: object): object =>
  cilium(`x/${name}`, { endpointSelector: podA, enableDefaultDeny: { ingress: false }, ...spec })
const administrators = (where: string, action: "allow" | "deny"): object =>
  clusterPolicy(where, everyone, { ingress: [peer(action === "allow" ? "Accept" : "Deny", pods("", { app: "db" }))] })

/** In the order in which they decide. */
const statements: readonly Statement[] = [
  ...both.map((action) => ({
    place: 0,
    action,
    says: "a tier of order 10",
    language: "calico",
    objects: [tier("early", { order: 10, defaultAction: "Pass" }), calico("early.p", action, { tier: "early" })],
  })),
  ...both.map((action) => ({
    place: 1,
    action,
    says: "the administrators",
    language: "policy-api",
    objects: [administrators("Admin 5 admin", action)],
  })),
  ...both.map((action) => ({
    place: 2,
    action,
    says: "a Calico policy of order 500",
    language: "calico",
    objects: [calico("p500", action, { order: 500 })],
  })),
  {
    place: 3,
    action: "deny",
    says: "a Cilium deny",
    language: "cilium",
    objects: [ciliumRule("denied", { ingressDeny: [{ fromEndpoints: [dbPods] }] })],
  },
  {
    place: 4,
    action: "allow",
    says: "a Cilium allow",
    language: "cilium",
    objects: [ciliumRule("allowed", { ingress: [{ fromEndpoints: [dbPods] }] })],
  },
  {
    place: 4,
    action: "allow",
    says: "a Kubernetes allow",
    language: "kubernetes",
    objects: [ingress("x/allowed", podA, { from: [{ podSelector: dbPods }] })],
  },
  ...both.map((action) => ({
    place: 5,
    action,
    says: "a Calico policy of order 2000",
    language: "calico",
    objects: [calico("p2000", action, { order: 2000 })],
  })),
  {
    place: 6,
    action: "deny",
    says: "a Kubernetes policy that isolates",
    language: "kubernetes",
    objects: [policy("x/closed", { podSelector: podA, policyTypes: ["Ingress"] })],
  },
  {
    place: 6,
    action: "deny",
    says: "a Cilium policy that isolates",
    language: "cilium",
    objects: [cilium("x/closed", { endpointSelector: podA, ingress: [{}] })],
  },
  ...both.map((action) => ({
    place: 7,
    action,
    says: "a tier of order 2000000",
    language: "calico",
    objects: [tier("late", { order: 2_000_000, defaultAction: "Pass" }), calico("late.p", action, { tier: "late" })],
  })),
  ...both.map((action) => ({
    place: 8,
    action,
    says: "the baseline",
    language: "policy-api",
    objects: [administrators("Baseline 5 baseline", action)],
  })),
]

/** Every pair that disagrees: the one that stands first decides, whichever was written first. */
export const order: readonly Case[] = statements.flatMap((first) =>
  statements
    .filter((second) => second.place > first.place && second.action !== first.action)
    .map((second, index) => {
      const objects = index % 2 === 0 ? [first, second] : [second, first]
      return item(
        [first.language, second.language],
        `${first.says} says ${first.action}, ${second.says} says ${second.action}`,
        objects.flatMap((one) => one.objects),
        (first.action === "allow" ? allow : deny)("x/b > x/a 80"),
      )
    }),
)
