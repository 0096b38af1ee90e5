import { expect, test } from "vitest"
import { manifestAt } from "../../model/manifest.ts"
import { networkPolicyToModel } from "./network-policy.ts"

const origin = { file: "f.yaml", line: 1, column: 1 }
const model = (spec: unknown) =>
  networkPolicyToModel({
    ...manifestAt(
      { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: { name: "web", namespace: "shop" }, spec },
      origin,
    ),
    originAt: (path) => ({ file: path.join("."), line: 1, column: 1 }),
  })
const endpoint = { kind: "is", what: "endpoint" }
const shop = { kind: "namespace", names: ["shop"] }

test("identity, tier, order and subject", () => {
  expect(model({ podSelector: { matchLabels: { app: "web" } } })).toEqual({
    group: "networking.k8s.io",
    kind: "NetworkPolicy",
    namespace: "shop",
    name: "web",
    tier: "default",
    order: 1_000,
    tieBreak: "web/shop/KubernetesNetworkPolicy",
    subject: {
      kind: "and",
      of: [endpoint, shop, { kind: "labels", of: "self", selector: { kind: "in", key: "app", values: ["web"] } }],
    },
    ingress: { isolates: true, rules: [] },
    mode: "enforced",
    origin,
  })
})

test("without namespace it is in default", () => {
  const value = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: { name: "a" } }
  expect(networkPolicyToModel(manifestAt(value, origin))).toMatchObject({
    namespace: "default",
    subject: { of: [endpoint, { kind: "namespace", names: ["default"] }] },
  })
})

test.each([
  ["absent", {}, true, false],
  ["absent, empty egress", { egress: [] }, true, false],
  ["absent, an egress rule", { egress: [{}] }, true, true],
  ["absent, only an egress rule", { ingress: null, egress: [{}] }, true, true],
  ["empty", { policyTypes: [], egress: [{}] }, true, true],
  ["Ingress, with egress rules", { policyTypes: ["Ingress"], egress: [{}] }, true, false],
  ["Egress, with ingress rules", { policyTypes: ["Egress"], ingress: [{}] }, false, true],
  ["both", { policyTypes: ["Ingress", "Egress"] }, true, true],
])("policyTypes %s", (_name, spec, ingress, egress) => {
  const policy = model(spec)
  expect([policy.ingress !== undefined, policy.egress !== undefined]).toEqual([ingress, egress])
})

test("a rule without peers and ports allows everything, and leads back to its own line", () => {
  expect(model({ ingress: [{}, { from: [], ports: [] }] }).ingress?.rules).toEqual([
    {
      action: "allow",
      peer: { kind: "any" },
      l4: [],
      section: "ingress",
      index: 0,
      origin: { file: "spec.ingress.0", line: 1, column: 1 },
    },
    {
      action: "allow",
      peer: { kind: "any" },
      l4: [],
      section: "ingress",
      index: 1,
      origin: { file: "spec.ingress.1", line: 1, column: 1 },
    },
  ])
})

const redPods = { kind: "labels", of: "self", selector: { kind: "in", key: "c", values: ["red"] } }
const blueSpaces = { kind: "labels", of: "namespace", selector: { kind: "in", key: "t", values: ["blue"] } }
const peers: [string, unknown, unknown][] = [
  [
    "podSelector: own namespace",
    { podSelector: { matchLabels: { c: "red" } } },
    { kind: "and", of: [endpoint, shop, redPods] },
  ],
  ["empty podSelector: all pods of the own namespace", { podSelector: {} }, { kind: "and", of: [endpoint, shop] }],
  [
    "namespaceSelector: all their pods",
    { namespaceSelector: { matchLabels: { t: "blue" } } },
    { kind: "and", of: [endpoint, blueSpaces] },
  ],
  ["empty namespaceSelector: all pods", { namespaceSelector: {} }, { kind: "and", of: [endpoint] }],
  [
    "both",
    { namespaceSelector: { matchLabels: { t: "blue" } }, podSelector: { matchLabels: { c: "red" } } },
    { kind: "and", of: [endpoint, blueSpaces, redPods] },
  ],
  [
    "namespaceSelector and empty podSelector",
    { namespaceSelector: {}, podSelector: {} },
    { kind: "and", of: [endpoint] },
  ],
  ["ipBlock", { ipBlock: { cidr: "10.0.0.0/8" } }, { kind: "cidr", prefixes: ["10.0.0.0/8"] }],
  [
    "ipBlock with holes",
    { ipBlock: { cidr: "FD00::/8", except: ["fd00:1::/32", "fd00:2::/32"] } },
    {
      kind: "and",
      of: [
        { kind: "cidr", prefixes: ["fd00::/8"] },
        { kind: "not", of: { kind: "cidr", prefixes: ["fd00:1::/32", "fd00:2::/32"] } },
      ],
    },
  ],
]
test.each(peers)("peer: %s", (_name, peer, expected) => {
  expect(model({ ingress: [{ from: [peer] }] }).ingress?.rules[0]?.peer).toEqual(expected)
  expect(model({ egress: [{ to: [peer] }] }).egress?.rules[0]?.peer).toEqual(expected)
})

test("several peers are alternatives", () => {
  const rule = { from: [{ podSelector: {} }, { ipBlock: { cidr: "10.0.0.0/8" } }] }
  expect(model({ ingress: [rule] }).ingress?.rules[0]?.peer).toMatchObject({
    kind: "or",
    of: [{ kind: "and" }, { kind: "cidr" }],
  })
})

test.each([
  ["nothing: TCP", {}, { protocols: [6] }],
  ["protocol", { protocol: "UDP" }, { protocols: [17] }],
  ["number", { port: 80 }, { protocols: [6], ports: [{ kind: "range", first: 80, last: 80 }] }],
  [
    "range",
    { port: 80, endPort: 90, protocol: "SCTP" },
    { protocols: [132], ports: [{ kind: "range", first: 80, last: 90 }] },
  ],
  ["name", { port: "http", protocol: "TCP" }, { protocols: [6], ports: [{ kind: "named", name: "http" }] }],
])("port: %s", (_name, port, expected) => {
  expect(model({ ingress: [{ ports: [port, port] }] }).ingress?.rules[0]?.l4).toEqual([expected, expected])
})

test("match expressions, a null value read as the empty text", () => {
  const expressions = [
    { key: "a", operator: "In", values: ["1", "2"] },
    { key: "b", operator: "NotIn", values: ["3", null] },
    { key: "c", operator: "Exists" },
    { key: "d", operator: "DoesNotExist" },
  ]
  const { subject } = model({ podSelector: { matchLabels: { e: null }, matchExpressions: expressions } })
  expect(subject).toMatchObject({
    of: [
      endpoint,
      shop,
      {
        selector: {
          kind: "and",
          of: [
            { kind: "in", key: "e", values: [""] },
            { kind: "in", key: "a", values: ["1", "2"] },
            { kind: "notIn", key: "b", values: ["3", ""] },
            { kind: "has", key: "c" },
            { kind: "not", of: { kind: "has", key: "d" } },
          ],
        },
      },
    ],
  })
})
