import { NumberPool } from "./numbers.ts"

/**
 * Names with numbers that stay while the name is there. It outlives a failed compilation, so that the kernel, which goes on
 * with the compilation before it, never sees a number change its meaning.
 */
export class Numbering {
  #numbers = new Map<string, number>()
  #pool: NumberPool
  #stale: Set<string> | undefined

  constructor(first: number, spare: number) {
    this.#pool = new NumberPool(first, spare)
  }

  get end(): number {
    return this.#pool.end
  }

  take(name: string): number {
    this.#stale?.delete(name)
    const known = this.#numbers.get(name)
    if (known !== undefined) return known
    const number = this.#pool.take()
    this.#numbers.set(name, number)
    return number
  }

  drop(name: string): void {
    const number = this.#numbers.get(name)
    if (number === undefined) return
    this.#numbers.delete(name)
    this.#pool.give(number)
  }

  /** Names and numbers that the kernel knows from an earlier life; of two names with one number neither keeps it. */
  adopt(numbers: Iterable<readonly [name: string, number: number]>): void {
    const byNumber = new Map<number, string | undefined>()
    for (const [name, number] of numbers) byNumber.set(number, byNumber.has(number) ? undefined : name)
    this.#pool.adopt(new Set(byNumber.keys()))
    for (const [number, name] of byNumber) {
      if (name === undefined || number === 0 || this.#numbers.has(name)) this.#pool.give(number)
      else this.#numbers.set(name, number)
    }
    this.begin()
  }

  /** Everything is about to be taken anew. */
  begin(): void {
    this.#stale = new Set(this.#numbers.keys())
  }

  /** A commit is done; what has not been taken since `begin` is dropped. */
  commit(): void {
    for (const name of this.#stale ?? []) this.drop(name)
    this.#stale = undefined
    this.#pool.tick()
  }
}
