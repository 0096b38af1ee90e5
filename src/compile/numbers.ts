/**
 * Numbers that are given out, taken back, and given out again late: after two further commits at least, and after `spare`
 * others. A plane may still hold a number of the generation before in a table that has no generations.
 */
export class NumberPool {
  #next: number
  #spare: number
  #now = 0
  #freed: { readonly number: number; readonly at: number }[] = []
  #head = 0

  constructor(first: number, spare: number) {
    this.#next = first
    this.#spare = spare
  }

  /** One more than the highest number ever given. */
  get end(): number {
    return this.#next
  }

  take(): number {
    const oldest = this.#freed[this.#head]
    const waiting = this.#freed.length - this.#head
    if (oldest === undefined || oldest.at + 2 > this.#now || waiting <= this.#spare) return this.#next++
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

  /** Numbers that are given out already, by someone before; those between are free. */
  adopt(numbers: ReadonlySet<number>): void {
    let last = this.#next - 1
    for (const number of numbers) last = Math.max(last, number)
    for (; this.#next <= last; this.#next++) if (!numbers.has(this.#next)) this.give(this.#next)
  }

  /** A commit has been made. */
  tick(): void {
    this.#now++
  }
}
