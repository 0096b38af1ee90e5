import { type Cluster, emptyCluster } from "../model/cluster.ts"
import type { ClusterChange } from "./change.ts"
import type { Compiled, LocalEndpoint } from "./compiled.ts"
import { Core, slotNames } from "./core.ts"
import { type CompileLimits, LIMITS } from "./error.ts"
import { Numbering } from "./numbering.ts"
import { ServiceExpansion } from "./services.ts"
import { Verdicts } from "./verdicts.ts"

/** What an earlier life of this node's agent gave numbers to, as read back from the kernel and from disk. */
export type Adopted = Partial<
  Pick<Compiled, "addresses" | "prefixes" | "outsideSlot" | "nodeSocketSlot" | "verdicts"> & {
    readonly endpoints: ReadonlyMap<string, Pick<LocalEndpoint, "number">>
  }
>

export interface CompilerOptions {
  /** Where they differ from `LIMITS`. */
  readonly limits?: Partial<CompileLimits>
  /** Names that are in it keep their numbers, so that the tables in force need no rewriting. */
  readonly adopt?: Adopted
}

/**
 * Compiles one node's view of a cluster, again and again: numbers stay, what did not change is the same object, and an update
 * costs what it touches. On `CompileError` nothing is changed: the compilation before stays valid.
 */
export class Compiler {
  readonly node: string
  #limits: CompileLimits
  #slots = new Numbering(1, 1_024)
  #endpoints = new Numbering(1, 64)
  #verdicts = new Verdicts()
  #core: Core
  #services = new ServiceExpansion()
  #cluster: Cluster = emptyCluster

  constructor(node: string, options: CompilerOptions = {}) {
    this.node = node
    this.#limits = { ...LIMITS, ...options.limits }
    if (options.adopt !== undefined) this.#adopt(options.adopt)
    this.#core = this.#begin()
  }

  #begin(): Core {
    return new Core(
      this.node,
      { slots: this.#slots, endpoints: this.#endpoints, verdicts: this.#verdicts },
      this.#limits,
    )
  }

  #adopt(known: Adopted): void {
    const slots: [string, number][] = []
    for (const [address, { slot }] of known.addresses ?? []) slots.push([address, slot])
    for (const [prefix, { slot }] of known.prefixes ?? []) slots.push([slotNames.prefix(prefix), slot])
    for (const family of [4, 6] as const) {
      if (known.outsideSlot !== undefined) slots.push([slotNames.outside(family), known.outsideSlot[family]])
      if (known.nodeSocketSlot !== undefined) slots.push([slotNames.socket(family), known.nodeSocketSlot[family]])
    }
    this.#slots.adopt(slots)
    this.#endpoints.adopt([...(known.endpoints ?? [])].map(([key, { number }]) => [key, number] as const))
    this.#verdicts.adopt(known.verdicts ?? [])
  }

  /** `change` may say which keys differ from the cluster of the last call; without it all is compared. */
  update(cluster: Cluster, change: ClusterChange = {}): Compiled {
    try {
      // After a failure there is no last call: a hint would leave out what it compiled.
      const next = this.#services.expand(cluster, this.#cluster === emptyCluster ? {} : change)
      const compiled = this.#core.update(this.#cluster, next.cluster, next.change)
      this.#cluster = next.cluster
      this.#slots.commit()
      this.#endpoints.commit()
      return compiled
    } catch (error) {
      // Half done is worse than begun anew; the numbers that the kernel knows stay.
      this.#verdicts.restart()
      this.#core = this.#begin()
      this.#cluster = emptyCluster
      this.#services = new ServiceExpansion()
      this.#slots.begin()
      this.#endpoints.begin()
      throw error
    }
  }
}

/** Compiles from scratch. */
export function compile(cluster: Cluster, node: string): Compiled {
  return new Compiler(node).update(cluster)
}
