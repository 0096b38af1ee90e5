import { type Interest, type PollEvent, Poller } from "../kernel/poller.ts"

/** Something with a descriptor. */
interface Pollable {
  readonly fd: number
}

export interface Watch {
  /** What to be told of from now on. */
  interest(interest: Interest): void
  /** Before the descriptor is closed. */
  end(): void
}

interface Timer {
  readonly at: number
  readonly run: () => void
  readonly order: number
  cancelled: boolean
}

/** The longest the loop sleeps: a timer set while it sleeps is late by at most this, in ms. */
const LONGEST_SLEEP_MS = 20
/** How late a timer may be, in ms, because sockets keep having events. */
const LONGEST_STARVATION_MS = 200

/**
 * One loop for all sockets of a lab's responder and prober, in whatever namespaces they were opened: descriptors do not
 * care. It runs while it is started; handlers run in turn on the main thread.
 */
export class Reactor {
  readonly #poller = new Poller()
  readonly #handlers = new Map<number, (event: PollEvent) => void>()
  readonly #timers: Timer[] = []
  readonly #onError: (error: unknown) => void
  #next = 1
  #running: Promise<void> | undefined
  #stopped = false

  /** `onError` is told what a handler threw; the loop goes on. */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  /** Milliseconds of a clock that never goes back. */
  now(): number {
    return performance.now()
  }

  watch(target: Pollable, interest: Interest, handler: (event: PollEvent) => void): Watch {
    const token = this.#next++
    this.#handlers.set(token, handler)
    this.#poller.add(target, interest, token)
    return {
      interest: (changed) => this.#poller.change(target, changed, token),
      end: () => {
        if (this.#handlers.delete(token)) this.#poller.remove(target)
      },
    }
  }

  /** Runs `run` at that time of `now()`; returns how to call it off. */
  at(time: number, run: () => void): () => void {
    const timer: Timer = { at: time, run, order: this.#next++, cancelled: false }
    let low = 0
    let high = this.#timers.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const other = this.#timers[middle]
      if (other !== undefined && other.at <= time) low = middle + 1
      else high = middle
    }
    this.#timers.splice(low, 0, timer)
    return () => {
      timer.cancelled = true
    }
  }

  start(): void {
    this.#running ??= this.#loop()
  }

  /** Ends the loop after the turn that runs. */
  async close(): Promise<void> {
    this.#stopped = true
    await this.#running
    this.#poller.close()
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      const events = await this.#poller.wait(this.#patience())
      for (const event of events) this.#guard(() => this.#handlers.get(event.token)?.(event))
      // Timers come after everything that waits: an answer that came in time counts, however late it is read.
      if (events.length === 0 || this.#overdue() > LONGEST_STARVATION_MS) this.#runTimers()
      // Sockets that always have something must not keep the rest of the process from running.
      if (events.length > 0) await new Promise(setImmediate)
    }
  }

  #runTimers(): void {
    const now = this.now()
    for (;;) {
      const first = this.#timers[0]
      if (first === undefined || first.at > now) return
      this.#timers.shift()
      if (!first.cancelled) this.#guard(first.run)
    }
  }

  #overdue(): number {
    const first = this.#timers[0]
    return first === undefined ? 0 : this.now() - first.at
  }

  #patience(): number {
    while (this.#timers[0]?.cancelled === true) this.#timers.shift()
    const first = this.#timers[0]
    return first === undefined ? LONGEST_SLEEP_MS : Math.min(LONGEST_SLEEP_MS, Math.max(0, first.at - this.now()))
  }

  #guard(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#onError(error)
    }
  }
}
