/** How often each number is in use. */
export class Uses {
  #counts = new Uint32Array(256)

  count(number: number): number {
    return this.#counts[number] ?? 0
  }

  add(number: number): void {
    if (number >= this.#counts.length) {
      const counts = new Uint32Array(2 ** Math.ceil(Math.log2(number + 1)))
      counts.set(this.#counts)
      this.#counts = counts
    }
    this.#counts[number] = this.count(number) + 1
  }

  drop(number: number): void {
    const count = this.count(number)
    if (count > 0) this.#counts[number] = count - 1
  }
}
