import { type Cluster, emptyCluster } from "../model/cluster.ts"
import type { ClusterChange } from "./change.ts"
import type { Compiled } from "./compiled.ts"
import { Core } from "./core.ts"
import { type CompileLimits, LIMITS } from "./error.ts"
import { Numbering } from "./numbering.ts"

/**
 * Compiles one node's view of a cluster, again and again: numbers stay, what did not change is the same object, and an update
 * costs what it touches. On `CompileError` nothing is changed: the compilation before stays valid.
 */
export class Compiler {
  readonly node: string
  #limits: CompileLimits
  #slots = new Numbering(1)
  #endpoints = new Numbering(1)
  #core: Core
  #cluster: Cluster = emptyCluster

  constructor(node: string, limits: CompileLimits = LIMITS) {
    this.node = node
    this.#limits = limits
    this.#core = new Core(node, this.#slots, this.#endpoints, limits)
  }

  /** `change` may say which keys differ from the cluster of the last call; without it all is compared. */
  update(cluster: Cluster, change: ClusterChange = {}): Compiled {
    try {
      const compiled = this.#core.update(this.#cluster, cluster, change)
      this.#cluster = cluster
      this.#slots.commit()
      this.#endpoints.commit()
      return compiled
    } catch (error) {
      // Half done is worse than begun anew; the numbers that the kernel knows stay.
      this.#core = new Core(this.node, this.#slots, this.#endpoints, this.#limits)
      this.#cluster = emptyCluster
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
