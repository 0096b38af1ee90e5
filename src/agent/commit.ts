import { channel } from "node:diagnostics_channel"
import type { Compiled } from "../compile/compiled.ts"
import type { Cluster } from "../model/cluster.ts"
import type { Forwarding, NodeState, Plane } from "../plane/plane.ts"

/** What a commit starts from: the newest accepted objects and the ways to them. */
export interface Desired {
  readonly cluster: Cluster
  readonly forwarding: Forwarding
  /** Identity of the set of accepted objects. */
  readonly digest: string
}

/** What is in force. */
export interface Enforced extends Desired {
  readonly state: NodeState
  readonly generation: number
}

export interface CommitFailure {
  readonly message: string
  readonly error: unknown
  /** When this state of failure began, in ms since the epoch. */
  readonly since: number
  readonly attempts: number
}

export interface CommitterOptions {
  readonly plane: Pick<Plane, "apply">
  readonly compile: (cluster: Cluster) => Compiled
  /** Asked at the start of each commit; undefined while there is nothing to enforce yet. */
  readonly desired: () => Desired | undefined | Promise<Desired | undefined>
  /** Told before the plane is asked to apply: the kernel may speak of the new state before the commit is over. */
  readonly onCompiled?: (state: NodeState, cluster: Cluster) => void
  /** Told after each commit that came into force. */
  readonly onEnforced?: (enforced: Enforced) => void
  /** Told of each failed commit. */
  readonly onFailure?: (failure: CommitFailure) => void
  /** Ms since the epoch. */
  readonly now: () => number
  /** Calls `run` after so many ms; returns how to call it off. */
  readonly delay: (run: () => void, ms: number) => () => void
}

/** Tells whoever measures how far a commit is; nothing is done without a subscriber. */
const moments = channel("heddle:moments")
const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 30_000

/**
 * Brings desired state into the kernel, one apply at a time. Requests that arrive while one runs join the next. After a
 * failure the state before stays in force, the next apply trusts nothing (compares all), and it is tried again with
 * growing pauses.
 */
export class Committer {
  readonly #options: CommitterOptions
  #enforced: Enforced | undefined
  #failure: CommitFailure | undefined
  #running: Promise<Enforced | undefined> | undefined
  #next: { promise: Promise<Enforced | undefined>; begin: () => void } | undefined
  #mistrust = true
  #callOffRetry: (() => void) | undefined
  #closed = false
  #commits = 0
  #lastAt = 0
  #lastDurationMs = 0

  constructor(options: CommitterOptions) {
    this.#options = options
  }

  /** What is in force now; undefined before the first commit. */
  get enforced(): Enforced | undefined {
    return this.#enforced
  }

  /** Why the newest state is not in force; undefined when it is. */
  get failure(): CommitFailure | undefined {
    return this.#failure
  }

  /** Commits that came into force, when the last one did (ms since the epoch), and how long it took (ms). */
  get statistics(): { readonly commits: number; readonly lastAt: number; readonly lastDurationMs: number } {
    return { commits: this.#commits, lastAt: this.#lastAt, lastDurationMs: this.#lastDurationMs }
  }

  /**
   * Asks for a commit that sees everything that is desired now. Resolves when one that began after this call is in force;
   * rejects with its error if it failed, and when there was none: nothing is desired yet, or `close` was called. Callers that wait
   * for no answer use `request`.
   */
  async commit(): Promise<Enforced> {
    const enforced = await this.#join()
    if (enforced !== undefined) return enforced
    throw this.#failure?.error ?? new Error("Cannot enforce: the agent is ending, or does not know its objects yet")
  }

  request(): void {
    void this.#join()
  }

  /** Makes the next commit compare everything with the kernel. */
  mistrust(): void {
    this.#mistrust = true
  }

  /** Lets the running commit end and starts no other. What is in force stays. */
  async close(): Promise<void> {
    this.#closed = true
    this.#callOffRetry?.()
    await this.#running
  }

  /** What the commit brought into force; undefined: it failed, or there was none. */
  #join(): Promise<Enforced | undefined> {
    if (this.#closed) return Promise.resolve(undefined)
    if (this.#next === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const before = this.#running
      // A turn later, so that all who ask in one turn share one commit.
      const started = promise.then(() => this.#begin())
      this.#next = { promise: started, begin: resolve }
      if (before === undefined) queueMicrotask(resolve)
      else void before.then(() => resolve())
    }
    return this.#next.promise
  }

  async #begin(): Promise<Enforced | undefined> {
    this.#next = undefined
    this.#callOffRetry?.()
    this.#callOffRetry = undefined
    if (this.#closed) return undefined
    const running = this.#once()
    this.#running = running
    const enforced = await running
    if (this.#running === running) this.#running = undefined
    return enforced
  }

  async #once(): Promise<Enforced | undefined> {
    const { plane, compile, desired, now } = this.#options
    const from = now()
    try {
      moments.publish({ what: "begun" })
      const wanted = await desired()
      if (wanted === undefined) return undefined
      const { cluster, forwarding, digest } = wanted
      moments.publish({ what: "desired", digest })
      const state: NodeState = { compiled: compile(cluster), forwarding }
      moments.publish({ what: "compiled" })
      this.#options.onCompiled?.(state, cluster)
      const previous = this.#mistrust ? undefined : this.#enforced?.state
      const generation = await plane.apply(state, previous === undefined ? null : { previous })
      moments.publish({ what: "applied", generation, digest })
      this.#mistrust = false
      this.#failure = undefined
      this.#enforced = { cluster, forwarding, digest, state, generation }
      this.#commits++
      this.#lastAt = now()
      this.#lastDurationMs = this.#lastAt - from
      this.#options.onEnforced?.(this.#enforced)
      return this.#enforced
    } catch (error) {
      this.#fail(error)
      return undefined
    }
  }

  #fail(error: unknown): void {
    const attempts = (this.#failure?.attempts ?? 0) + 1
    const message = error instanceof Error ? error.message : String(error)
    this.#mistrust = true
    this.#failure = { message, error, since: this.#failure?.since ?? this.#options.now(), attempts }
    this.#options.onFailure?.(this.#failure)
    if (this.#closed) return
    const pause = Math.min(FIRST_RETRY_MS * 2 ** (attempts - 1), LONGEST_RETRY_MS)
    this.#callOffRetry = this.#options.delay(() => this.request(), pause)
  }
}
