/*
 * A map of many entries that changes often and is handed out as a value each time: entries lie in shards by the hash of
 * their key; a change copies one shard (of 100,000 entries some 200) and shares the others.
 */

const SHARDS = 512

type Shard<V> = ReadonlyMap<string, V>
const noShards: readonly undefined[] = Array.from({ length: SHARDS }, () => undefined)

/** An immutable map over texts. Iteration order is by hash: it depends on the keys alone, never on the order of changes across shards. */
export class ShardedMap<V> implements ReadonlyMap<string, V> {
  readonly size: number
  readonly #shards: readonly (Shard<V> | undefined)[]

  constructor(shards: readonly (Shard<V> | undefined)[] = noShards, size = 0) {
    this.#shards = shards
    this.size = size
  }

  get(key: string): V | undefined {
    return this.#shards[shardOf(key)]?.get(key)
  }

  has(key: string): boolean {
    return this.#shards[shardOf(key)]?.has(key) ?? false
  }

  forEach(each: (value: V, key: string, map: ReadonlyMap<string, V>) => void, thisArgument?: unknown): void {
    for (const [key, value] of this) each.call(thisArgument, value, key, this)
  }

  *entries(): MapIterator<[string, V]> {
    for (const shard of this.#shards) if (shard !== undefined) yield* shard.entries()
  }

  *keys(): MapIterator<string> {
    for (const shard of this.#shards) if (shard !== undefined) yield* shard.keys()
  }

  *values(): MapIterator<V> {
    for (const shard of this.#shards) if (shard !== undefined) yield* shard.values()
  }

  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries()
  }

  /** The map with these changes (undefined removes); this very map when nothing changes. */
  with(changes: ReadonlyMap<string, V | undefined>): ShardedMap<V> {
    let shards: (Shard<V> | undefined)[] | undefined
    const copied = new Map<number, Map<string, V>>()
    let size = this.size
    for (const [key, value] of changes) {
      const index = shardOf(key)
      const current = copied.get(index) ?? this.#shards[index]
      if (current?.get(key) === value) continue
      let shard = copied.get(index)
      if (shard === undefined) {
        shard = new Map(current)
        copied.set(index, shard)
        shards ??= this.#shards.slice()
        shards[index] = shard
      }
      size -= shard.size
      if (value === undefined) shard.delete(key)
      else shard.set(key, value)
      size += shard.size
    }
    return shards === undefined ? this : new ShardedMap(shards, size)
  }

  /** Keys whose value differs from that in `before`, by looking only at shards that the two do not share. */
  *changedFrom(before: ShardedMap<V>): Generator<string> {
    for (let index = 0; index < SHARDS; index++) {
      const mine = this.#shards[index]
      const other = before.#shards[index]
      if (mine !== other) yield* plainChanges<V>(other ?? new Map(), mine ?? new Map())
    }
  }
}

/**
 * Keys whose values differ (`===`) between two maps, those added and removed included. Takes time in proportion to what
 * changed when both are versions of one `ShardedMap`, else to their sizes.
 */
export function changedKeys<V>(before: ReadonlyMap<string, V>, after: ReadonlyMap<string, V>): Iterable<string> {
  if (before === after) return []
  if (before instanceof ShardedMap && after instanceof ShardedMap) return after.changedFrom(before)
  return plainChanges(before, after)
}

function* plainChanges<V>(before: ReadonlyMap<string, V>, after: ReadonlyMap<string, V>): Generator<string> {
  for (const [key, value] of after) if (before.get(key) !== value) yield key
  for (const key of before.keys()) if (!after.has(key)) yield key
}

/** FNV-1a over the UTF-16 units. */
function shardOf(key: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return ((hash >>> 16) ^ hash) & (SHARDS - 1)
}
