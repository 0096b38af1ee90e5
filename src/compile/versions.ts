/**
 * A map of which every version stays readable while a change costs what it changes (Baker's trick): the newest version holds
 * the entries, each older one only how it differs from the one after it. Old versions die as soon as nobody holds them.
 */
export class VersionedMap<K, V> implements ReadonlyMap<K, V> {
  /** The entries themselves in the newest version. */
  #entries: Map<K, V> | undefined
  /** In older versions: what the next version changed, with the values before. */
  #before: ReadonlyMap<K, V | undefined> | undefined
  #next: VersionedMap<K, V> | undefined
  readonly size: number

  constructor(entries: Map<K, V> = new Map()) {
    this.#entries = entries
    this.size = entries.size
  }

  /** The version with `changes` made (undefined deletes), or this one if they change nothing. */
  with(changes: ReadonlyMap<K, V | undefined>): VersionedMap<K, V> {
    if (changes.size === 0) return this
    if (this.size === 0) return VersionedMap.#first(this, changes)
    const entries = this.#entries ?? new Map(this)
    const before = new Map<K, V | undefined>()
    for (const [key, value] of changes) {
      const old = entries.get(key)
      if (old === value) continue
      before.set(key, old)
      if (value === undefined) entries.delete(key)
      else entries.set(key, value)
    }
    if (before.size === 0) return this
    const next = new VersionedMap(entries)
    if (this.#entries !== undefined) {
      this.#entries = undefined
      this.#before = before
      this.#next = next
    }
    return next
  }

  /** From an empty map nothing need be remembered. */
  static #first<K, V>(empty: VersionedMap<K, V>, changes: ReadonlyMap<K, V | undefined>): VersionedMap<K, V> {
    const entries = new Map<K, V>()
    for (const [key, value] of changes) if (value !== undefined) entries.set(key, value)
    return entries.size === 0 ? empty : new VersionedMap(entries)
  }

  /** Keys whose values may differ between this version and a later one of it; undefined if `later` is none. */
  changedUntil(later: ReadonlyMap<K, V>): Set<K> | undefined {
    const keys = new Set<K>()
    let at: VersionedMap<K, V> | undefined = this
    while (at !== undefined && at !== later) {
      for (const key of at.#before?.keys() ?? []) keys.add(key)
      at = at.#next
    }
    return at === undefined ? undefined : keys
  }

  get(key: K): V | undefined {
    let at: VersionedMap<K, V> = this
    for (;;) {
      if (at.#entries !== undefined) return at.#entries.get(key)
      if (at.#before?.has(key) === true) return at.#before.get(key)
      if (at.#next === undefined) return undefined
      at = at.#next
    }
  }

  has(key: K): boolean {
    return this.get(key) !== undefined
  }

  *entries(): MapIterator<[K, V]> {
    if (this.#entries !== undefined) {
      yield* this.#entries
      return
    }
    const seen = new Map<K, V | undefined>()
    let at: VersionedMap<K, V> = this
    while (at.#entries === undefined && at.#next !== undefined) {
      for (const [key, value] of at.#before ?? []) if (!seen.has(key)) seen.set(key, value)
      at = at.#next
    }
    for (const [key, value] of seen) if (value !== undefined) yield [key, value]
    for (const entry of at.#entries ?? []) if (!seen.has(entry[0])) yield entry
  }

  *keys(): MapIterator<K> {
    for (const [key] of this.entries()) yield key
  }

  *values(): MapIterator<V> {
    for (const [, value] of this.entries()) yield value
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries()
  }

  forEach(each: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this) each(value, key, this)
  }
}

/** Keys whose values may differ between two maps, if that is known without looking at all of them: they are versions of one. */
export function changesBetween<K, V>(before: ReadonlyMap<K, V>, after: ReadonlyMap<K, V>): ReadonlySet<K> | undefined {
  if (before === after) return new Set()
  return before instanceof VersionedMap ? before.changedUntil(after) : undefined
}
