import { Compiler } from "../compile/compile.ts"
import type { Compiled } from "../compile/compiled.ts"
import { judge } from "../compile/judge.ts"
import type { Direction } from "../model/policy.ts"
import type { Verdict } from "../model/verdict.ts"
import { judged } from "./by.ts"
import { ConnectionTracker } from "./connections.ts"
import type { ProbeResult, SuitePlane } from "./plane.ts"
import { WITHIN } from "./plane-model.ts"
import type { CaseState, ResolvedProbe } from "./state.ts"
import { StateStore } from "./store.ts"

/**
 * The compiled tables as a plane: one compiler per node, kept over the steps of a history, and every packet looked up at each of
 * its ends in the tables of that end's node, as it would meet them.
 */
export function compiledPlane(): SuitePlane {
  const store = new StateStore()
  const connections = new ConnectionTracker()
  let compilers = new Map<string, Compiler>()
  let tables = new Map<string, Compiled>()
  return {
    name: "compiled",
    async prepare(state: CaseState) {
      if (state.fresh) {
        connections.reset()
        compilers = new Map()
      } else connections.advance()
      const refused = store.apply(state)
      if (refused.length > 0) return refused
      for (const node of state.nodes.keys()) if (!compilers.has(node)) compilers.set(node, new Compiler(node))
      const { cluster } = store
      tables = new Map([...compilers].map(([node, compiler]) => [node, compiler.update(cluster)]))
      return []
    },
    async probe(probes) {
      const answer = (resolved: ResolvedProbe): ProbeResult => {
        if (resolved.kind === "settled") return resolved.result
        if (resolved.within) return WITHIN
        return judged(judgedAt(resolved, "egress", tables), judgedAt(resolved, "ingress", tables))
      }
      return probes.map((resolved) => connections.track(resolved, answer(resolved)))
    },
    async close() {},
  }
}

function judgedAt(
  resolved: Extract<ResolvedProbe, { readonly kind: "ask" }>,
  direction: Direction,
  tables: ReadonlyMap<string, Compiled>,
): Verdict {
  const { place } = direction === "egress" ? resolved.source : resolved.target
  const compiled = place.kind === "pod" ? tables.get(place.node) : undefined
  if (compiled === undefined) return { action: "allow", by: { kind: "notEnforced", direction }, log: false }
  return judge(compiled, resolved.packet)[direction]
}
