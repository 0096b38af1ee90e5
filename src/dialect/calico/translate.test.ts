import { describe, expect, test } from "vitest"
import { policy, world } from "../../../test/suites/builders.ts"
import {
  everyone,
  from,
  gnp,
  into,
  networkSet,
  np,
  outOf,
  rule,
  staged,
  tier,
  to,
} from "../../../test/suites/calico/builders.ts"
import { clusterOf, packetOf, verdict, verdictText } from "../../../test/unit/verdicts.ts"
import { evaluate } from "../../compile/evaluate.ts"
import { manifestAt } from "../../model/manifest.ts"
import { calicoPolicyToModel } from "./index.ts"
import { policyTypes, portSpec, protocolNumber } from "./translate.ts"

const origin = { file: "f.yaml", line: 1, column: 1 }
const model = (value: object) => calicoPolicyToModel(manifestAt(value, origin))
const ingress = (objects: readonly object[], peer: string, port?: string): string => {
  const cluster = clusterOf([...world(), ...objects])
  return verdictText(evaluate(cluster, packetOf(cluster, peer, "x/a", port)).ingress)
}

describe("tier, order and place among equals", () => {
  test.each<[object, { tier: string; order: number; tieBreak: string; kind: string }]>([
    [np("x/p", {}), { kind: "NetworkPolicy", tier: "default", order: Infinity, tieBreak: "p/x/NetworkPolicy" }],
    [
      np("x/p", { tier: "" }),
      { kind: "NetworkPolicy", tier: "default", order: Infinity, tieBreak: "p/x/NetworkPolicy" },
    ],
    [
      gnp("p", { order: 0 }),
      { kind: "GlobalNetworkPolicy", tier: "default", order: 0, tieBreak: "p//GlobalNetworkPolicy" },
    ],
    [
      gnp("t.p", { tier: "t", order: -2.5 }),
      { kind: "GlobalNetworkPolicy", tier: "t", order: -2.5, tieBreak: "t.p//GlobalNetworkPolicy" },
    ],
    [
      staged("NetworkPolicy", "x/p", { order: 5 }),
      { kind: "StagedNetworkPolicy", tier: "default", order: 5, tieBreak: "p/x/NetworkPolicy" },
    ],
    [
      staged("KubernetesNetworkPolicy", "x/p", { podSelector: {} }),
      { kind: "StagedKubernetesNetworkPolicy", tier: "default", order: 1000, tieBreak: "p/x/KubernetesNetworkPolicy" },
    ],
  ])("%j", (value, expected) => {
    expect(model(value)).toMatchObject({ group: "projectcalico.org", ...expected })
  })
})

test.each<[object, string[]]>([
  [{}, ["Ingress"]],
  [{ ingress: [] }, ["Ingress"]],
  [{ egress: [] }, ["Ingress"]],
  [{ ingress: [rule("Allow")] }, ["Ingress"]],
  [{ egress: [rule("Allow")] }, ["Egress"]],
  [{ ingress: [], egress: [rule("Allow")] }, ["Egress"]],
  [{ ingress: [rule("Allow")], egress: [rule("Allow")] }, ["Ingress", "Egress"]],
  [{ types: [] }, ["Ingress"]],
  [{ types: ["Egress"] }, ["Egress"]],
  [{ types: ["Egress"], ingress: [rule("Allow")] }, ["Egress"]],
  [{ types: ["Egress", "Ingress"] }, ["Egress", "Ingress"]],
])("types of %j", (spec, types) => {
  expect(policyTypes(spec)).toEqual(types)
})

test.each<[number | string, ReturnType<typeof portSpec>]>([
  [80, { kind: "range", first: 80, last: 80 }],
  ["80", { kind: "range", first: 80, last: 80 }],
  ["80:90", { kind: "range", first: 80, last: 90 }],
  ["web", { kind: "named", name: "web" }],
  ["80-web", { kind: "named", name: "80-web" }],
  ["8080.alt", { kind: "named", name: "8080.alt" }],
])("port %j", (port, expected) => {
  expect(portSpec(port)).toEqual(expected)
})

test.each<[string | number, number]>([
  ["TCP", 6],
  ["tcp", 6],
  ["UDP", 17],
  ["SCTP", 132],
  ["ICMP", 1],
  ["ICMPv6", 58],
  ["icmpV6", 58],
  ["UDPLite", 136],
  [47, 47],
  ["47", 47],
  ["GRE", Number.NaN],
  ["constructor", Number.NaN],
])("protocol %j", (protocol, number) => {
  expect(protocolNumber(protocol)).toBe(number)
})

