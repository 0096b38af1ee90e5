import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { compile } from "../../src/compile/compile.ts"
import { evaluate } from "../../src/compile/evaluate.ts"
import { judge } from "../../src/compile/judge.ts"
import type { Cluster } from "../../src/model/cluster.ts"
import type { Packet } from "../../src/model/packet.ts"
import type { Address } from "../../src/net/types.ts"
import { namespace, node, pod, policy } from "../suites/builders.ts"
import { toCalico } from "../translate/calico.ts"
import { toCilium } from "../translate/cilium.ts"
import type { KubernetesPolicy, Rule, Spec } from "../translate/kubernetes.ts"
import { toPolicyApi } from "../translate/policy-api.ts"
import { clusterOf } from "./verdicts.ts"

/*
 * A policy and its translation into another language mean the same, and what only allows never takes away: laws that hold whatever
 * the right verdict is, so that no expectation of ours stands between two languages.
 */

const oneOf = <T>(...values: readonly T[]) => fc.constantFrom(...values)
/** A list of at most some items, or none. */
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const present = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T

const keys = ["app", "tier"]
const values = ["a", "b", ""]
const labels = fc.dictionary(oneOf(...keys), oneOf(...values), { maxKeys: 2, noNullPrototype: true })
const expression = fc.oneof(
  fc.record({
    key: oneOf(...keys),
    operator: oneOf("In", "NotIn"),
    values: fc.array(oneOf(...values), { minLength: 1, maxLength: 2 }),
  }),
  fc.record({ key: oneOf(...keys), operator: oneOf("Exists", "DoesNotExist") }),
)
const selector = fc
  .record({ matchLabels: maybe(labels), matchExpressions: maybe(fc.array(expression, { maxLength: 2 })) })
  .map(present)

/** Blocks that hold pods and nodes, and such as hold none. */
const anyBlock = oneOf(
  { cidr: "10.244.0.0/16", except: ["10.244.1.0/24"] },
  { cidr: "0.0.0.0/0", except: ["198.51.100.0/25", "10.0.0.0/8"] },
  { cidr: "172.18.0.0/24" },
  { cidr: "fd00:10:244:1::/64" },
  { cidr: "198.51.100.0/24", except: ["198.51.100.7/32"] },
)
const outsideBlock = oneOf(
  { cidr: "198.51.100.0/24" },
  { cidr: "198.51.100.0/24", except: ["198.51.100.7/32"] },
  { cidr: "198.51.0.0/16", except: ["198.51.100.0/25", "198.51.100.128/26"] },
  { cidr: "2001:db8::/32", except: ["2001:db8::7/128"] },
)
const podPeer = fc
  .record({ podSelector: maybe(selector), namespaceSelector: maybe(selector) })
  .map(present)
  .filter((peer) => Object.keys(peer).length > 0)

const protocol = oneOf("TCP", "UDP", "SCTP")
const numberedPort = fc
  .record({ protocol: maybe(protocol), port: maybe(oneOf(53, 80, 81)), length: maybe(fc.integer({ min: 0, max: 30 })) })
  .map(({ protocol: name, port, length }) =>
    present({ protocol: name, port, endPort: port === undefined || length === undefined ? undefined : port + length }),
  )
const namedPort = fc.record({ protocol: maybe(protocol), port: oneOf("web", "dns", "nobody") }).map(present)

const rule = (side: "from" | "to", peer: fc.Arbitrary<object>, port: fc.Arbitrary<object>) =>
  fc
    .record({ [side]: maybe(fc.array(peer, { maxLength: 2 })), ports: maybe(fc.array(port, { maxLength: 2 })) })
    .map((one) => present(one) as Rule)

const specs = (peer: fc.Arbitrary<object>, port: fc.Arbitrary<object>) =>
  fc
    .record({
      podSelector: selector,
      policyTypes: maybe(fc.subarray(["Ingress", "Egress"])),
      ingress: maybe(fc.array(rule("from", peer, port), { maxLength: 3 })),
      egress: maybe(fc.array(rule("to", peer, port), { maxLength: 3 })),
    })
    .map((one) => present(one) as Spec)

