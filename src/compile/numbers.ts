/**
 * Numbers that are given out, taken back, and given out again only after two further commits: a plane may still hold a
 * number of the generation before in a table that has no generations.
 */
export class NumberPool {
  #next: number
  #now = 0
  #freed: { readonly number: number; readonly at: number }[] = []
  #head = 0

  constructor(first: number) {
    this.#next = first
  }

  /** One more than the highest number ever given. */
  get end(): number {
    return this.#next
  }

  take(): number {
    const oldest = this.#freed[this.#head]
    if (oldest === undefined || oldest.at + 2 > this.#now) return this.#next++
    this.#head++
    if (this.#head > 1_024 && this.#head * 2 > this.#freed.length) {
      this.#freed = this.#freed.slice(this.#head)
      this.#head = 0
    }
    return oldest.number
  }

  give(number: number): void {
    this.#freed.push({ number, at: this.#now })
  }

  /** A commit has been made. */
  tick(): void {
    this.#now++
  }
}
