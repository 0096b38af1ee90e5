import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { admission } from "../../src/suite/admission.ts"
import { planSuite } from "../../src/suite/plan.ts"
import type { SuitePlane } from "../../src/suite/plane.ts"
import { compiledPlane } from "../../src/suite/plane-compiled.ts"
import { modelPlane } from "../../src/suite/plane-model.ts"
import { readCases } from "../../src/suite/read.ts"
import { caseFailures } from "../../src/suite/report/failure.ts"
import { runSuite } from "../../src/suite/run.ts"
import { kubernetesAllows, type RawObject, type RawProbe } from "../evaluator/kubernetes.ts"
import { namespace, node, pod, policy } from "../suites/builders.ts"

/**
 * Random clusters under random policies: the independent evaluator, the model and the compiled tables must agree on every probe.
 * Histories of three states check as well that compiling differences means the same as compiling the whole.
 */
const oneOf = <T>(...values: readonly T[]) => fc.constantFrom(...values)
const some = <T>(value: fc.Arbitrary<T>, most: number) => fc.array(value, { maxLength: most })
/** The field with a value, or without it. */
const maybe = <T>(field: string, value: fc.Arbitrary<T>) =>
  fc.option(value, { nil: undefined }).map((v) => (v === undefined ? {} : { [field]: v }))
const merged = (...parts: readonly fc.Arbitrary<object>[]) =>
  fc.tuple(...parts).map((all) => Object.assign({}, ...all) as object)

const keys = ["app", "tier"]
const values = ["a", "b", ""]
const labels = fc.dictionary(oneOf(...keys), oneOf(...values), { maxKeys: 2 })
const expression = fc.oneof(
  fc.record({
    key: oneOf(...keys),
    operator: oneOf("In", "NotIn"),
    values: fc.array(oneOf(...values), { minLength: 1, maxLength: 2 }),
  }),
  fc.record({ key: oneOf(...keys), operator: oneOf("Exists", "DoesNotExist") }),
)
const selector = merged(maybe("matchLabels", labels), maybe("matchExpressions", some(expression, 2)))

const blocks: readonly (readonly [string, ...(readonly string[])])[] = [
  ["10.244.0.0/16", "10.244.1.0/24", "10.244.2.21/32"],
  ["0.0.0.0/0", "10.0.0.0/8", "198.51.100.0/25"],
  ["198.51.100.0/24", "198.51.100.7/32", "198.51.100.128/25"],
  ["172.18.0.0/24", "172.18.0.12/32"],
  ["10.244.1.20/30"],
  ["fd00:10:244::/48", "fd00:10:244:2::/64"],
  ["::/0", "fd00::/8", "2001:db8::7/128"],
]
const ipBlock = oneOf(...blocks).chain(([cidr, ...holes]) =>
  merged(fc.constant({ cidr }), holes.length === 0 ? fc.constant({}) : maybe("except", fc.subarray([...holes]))),
)
const peer = fc.oneof(
  fc.record({ podSelector: selector }),
  fc.record({ namespaceSelector: selector }),
  fc.record({ namespaceSelector: selector, podSelector: selector }),
  fc.record({ ipBlock }),
)
const protocol = oneOf("TCP", "UDP", "SCTP")
const portRange = fc
  .tuple(fc.integer({ min: 1, max: 90 }), fc.integer({ min: 0, max: 20 }))
  .map(([port, length]) => ({ port, endPort: port + length }))
const port = merged(
  maybe("protocol", protocol),
  fc.oneof(fc.constant({}), fc.record({ port: oneOf<number | string>(53, 80, 81, "web", "dns", "nobody") }), portRange),
)
const rule = (side: "from" | "to") => merged(maybe(side, some(peer, 2)), maybe("ports", some(port, 2)))
const spec = merged(
  fc.record({ podSelector: selector }),
  maybe("policyTypes", fc.subarray(["Ingress", "Egress"])),
  maybe("ingress", some(rule("from"), 2)),
  maybe("egress", some(rule("to"), 2)),
)
const namespaceNames = ["x", "y", "z"]
const policies = some(fc.tuple(oneOf(...namespaceNames), spec), 5).map((all) =>
  all.map(([ns, one], i) => policy(`${ns}/p${i}`, one)),
)

