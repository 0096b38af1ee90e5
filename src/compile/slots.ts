import type { Family } from "../net/types.ts"
import { type Block, Blocks, contains, type Words } from "./blocks.ts"
import type { Classes, Identity } from "./classes.ts"
import { type Features, insideChain, SIX } from "./features.ts"
import { addTo, removeFrom } from "./index-sets.ts"
import { indexKeys, type Workload } from "./match.ts"
import type { Peer } from "./policies.ts"

/** What a slot stands for. */
export interface SlotUse {
  readonly slot: number
  readonly words: Words
  readonly family: Family
  readonly workload: Workload
  /** Blocks longer than this are not around it: a block's own slot; 128 for an address. */
  readonly most: number
  identity: Identity
}

/** Slots with the identities behind them: which blocks lie around, and so which peers match. */
export class Slots {
  readonly blocks = new Blocks()
  #classes: Classes
  #features: Features
  #uses = new Map<number, SlotUse>()
  #identities = new Set<Identity>()
  #byWorkload = new Map<Workload, Set<Identity>>()
  #byBlock = new Map<Block | undefined, Set<Identity>>()
  /** Slots whose class must be written. */
  readonly dirty = new Set<number>()

  constructor(classes: Classes, features: Features) {
    this.#classes = classes
    this.#features = features
  }

  classOf(slot: number): number {
    return this.#uses.get(slot)?.identity.class.number ?? 0
  }

  workloadOf(slot: number): Workload | undefined {
    return this.#uses.get(slot)?.workload
  }

  set(slot: number, what: Omit<SlotUse, "slot" | "identity">): void {
    const before = this.#uses.get(slot)
    if (before !== undefined && before.workload === what.workload && before.most === what.most) return
    const identity = this.#identity(what)
    identity.slots.add(slot)
    this.#uses.set(slot, { ...what, slot, identity })
    this.dirty.add(slot)
    if (before !== undefined) this.#leave(before)
  }

  delete(slot: number): void {
    const before = this.#uses.get(slot)
    if (before === undefined) return
    this.#uses.delete(slot)
    this.dirty.add(slot)
    this.#leave(before)
  }

  #leave(use: SlotUse): void {
    const { identity } = use
    const current = this.#uses.get(use.slot)
    if (current?.identity !== identity) identity.slots.delete(use.slot)
    if (identity.slots.size > 0) return
    this.#identities.delete(identity)
    removeFrom(this.#byWorkload, identity.workload, identity)
    removeFrom(this.#byBlock, identity.block, identity)
    this.#classes.remove(identity)
  }

  #identity(what: Omit<SlotUse, "slot" | "identity">): Identity {
    const block = this.blocks.longest(what.words, what.family, what.most)
    let identity = this.#find(what.workload, what.family, block)
    if (identity === undefined) {
      const { workload, family } = what
      const features = this.#features.of(workload, family === 6, this.blocks.chain(block))
      identity = this.#classes.place({ workload, family, block, slots: new Set() }, features)
      this.#identities.add(identity)
      addTo(this.#byWorkload, workload, identity)
      addTo(this.#byBlock, block, identity)
    }
    return identity
  }

  /** Either index finds it; one workload has few blocks around it, and one block few workloads inside, or both are rare. */
  #find(workload: Workload, family: Family, block: Block | undefined): Identity | undefined {
    const one = this.#byWorkload.get(workload)
    const other = this.#byBlock.get(block)
    if (one === undefined || other === undefined) return undefined
    for (const identity of one.size < other.size ? one : other) {
      if (identity.workload === workload && identity.family === family && identity.block === block) return identity
    }
    return undefined
  }

  /** Blocks have come or gone: finds the longest around each address that they concern. */
  rehome(added: readonly Block[], removed: readonly Block[]): void {
    const concerned = new Set<SlotUse>()
    if (added.length > 8) for (const use of this.#uses.values()) concerned.add(use)
    else if (added.length > 0) {
      for (const use of this.#uses.values()) {
        if (
          added.some((block) => block.family === use.family && block.length <= use.most && contains(block, use.words))
        ) {
          concerned.add(use)
        }
      }
    }
    for (const block of removed) {
      for (const identity of this.#byBlock.get(block) ?? []) {
        for (const slot of identity.slots) {
          const use = this.#uses.get(slot)
          if (use !== undefined) concerned.add(use)
        }
      }
    }
    for (const use of concerned) {
      const identity = this.#identity(use)
      if (identity === use.identity) continue
      identity.slots.add(use.slot)
      this.#uses.set(use.slot, { ...use, identity })
      this.dirty.add(use.slot)
      this.#leave(use)
    }
  }

  /** Gives a new peer's features to all whom it matches. */
  admitPeer(peer: Peer, candidates: (keys: readonly string[]) => Set<Workload>, unknown: Workload): void {
    const yes: Identity[] = []
    const maybe: Identity[] = []
    for (const identity of this.#candidates(peer, candidates, unknown)) {
      const inside = insideChain(this.blocks.chain(identity.block))
      const feature = this.#features.peerFeature(peer, identity.workload, inside)
      if (feature === peer.yes) yes.push(identity)
      else if (feature === peer.maybe) maybe.push(identity)
    }
    this.#classes.add(yes, peer.yes)
    this.#classes.add(maybe, peer.maybe)
  }

  *#candidates(
    peer: Peer,
    candidates: (keys: readonly string[]) => Set<Workload>,
    unknown: Workload,
  ): Generator<Identity> {
    const keys = indexKeys(peer.resolved)
    if (keys === undefined) {
      yield* this.#identities
      return
    }
    const found = new Set<Identity>(this.#byWorkload.get(unknown))
    for (const workload of candidates(keys.filter((key) => !key.startsWith("B")))) {
      for (const identity of this.#byWorkload.get(workload) ?? []) found.add(identity)
    }
    const named = keys.flatMap((key) => (key.startsWith("B") ? (this.blocks.all.get(key.slice(1) as never) ?? []) : []))
    if (named.length > 0) {
      for (const [block, identities] of this.#byBlock) {
        if (block === undefined) continue
        const around = this.blocks.chain(block)
        if (named.some((wanted) => around.includes(wanted))) for (const identity of identities) found.add(identity)
      }
    }
    yield* found
  }

  /** Gives a new name's features to all that declare it. */
  admitName(name: string): void {
    const found = new Map<number, Identity[]>()
    for (const identity of this.#identities) {
      const feature = this.#features.nameFeature(name, identity.workload)
      if (feature === undefined) continue
      const list = found.get(feature)
      if (list === undefined) found.set(feature, [identity])
      else list.push(identity)
    }
    for (const [feature, identities] of found) this.#classes.add(identities, feature)
  }

  /** From now on families are told apart. */
  admitSplit(): void {
    this.#classes.add(
      [...this.#identities].filter((identity) => identity.family === 6),
      SIX,
    )
  }
}
