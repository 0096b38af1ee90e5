/**
 * How long compiling takes, from scratch and change by change. `node bench/compile.ts [--json] [--quick]`.
 * Baselines in the same run: an empty change (what an update costs at least), and the same at a tenth of the size.
 */
import { cpus } from "node:os"
import { Compiler } from "../src/compile/compile.ts"
import { type Cluster, type Endpoint, emptyCluster, type Namespace, type Node } from "../src/model/cluster.ts"
import { type Match, type Policy, policyKey, type Rule } from "../src/model/policy.ts"
import { ShardedMap } from "../src/model/sharded-map.ts"
import { parsePrefix } from "../src/net/prefix.ts"
import type { Address } from "../src/net/types.ts"

interface Size {
  readonly name: string
  readonly policies: number
  readonly endpoints: number
  readonly labelSets: number
  readonly namespaces: number
  /** Endpoints of the node that compiles. */
  readonly local: number
}

const sizes: readonly Size[] = [
  { name: "cluster/10", policies: 200, endpoints: 10_000, labelSets: 1_000, namespaces: 20, local: 110 },
  { name: "cluster", policies: 2_000, endpoints: 100_000, labelSets: 10_000, namespaces: 200, local: 110 },
  { name: "node", policies: 1_000, endpoints: 11_000, labelSets: 2_000, namespaces: 100, local: 1_000 },
]

const origin = { file: "bench.yaml", line: 1, column: 1 }

function labelsOf(size: Size, set: number): { namespace: string; labels: Record<string, string> } {
  const namespace = `ns-${set % size.namespaces}`
  const app = Math.floor(set / size.namespaces)
  return { namespace, labels: { app: `app-${app}`, tier: `tier-${app % 3}`, version: `v${set % 2}` } }
}

function endpointOf(size: Size, i: number, version = ""): Endpoint {
  const { namespace, labels } = labelsOf(size, i % size.labelSets)
  return {
    namespace,
    name: `pod-${i}`,
    node: i % Math.floor(size.endpoints / size.local) === 0 ? "here" : `node-${i % 997}`,
    addresses: [
      `10.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}` as Address,
      `fd00::${((i >> 16) + 1).toString(16)}:${(i & 0xffff).toString(16)}` as Address,
    ],
    labels: version === "" ? labels : { ...labels, version },
    serviceAccount: "default",
    namedPorts: [{ name: "http", protocol: 6, port: 8080 }],
  }
}

function policyOf(size: Size, i: number, port = 8080): Policy {
  const perNamespace = Math.ceil(size.labelSets / size.namespaces)
  const namespace = `ns-${i % size.namespaces}`
  const nth = Math.floor(i / size.namespaces)
  const label = (key: string, value: string): Match => ({
    kind: "labels",
    of: "self",
    selector: { kind: "in", key, values: [value] },
  })
  const inside: Match = { kind: "namespace", names: [namespace] }
  const pod: Match = { kind: "is", what: "endpoint" }
  const rule = (index: number, peer: Match, port: number): Rule => ({
    action: "allow",
    peer,
    l4: [{ protocols: [6], ports: [{ kind: "range", first: port, last: port }] }],
    section: "ingress",
    index,
    origin,
  })
  // One in ten is a default deny for its namespace; the others let two kinds of pods and a block in.
  const rules =
    nth % 10 === 0
      ? []
      : [
          rule(0, { kind: "and", of: [pod, inside, label("app", `app-${(nth + 1) % perNamespace}`)] }, port),
          rule(
            1,
            {
              kind: "and",
              of: [
                pod,
                { kind: "namespace", names: [`ns-${(i + 1) % size.namespaces}`] },
                label("tier", `tier-${nth % 3}`),
              ],
            },
            9090,
          ),
          ...(nth % 10 === 1
            ? [rule(2, { kind: "cidr", prefixes: [parsePrefix(`192.${i >> 8}.${i & 255}.0/24`)] }, 443)]
            : []),
        ]
  const subject =
    nth % 10 === 0 ? inside : ({ kind: "and", of: [pod, inside, label("app", `app-${nth % perNamespace}`)] } as const)
  return {
    group: "networking.k8s.io",
    kind: "NetworkPolicy",
    namespace,
    name: `policy-${i}`,
    tier: "default",
    order: 1_000,
    tieBreak: "",
    subject,
    ingress: { isolates: true, rules },
    mode: "enforced",
    origin,
  }
}

function clusterOf(size: Size): Cluster {
  const endpoints = Array.from({ length: size.endpoints }, (_, i) => endpointOf(size, i))
  const policies = Array.from({ length: size.policies }, (_, i) => policyOf(size, i))
  const namespaces = Array.from(
    { length: size.namespaces },
    (_, i): Namespace => ({ name: `ns-${i}`, labels: { "kubernetes.io/metadata.name": `ns-${i}` } }),
  )
  const node: Node = { name: "here", labels: {}, addresses: ["172.18.0.1" as Address], podPrefixes: [] }
  return {
    ...emptyCluster,
    namespaces: new Map(namespaces.map((one) => [one.name, one])),
    nodes: new Map([["here", node]]),
    endpoints: new ShardedMap<Endpoint>().with(new Map(endpoints.map((one) => [`${one.namespace}/${one.name}`, one]))),
    policies: new ShardedMap<Policy>().with(new Map(policies.map((one) => [policyKey(one), one]))),
    clusterPrefixes: [parsePrefix("10.0.0.0/8"), parsePrefix("fd00::/16")],
  }
}

function sharded<V>(map: ReadonlyMap<string, V>): ShardedMap<V> {
  return map instanceof ShardedMap ? map : new ShardedMap<V>().with(map)
}