const nodeIps = { "node-1": ["172.18.0.11", "fd00:172:18::11"], "node-2": ["172.18.0.12", "fd00:172:18::12"] } as const
const podKeys = namespaceNames.flatMap((ns) => ["a", "b"].map((name) => `${ns}/${name}`))
const named = fc.record({ name: oneOf("web", "dns"), containerPort: oneOf(53, 80, 81), protocol })
const pods = fc.tuple(
  ...podKeys.map((key, i) =>
    fc
      .record({
        labels,
        ports: fc.uniqueArray(named, { maxLength: 2, selector: ({ name }) => name }),
        hostNetwork: oneOf(false, false, false, true),
      })
      .map((parts) => {
        const number = i < 3 ? 1 : 2
        const ips = parts.hostNetwork
          ? nodeIps[`node-${number}`]
          : [`10.244.${number}.${20 + i}`, `fd00:10:244:${number}::${20 + i}`]
        return pod(key, { ...parts, node: `node-${number}`, ips })
      }),
  ),
)
const cluster = fc
  .tuple(fc.tuple(labels, labels, labels), pods, policies)
  .map(([labelled, all, objects]) => [
    ...Object.entries(nodeIps).map(([name, ips]) => node(name, ips)),
    ...namespaceNames.map((name, i) => namespace(name, labelled[i])),
    ...all,
    ...objects,
  ])

const end = fc.oneof(
  { weight: 6, arbitrary: oneOf(...podKeys).map((key) => ({ ns: key[0], pod: key[2] })) },
  { weight: 1, arbitrary: oneOf("node-1", "node-2").map((name) => ({ node: name })) },
)
const outside = oneOf("198.51.100.7", "198.51.100.200", "203.0.113.9", "2001:db8::7").map((ip) => ({ ip }))
const asked = fc.oneof(
  fc.record({ protocol, port: oneOf(53, 80, 81, 1, 100) }),
  oneOf({ protocol: "ICMP", family: "ipv4" }, { protocol: "ICMPv6", family: "ipv6" }, { protocol: 253 }),
)
const probe = fc
  .oneof(
    { weight: 5, arbitrary: fc.tuple(end, end, asked, maybe("family", oneOf("ipv4", "ipv6"))) },
    { weight: 1, arbitrary: fc.tuple(end, outside, fc.record({ protocol, port: oneOf(53, 80, 81) }), fc.constant({})) },
    { weight: 1, arbitrary: fc.tuple(outside, end, fc.record({ protocol, port: oneOf(53, 80, 81) }), fc.constant({})) },
  )
  .map(([from, to, what, family]) => ({ from, to, ...family, ...what }) as RawProbe)
const probes = fc.array(probe, { minLength: 30, maxLength: 30 })

async function disagreements(states: readonly (readonly object[])[], texts: readonly RawProbe[], plane: SuitePlane) {
  const lines = states.map((manifests, step) => {
    const expected = texts.map((one) => ({
      ...one,
      expect: kubernetesAllows(manifests as readonly RawObject[], one) ? "allow" : "deny",
    }))
    return JSON.stringify({ name: `step ${step}`, group: "g", step, manifests, probes: expected })
  })
  const histories = planSuite(readCases(lines.join("\n"), "random", "jsonl"))
  const failures: string[] = []
  for await (const result of runSuite(histories, plane, { now: () => 0, allowUnsupported: false, admission })) {
    failures.push(...caseFailures(result))
  }
  return failures
}

describe("Kubernetes policies: independent evaluator, model and compiled tables agree", () => {
  it.each([
    ["model", modelPlane],
    ["compiled", compiledPlane],
  ] as const)("on random clusters by plane %s", async (_, makePlane) => {
    await fc.assert(
      fc.asyncProperty(fc.tuple(cluster, cluster, cluster), probes, async (states, texts) => {
        expect(await disagreements(states, texts, makePlane())).toEqual([])
      }),
      { seed: 20_261_121, numRuns: 300 },
    )
  })
})
