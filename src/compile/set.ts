import type { Direction } from "../model/policy.ts"
import type { PeerClass } from "./classes.ts"
import type { PolicySet } from "./compiled.ts"
import { type Features, SIX, SOCKET } from "./features.ts"
import { farTerms, type Resolve } from "./l4.ts"
import type { Peer, Program, ProgramTier } from "./policies.ts"
import { type ActiveRule, type ActiveTier, type BaseRow, cutsOf, type Ends, type Rows } from "./rows.ts"

/** What an endpoint enforces in one direction, per family, and with the staged policies where they make a difference. */
export interface SetPrograms {
  readonly four: Program
  readonly six: Program
  readonly staged: { readonly four: Program; readonly six: Program } | undefined
}

export function setKey(direction: Direction, programs: SetPrograms): string {
  const { four, six, staged } = programs
  const own = four.key === six.key ? four.key : `${four.key}|${six.key}`
  return `${direction} ${own}${staged === undefined ? "" : `#${staged.four.key}|${staged.six.key}`}`
}

/** One row in use by a set: which features lead to it, and how many cells hold it. */
interface RowUse {
  readonly key: string
  readonly row: number
  cells: number
}

/** A policy set in the making: keeps its cells right while classes come and go. */
export class SetBuilder {
  readonly key: string
  readonly direction: Direction
  readonly peers: ReadonlySet<Peer>
  readonly names: ReadonlySet<string>
  /** The families have different programs. */
  readonly split: boolean
  #programs: SetPrograms
  #features: Features
  #rows: Rows
  #ends: Ends
  #stale: Set<SetBuilder>
  #uses = new Map<string, RowUse>()
  /** By class, those that are not the default. */
  #special = new Map<number, RowUse>()
  #default: RowUse | undefined
  #baseCuts: Uint32Array | undefined
  /** Rows of `#special`; another map once this one is published. */
  #cells = new Map<number, number>()
  #published: PolicySet | undefined
  /** Features of its peers, which stay while it looks at them. */
  #peerFeatures = new Set<number>()

  constructor(
    key: string,
    direction: Direction,
    programs: SetPrograms,
    parts: {
      readonly features: Features
      readonly rows: Rows
      readonly ends: Ends
      /** Gets this builder in it whenever what it published is no longer right. */
      readonly stale: Set<SetBuilder>
    },
  ) {
    this.key = key
    this.direction = direction
    this.#programs = programs
    this.#features = parts.features
    this.#rows = parts.rows
    this.#ends = parts.ends
    this.#stale = parts.stale
    const { four, six, staged } = programs
    this.split = four.key !== six.key || staged?.four.key !== staged?.six.key
    const entries = [four, six, staged?.four, staged?.six].flatMap((program) =>
      (program?.tiers ?? []).flatMap((tier) => tier.rules.map((rule) => rule.entry)),
    )
    this.peers = new Set(entries.map((entry) => entry.peer).filter((peer) => peer.resolved.kind !== "constant"))
    this.names = new Set(entries.flatMap((entry) => entry.farNames))
  }

  /** Makes all cells. */
  fill(classes: ReadonlySet<PeerClass>): void {
    for (const peer of this.peers) this.#peerFeatures.add(peer.yes).add(peer.maybe)
    this.#default = this.#use("", [])
    this.#withdraw()
    for (const peerClass of classes) this.set(peerClass)
  }

