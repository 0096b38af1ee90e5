import { describe, expect, test } from "vitest"
import { type Cluster, type Endpoint, emptyCluster } from "../model/cluster.ts"
import { type Match, type Policy, policyKey, type Rule } from "../model/policy.ts"
import { parseAddress } from "../net/address.ts"
import { parsePrefix } from "../net/prefix.ts"
import { canonical } from "./canonical.ts"
import { Compiler, compile } from "./compile.ts"
import { rowOf, unpackOutcome, wholeRow } from "./compiled.ts"
import { CompileError } from "./error.ts"
import { slotOf } from "./judge.ts"

const endpoint = (name: string, address: string, node = "n1", labels: Record<string, string> = {}): Endpoint => ({
  namespace: "x",
  name,
  node,
  addresses: [parseAddress(address)],
  labels,
  serviceAccount: "default",
  namedPorts: [],
})
const app = (value: string): Match => ({
  kind: "labels",
  of: "self",
  selector: { kind: "in", key: "app", values: [value] },
})
const allow = (index: number, fields: Partial<Rule>): Rule => ({
  action: "allow",
  peer: { kind: "any" },
  l4: [],
  section: "ingress",
  index,
  origin: { file: "p.yaml", line: 5 + index, column: 1 },
  ...fields,
})
const policy = (name: string, rules: readonly Rule[], fields: Partial<Policy> = {}): Policy => ({
  group: "networking.k8s.io",
  kind: "NetworkPolicy",
  namespace: "x",
  name,
  tier: "default",
  order: 1_000,
  tieBreak: "",
  subject: { kind: "any" },
  ingress: { isolates: true, rules },
  mode: "enforced",
  origin: { file: "p.yaml", line: 1, column: 1 },
  ...fields,
})
const clusterOf = (endpoints: readonly Endpoint[], policies: readonly Policy[]): Cluster => ({
  ...emptyCluster,
  endpoints: new Map(endpoints.map((one) => [`x/${one.name}`, one])),
  policies: new Map(policies.map((one) => [policyKey(one), one])),
  clusterPrefixes: [parsePrefix("10.0.0.0/8")],
})

describe("compiled form", () => {
  const a = endpoint("a", "10.0.0.1", "n1", { app: "a" })
  const b = endpoint("b", "10.0.0.2", "n1", { app: "b" })
  const c = endpoint("c", "10.0.0.3", "n2", { app: "c" })

  test("addresses that no rule tells apart share a class; those it does, do not", () => {
    const { addresses, classes } = compile(clusterOf([a, b, c], [policy("p", [allow(0, { peer: app("a") })])]), "n1")
    const classOf = (address: string): number => classes[addresses.get(parseAddress(address))?.slot ?? 0] ?? 0
    expect(classOf("10.0.0.2")).toBe(classOf("10.0.0.3"))
    expect(classOf("10.0.0.1")).not.toBe(classOf("10.0.0.2"))
    expect(classes[0]).toBe(0)
  })

  test("endpoints with the same answers share a set, and remote ones have none", () => {
    const { endpoints, sets } = compile(clusterOf([a, b, c], [policy("p", [])]), "n1")
    expect([...endpoints.keys()].sort()).toEqual(["x/a", "x/b"])
    expect(endpoints.get("x/a")?.ingress).toBe(endpoints.get("x/b")?.ingress)
    expect(endpoints.get("x/a")?.number).not.toBe(endpoints.get("x/b")?.number)
    expect(sets.length).toBe(2)
  })

  test("intervals are sorted, begin at 0 and have no two alike beside each other", () => {
    const l4 = [{ protocols: [6], ports: [{ kind: "range" as const, first: 80, last: 90 }] }]
    const { rows } = compile(clusterOf([a], [policy("p", [allow(0, { l4 })])]), "n1")
    const row = rows.find(({ starts }) => starts.length === 3)
    expect([...(row?.starts ?? [])]).toEqual([0, (6 << 16) + 80, (6 << 16) + 91])
    expect([...(row?.outcomes ?? [])].map((outcome) => unpackOutcome(outcome).action)).toEqual([0, 1, 0])
  })

  test("blocks in force have slots, the longest wins, and the cluster's ranges are unknown", () => {
    const blocks = ["192.0.2.0/24", "192.0.0.0/16", "10.1.0.0/16"].map((text) => parsePrefix(text))
    const peer: Match = { kind: "cidr", prefixes: blocks }
    const compiled = compile(clusterOf([a], [policy("p", [allow(0, { peer })])]), "n1")
    const { prefixes, outsideSlot } = compiled
    expect(Object.fromEntries([...prefixes].map(([prefix, { unknown }]) => [prefix, unknown]))).toEqual({
      "192.0.2.0/24": false,
      "192.0.0.0/16": false,
      "10.1.0.0/16": true,
      "10.0.0.0/8": true,
    })
    const slot = (text: string): number => slotOf(compiled, parseAddress(text))
    expect(slot("192.0.2.7")).toBe(prefixes.get(parsePrefix("192.0.2.0/24"))?.slot)
    expect(slot("192.0.3.7")).toBe(prefixes.get(parsePrefix("192.0.0.0/16"))?.slot)
    expect(slot("8.8.8.8")).toBe(outsideSlot[4])
    expect(slot("2001:db8::1")).toBe(outsideSlot[6])
  })
})

