import { decodeEvent, EVENT_SIZE } from "./decode.ts"
import type { Names } from "./name.ts"
import type { FlowFeed, FlowStore } from "./store.ts"

/** The ring as the reader needs it (`RingReader` of src/kernel). */
export interface EventRing {
  read(each: (view: DataView, offset: number, length: number) => void, limit: number): number
  /** Calls `ready` once when the ring fills up; returns how to stop that. */
  watch(ready: () => void): () => void
}

export interface FlowReaderOptions {
  readonly ring: EventRing
  readonly names: Names
  readonly store: FlowStore
  /** What to add to the kernel's monotonic ms to get ms since the epoch. */
  readonly clock: () => number
  /** Told once of an error that ends the reading. */
  readonly onError: (error: unknown) => void
}

/** Events taken in one turn of the loop: some 2 ms of work. */
const TURN = 2_048
/** Pause after a turn that found something; after one that found nothing while somebody waits for flows, or the state changes. */
const BUSY_MS = 5
const WANTED_MS = 40
/** While nobody waits and nothing comes: the kernel wakes the reader when a quarter of the ring is full. */
const IDLE_MS = 1_000

/** Moves events from the ring into the store, in bounded turns so that the agent's other work goes on. */
export class FlowReader implements FlowFeed {
  readonly #options: FlowReaderOptions
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined
  #asleep = false
  #unwatch: (() => void) | undefined
  /** Events that are too short to be ours; their layout is not this agent's. */
  malformed = 0

  constructor(options: FlowReaderOptions) {
    this.#options = options
  }

  start(): void {
    this.#options.store.feed = this
    this.#turn()
  }

  /** Reads no more. */
  stop(): void {
    if (this.#options.store.feed === this) this.#options.store.feed = undefined
    this.#rest()
  }

  /** Takes up to `limit` events from the ring into the store; returns how many. */
  read(limit: number): number {
    const { ring, names, store, clock } = this.#options
    const offset = clock()
    const taken = ring.read((view, at, length) => {
      if (length < EVENT_SIZE) this.malformed++
      else store.append(decodeEvent(view, at, names, offset))
    }, limit)
    if (taken > 0) store.notify()
    return taken
  }

  /** Takes what waits in the ring, as much as one turn does: somebody asks for the flows that there are. */
  take(): void {
    try {
      this.read(TURN)
    } catch (error) {
      this.#fail(error)
    }
  }

  /**
   * Looks more often for a while: somebody waits for flows, or a commit is under way, after which the names of events that lie in
   * the ring are older by one.
   */
  wake(): void {
    if (!this.#asleep) return
    this.#rest()
    this.#timer = setTimeout(() => this.#turn(), BUSY_MS)
  }

  #turn(): void {
    this.#rest()
    let taken: number
    try {
      taken = this.read(TURN)
    } catch (error) {
      this.#fail(error)
      return
    }
    if (taken === TURN) this.#immediate = setImmediate(() => this.#turn())
    else if (taken > 0) this.#timer = setTimeout(() => this.#turn(), BUSY_MS)
    else if (this.#options.store.wanted) this.#timer = setTimeout(() => this.#turn(), WANTED_MS)
    else this.#sleep()
  }

  #sleep(): void {
    this.#asleep = true
    this.#timer = setTimeout(() => this.#turn(), IDLE_MS)
    this.#unwatch ??= this.#options.ring.watch(() => {
      this.#unwatch = undefined
      if (this.#asleep) this.#turn()
    })
  }

  /** No turn is planned any more. */
  #rest(): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
    this.#unwatch?.()
    this.#timer = undefined
    this.#immediate = undefined
    this.#unwatch = undefined
    this.#asleep = false
  }

  #fail(error: unknown): void {
    this.stop()
    this.#options.onError(error)
  }
}

/** A wall clock that was set by more than this is followed at once, in ms. */
const JUMP_MS = 20

/**
 * Difference between the wall clock and CLOCK_MONOTONIC, in ms. Finer than Date.now, so that flows of two nodes of one machine
 * keep their order.
 */
export function wallClockOffset(): number {
  const fine = performance.timeOrigin + performance.now()
  const coarse = Date.now()
  return (Math.abs(fine - coarse) > JUMP_MS ? coarse : fine) - Number(process.hrtime.bigint()) / 1e6
}