interface Figures {
  readonly runs: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** Times `step` alone, in ms. */
function measure(runs: number, step: (i: number) => () => void): Figures {
  const times: number[] = []
  for (let i = 0; i < runs; i++) {
    const run = step(i)
    const start = performance.now()
    run()
    times.push(performance.now() - start)
  }
  times.sort((a, b) => a - b)
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  return { runs, p50: at(0.5), p99: at(0.99), max: at(1) }
}

function bench(size: Size, runs: number): Record<string, unknown> {
  let cluster = clusterOf(size)
  globalThis.gc?.()
  const heapBefore = process.memoryUsage().heapUsed
  let compiler = new Compiler("here")
  const whole = measure(2, () => {
    compiler = new Compiler("here")
    return () => compiler.update(cluster)
  })
  globalThis.gc?.()
  const heap = (process.memoryUsage().heapUsed - heapBefore) / 1e6
  let compiled = compiler.update(cluster)
  // As the source hands clusters out: new versions of sharded maps. Making them is not timed, finding what changed is.
  const changed = (edit: Partial<Cluster>): (() => void) => {
    const next = { ...cluster, ...edit }
    return () => {
      compiled = compiler.update(next)
      cluster = next
    }
  }
  const nothing = measure(runs, () => changed({}))
  const onePolicy = measure(runs, (i) => {
    const policy = policyOf(size, (i * 37) % size.policies, 1_000 + i)
    const policies = sharded(cluster.policies).with(new Map([[policyKey(policy), policy]]))
    return changed({ policies })
  })
  // A policy that selects every endpoint comes and goes: all sets are made anew.
  const wide = measure(Math.min(runs, 50), (i) => {
    const policy: Policy = { ...policyOf(size, 1, 2_000 + i), name: "wide", subject: { kind: "is", what: "endpoint" } }
    const policies = sharded(cluster.policies).with(new Map([[policyKey(policy), i % 2 === 0 ? policy : undefined]]))
    return changed({ policies })
  })
  const pod = (local: boolean, version: (i: number) => string): Figures =>
    measure(runs, (i) => {
      const step = Math.floor(size.endpoints / size.local)
      const number = (local ? (i * step * 7) % size.endpoints : i * step + 1) % size.endpoints
      const endpoint = endpointOf(size, local ? number - (number % step) : number, version(i))
      const key = `${endpoint.namespace}/${endpoint.name}`
      return changed({ endpoints: sharded(cluster.endpoints).with(new Map([[key, endpoint]])) })
    })
  const remotePod = pod(false, (i) => `v${i % 2}`)
  const newLabels = pod(false, (i) => `new-${i}`)
  const localPod = pod(true, (i) => `v${i % 2}`)
  return {
    ...size,
    classes: compiled.classCount,
    sets: compiled.sets.length,
    rows: compiled.rows.length,
    cellsBytes: compiled.sets.length * compiled.classCount * 2,
    heapMB: Math.round(heap),
    wholeMs: whole.p50,
    wholeFirstMs: whole.max,
    nothing,
    onePolicy,
    wide,
    remotePod,
    newLabels,
    localPod,
  }
}

/** One pod that lets each of many peers use a port of its own, and everybody as many others. */
function ownPorts(count: number): Record<string, unknown> {
  const at = (first: number): Rule["l4"] => [{ protocols: [6], ports: [{ kind: "range", first, last: first }] }]
  const app = (value: string): Match => ({
    kind: "labels",
    of: "self",
    selector: { kind: "in", key: "app", values: [value] },
  })
  const pod = (name: string, node: string, address: string): Endpoint => ({
    ...{ namespace: "ns-0", name, node, addresses: [address as Address], labels: { app: name } },
    ...{ serviceAccount: "default", namedPorts: [] },
  })
  const peers = Array.from({ length: count }, (_, i) => pod(`p${i}`, "there", `10.1.${i >> 8}.${i & 255}`))
  const rules = [
    ...peers.map(({ name }, i) => ({ peer: app(name), l4: at(20_000 + 2 * i) })),
    ...peers.map((_, i) => ({ peer: { kind: "any" } as const, l4: at(1_000 + 2 * i) })),
  ].map((rule, index): Rule => ({ ...rule, action: "allow", section: "ingress", index, origin }))
  const policy: Policy = {
    ...{ group: "networking.k8s.io", kind: "NetworkPolicy", namespace: "ns-0", name: "own-ports", tier: "default" },
    ...{ order: 1_000, tieBreak: "", subject: app("web"), mode: "enforced", origin },
    ingress: { isolates: true, rules },
  }
  const cluster: Cluster = {
    ...emptyCluster,
    endpoints: new Map([pod("web", "here", "10.0.0.1"), ...peers].map((one) => [`ns-0/${one.name}`, one])),
    policies: new Map([[policyKey(policy), policy]]),
    clusterPrefixes: [parsePrefix("10.0.0.0/8")],
  }
  const from = performance.now()
  const { rows } = new Compiler("here").update(cluster)
  const intervals = rows.reduce((sum, { starts }) => sum + starts.length, 0)
  return { name: "own ports", rules: rules.length, intervals, wholeMs: performance.now() - from }
}

const quick = process.argv.includes("--quick")
const results = [...sizes.map((size) => bench(size, quick ? 50 : 300)), ownPorts(1_000)]
if (process.argv.includes("--json")) {
  const machine = { cpu: cpus()[0]?.model, cpus: cpus().length, node: process.version, platform: process.platform }
  console.log(JSON.stringify({ machine, results }, null, 2))
} else {
  for (const result of results) {
    console.log(
      `\n${result["name"]}: ${JSON.stringify(result, (_, v) => (typeof v === "number" && !Number.isInteger(v) ? Number(v.toFixed(3)) : v))}`,
    )
  }
}
