import { describe, expect, test } from "vitest"
import { type Cluster, type Endpoint, emptyCluster, type Service } from "../model/cluster.ts"
import { type L4Match, type Match, type Policy, policyKey } from "../model/policy.ts"
import { parseAddress } from "../net/address.ts"
import { parsePrefix } from "../net/prefix.ts"
import { Compiler } from "./compile.ts"
import { CompileError } from "./error.ts"
import { judge } from "./judge.ts"
import { expandPolicy, ServiceExpansion, usesServices } from "./services.ts"

const ONE = parseAddress("10.0.0.1")
const TWO = parseAddress("10.0.0.2")
const FAR = parseAddress("192.0.2.1")
const tcp = (port: number) => ({ protocol: 6, port })
const service = (backends: Service["backends"], more: Partial<Service> = {}): Service => ({
  namespace: "x",
  name: "s",
  labels: {},
  backends,
  ...more,
})
const policy = (peer: Match, l4: readonly L4Match[] = [], name = "p"): Policy => ({
  group: "projectcalico.org",
  kind: "NetworkPolicy",
  namespace: "x",
  name,
  tier: "default",
  order: 1,
  tieBreak: "",
  subject: { kind: "any" },
  egress: {
    isolates: true,
    rules: [{ action: "allow", peer, l4, section: "egress", index: 0, origin: { file: "f", line: 1, column: 1 } }],
  },
  mode: "enforced",
  origin: { file: "f", line: 1, column: 1 },
})
const backends: Match = { kind: "service", as: "backends", of: { namespace: "x", name: "s" } }
const ports: L4Match = { ports: [{ kind: "service", namespace: "x", name: "s" }] }
const cluster = (policies: readonly Policy[], services: readonly Service[]): Cluster => ({
  ...emptyCluster,
  policies: new Map(policies.map((one) => [policyKey(one), one])),
  services: new Map(services.map((one) => [`${one.namespace}/${one.name}`, one])),
})
const rulesOf = (one: Policy, ...services: readonly Service[]) =>
  expandPolicy(one, cluster([], services).services).egress?.rules.map(({ peer, l4 }) => ({ peer, l4 }))

describe("a policy in terms of addresses", () => {
  test("backends are their addresses; none of a service that is not there", () => {
    expect(rulesOf(policy(backends), service([{ address: ONE, ports: [] }]))).toEqual([
      { peer: { kind: "cidr", prefixes: ["10.0.0.1/32"] }, l4: [] },
    ])
    expect(rulesOf(policy(backends))).toEqual([{ peer: { kind: "none" }, l4: [] }])
  })

  test("ports are those of each group of backends, one alternative a protocol", () => {
    const two = service([
      { address: ONE, ports: [tcp(80), { protocol: 17, port: 53 }] },
      { address: TWO, ports: [tcp(81)] },
    ])
    const at = (prefix: string): unknown => ({
      kind: "and",
      of: [{ kind: "any" }, { kind: "cidr", prefixes: [prefix] }],
    })
    expect(rulesOf(policy({ kind: "any" }, [ports]), two)).toEqual([
      {
        peer: at("10.0.0.1/32"),
        l4: [
          { protocols: [6], ports: [{ kind: "range", first: 80, last: 80 }] },
          { protocols: [17], ports: [{ kind: "range", first: 53, last: 53 }] },
        ],
      },
      { peer: at("10.0.0.2/32"), l4: [{ protocols: [6], ports: [{ kind: "range", first: 81, last: 81 }] }] },
    ])
  })

  test("a rule for the ports of a service that has none matches nothing, other alternatives stay", () => {
    expect(rulesOf(policy(backends, [ports]), service([{ address: ONE, ports: [] }]))).toEqual([])
    const both = policy({ kind: "any" }, [
      { ports: [...(ports.ports ?? []), { kind: "named", name: "web" }] },
      { protocols: [17] },
    ])
    expect(rulesOf(both)?.map(({ l4 }) => l4)).toEqual([
      [{ protocols: [17] }],
      [{ ports: [{ kind: "named", name: "web" }] }],
    ])
  })

  test("a target is the selected pods, or what is stated outside; the API server's own service is none", () => {
    const target = policy({ kind: "service", as: "target", of: {} })
    expect(rulesOf(target, service([], { selector: { app: "a" } }))?.[0]?.peer).toEqual({
      kind: "or",
      of: [
        {
          kind: "and",
          of: [
            { kind: "is", what: "endpoint" },
            { kind: "namespace", names: ["x"] },
            { kind: "labels", of: "self", selector: { kind: "in", key: "app", values: ["a"] } },
          ],
        },
      ],
    })
    const api = service([{ address: FAR, ports: [] }], { namespace: "default", name: "kubernetes" })
    expect(rulesOf(target, api)?.[0]?.peer).toEqual({ kind: "or", of: [] })
  })
})

test("only policies that name services are rewritten, and only when what they name changes", () => {
  const plain = policy({ kind: "any" }, [], "plain")
  const using = policy({ kind: "not", of: { kind: "or", of: [backends] } })
  expect([plain, using].map(usesServices)).toEqual([false, true])
  const expansion = new ServiceExpansion()
  const without = cluster([plain], [service([])])
  expect(expansion.expand(without, {}).cluster).toBe(without)
  const both = { ...cluster([plain, using], [service([])]) }
  const first = expansion.expand(both, {}).cluster.policies
  expect(first.get(policyKey(plain))).toBe(plain)
  const again = expansion.expand(
    { ...both, services: cluster([], [service([]), service([], { name: "other" })]).services },
    {},
  )
  expect(again.cluster.policies).toBe(first)
  const changed = expansion.expand(
    { ...both, services: cluster([], [service([{ address: ONE, ports: [] }])]).services },
    { policies: [] },
  )
  expect(changed.cluster.policies.get(policyKey(using))).not.toBe(first.get(policyKey(using)))
  expect([...(changed.change.policies ?? [])]).toEqual([policyKey(using)])
  expect(expansion.expand(without, {}).cluster).toBe(without)
})

test("after a compilation that failed a hint does not leave out what was compiled before", () => {
  const pod: Endpoint = {
    namespace: "x",
    name: "a",
    node: "n",
    addresses: [ONE],
    labels: {},
    serviceAccount: "default",
    namedPorts: [],
  }
  const compiler = new Compiler("n", { limits: { classes: 4, rows: 65_536 } })
  const small = { ...cluster([policy({ kind: "none" })], []), endpoints: new Map([["x/a", pod]]) }
  compiler.update(small)
  // Each block in force makes a class of its own.
  const blocks = Array.from({ length: 8 }, (_, i) =>
    policy({ kind: "cidr", prefixes: [parsePrefix(`10.${i}.0.0/16`)] }, [{ protocols: [i] }], `p${i}`),
  )
  expect(() => compiler.update({ ...small, policies: cluster(blocks, []).policies })).toThrow(CompileError)
  const tables = compiler.update(small, { endpoints: [], policies: [] })
  const packet = { source: ONE, destination: FAR, protocol: 6, sourcePort: 1, destinationPort: 80 }
  expect(judge(tables, packet).egress.action).toBe("deny")
})
