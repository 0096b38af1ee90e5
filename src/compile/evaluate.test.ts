import { describe, expect, test } from "vitest"
import { type Cluster, type Endpoint, emptyCluster } from "../model/cluster.ts"
import type { Packet } from "../model/packet.ts"
import { type L4Match, type Match, type Policy, policyKey, type Rule, type Tier } from "../model/policy.ts"
import { ruleIdText } from "../model/verdict.ts"
import { parseAddress } from "../net/address.ts"
import { parsePrefix } from "../net/prefix.ts"
import { compile } from "./compile.ts"
import { evaluate } from "./evaluate.ts"
import { explain } from "./explain.ts"
import { judge } from "./judge.ts"

const WEB = parseAddress("10.0.1.1")
const WEB6 = parseAddress("fd00:1::1")
const DB = parseAddress("10.0.2.1")
const DB6 = parseAddress("fd00:2::1")
const OUTSIDE = parseAddress("192.0.2.9")
const UNKNOWN = parseAddress("10.0.9.9")
const NODE = parseAddress("172.18.0.1")

const endpoint = (namespace: string, name: string, node: string, fields: Partial<Endpoint>): Endpoint => ({
  namespace,
  name,
  node,
  addresses: [],
  labels: {},
  serviceAccount: "default",
  namedPorts: [],
  ...fields,
})
const web = endpoint("shop", "web", "n1", {
  addresses: [WEB, WEB6],
  labels: { app: "web" },
  namedPorts: [
    { name: "http", protocol: 6, port: 8080 },
    { name: "http", protocol: 17, port: 8081 },
  ],
})
const db = endpoint("data", "db", "n2", { addresses: [DB, DB6], labels: { app: "db" } })

const base: Cluster = {
  ...emptyCluster,
  namespaces: new Map([
    ["shop", { name: "shop", labels: { team: "red" } }],
    ["data", { name: "data", labels: { team: "blue" } }],
  ]),
  endpoints: new Map([
    ["shop/web", web],
    ["data/db", db],
  ]),
  nodes: new Map([
    ["n1", { name: "n1", labels: {}, addresses: [NODE], podPrefixes: [] }],
    ["n2", { name: "n2", labels: {}, addresses: [parseAddress("172.18.0.2")], podPrefixes: [] }],
  ]),
  clusterPrefixes: [parsePrefix("10.0.0.0/16"), parsePrefix("fd00::/16")],
}

const any: Match = { kind: "any" }
const app = (value: string): Match => ({
  kind: "labels",
  of: "self",
  selector: { kind: "in", key: "app", values: [value] },
})
const cidr = (...texts: string[]): Match => ({ kind: "cidr", prefixes: texts.map((text) => parsePrefix(text)) })
const port = (first: number, protocol = 6): L4Match => ({
  protocols: [protocol],
  ports: [{ kind: "range", first, last: first }],
})
const named = (name: string, protocol = 6): L4Match => ({ protocols: [protocol], ports: [{ kind: "named", name }] })

type RuleFields = Pick<Rule, "action"> & Partial<Rule>
const side = (section: string, isolates: boolean, rules: readonly RuleFields[]): Policy["ingress"] => ({
  isolates,
  rules: rules.map((fields, index) => ({
    peer: any,
    l4: [],
    section,
    index,
    origin: { file: "p.yaml", line: 10 + index, column: 3 },
    ...fields,
  })),
})
const policy = (name: string, fields: Partial<Policy> & { in?: RuleFields[]; out?: RuleFields[] }): Policy => {
  const { in: ingress, out: egress, ...rest } = fields
  return {
    group: "networking.k8s.io",
    kind: "NetworkPolicy",
    namespace: "shop",
    name,
    tier: "default",
    order: 1_000,
    tieBreak: "",
    subject: app("web"),
    mode: "enforced",
    origin: { file: "p.yaml", line: 1, column: 1 },
    ...(ingress && { ingress: side("ingress", true, ingress) as NonNullable<Policy["ingress"]> }),
    ...(egress && { egress: side("egress", true, egress) as NonNullable<Policy["egress"]> }),
    ...rest,
  }
}
const withPolicies = (policies: readonly Policy[], tiers: readonly Tier[] = []): Cluster => ({
  ...base,
  tiers: new Map(tiers.map((tier) => [tier.name, tier])),
  policies: new Map(policies.map((one) => [policyKey(one), one])),
})
const packet = (fields: Partial<Packet>): Packet => ({
  source: DB,
  destination: WEB,
  protocol: 6,
  sourcePort: 40_000,
  destinationPort: 8080,
  ...fields,
})

