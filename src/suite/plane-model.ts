import { evaluate } from "../compile/evaluate.ts"
import { judged } from "./by.ts"
import { ConnectionTracker } from "./connections.ts"
import type { ProbeResult, SuitePlane } from "./plane.ts"
import type { ResolvedProbe } from "./state.ts"
import { StateStore } from "./store.ts"

/** Answer for a packet that never leaves its pod or its node: no policy sees it. */
export const WITHIN: ProbeResult = { got: "allow", by: "same-endpoint" }

/** The reference evaluator as a plane. Each state stands for itself: nothing of the one before is used. */
export function modelPlane(): SuitePlane {
  let store = new StateStore()
  const connections = new ConnectionTracker()
  return {
    name: "model",
    async prepare(state) {
      if (state.fresh) connections.reset()
      else connections.advance()
      store = new StateStore()
      return store.apply({ ...state, fresh: true })
    },
    async probe(probes) {
      const { cluster } = store
      const answer = (resolved: ResolvedProbe): ProbeResult => {
        if (resolved.kind === "settled") return resolved.result
        if (resolved.within) return WITHIN
        const { egress, ingress } = evaluate(cluster, resolved.packet)
        return judged(egress, ingress)
      }
      return probes.map((resolved) => connections.track(resolved, answer(resolved)))
    },
    async close() {},
  }
}
