import { decodeEvent, EVENT_SIZE } from "./decode.ts"
import type { Names } from "./name.ts"
import type { FlowStore } from "./store.ts"

/** The ring as the reader needs it (`RingReader` of src/kernel). */
export interface EventRing {
  read(each: (view: DataView, offset: number, length: number) => void, limit: number): number
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
/** Pause after a turn that found something, and when there is nothing. Latency of `observe -f` against idle work. */
const BUSY_MS = 5
const IDLE_MS = 40

/** Moves events from the ring into the store, in bounded turns so that the agent's other work goes on. */
export class FlowReader {
  readonly #options: FlowReaderOptions
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined
  /** Events that are too short to be ours; their layout is not this agent's. */
  malformed = 0

  constructor(options: FlowReaderOptions) {
    this.#options = options
  }

  start(): void {
    this.#turn()
  }

  /** Reads what is there now, then no more. */
  stop(): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
    this.#timer = undefined
    this.#immediate = undefined
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

  #turn(): void {
    let taken: number
    try {
      taken = this.read(TURN)
    } catch (error) {
      this.#options.onError(error)
      return
    }
    if (taken === TURN) this.#immediate = setImmediate(() => this.#turn())
    else this.#timer = setTimeout(() => this.#turn(), taken > 0 ? BUSY_MS : IDLE_MS)
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