  /** Brings the cell of one class up to date. */
  set(peerClass: PeerClass): void {
    const features = peerClass.features.filter((feature) => this.#seesFeature(feature))
    if (features.length === 0) return
    const use = this.#use(features.join(), features)
    const before = this.#special.get(peerClass.number)
    this.#special.set(peerClass.number, use)
    if (before !== undefined) this.#unuse(before)
    this.#write(peerClass.number, use.row)
  }

  /** Forgets a class that is gone: its number may come to mean another. */
  clear(peerClass: PeerClass): void {
    const before = this.#special.get(peerClass.number)
    if (before === undefined || this.#default === undefined) return
    this.#special.delete(peerClass.number)
    this.#unuse(before)
    this.#write(peerClass.number, undefined)
  }

  /** Gives back its rows. */
  release(): void {
    for (const use of this.#uses.values()) this.#rows.release(use.row)
    this.#uses.clear()
  }

  publish(): PolicySet {
    this.#published ??= { rest: this.#default?.row ?? 0, special: this.#cells }
    return this.#published
  }

  /** Undefined: the class has what all others have. */
  #write(number: number, row: number | undefined): void {
    if (this.#cells.get(number) === row) return
    if (this.#published !== undefined) {
      this.#cells = new Map(this.#cells)
      this.#withdraw()
    }
    if (row === undefined) this.#cells.delete(number)
    else this.#cells.set(number, row)
  }

  #withdraw(): void {
    this.#published = undefined
    this.#stale.add(this)
  }

  #seesFeature(feature: number): boolean {
    if (feature === SIX) return this.split
    if (feature === SOCKET) return this.direction === "ingress"
    if (this.#peerFeatures.has(feature)) return true
    const name = this.#features.nameFeatures.get(feature)
    return name !== undefined && this.names.has(name.name)
  }

  #use(key: string, features: readonly number[]): RowUse {
    let use = this.#uses.get(key)
    if (use === undefined) {
      use = { key, row: this.#build(features), cells: 0 }
      this.#uses.set(key, use)
    }
    use.cells++
    return use
  }

  #unuse(use: RowUse): void {
    if (--use.cells > 0) return
    this.#uses.delete(use.key)
    this.#rows.release(use.row)
  }

  #build(features: readonly number[]): number {
    const seen = new Set(features)
    const values = new Map(
      features.flatMap((feature) => {
        const named = this.#features.nameFeatures.get(feature)
        return named === undefined ? [] : [[named.name, named.values] as const]
      }),
    )
    const resolve: Resolve = (name) => values.get(name) ?? []
    const active = (program: Program): ActiveTier[] => program.tiers.map((tier) => activeTier(tier, seen, resolve))
    const pick = (pair: { readonly four: Program; readonly six: Program }): ActiveTier[] =>
      active(seen.has(SIX) ? pair.six : pair.four)
    const question = {
      enforced: pick(this.#programs),
      staged: this.#programs.staged && pick(this.#programs.staged),
      nodeSocket: seen.has(SOCKET),
    }
    return this.#rows.build(question, this.#ends, this.#baseFor(features))
  }

  /** What rows of peers that some rules name are written over, when there is much that everybody meets. */
  #baseFor(features: readonly number[]): BaseRow | undefined {
    const number = this.#default?.row
    if (number === undefined || this.#rows.lengthOf(number) < this.#rows.layered) return undefined
    if (!features.every((feature) => this.#peerFeatures.has(feature))) return undefined
    const { four } = this.#programs
    const staged = this.#programs.staged?.four
    const rules = [...four.tiers, ...(staged?.tiers ?? [])].flatMap((tier) => tier.rules)
    const always = rules.filter(({ entry }) => entry.peer.resolved.kind === "constant")
    this.#baseCuts ??= cutsOf(
      always.flatMap(({ entry, l4 }) => (entry.farNames.length === 0 ? l4 : farTerms(l4, () => []))),
    )
    return { number, cuts: this.#baseCuts }
  }
}

function activeTier(tier: ProgramTier, seen: ReadonlySet<number>, resolve: Resolve): ActiveTier {
  const rules: ActiveRule[] = []
  for (const { entry, l4 } of tier.rules) {
    const { peer } = entry
    const always = peer.resolved.kind === "constant"
    const maybe = seen.has(peer.maybe)
    if (!always && !maybe && !seen.has(peer.yes)) continue
    const terms = entry.farNames.length === 0 ? l4 : farTerms(l4, resolve)
    rules.push({ action: entry.action, by: entry.cause, maybe, l4: terms, beforeNode: entry.ciliumDeny, always })
  }
  return { rules, deny: tier.deny }
}
