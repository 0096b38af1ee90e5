/** A time-ordered item. */
export interface Timed {
  readonly timeNs: bigint
}

/**
 * Joins streams that come in from several nodes into one in order of time. Each item is held back for `holdMs` so that a slower
 * node's earlier item can still go first; what comes later than that goes out at once.
 */
export class Merger<T extends Timed> {
  readonly #emit: (item: T) => void
  readonly #compare: (a: T, b: T) => number
  readonly #holdMs: number
  readonly #now: () => number
  #held: { readonly item: T; readonly due: number }[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(emit: (item: T) => void, compare: (a: T, b: T) => number, holdMs: number, now: () => number) {
    this.#emit = emit
    this.#compare = compare
    this.#holdMs = holdMs
    this.#now = now
  }

  add(item: T): void {
    this.#held.push({ item, due: this.#now() + this.#holdMs })
    this.#timer ??= setTimeout(() => this.#tick(), this.#holdMs)
  }

  /** Lets everything out. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#release(() => true)
  }

  #tick(): void {
    this.#timer = undefined
    const now = this.#now()
    const newest = this.#held.reduce<bigint>(
      (most, one) => (one.due <= now && one.item.timeNs > most ? one.item.timeNs : most),
      -1n,
    )
    // What is older than something due goes with it: held longer, it would come out of order.
    this.#release((one) => one.item.timeNs <= newest)
    const next = Math.min(...this.#held.map((one) => one.due))
    if (Number.isFinite(next)) this.#timer = setTimeout(() => this.#tick(), Math.max(1, next - now))
  }

  #release(goes: (one: { readonly item: T; readonly due: number }) => boolean): void {
    const out = this.#held.filter(goes)
    this.#held = this.#held.filter((one) => !goes(one))
    for (const one of out.sort((a, b) => this.#compare(a.item, b.item))) this.#emit(one.item)
  }
}
