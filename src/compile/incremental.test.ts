import fc from "fast-check"
import { expect, test } from "vitest"
import * as arbitrary from "../../test/arbitrary/cluster.ts"
import type { Cluster } from "../model/cluster.ts"
import { canonical } from "./canonical.ts"
import type { ClusterChange } from "./change.ts"
import { Compiler, compile } from "./compile.ts"
import type { Compiled } from "./compiled.ts"
import { LIMITS } from "./error.ts"

const SEED = 20_261_122

function keysOfAll(before: Cluster, after: Cluster): ClusterChange {
  const keys = (map: ReadonlyMap<string, unknown>, other: ReadonlyMap<string, unknown>): string[] => [
    ...map.keys(),
    ...other.keys(),
  ]
  return {
    endpoints: keys(before.endpoints, after.endpoints),
    policies: keys(before.policies, after.policies),
    namespaces: keys(before.namespaces, after.namespaces),
  }
}

test("the order in which objects come makes no difference", () => {
  fc.assert(
    fc.property(arbitrary.parts, fc.integer(), (parts, seed) => {
      const again = arbitrary.clusterOf(arbitrary.shuffleParts(parts, arbitrary.chooser(seed)))
      expect(canonical(compile(again, "n1"))).toEqual(canonical(compile(arbitrary.clusterOf(parts), "n1")))
    }),
    { seed: SEED, numRuns: 300 },
  )
})

test("a compiler that has seen any history means what one from scratch means, and leaves older results alone", () => {
  fc.assert(
    fc.property(
      arbitrary.parts,
      arbitrary.parts,
      fc.array(fc.integer(), { minLength: 1, maxLength: 6 }),
      (one, other, seeds) => {
        // Rows that lean on others mean the same as whole ones.
        const layered = (seeds[0] ?? 0) % 2 === 0 ? 0 : LIMITS.layered
        const compiler = new Compiler("n1", { limits: { layered } })
        const history: { readonly compiled: Compiled; readonly meaning: unknown }[] = []
        const classesIn = ({ classes }: Compiled): number => new Set(classes).size
        let before = arbitrary.clusterOf(one)
        history.push({ compiled: compiler.update(before), meaning: canonical(compile(before, "n1")) })
        for (const seed of seeds) {
          const next = arbitrary.chooser(seed)
          const after = arbitrary.clusterOf(arbitrary.shuffleParts(arbitrary.mixed(one, other, next), next))
          const compiled = compiler.update(after, next() % 2 === 0 ? {} : keysOfAll(before, after))
          const scratch = compile(after, "n1")
          history.push({ compiled, meaning: canonical(scratch) })
          before = after
          // What nothing tells apart any more is together again.
          expect(classesIn(compiled)).toBe(classesIn(scratch))
          expect(canonical(compiled)).toEqual(history.at(-1)?.meaning)
        }
        for (const { compiled, meaning } of history) expect(canonical(compiled)).toEqual(meaning)
      },
    ),
    { seed: SEED, numRuns: 400 },
  )
})

test("what is deleted and added again comes back, and what did not change is the same object", () => {
  fc.assert(
    fc.property(arbitrary.parts, (parts) => {
      const cluster = arbitrary.clusterOf(parts)
      const compiler = new Compiler("n1")
      const first = compiler.update(cluster)
      const same = compiler.update({ ...cluster, policies: new Map(cluster.policies) })
      expect(same.addresses).toBe(first.addresses)
      expect(same.classes).toBe(first.classes)
      expect(same.endpoints).toBe(first.endpoints)
      expect(same.sets).toBe(first.sets)
      expect(same.rows).toBe(first.rows)
      expect(same.verdicts).toBe(first.verdicts)
      compiler.update({ ...cluster, policies: new Map() })
      expect(canonical(compiler.update(cluster))).toEqual(canonical(first))
    }),
    { seed: SEED, numRuns: 200 },
  )
})