const names = ["x", "y", "z"]
const policies = (peer: fc.Arbitrary<object>, port: fc.Arbitrary<object>): fc.Arbitrary<KubernetesPolicy[]> =>
  fc
    .array(fc.record({ namespace: oneOf(...names), spec: specs(peer, port) }), { minLength: 1, maxLength: 4 })
    .map((all) => all.map((one, index) => ({ ...one, name: `p${index}` })))

const nodeIps = { "node-1": ["172.18.0.11", "fd00:172:18::11"], "node-2": ["172.18.0.12", "fd00:172:18::12"] } as const
const namedPorts = fc.uniqueArray(
  fc.record({ name: oneOf("web", "dns"), containerPort: oneOf(53, 80, 81), protocol }),
  {
    maxLength: 2,
    selector: ({ name }) => name,
  },
)
const world = fc
  .tuple(
    fc.tuple(labels, labels, labels),
    fc.array(fc.record({ labels, ports: namedPorts }), { minLength: 6, maxLength: 6 }),
  )
  .map(([labelled, pods]) => [
    ...Object.entries(nodeIps).map(([name, ips]) => node(name, ips)),
    ...names.map((name, index) => namespace(name, labelled[index])),
    ...pods.map((parts, index) => {
      const on = index % 2 === 0 ? 1 : 2
      const ips = [`10.244.${on}.${10 + index}`, `fd00:10:244:${on}::${10 + index}`]
      return pod(`${names[index >> 1]}/${index}`, { ...parts, node: `node-${on}`, ips })
    }),
  ])

const questions: readonly Pick<Packet, "protocol" | "destinationPort">[] = [
  { protocol: 6, destinationPort: 80 },
  { protocol: 6, destinationPort: 100 },
  { protocol: 17, destinationPort: 53 },
  { protocol: 132, destinationPort: 81 },
  { protocol: 1, destinationPort: 0 },
  { protocol: 47, destinationPort: 0 },
]

/** Everything that can be asked in the cluster, between its pods and these others. */
function* packets(cluster: Cluster, others: readonly string[]): Generator<Packet> {
  for (const family of [4, 6]) {
    const of = (address: string) => address.includes(":") === (family === 6)
    const pods = [...cluster.endpoints.values()].flatMap(({ addresses }) => addresses.filter(of))
    const ends = [...pods, ...(others.filter(of) as Address[])]
    for (const source of ends) {
      for (const destination of ends) {
        if (source === destination || !(pods.includes(source) || pods.includes(destination))) continue
        for (const question of questions) yield { source, destination, sourcePort: 40_000, ...question }
      }
    }
  }
}

const outside = ["198.51.100.7", "198.51.100.200", "2001:db8::7", "172.18.0.11", "fd00:172:18::12"]

/** Packets of which two clusters think differently. */
function differences(one: Cluster, other: Cluster, others: readonly string[]): string[] {
  const found: string[] = []
  for (const packet of packets(one, others)) {
    const [a, b] = [evaluate(one, packet), evaluate(other, packet)]
    for (const direction of ["egress", "ingress"] as const) {
      if (a[direction].action !== b[direction].action)
        found.push(`${direction} ${JSON.stringify(packet)}: ${a[direction].action}, then ${b[direction].action}`)
    }
  }
  return found
}

const kubernetes = ({ namespace: where, name, spec }: KubernetesPolicy): object => policy(`${where}/${name}`, spec)
const runs = { seed: 20_261_121, numRuns: 60 }

