/** What one turn of the event loop may take, in ms. */
const TURN_MS = 4

/** Breaks long work up, so that others get their turns. */
export class Turn {
  #since = performance.now()

  /** True when it is time to `end` this turn. */
  get over(): boolean {
    return performance.now() - this.#since > TURN_MS
  }

  /** Resolves in a later turn of the event loop. */
  async end(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve))
    this.#since = performance.now()
  }
}
