import type { FlowStore } from "../flow/store.ts"
import type { Problem } from "../model/problem.ts"
import type { Capabilities, PlaneReading } from "../plane/plane.ts"
import type { ObjectStore } from "../source/objects.ts"
import type { Committer } from "./commit.ts"
import type { Configuration } from "./configuration.ts"
import type { ObjectFiles } from "./object-files.ts"
import type { Tables } from "./tables.ts"

/** What the agent's service answers from: the running parts of one node. */
export interface RunningNode {
  readonly configuration: Configuration
  readonly version: string
  /** Ms since the epoch. */
  readonly startedAt: number
  readonly now: () => number
  readonly store: ObjectStore
  readonly files: ObjectFiles
  readonly committer: Committer
  readonly flows: FlowStore
  readonly source: {
    /** Looks at every file of the directory now. */
    scan(): Promise<void>
    /** Looks at these files of the directory now. */
    look(names: readonly string[]): Promise<void>
    /** Resolves when what was done to the directory before this call is taken in, as far as the kernel tells. */
    catchUp(): Promise<void>
    problems(): readonly Problem[]
    /** Whether it was read for the first time. */
    readonly ready: boolean
  }
  /** The kernel's tables; undefined until the plane is loaded. */
  readonly tables: Tables | undefined
  readonly capabilities: Capabilities | undefined
  /** Whether TCP packets above 64 KiB are used, and why; undefined until the network was set up. */
  readonly bigTcp: string | undefined
  /** What the kernel holds now. */
  readonly read: () => Promise<PlaneReading>
  /** Told whenever a commit came into force or failed; returns how to stop being told. */
  readonly onCommit: (listener: () => void) => () => void
  /** Digests that the source has had, newest last. */
  readonly digests: DigestHistory
}

/** The digests that the source went through, numbered, so that "enforced D or something later" can be told. */
export class DigestHistory {
  readonly #numbers = new Map<string, number>()
  #next = 1
  #newest: string | undefined
  readonly #limit: number

  constructor(limit = 1_024) {
    this.#limit = limit
  }

  note(digest: string): void {
    // A digest that comes again is the newest again.
    this.#numbers.delete(digest)
    this.#numbers.set(digest, this.#next++)
    this.#newest = digest
    const oldest = this.#numbers.keys().next().value
    if (this.#numbers.size > this.#limit && oldest !== undefined) this.#numbers.delete(oldest)
  }

  /** The digest that came last; undefined before the first. */
  get newest(): string | undefined {
    return this.#newest
  }

  /** Whether `enforced` is `wanted` or came after it. */
  reached(wanted: string, enforced: string): boolean {
    if (wanted === enforced) return true
    const [want, have] = [this.#numbers.get(wanted), this.#numbers.get(enforced)]
    return want !== undefined && have !== undefined && have >= want
  }
}