/** What evaluator and tables say, which must be one. */
function ingress(cluster: Cluster, fields: Partial<Packet> = {}): string {
  const asked = packet(fields)
  const { action, by } = evaluate(cluster, asked).ingress
  expect(judge(compile(cluster, "n1"), asked).ingress).toEqual(evaluate(cluster, asked).ingress)
  expect(explain(cluster, asked).ingress.verdict.action).toBe(action)
  return `${action} ${ruleIdText(by)}`
}
function egress(cluster: Cluster, fields: Partial<Packet> = {}): string {
  const asked = packet({ source: WEB, destination: DB, ...fields })
  const { action, by } = evaluate(cluster, asked).egress
  expect(judge(compile(cluster, "n1"), asked).egress).toEqual(evaluate(cluster, asked).egress)
  return `${action} ${ruleIdText(by)}`
}

describe("isolation", () => {
  test("no policy allows all", () => expect(ingress(base)).toBe("allow no-policy ingress"))
  test("a policy that isolates denies what no rule allows, and is named", () => {
    const cluster = withPolicies([policy("b", { in: [] }), policy("a", { in: [] })])
    expect(ingress(cluster)).toBe("deny default/NetworkPolicy shop/a default-deny ingress")
    expect(egress(cluster)).toBe("allow no-policy egress")
  })
  test("rules of a policy that does not isolate leave the rest allowed", () => {
    const rules = side("ingress", false, [{ action: "deny", l4: [port(80)] }])
    const cluster = withPolicies([policy("a", { ingress: rules as NonNullable<Policy["ingress"]> })])
    expect(ingress(cluster, { destinationPort: 80 })).toBe("deny default/NetworkPolicy shop/a ingress[0]")
    expect(ingress(cluster)).toBe("allow no-policy ingress")
  })
  test("of a union the least rule is named", () => {
    const cluster = withPolicies([
      policy("b", { in: [{ action: "allow" }] }),
      policy("a", { in: [{ action: "allow" }] }),
    ])
    expect(ingress(cluster)).toBe("allow default/NetworkPolicy shop/a ingress[0]")
  })
})

describe("tiers", () => {
  const deny = policy("deny", { tier: "kube-admin", group: "policy.networking.k8s.io", in: [{ action: "deny" }] })
  test("an earlier tier decides first", () => {
    const cluster = withPolicies([policy("a", { in: [{ action: "allow" }] }), deny])
    expect(ingress(cluster)).toBe("deny kube-admin/NetworkPolicy shop/deny ingress[0]")
  })
  test("pass leaves the tier, its later rules and its default", () => {
    const tier: Tier = { name: "early", order: 5, defaultAction: "deny" }
    const pass = policy("pass", { tier: "early", in: [{ action: "pass" }, { action: "deny" }] })
    expect(ingress(withPolicies([pass], [tier]))).toBe("allow no-policy ingress")
  })
  test("a tier that passes by default goes on to the next", () => {
    const tier: Tier = { name: "early", order: 5, defaultAction: "pass" }
    const early = policy("a", { tier: "early", in: [] })
    const cluster = withPolicies([early, policy("b", { in: [{ action: "allow" }] })], [tier])
    expect(ingress(cluster)).toBe("allow default/NetworkPolicy shop/b ingress[0]")
  })
  test("a tier that does not exist comes last and denies", () => {
    const ghost = policy("ghost", { tier: "ghost", order: 1, in: [] })
    expect(ingress(withPolicies([ghost]))).toBe("deny ghost/NetworkPolicy shop/ghost default-deny ingress")
    const allow = policy("a", { in: [{ action: "allow" }] })
    expect(ingress(withPolicies([ghost, allow]))).toBe("allow default/NetworkPolicy shop/a ingress[0]")
  })
  test("log is remembered and decides nothing", () => {
    const cluster = withPolicies([policy("a", { in: [{ action: "log" }, { action: "allow" }] })])
    expect(evaluate(cluster, packet({})).ingress).toMatchObject({ action: "allow", log: true, by: { index: 1 } })
    expect(ingress(cluster)).toBe("allow default/NetworkPolicy shop/a ingress[1]")
  })
  test("Cilium's denies come before everything of their order, but not before a lower one", () => {
    const cilium = policy("z", {
      group: "cilium.io",
      kind: "CiliumNetworkPolicy",
      in: [{ action: "allow" }, { action: "deny" }],
    })
    const kubernetes = policy("a", { in: [{ action: "allow" }] })
    expect(ingress(withPolicies([kubernetes, cilium]))).toBe("deny default/CiliumNetworkPolicy shop/z ingress[1]")
    const calico = policy("c", { group: "projectcalico.org", order: 5, in: [{ action: "allow" }] })
    expect(ingress(withPolicies([cilium, calico]))).toBe("allow default/NetworkPolicy shop/c ingress[0]")
  })
})

