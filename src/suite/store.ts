import type { Cluster } from "../model/cluster.ts"
import { problemText } from "../model/problem.ts"
import { type ObjectRef, ObjectStore } from "../source/objects.ts"
import type { Manifest } from "./format.ts"
import { manifestKey } from "./manifest.ts"
import type { CaseState } from "./state.ts"

interface Applied {
  readonly text: string
  readonly ref?: ObjectRef
}

/** The accepted objects of a history, brought from step to step by the differences alone. */
export class StateStore {
  #store = newStore()
  #applied = new Map<string, Applied>()

  /** Brings the store into the state of a case. Returns what was refused, a sentence for each reason. */
  apply(state: CaseState): readonly string[] {
    if (state.fresh) {
      this.#store = newStore()
      this.#applied = new Map()
    }
    const next = new Map<string, Applied>()
    const refused: string[] = []
    for (const manifest of state.objects) {
      const key = manifestKey(manifest.value)
      const text = JSON.stringify(manifest.value)
      const before = this.#applied.get(key)
      if (before?.text === text) next.set(key, before)
      else refused.push(...this.#put(manifest, key, text, next))
    }
    for (const [key, { ref }] of this.#applied) if (!next.has(key) && ref !== undefined) this.#store.delete(ref)
    this.#applied = next
    return refused
  }

  get cluster(): Cluster {
    return this.#store.cluster()
  }

  get objects(): ObjectStore {
    return this.#store
  }

  #put(manifest: Manifest, key: string, text: string, next: Map<string, Applied>): readonly string[] {
    const { outcome, ref, problems, message } = this.#store.put(manifest)
    if (outcome !== "refused") {
      next.set(key, { text, ...(ref === undefined ? {} : { ref }) })
      return []
    }
    // The version before is gone from the case: it must not stay in force behind the refused one.
    const errors = problems.filter((problem) => problem.severity === "error")
    return errors.length === 0 ? [message] : errors.map((problem) => problemText(problem))
  }
}

function newStore(): ObjectStore {
  return new ObjectStore({ now: () => 0 })
}