describe("an update", () => {
  const pods = [endpoint("a", "10.0.0.1", "n1", { app: "a" }), endpoint("b", "10.0.0.2", "n1", { app: "b" })]
  const two = [
    policy("p", [allow(0, { peer: app("a") })], { subject: app("a") }),
    policy("q", [], { subject: app("b") }),
  ]

  test("leaves rows, sets and numbers of what did not change as they are", () => {
    const compiler = new Compiler("n1")
    const before = compiler.update(clusterOf(pods, two))
    const after = compiler.update(
      clusterOf(pods, [...two.slice(0, 1), policy("q", [allow(0, {})], { subject: app("b") })]),
    )
    expect(after.addresses).toBe(before.addresses)
    expect(after.endpoints.get("x/a")).toBe(before.endpoints.get("x/a"))
    expect(after.endpoints.get("x/b")?.number).toBe(before.endpoints.get("x/b")?.number)
    expect(after.endpoints.get("x/b")?.ingress).not.toBe(before.endpoints.get("x/b")?.ingress)
  })

  test("that only moves a policy in its file changes what verdicts point at, and nothing for the kernel", () => {
    const compiler = new Compiler("n1")
    const before = compiler.update(clusterOf(pods, two))
    const moved = two.map((one) => ({
      ...one,
      origin: { ...one.origin, line: 40 },
      ingress: {
        isolates: true,
        rules: (one.ingress?.rules ?? []).map((r) => ({ ...r, origin: { ...r.origin, line: 50 } })),
      },
    }))
    const after = compiler.update(clusterOf(pods, moved))
    expect(after.rows).toBe(before.rows)
    expect(after.sets).toBe(before.sets)
    expect(canonical(after)).toEqual(canonical(compile(clusterOf(pods, moved), "n1")))
    const lines = after.verdicts.flatMap((verdict) =>
      verdict && "origin" in verdict.by ? [verdict.by.origin.line] : [],
    )
    expect(new Set(lines)).toEqual(new Set([40, 50]))
  })

  test("a relabelled pod keeps its slot and its number", () => {
    const compiler = new Compiler("n1")
    const before = compiler.update(clusterOf(pods, two))
    const after = compiler.update(clusterOf([endpoint("a", "10.0.0.1", "n1", { app: "b" }), ...pods.slice(1)], two))
    expect(after.addresses).toBe(before.addresses)
    expect(after.endpoints.get("x/a")?.number).toBe(before.endpoints.get("x/a")?.number)
    expect(after.endpoints.get("x/a")?.ingress).toBe(before.endpoints.get("x/b")?.ingress)
  })

  test("of a staged policy reaches those that only its namesake selects", () => {
    const namesake = policy("p", [], { group: "projectcalico.org" })
    const staged = policy("p", [], {
      group: "projectcalico.org",
      kind: "StagedNetworkPolicy",
      mode: "staged",
      subject: app("nobody"),
    })
    const compiler = new Compiler("n1")
    compiler.update(clusterOf(pods, [namesake]))
    const cluster = clusterOf(pods, [namesake, staged])
    const after = compiler.update(cluster)
    expect(canonical(after)).toEqual(canonical(compile(cluster, "n1")))
    expect(after.verdicts.some((verdict) => verdict?.staged?.action === "allow")).toBe(true)
  })

  test("a slot is not given again before two more commits", () => {
    const compiler = new Compiler("n1")
    const slotIn = (address: string, cluster: Cluster): number | undefined =>
      compiler.update(cluster).addresses.get(parseAddress(address))?.slot
    const old = slotIn("10.0.0.2", clusterOf(pods, []))
    expect(slotIn("10.0.0.9", clusterOf([endpoint("c", "10.0.0.9")], []))).not.toBe(old)
    expect(slotIn("10.0.0.8", clusterOf([endpoint("d", "10.0.0.8")], []))).not.toBe(old)
  })

  test("that does not fit is refused with need and limit, and the next one stands on what was before", () => {
    const compiler = new Compiler("n1", { limits: { classes: 65_536, rows: 8 } })
    const before = compiler.update(clusterOf(pods, two))
    const many = Array.from({ length: 20 }, (_, i) =>
      allow(i, { peer: app(`${i}`), l4: [{ protocols: [6], ports: [{ kind: "range", first: i, last: i }] }] }),
    )
    const others = Array.from({ length: 20 }, (_, i) => endpoint(`o${i}`, `10.0.1.${i}`, "n2", { app: `${i}` }))
    const tooMuch = clusterOf([...pods, ...others], [...two, policy("r", many)])
    expect(() => compiler.update(tooMuch)).toThrow(CompileError)
    expect(() => compiler.update(tooMuch)).toThrow(/the table of distinct rows needs 9, the limit is 8/)
    const after = compiler.update(clusterOf(pods, two))
    expect(canonical(after)).toEqual(canonical(before))
    for (const [address, entry] of before.addresses) expect(after.addresses.get(address)).toEqual(entry)
    for (const [key, { number }] of before.endpoints) expect(after.endpoints.get(key)?.number).toBe(number)
    for (const [id, verdict] of before.verdicts.entries()) expect(after.verdicts[id]).toEqual(verdict)
  })

  test("a compiler that adopts what is known gives the same numbers, and free ones to the rest", () => {
    const first = new Compiler("n1")
    first.update(clusterOf([endpoint("z", "10.0.0.7"), ...pods], []))
    const before = first.update(clusterOf(pods, two))
    const second = new Compiler("n1", { adopt: before })
    const more = clusterOf([endpoint("new", "10.0.0.9"), ...pods], two)
    const after = second.update(more)
    expect(canonical(after)).toEqual(canonical(compile(more, "n1")))
    for (const [address, entry] of before.addresses) expect(after.addresses.get(address)).toEqual(entry)
    for (const [key, { number }] of before.endpoints) expect(after.endpoints.get(key)?.number).toBe(number)
    expect(after.outsideSlot).toEqual(before.outsideSlot)
    expect(after.nodeSocketSlot).toEqual(before.nodeSocketSlot)
    for (const [id, verdict] of before.verdicts.entries()) if (verdict) expect(after.verdicts[id]).toEqual(verdict)
    const slots = [...after.addresses.values(), ...after.prefixes.values()].map(({ slot }) => slot)
    expect(new Set(slots).size).toBe(slots.length)
  })

  test("too many classes are refused too", () => {
    const compiler = new Compiler("n1", { limits: { classes: 4, rows: 65_536 } })
    const rules = pods.map((_, i) => allow(i, { peer: app(["a", "b"][i] ?? "") }))
    expect(() => compiler.update(clusterOf(pods, [policy("p", rules)]))).toThrow(
      /classes of peers needs \d+, the limit is 4/,
    )
  })
})

