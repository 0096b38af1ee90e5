import { setImmediate } from "node:timers/promises"

/** Ms of work before others have a turn. */
const TURN_MS = 6
/** Steps between two looks at the clock. */
const STEPS = 8

/** Cuts long work into pieces, so that the event loop serves others between them. */
export class Turns {
  #end = performance.now() + TURN_MS
  #steps = 0

  /** Whether it is time for a `pause`; asked at each of many small steps. */
  get over(): boolean {
    // Asking for the time costs as much as a small step.
    return ++this.#steps % STEPS === 0 && performance.now() >= this.#end
  }

  async pause(): Promise<void> {
    await setImmediate()
    this.#end = performance.now() + TURN_MS
  }
}