describe("protocols and ports", () => {
  const allows = (...l4: L4Match[]): Cluster => withPolicies([policy("a", { in: [{ action: "allow", l4 }] })])
  const yes = "allow default/NetworkPolicy shop/a ingress[0]"
  const no = "deny default/NetworkPolicy shop/a default-deny ingress"
  test.each<[string, L4Match, Partial<Packet>, string]>([
    ["the port", port(8080), {}, yes],
    ["another port", port(8080), { destinationPort: 8081 }, no],
    ["another protocol", port(8080), { protocol: 17 }, no],
    ["first of a range", { protocols: [6], ports: [{ kind: "range", first: 8080, last: 65_535 }] }, {}, yes],
    [
      "last port of all",
      { protocols: [6], ports: [{ kind: "range", first: 8080, last: 65_535 }] },
      { destinationPort: 65_535 },
      yes,
    ],
    [
      "before a range",
      { protocols: [6], ports: [{ kind: "range", first: 8080, last: 65_535 }] },
      { destinationPort: 8079 },
      no,
    ],
    ["a name with its protocol", named("http"), {}, yes],
    ["a name of the other protocol", named("http"), { destinationPort: 8081 }, no],
    ["a name under another protocol", named("http", 17), { protocol: 17, destinationPort: 8081 }, yes],
    ["a name that nobody declares", named("nope"), {}, no],
    ["no protocol: each", {}, { protocol: 47, destinationPort: 0 }, yes],
    [
      "ports without protocol need ports",
      { ports: [{ kind: "range", first: 0, last: 65_535 }] },
      { protocol: 1, destinationPort: 0 },
      no,
    ],
    ["not a protocol", { notProtocols: [6] }, {}, no],
    ["not another protocol", { notProtocols: [17] }, {}, yes],
    ["not a port", { protocols: [6], notPorts: [{ kind: "range", first: 8080, last: 8080 }] }, {}, no],
    ["an empty list of ports holds never", { protocols: [6], ports: [] }, {}, no],
    ["source port", { protocols: [6], sourcePorts: [{ kind: "range", first: 40_000, last: 40_000 }] }, {}, yes],
    [
      "another source port",
      { protocols: [6], sourcePorts: [{ kind: "range", first: 40_000, last: 40_000 }] },
      { sourcePort: 40_001 },
      no,
    ],
    ["ICMP type", { protocols: [1], icmp: { type: 8 } }, { protocol: 1, icmpType: 8, icmpCode: 3 }, yes],
    ["ICMP type, default echo request", { protocols: [1], icmp: { type: 8, code: 0 } }, { protocol: 1 }, yes],
    ["ICMP other code", { protocols: [1], icmp: { type: 8, code: 1 } }, { protocol: 1, icmpType: 8 }, no],
    [
      "not ICMP type and code",
      { protocols: [1], notIcmp: { type: 8, code: 1 } },
      { protocol: 1, icmpType: 8, icmpCode: 0 },
      yes,
    ],
    ["SCTP", port(8080, 132), { protocol: 132 }, yes],
    ["family", { family: 6 }, {}, no],
    ["the other family", { family: 6 }, { source: DB6, destination: WEB6 }, yes],
  ])("%s", (_, l4, asked, expected) => expect(ingress(allows(l4), asked)).toBe(expected))

  test("a name of an egress rule is the far end's", () => {
    const rules = [{ action: "allow" as const, l4: [named("http")] }]
    const toWeb = policy("a", { namespace: "data", subject: app("db"), out: rules })
    const asked = packet({})
    expect(evaluate(withPolicies([toWeb]), asked).egress.action).toBe("allow")
    expect(judge(compile(withPolicies([toWeb]), "n2"), asked).egress.action).toBe("allow")
    expect(egress(withPolicies([policy("a", { out: rules })]))).toBe(
      "deny default/NetworkPolicy shop/a default-deny egress",
    )
  })
})