describe("what is recorded beside the verdict", () => {
  test("a passed Log rule", () => {
    const objects = [into(rule("Log", { protocol: "TCP" }), from({ selector: "pod == 'b'" }))]
    expect(ingress(objects, "x/b")).toBe("allow default/NetworkPolicy x/p ingress[1], logged")
    expect(ingress(objects, "y/b")).toBe("deny default/NetworkPolicy x/p default-deny ingress, logged")
    expect(ingress(objects, "x/b", "53/UDP")).toBe("allow default/NetworkPolicy x/p ingress[1]")
  })

  test("a staged policy that would deny", () => {
    expect(ingress([staged("GlobalNetworkPolicy", "p", { ...everyone, ingress: [rule("Deny")] })], "x/b")).toBe(
      "allow no-policy ingress, staged deny default/StagedGlobalNetworkPolicy p ingress[0]",
    )
  })

  test("a staged policy that would allow what is denied", () => {
    const objects = [
      gnp("q", { ...everyone, order: 2 }),
      staged("GlobalNetworkPolicy", "p", { ...everyone, order: 1, ingress: [rule("Allow")] }),
    ]
    expect(ingress(objects, "x/b")).toBe(
      "deny default/GlobalNetworkPolicy q default-deny ingress, staged allow default/StagedGlobalNetworkPolicy p ingress[0]",
    )
  })

  test("a staged policy takes the place of the enforced one of its name", () => {
    const open = np("x/p", { selector: "all()", types: ["Ingress"], ingress: [rule("Allow")] })
    const closed = staged("NetworkPolicy", "x/p", { selector: "all()", types: ["Ingress"] })
    for (const objects of [
      [open, closed],
      [closed, open],
    ]) {
      expect(ingress(objects, "x/b")).toBe(
        "allow default/NetworkPolicy x/p ingress[0], staged deny default/StagedNetworkPolicy x/p default-deny ingress",
      )
    }
  })

  test("a staged deletion takes the enforced one of its name away", () => {
    const objects = [gnp("p", everyone), staged("GlobalNetworkPolicy", "p", { stagedAction: "Delete" })]
    expect(ingress(objects, "x/b")).toBe(
      "deny default/GlobalNetworkPolicy p default-deny ingress, staged allow no-policy ingress",
    )
  })

  test("a staged Kubernetes policy takes the place of the enforced one of its name", () => {
    const objects = [
      policy("x/p", { podSelector: {} }),
      staged("KubernetesNetworkPolicy", "x/p", { podSelector: {}, ingress: [{}] }),
    ]
    expect(ingress(objects, "x/b")).toBe(
      "deny default/NetworkPolicy x/p default-deny ingress, staged allow default/StagedKubernetesNetworkPolicy x/p ingress[0]",
    )
  })

  test("a staged deletion of a Kubernetes policy", () => {
    const objects = [
      policy("x/p", { podSelector: {} }),
      staged("KubernetesNetworkPolicy", "x/p", { stagedAction: "Delete" }),
    ]
    expect(ingress(objects, "x/b")).toBe(
      "deny default/NetworkPolicy x/p default-deny ingress, staged allow no-policy ingress",
    )
  })

  test("a tier of staged policies alone is not there, nor is its end", () => {
    const objects = [
      tier("t", { order: 1 }),
      staged("GlobalNetworkPolicy", "t.p", { ...everyone, tier: "t", ingress: [rule("Pass")] }),
      gnp("q", { ...everyone, ingress: [from({ selector: "pod == 'b'" })] }),
    ]
    expect(ingress(objects, "x/b")).toBe("allow default/GlobalNetworkPolicy q ingress[0]")
  })
})

describe("an address of the cluster that nothing known has", () => {
  const unknown = "10.244.9.9"
  test.each<[string, object, string]>([
    ["a selector cannot be decided", into(from({ namespaceSelector: "all()" })), "unknown-peer"],
    [
      "a negated selector cannot be decided",
      gnp("p", { ...everyone, ingress: [from({ notSelector: "has(a)" })] }),
      "unknown-peer",
    ],
    ["nets can", into(from({ nets: ["10.244.9.0/24"] })), "allow"],
    ["notNets can", into(from({ notNets: ["10.244.9.0/24"] })), "default-deny"],
    ["no condition needs nothing", into(rule("Allow")), "allow"],
    [
      "a deny that cannot be decided before an allow",
      into(rule("Deny", { source: { selector: "has(a)" } }), rule("Allow")),
      "unknown-peer",
    ],
  ])("%s", (_name, value, expected) => {
    expect(ingress([value], unknown)).toContain(expected)
  })

  test("a network set around it is known", () => {
    const objects = [
      gnp("p", { ...everyone, ingress: [from({ selector: "role == 'range'" })] }),
      networkSet("s", ["10.244.9.0/24"], { role: "range" }),
    ]
    expect(ingress(objects, unknown)).toContain("allow")
  })
})

test("the name of a rule is its annotation", () => {
  const one = model(into(rule("Allow", { metadata: { annotations: { name: "why not" } } })))
  expect(one.ingress?.rules[0]?.name).toBe("why not")
})

test("a service of no name or namespace never means every service", () => {
  const cluster = clusterOf([...world(), outOf(to({ services: { name: "s" } }))])
  expect(verdict(cluster, "x/a", "y/a")).toBe("deny default/NetworkPolicy x/p default-deny egress")
})

test("a network set in a namespace that nobody declared has that namespace's name", () => {
  const cluster = clusterOf([
    ...world(),
    networkSet("elsewhere/s", ["198.51.100.0/24"], { role: "partner" }),
    outOf(to({ selector: "role == 'partner'", namespaceSelector: "projectcalico.org/name == 'elsewhere'" })),
  ])
  expect(verdict(cluster, "x/a", "198.51.100.7")).toBe("allow")
})