describe("a Kubernetes policy and its translation give the same truth table", () => {
  const anyPeer = fc.oneof(
    { weight: 3, arbitrary: podPeer },
    { weight: 1, arbitrary: fc.record({ ipBlock: anyBlock }) },
  )
  const ciliumPeer = fc.oneof(
    { weight: 3, arbitrary: podPeer },
    { weight: 1, arbitrary: fc.record({ ipBlock: outsideBlock }) },
  )
  const anyPort = fc.oneof({ weight: 2, arbitrary: numberedPort }, { weight: 1, arbitrary: namedPort })

  test.each<
    [string, fc.Arbitrary<KubernetesPolicy[]>, (policy: KubernetesPolicy) => readonly object[], readonly string[]]
  >([
    ["Calico", policies(anyPeer, anyPort), (one) => [toCalico(one)], outside],
    ["Cilium", policies(ciliumPeer, anyPort), (one) => [toCilium(one)], outside],
    ["the policy API, between pods", policies(podPeer, numberedPort), toPolicyApi, []],
  ])("%s", (_language, generated, translate, others) => {
    let verdicts = 0
    fc.assert(
      fc.property(world, generated, (objects, all) => {
        const one = clusterOf([...objects, ...all.map(kubernetes)])
        const other = clusterOf([...objects, ...all.flatMap(translate)])
        verdicts += [...packets(one, others)].length
        expect(differences(one, other, others)).toEqual([])
      }),
      runs,
    )
    expect(verdicts).toBeGreaterThan(15_000)
  })

  test("some policies translated, some not: the languages add up as one would", () => {
    const translations = [kubernetes, toCalico, toCilium]
    fc.assert(
      fc.property(
        world,
        policies(ciliumPeer, anyPort),
        fc.array(fc.nat(2), { minLength: 4, maxLength: 4 }),
        (objects, all, chosen) => {
          const one = clusterOf([...objects, ...all.map(kubernetes)])
          const other = clusterOf([
            ...objects,
            ...all.map((each, index) => (translations[chosen[index] ?? 0] ?? kubernetes)(each)),
          ])
          expect(differences(one, other, outside)).toEqual([])
        },
      ),
      runs,
    )
  })

  test("in the compiled tables too", () => {
    fc.assert(
      fc.property(world, policies(ciliumPeer, anyPort), (objects, all) => {
        const compiled = (translate: (one: KubernetesPolicy) => object) =>
          ["node-1", "node-2"].map((name) => compile(clusterOf([...objects, ...all.map(translate)]), name))
        const [written, ...translated] = [compiled(kubernetes), compiled(toCalico), compiled(toCilium)]
        const reference = clusterOf(objects)
        for (const packet of packets(reference, outside)) {
          const actions = (tables: ReturnType<typeof compiled> | undefined) =>
            tables?.map((one) => judge(one, packet)).map(({ egress, ingress }) => `${egress.action} ${ingress.action}`)
          for (const other of translated) expect(actions(other), JSON.stringify(packet)).toEqual(actions(written))
        }
      }),
      { ...runs, numRuns: 20 },
    )
  })
})

describe("in a pure allow-list, adding an allow never removes a connection", () => {
  const anyPeer = fc.oneof(
    { weight: 3, arbitrary: podPeer },
    { weight: 1, arbitrary: fc.record({ ipBlock: outsideBlock }) },
  )
  const port = fc.oneof(numberedPort, namedPort)
  const addition = fc.record({
    at: fc.nat(),
    side: oneOf("ingress" as const, "egress" as const),
    from: rule("from", anyPeer, port),
    to: rule("to", anyPeer, port),
  })

  test.each<[string, (policy: KubernetesPolicy) => readonly object[], readonly string[]]>([
    ["Kubernetes", (one) => [kubernetes(one)], outside],
    ["Calico", (one) => [toCalico(one)], outside],
    ["Cilium", (one) => [toCilium(one)], outside],
  ])("%s", (_language, translate, others) => {
    fc.assert(
      fc.property(world, policies(anyPeer, port), addition, (objects, all, { at, side, from, to }) => {
        // Types are stated, so that the policy isolates before and after alike.
        const stated = all.map((one) => ({ ...one, spec: { ...one.spec, policyTypes: ["Ingress", "Egress"] } }))
        const target = at % stated.length
        const added = stated.map((one, index) => {
          if (index !== target) return one
          const rules = [side === "ingress" ? from : to, ...(one.spec[side] ?? [])]
          return { ...one, spec: { ...one.spec, [side]: rules } }
        })
        const before = clusterOf([...objects, ...stated.flatMap(translate)])
        const after = clusterOf([...objects, ...added.flatMap(translate)])
        const removed = [...packets(before, others)].filter(
          (packet) => evaluate(before, packet).allowed && !evaluate(after, packet).allowed,
        )
        expect(removed).toEqual([])
      }),
      runs,
    )
  })
})