describe("peers", () => {
  const allows = (peer: Match): Cluster => withPolicies([policy("a", { in: [{ action: "allow", peer }] })])
  const yes = "allow default/NetworkPolicy shop/a ingress[0]"
  const no = "deny default/NetworkPolicy shop/a default-deny ingress"
  const unknown = "deny unknown-peer ingress"
  test.each<[string, Match, Partial<Packet>, string]>([
    ["labels", app("db"), {}, yes],
    ["other labels", app("web"), {}, no],
    [
      "namespace labels",
      { kind: "labels", of: "namespace", selector: { kind: "in", key: "team", values: ["blue"] } },
      {},
      yes,
    ],
    ["a block with a pod inside", cidr("10.0.2.0/24"), {}, yes],
    [
      "a block but for a part",
      { kind: "and", of: [cidr("10.0.0.0/8"), { kind: "not", of: cidr("10.0.2.0/24") }] },
      {},
      no,
    ],
    ["a block with an address outside", cidr("192.0.2.0/24"), { source: OUTSIDE }, yes],
    ["all of the other family", cidr("::/0"), {}, no],
    ["an unknown address by labels", app("db"), { source: UNKNOWN }, unknown],
    ["an unknown address by block", cidr("10.0.9.0/24"), { source: UNKNOWN }, yes],
    ["an unknown address by what all get", any, { source: UNKNOWN }, yes],
    ["an unknown address is not outside", { kind: "is", what: "outside" }, { source: UNKNOWN }, no],
    ["an unknown address by negated labels", { kind: "not", of: app("db") }, { source: UNKNOWN }, unknown],
    ["outside", { kind: "is", what: "outside" }, { source: OUTSIDE }, yes],
    ["a node", { kind: "is", what: "node" }, { source: NODE }, yes],
    ["the judging node", { kind: "is", what: "localNode" }, { source: parseAddress("172.18.0.2") }, no],
    ["nothing", { kind: "none" }, {}, no],
  ])("%s", (_, peer, asked, expected) => expect(ingress(allows(peer), asked)).toBe(expected))

  test("an unknown address under a plain default deny gets that, like every other", () => {
    expect(ingress(withPolicies([policy("a", { in: [] })]), { source: UNKNOWN })).toBe(no)
  })

  test("network sets: an address may lie in several, a pod too", () => {
    const set = (
      name: string,
      value: string,
      block: string,
    ): [string, Cluster["networkSets"] extends ReadonlyMap<string, infer S> ? S : never] => [
      `/${name}`,
      { kind: "GlobalNetworkSet", namespace: "", name, labels: { app: value }, prefixes: [parsePrefix(block)] },
    ]
    const cluster = {
      ...allows({ kind: "inNetworkSet", of: app("friend") }),
      networkSets: new Map([
        set("a", "friend", "192.0.0.0/16"),
        set("b", "foe", "192.0.2.0/24"),
        set("c", "friend", "10.0.2.0/24"),
      ]),
    }
    expect(ingress(cluster, { source: OUTSIDE })).toBe(yes)
    expect(ingress(cluster)).toBe(yes)
    expect(ingress(cluster, { source: parseAddress("198.51.100.1") })).toBe(no)
  })
})