test("what everybody meets is not written again for each peer that meets something of its own", () => {
  const count = 300
  const on = (port: number) => [{ protocols: [6], ports: [{ kind: "range" as const, first: port, last: port }] }]
  const peers = Array.from({ length: count }, (_, i) =>
    endpoint(`p${i}`, `10.1.${i >> 8}.${i & 255}`, "n2", { app: `p${i}` }),
  )
  const own = peers.map((_, i) => allow(i, { peer: app(`p${i}`), l4: on(20_000 + 2 * i) }))
  const open = peers.map((_, i) => allow(count + i, { l4: on(1_000 + 2 * i) }))
  const { rows, endpoints, addresses, classes } = compile(
    clusterOf([endpoint("web", "10.0.0.1"), ...peers], [policy("wide", [...own, ...open])]),
    "n1",
  )
  expect(rows.reduce((sum, { starts }) => sum + starts.length, 0)).toBeLessThan(10 * count)
  const set = endpoints.get("x/web")?.ingress
  const slot = addresses.get(parseAddress("10.1.0.7"))?.slot
  const row = set && rows[rowOf(set, classes[slot ?? 0] ?? 0)]
  const whole = row && wholeRow(rows, row)
  const allowed = [...(whole?.starts ?? [])].filter((_, i) => unpackOutcome(whole?.outcomes[i] ?? 0).action === 1)
  expect(allowed).toEqual([...open.map((_, i) => 6 * 65_536 + 1_000 + 2 * i), 6 * 65_536 + 20_014])
})

test("a peer that nobody looked at before, or nobody looks at any more, leaves the other sets as they are", () => {
  const names = Array.from({ length: 8 }, (_, i) => `p${i}`)
  const pods = names.map((name, i) => endpoint(name, `10.0.0.${i}`, "n1", { app: name }))
  const policies = names.map((name, i) =>
    policy(name, [allow(0, { peer: app(names[(i + 1) % 8] ?? "") })], { subject: app(name) }),
  )
  const compiler = new Compiler("n1")
  const whole = compiler.update(clusterOf(pods, policies))
  const fewer = compiler.update(clusterOf(pods, policies.slice(1)))
  const again = compiler.update(clusterOf(pods, policies))
  for (const name of names.slice(1)) {
    const sets = [whole, fewer, again].map(({ endpoints }) => endpoints.get(`x/${name}`)?.ingress)
    expect(sets[1]).toBe(sets[0])
    expect(sets[2]).toBe(sets[0])
  }
  expect(canonical(again)).toEqual(canonical(compile(clusterOf(pods, policies), "n1")))
})

test("policies that come and go leave nothing behind but a bounded memory of verdicts", () => {
  const compiler = new Compiler("n1")
  const pods = [endpoint("a", "10.0.0.1")]
  let longest = 0
  for (let i = 0; i < 20_000; i++) {
    longest = compiler.update(clusterOf(pods, [policy(`p${i}`, [])])).verdicts.length
  }
  expect(longest).toBeLessThan(17_000)
})
