import fc from "fast-check"
import { expect, test } from "vitest"
import * as arbitrary from "../../test/arbitrary/cluster.ts"
import type { Cluster } from "../model/cluster.ts"
import type { Packet } from "../model/packet.ts"
import { ruleIdText, type Verdict } from "../model/verdict.ts"
import { Compiler } from "./compile.ts"
import { type Compiled, OutcomeAction } from "./compiled.ts"
import { LIMITS } from "./error.ts"
import { evaluate } from "./evaluate.ts"
import { explain } from "./explain.ts"
import { judge } from "./judge.ts"

const SEED = 20_261_121

function show(verdict: Verdict): string {
  const origin = "origin" in verdict.by ? `@${verdict.by.origin.file}:${verdict.by.origin.line}` : ""
  const staged = verdict.staged ? ` staged ${verdict.staged.action} ${ruleIdText(verdict.staged.by)}` : ""
  return `${verdict.action} ${ruleIdText(verdict.by)}${origin}${verdict.log ? " log" : ""}${staged}`
}

/** Verdicts of both, judged end by end on the node that has the end. */
function disagreements(
  cluster: Cluster,
  compiled: ReadonlyMap<string, Compiled>,
  packets: readonly Packet[],
): string[] {
  const found: string[] = []
  for (const packet of packets) {
    const expected = evaluate(cluster, packet)
    for (const direction of ["ingress", "egress"] as const) {
      const address = direction === "ingress" ? packet.destination : packet.source
      for (const [node, tables] of compiled) {
        const entry = tables.addresses.get(address)
        if (entry?.node !== node || entry.kind !== "endpoint") continue
        const got = show(judge(tables, packet)[direction])
        const want = show(expected[direction])
        if (got !== want)
          found.push(`${JSON.stringify(packet)} ${direction} on ${node}: tables ${got}, evaluator ${want}`)
      }
    }
  }
  return found
}

/** The tables of both nodes; `layered`: see `CompileLimits`. */
function compileAll(cluster: Cluster, layered: number): Map<string, Compiled> {
  return new Map(["n1", "n2"].map((node) => [node, new Compiler(node, { limits: { layered } }).update(cluster)]))
}

test("the compiled tables judge every packet as the evaluator does", () => {
  let verdicts = 0
  const kinds = new Set<string>()
  fc.assert(
    fc.property(
      arbitrary.cluster,
      fc.array(arbitrary.question, { minLength: 5, maxLength: 5 }),
      (cluster, questions) => {
        const packets = arbitrary.packetsOf(questions)
        verdicts += 2 * packets.length
        for (const packet of packets.slice(0, 40)) {
          const { ingress } = evaluate(cluster, packet)
          kinds.add(`${ingress.action} ${ingress.by.kind}`)
          if (ingress.staged) kinds.add(`staged ${ingress.staged.action}`)
          if (ingress.log) kinds.add("log")
        }
        for (const layered of [LIMITS.layered, 0]) {
          const compiled = compileAll(cluster, layered)
          for (const { rows } of compiled.values())
            for (const { outcomes } of rows)
              if (outcomes.some((outcome) => outcome >>> 30 === OutcomeAction.asRow)) kinds.add("layered")
          expect(disagreements(cluster, compiled, packets)).toEqual([])
        }
      },
    ),
    { seed: SEED, numRuns: 600 },
  )
  expect(verdicts).toBeGreaterThan(100_000)
  // Agreement is worth what the clusters exercise.
  expect([...kinds].sort()).toEqual([
    "allow noPolicy",
    "allow nodeToOwnPod",
    "allow notEnforced",
    "allow rule",
    "deny defaultDeny",
    "deny rule",
    "deny unknownPeer",
    "layered",
    "log",
    "staged allow",
    "staged deny",
  ])
})

test("an explanation ends where the evaluator decides", () => {
  fc.assert(
    fc.property(
      arbitrary.cluster,
      fc.array(arbitrary.question, { minLength: 3, maxLength: 3 }),
      (cluster, questions) => {
        for (const packet of arbitrary.packetsOf(questions)) {
          const explained = explain(cluster, packet)
          const expected = evaluate(cluster, packet)
          for (const direction of ["ingress", "egress"] as const) {
            const { verdict, steps, nearMisses } = explained[direction]
            expect(show(verdict)).toBe(show(expected[direction]))
            if (verdict.action === "allow") expect(nearMisses).toEqual([])
            if (verdict.by.kind === "rule" && !packet.fromNodeSocket) {
              expect(steps.at(-1)?.text.startsWith(ruleIdText(verdict.by))).toBe(true)
            }
            if (verdict.by.kind === "defaultDeny") expect(steps.at(-1)?.origin).toEqual(verdict.by.origin)
          }
        }
      },
    ),
    { seed: SEED, numRuns: 100 },
  )
})
