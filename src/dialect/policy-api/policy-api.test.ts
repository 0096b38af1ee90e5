import { expect, test } from "vitest"
import { manifestAt } from "../../model/manifest.ts"
import { policyApiToModel, validatePolicyApiObject } from "./index.ts"

const origin = { file: "f.yaml", line: 1, column: 1 }
const everyone = { namespaces: {} }
const object = (rules: object, rest: object = {}) =>
  manifestAt(
    {
      apiVersion: "policy.networking.k8s.io/v1alpha2",
      kind: "ClusterNetworkPolicy",
      metadata: { name: "a" },
      spec: { tier: "Admin", priority: 10, subject: everyone, ...rules },
      ...rest,
    },
    origin,
  )
const ingress = (rule: object) => object({ ingress: [{ action: "Accept", from: [everyone], ...rule }] })
const egress = (rule: object) => object({ egress: [{ action: "Accept", to: [everyone], ...rule }] })
const range = (start: number, end: number) => ({ protocols: [{ tcp: { destinationPort: { range: { start, end } } } }] })

test.each<[string, ReturnType<typeof object>, string]>([
  ["misspelt", object({ subjekt: {} }), "spec.subjekt"],
  ["tier", object({ tier: "Top" }), "spec.tier"],
  ["priority", object({ priority: 1001 }), "spec.priority"],
  ["subject", object({ subject: {} }), "spec.subject"],
  [
    "selector",
    object({ subject: { namespaces: { matchExpressions: [{ key: "a", operator: "In" }] } } }),
    "spec.subject.namespaces.matchExpressions[0].values",
  ],
  ["podSelector", object({ subject: { pods: {} } }), "spec.subject.pods.podSelector"],
  ["too many rules", object({ egress: Array(26).fill({ action: "Deny", to: [everyone] }) }), "spec.egress"],
  ["action", ingress({ action: "Allow" }), "spec.ingress[0].action"],
  ["name", ingress({ name: "a".repeat(101) }), "spec.ingress[0].name"],
  ["no peers", ingress({ from: [] }), "spec.ingress[0].from"],
  ["empty peer", ingress({ from: [everyone, {}] }), "spec.ingress[0].from[1]"],
  ["nodes in ingress", ingress({ from: [{ nodes: {} }] }), "spec.ingress[0].from[0].nodes"],
  ["network", egress({ to: [{ networks: ["10.0.0.0/8", "x"] }] }), "spec.egress[0].to[0].networks[1]"],
  ["mapped network", egress({ to: [{ networks: ["::ffff:10.0.0.0/104"] }] }), "spec.egress[0].to[0].networks[0]"],
  ["network twice", egress({ to: [{ networks: ["10.0.0.0/8", "10.0.0.0/8"] }] }), "spec.egress[0].to[0].networks[1]"],
  ["domain name", egress({ to: [{ domainNames: ["kubernetes.io"] }] }), "spec.egress[0].to[0].domainNames"],
  [
    "two protocols",
    ingress({ protocols: [{ tcp: { destinationPort: { number: 1 } }, destinationNamedPort: "a" }] }),
    "spec.ingress[0].protocols[0]",
  ],
  ["no port", ingress({ protocols: [{ udp: {} }] }), "spec.ingress[0].protocols[0].udp"],
  [
    "port 0",
    ingress({ protocols: [{ sctp: { destinationPort: { number: 0 } } }] }),
    "spec.ingress[0].protocols[0].sctp.destinationPort.number",
  ],
  ["range", ingress(range(80, 80)), "spec.ingress[0].protocols[0].tcp.destinationPort.range"],
  ["range end", ingress(range(80, 65536)), "spec.ingress[0].protocols[0].tcp.destinationPort.range.end"],
  [
    "named port to nodes",
    egress({ to: [{ nodes: {} }], protocols: [{ destinationNamedPort: "a" }] }),
    "spec.egress[0].protocols[0].destinationNamedPort",
  ],
])("refused: %s", (_name, manifest, path) => {
  const problems = validatePolicyApiObject(manifest)
  expect(problems.map((problem) => [problem.severity, problem.path])).toEqual([["error", path]])
})

test.each<[string, ReturnType<typeof object>]>([
  ["an empty peer", ingress({ from: [{}] })],
  ["a peer from the future", egress({ to: [{ workloads: {} }] })],
  ["a protocol from the future", ingress({ protocols: [{ icmp: {} }] })],
  ["a match from the future", ingress({ protocols: [{ tcp: {} }] })],
  ["domain names", egress({ to: [{ domainNames: ["kubernetes.io"] }] })],
])("what an API server accepted is evaluated, with a warning: %s", (_name, manifest) => {
  expect(validatePolicyApiObject(manifest, { create: false }).map((problem) => problem.severity)).not.toContain("error")
  expect(validatePolicyApiObject(manifest, { create: false })).not.toEqual([])
  expect(validatePolicyApiObject(manifest).map((problem) => problem.severity)).toContain("error")
})

test("a misspelt peer stays refused: it is not one from the future", () => {
  const problems = validatePolicyApiObject(ingress({ from: [{ podz: {} }] }), { create: false })
  expect(problems.map((problem) => [problem.severity, problem.hint])).toContainEqual(["error", "did you mean pods?"])
})

test("the model: tier, order, no isolation, directions without rules left out", () => {
  const policy = policyApiToModel(
    object({ egress: [{ name: "dns", action: "Pass", to: [{ networks: ["10.0.0.0/8"] }], ...range(1, 2) }] }),
  )
  expect(policy).toEqual({
    group: "policy.networking.k8s.io",
    kind: "ClusterNetworkPolicy",
    namespace: "",
    name: "a",
    tier: "kube-admin",
    order: 10,
    tieBreak: "",
    subject: { kind: "and", of: [{ kind: "is", what: "endpoint" }] },
    egress: {
      isolates: false,
      rules: [
        {
          name: "dns",
          action: "pass",
          peer: { kind: "cidr", prefixes: ["10.0.0.0/8"] },
          l4: [{ protocols: [6], ports: [{ kind: "range", first: 1, last: 2 }] }],
          section: "egress",
          index: 0,
          origin,
        },
      ],
    },
    mode: "enforced",
    origin,
  })
})

test("a rule that is not understood fails closed, one with domain names accepts nothing by them", () => {
  const rule = (action: string, ...to: object[]) =>
    policyApiToModel(object({ egress: [{ action, to }] })).egress?.rules[0]
  expect(rule("Accept", everyone, {})).toMatchObject({ action: "allow", peer: { kind: "none" } })
  expect(rule("Deny", {})).toMatchObject({ action: "deny", peer: { kind: "any" }, l4: [] })
  expect(rule("Pass", { workloads: {} })).toMatchObject({ action: "deny", peer: { kind: "any" } })
  expect(rule("Accept", { domainNames: ["a.b"] })).toMatchObject({ action: "allow", peer: { kind: "none" } })
  expect(rule("Accept", everyone, { domainNames: ["a.b"] })).toMatchObject({ action: "allow", peer: { kind: "or" } })
  expect(rule("Deny", { domainNames: ["a.b"] })).toMatchObject({ action: "deny", peer: { kind: "any" } })
})