describe("who is judged", () => {
  const closed = withPolicies([policy("a", { in: [], out: [] })])
  test("a pod's traffic with itself never leaves it", () => {
    expect(ingress(closed, { source: WEB })).toBe("allow not-enforced ingress")
    expect(egress(closed, { destination: WEB })).toBe("allow not-enforced egress")
  })
  test("ends that are no pods enforce nothing", () => {
    expect(evaluate(closed, packet({ source: OUTSIDE, destination: NODE }))).toMatchObject({
      allowed: true,
      egress: { by: { kind: "notEnforced" } },
      ingress: { by: { kind: "notEnforced" } },
    })
  })
  test("a socket of the node reaches its own pods; its address alone does not, nor another node's socket", () => {
    expect(ingress(closed, { source: NODE, fromNodeSocket: true })).toBe("allow node-to-own-pod ingress")
    expect(ingress(closed, { source: NODE })).toBe("deny default/NetworkPolicy shop/a default-deny ingress")
    const other = { source: parseAddress("172.18.0.2"), fromNodeSocket: true }
    expect(ingress(closed, other)).toBe("deny default/NetworkPolicy shop/a default-deny ingress")
  })
  test("a Cilium deny from the node stands before that", () => {
    const peer: Match = { kind: "is", what: "localNode" }
    const deny = policy("z", { group: "cilium.io", in: [{ action: "deny", peer, l4: [port(8080)] }] })
    const asked = { source: NODE, fromNodeSocket: true }
    expect(ingress(withPolicies([deny]), asked)).toBe("deny default/NetworkPolicy shop/z ingress[0]")
    expect(ingress(withPolicies([deny]), { ...asked, destinationPort: 1 })).toBe("allow node-to-own-pod ingress")
    const notCilium = policy("z", { in: [{ action: "deny", peer }] })
    expect(ingress(withPolicies([notCilium]), asked)).toBe("allow node-to-own-pod ingress")
  })
})

describe("staged policies", () => {
  const allow = policy("a", { in: [{ action: "allow" }] })
  const staged = (fields: Partial<Policy> & { in?: RuleFields[] }): Policy =>
    policy("a", { kind: "StagedKubernetesNetworkPolicy", mode: "staged", ...fields })
  test("say what they would decide in the place of their namesake", () => {
    const verdict = evaluate(withPolicies([allow, staged({ in: [] })]), packet({})).ingress
    expect(verdict).toMatchObject({
      action: "allow",
      by: { kind: "rule" },
      staged: { action: "deny", by: { kind: "defaultDeny" } },
    })
  })
  test("a staged deletion takes its namesake away", () => {
    const cluster = withPolicies([policy("a", { in: [] }), staged({ mode: "stagedDelete" })])
    expect(evaluate(cluster, packet({})).ingress).toMatchObject({
      action: "deny",
      staged: { action: "allow", by: { kind: "noPolicy" } },
    })
    expect(ingress(cluster)).toBe("deny default/NetworkPolicy shop/a default-deny ingress")
  })
  test("nothing is recorded where nothing differs", () => {
    const aside = policy("b", { kind: "StagedKubernetesNetworkPolicy", mode: "staged", in: [{ action: "allow" }] })
    expect(evaluate(withPolicies([allow, aside]), packet({})).ingress.staged).toBeUndefined()
  })
})

describe("explain", () => {
  test("a deny names the rules that fail in one condition, and where they stand", () => {
    const cluster = withPolicies([
      policy("a", {
        in: [
          { action: "allow", peer: app("db"), l4: [port(9090)] },
          { action: "allow", peer: app("cache"), l4: [port(8080)] },
          { action: "allow", peer: app("cache"), l4: [port(1)] },
        ],
      }),
    ])
    const { ingress: end } = explain(cluster, packet({}))
    expect(end.nearMisses.map((miss) => `${miss.origin?.line} ${miss.text}`)).toEqual([
      "10 default/NetworkPolicy shop/a ingress[0] would match but for port 8080/TCP: it allows 9090/TCP",
      "11 default/NetworkPolicy shop/a ingress[1] would match but for the far end data/db: it wants labels app=cache, data/db has app=db",
    ])
    expect(end.steps.at(-1)?.text).toBe(
      "no rule of tier default matches; NetworkPolicy shop/a isolates, so the tier denies",
    )
  })
  test("an allow has none", () => {
    const cluster = withPolicies([policy("a", { in: [{ action: "allow", l4: [port(1)] }, { action: "allow" }] })])
    expect(explain(cluster, packet({}))).toMatchObject({ allowed: true, ingress: { nearMisses: [] } })
  })
})
