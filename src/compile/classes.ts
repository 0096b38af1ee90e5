import type { Family } from "../net/types.ts"
import type { Block } from "./blocks.ts"
import { CompileError } from "./error.ts"
import { addTo, removeFrom } from "./index-sets.ts"
import type { Workload } from "./match.ts"

/** Addresses of which rules see the same: one workload's facts, family, and longest block around. */
export interface Identity {
  readonly workload: Workload
  readonly family: Family
  readonly block: Block | undefined
  readonly slots: Set<number>
  class: PeerClass
}

/** Identities that no rule in force tells apart: those with the same features. */
export interface PeerClass {
  readonly number: number
  /** Ascending. */
  features: readonly number[]
  key: string
  readonly identities: Set<Identity>
}

/**
 * Classes by their features. Identities move from one to another; where all of a class gain or lose a feature, the class itself
 * does, and keeps its number: who looks at other features need not hear of it.
 */
export class Classes {
  #limit: number
  #byKey = new Map<string, PeerClass>()
  #byFeature = new Map<number, Set<PeerClass>>()
  #free: number[] = []
  #next = 1
  #created = new Set<PeerClass>()
  #emptied = new Set<PeerClass>()
  #moved = new Set<Identity>()

  constructor(limit: number) {
    this.#limit = limit
  }

  /** One more than the highest class number ever in use. */
  get end(): number {
    return this.#next
  }

  withFeature(feature: number): ReadonlySet<PeerClass> {
    return this.#byFeature.get(feature) ?? new Set()
  }

  /** Puts an identity that has no class yet into that of `features` (ascending). */
  place(identity: Omit<Identity, "class">, features: readonly number[]): Identity {
    const target = this.#of(features)
    const placed = Object.assign(identity, { class: target })
    target.identities.add(placed)
    this.#moved.add(placed)
    return placed
  }

  remove(identity: Identity): void {
    identity.class.identities.delete(identity)
    if (identity.class.identities.size === 0) this.#emptied.add(identity.class)
    this.#moved.delete(identity)
  }

  /** Gives identities a feature; those that have it already stay where they are. */
  add(identities: Iterable<Identity>, feature: number): void {
    const moving = new Map<PeerClass, Identity[]>()
    for (const identity of identities) {
      const from = identity.class
      if (from.features.includes(feature)) continue
      const others = moving.get(from)
      if (others === undefined) moving.set(from, [identity])
      else others.push(identity)
    }
    for (const [from, some] of moving) this.#change(from, some, inserted(from.features, feature), feature)
  }

  /** Takes a feature from all that have it. */
  drop(feature: number): void {
    for (const from of [...this.withFeature(feature)]) {
      if (from.identities.size === 0) continue
      this.#change(
        from,
        [...from.identities],
        from.features.filter((other) => other !== feature),
        feature,
      )
    }
  }

  /** Gives some identities of a class other features, which differ in `feature`. */
  #change(from: PeerClass, some: readonly Identity[], features: readonly number[], feature: number): void {
    const key = features.join()
    if (some.length < from.identities.size || this.#byKey.has(key)) {
      const to = this.#of(features)
      for (const identity of some) this.#move(identity, to)
      return
    }
    this.#byKey.delete(from.key)
    from.features = features
    from.key = key
    this.#byKey.set(key, from)
    if (features.includes(feature)) addTo(this.#byFeature, feature, from)
    else removeFrom(this.#byFeature, feature, from)
  }

  #move(identity: Identity, to: PeerClass): void {
    const from = identity.class
    from.identities.delete(identity)
    if (from.identities.size === 0) this.#emptied.add(from)
    to.identities.add(identity)
    identity.class = to
    this.#moved.add(identity)
  }

  #of(features: readonly number[]): PeerClass {
    const key = features.join()
    const known = this.#byKey.get(key)
    if (known !== undefined) return known
    const number = this.#free.pop() ?? this.#next++
    const made = { number, features, key, identities: new Set<Identity>() }
    this.#byKey.set(key, made)
    for (const feature of features) addTo(this.#byFeature, feature, made)
    this.#created.add(made)
    return made
  }

  /** What changed since the last call. Numbers of classes that are gone may be given again afterwards. */
  settle(): { readonly created: PeerClass[]; readonly gone: PeerClass[]; readonly moved: Identity[] } {
    const gone: PeerClass[] = []
    for (const made of this.#created) if (made.identities.size === 0) this.#emptied.add(made)
    for (const empty of this.#emptied) {
      if (empty.identities.size > 0) continue
      this.#byKey.delete(empty.key)
      for (const feature of empty.features) removeFrom(this.#byFeature, feature, empty)
      this.#free.push(empty.number)
      if (!this.#created.delete(empty)) gone.push(empty)
    }
    if (this.#next > this.#limit) {
      throw new CompileError(
        "the number of classes of peers",
        this.#next,
        this.#limit,
        "Policies must tell fewer peers apart here",
      )
    }
    const result = { created: [...this.#created], gone, moved: [...this.#moved] }
    this.#created.clear()
    this.#emptied.clear()
    this.#moved.clear()
    return result
  }
}

function inserted(features: readonly number[], feature: number): number[] {
  const at = features.findIndex((other) => other > feature)
  return at < 0 ? [...features, feature] : [...features.slice(0, at), feature, ...features.slice(at)]
}
