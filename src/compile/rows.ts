import type { ProtocolNumber } from "../net/types.ts"
import { OutcomeAction, packOutcome, type Row } from "./compiled.ts"
import { CompileError, type CompileLimits } from "./error.ts"
import {
  addCuts,
  addSourceCuts,
  type L4Term,
  Maybe,
  No,
  PORT_PROTOCOLS,
  termsHold,
  usesSourcePorts,
  Yes,
} from "./l4.ts"
import type { Cause, Decision, Verdicts } from "./verdicts.ts"

/** A rule as one class of peers meets it: the peer has been matched, all names are resolved. */
export interface ActiveRule {
  readonly action: "allow" | "deny" | "pass" | "log"
  readonly by: Cause
  /** The peer may or may not match: it is unknown. */
  readonly maybe: boolean
  readonly l4: readonly L4Term[]
  /** A Cilium deny: the only kind of rule that can keep the node from its own pods. */
  readonly beforeNode: boolean
  /** Every class of peers meets it. */
  readonly always: boolean
}

export interface ActiveTier {
  readonly rules: readonly ActiveRule[]
  /** Default deny at the end of the tier. */
  readonly deny: Cause | undefined
}

/** What a class of peers meets, of enforced policies and, where they differ, with the staged ones. */
export interface Question {
  readonly enforced: readonly ActiveTier[]
  readonly staged: readonly ActiveTier[] | undefined
  /** The peer is a socket of the node itself. */
  readonly nodeSocket: boolean
}

/** What decides when no rule does. */
export interface Ends {
  readonly noPolicy: Cause
  readonly unknownPeer: Cause
  readonly nodeToOwnPod: Cause
}

/** The row of peers who meet only what everybody meets, for rows that say where they differ from it. */
export interface BaseRow {
  readonly number: number
  /** Keys at which what everybody meets may change, ascending. */
  readonly cuts: Uint32Array
}

/** Rows by number, equal ones once. Row 0 is empty. */
export class Rows {
  /** See `CompileLimits`. */
  readonly layered: number
  #verdicts: Verdicts
  #limit: number
  #rows: Row[] = [{ starts: new Uint32Array(0), outcomes: new Uint32Array(0) }]
  #keys: string[] = [""]
  #uses: number[] = [1]
  #numbers = new Map<string, number>()
  #free: number[] = []
  #published: readonly Row[] | undefined

  constructor(verdicts: Verdicts, limits: CompileLimits) {
    this.#verdicts = verdicts
    this.#limit = limits.rows
    this.layered = limits.layered
  }

  /**
   * The row that answers a question, with one use counted. `base`: a row of the same rules but for those that not everybody meets;
   * where none of these holds, the new row leaves the answer to it.
   */
  build(question: Question, ends: Ends, base?: BaseRow): number {
    const bySource = [...termsOf(question, () => true)].filter(usesSourcePorts)
    const over = base && startsOver(base, [...termsOf(question, (rule) => !rule.always)])
    const starts = over?.starts ?? cutsOf(termsOf(question, () => true))
    const children: number[] = []
    const outcomes = starts.map((key, i) => {
      if (base !== undefined && over?.left.has(i) === true) return asRow(base.number)
      const protocol = key >>> 16
      const low = key & 0xffff
      if (bySource.length === 0 || !PORT_PROTOCOLS.includes(protocol))
        return this.#answer(question, ends, protocol, low, 0)
      return this.#answerBySource(question, ends, protocol, low, bySource, children)
    })
    const number = this.#intern(starts, outcomes)
    // The row now holds its second rows itself.
    for (const child of children) this.release(child)
    return number
  }

  #answerBySource(
    question: Question,
    ends: Ends,
    protocol: ProtocolNumber,
    low: number,
    terms: readonly L4Term[],
    children: number[],
  ): number {
    const base = protocol << 16
    const cuts = new Set<number>([base])
    for (const term of terms) addSourceCuts(term, protocol, cuts)
    const keys = Uint32Array.from([...cuts].filter((cut) => cut >= base && cut <= base + 0xffff)).sort()
    const outcomes = keys.map((key) => this.#answer(question, ends, protocol, low, key & 0xffff))
    if (outcomes.every((outcome) => outcome === outcomes[0])) return outcomes[0] ?? 0
    // Only keys of this protocol are looked up here, so the first interval may begin at 0.
    keys[0] = 0
    const row = this.#intern(keys, outcomes)
    children.push(row)
    return packOutcome({ action: OutcomeAction.bySourcePort, log: false, staged: false, id: row })
  }

  #answer(question: Question, ends: Ends, protocol: ProtocolNumber, low: number, sourcePort: number): number {
    const decideAll = question.nodeSocket ? decideNodeSocket : decide
    const enforced = decideAll(question.enforced, ends, protocol, low, sourcePort)
    const staged = question.staged && decideAll(question.staged, ends, protocol, low, sourcePort)
    return this.#verdicts.outcome(enforced, staged)
  }

  /** Uses both arrays up. Intervals that answer alike become one. */
  #intern(allStarts: Uint32Array, allOutcomes: Uint32Array): number {
    let count = 0
    for (let i = 0; i < allStarts.length; i++) {
      const outcome = allOutcomes[i] ?? 0
      if (count > 0 && outcome === allOutcomes[count - 1]) continue
      allStarts[count] = allStarts[i] ?? 0
      allOutcomes[count++] = outcome
    }
    const starts = count === allStarts.length ? allStarts : allStarts.slice(0, count)
    const outcomes = count === allOutcomes.length ? allOutcomes : allOutcomes.slice(0, count)
    const key = `${starts.join()};${outcomes.join()}`
    const known = this.#numbers.get(key)
    if (known !== undefined) {
      this.#uses[known] = (this.#uses[known] ?? 0) + 1
      return known
    }
    const number = this.#free.pop() ?? this.#rows.length
    if (number >= this.#limit) {
      throw new CompileError(
        "the table of distinct rows",
        number + 1,
        this.#limit,
        "Policies must tell fewer cases apart here",
      )
    }
    this.#rows[number] = { starts, outcomes }
    this.#keys[number] = key
    this.#uses[number] = 1
    this.#numbers.set(key, number)
    for (const id of this.#verdictIds(number)) this.#verdicts.use(id)
    for (const child of this.#children(number)) this.#uses[child] = (this.#uses[child] ?? 0) + 1
    this.#published = undefined
    return number
  }

  release(number: number): void {
    const uses = (this.#uses[number] ?? 0) - 1
    this.#uses[number] = uses
    if (uses > 0 || number === 0) return
    for (const id of this.#verdictIds(number)) this.#verdicts.unuse(id)
    const children = this.#children(number)
    this.#numbers.delete(this.#keys[number] ?? "")
    this.#rows[number] = { starts: new Uint32Array(0), outcomes: new Uint32Array(0) }
    this.#free.push(number)
    this.#published = undefined
    for (const child of children) this.release(child)
  }

  /** How many intervals a row has. */
  lengthOf(number: number): number {
    return this.#rows[number]?.starts.length ?? 0
  }

  #verdictIds(number: number): number[] {
    return this.#ids(number, false)
  }

  #children(number: number): number[] {
    return this.#ids(number, true)
  }

  #ids(number: number, ofRows: boolean): number[] {
    const ids = new Set<number>()
    for (const outcome of this.#rows[number]?.outcomes ?? []) {
      if (outcome >>> 30 >= OutcomeAction.bySourcePort === ofRows) ids.add(outcome & 0x0fff_ffff)
    }
    return [...ids]
  }

  /** All rows by number; the same array until something changes. */
  publish(): readonly Row[] {
    this.#published ??= this.#rows.slice()
    return this.#published
  }
}

const everywhere: readonly L4Term[] = [
  {
    protocols: undefined,
    notProtocols: [],
    ports: undefined,
    notPorts: undefined,
    sourcePorts: undefined,
    notSourcePorts: undefined,
    icmp: undefined,
    notIcmp: undefined,
  },
]

function asRow(id: number): number {
  return packOutcome({ action: OutcomeAction.asRow, log: false, staged: false, id })
}

/** Terms of the rules that a question asks of; rules without any hold everywhere and give the term of nothing asked. */
function* termsOf({ enforced, staged }: Question, of: (rule: ActiveRule) => boolean): Generator<L4Term> {
  for (const tiers of [enforced, staged ?? []])
    for (const { rules } of tiers)
      for (const rule of rules) if (of(rule)) yield* rule.l4.length === 0 ? everywhere : rule.l4
}

/** Keys at which the truth of one of the terms can change, ascending from 0. */
export function cutsOf(terms: Iterable<L4Term>): Uint32Array {
  const cuts = new Set<number>([0])
  for (const term of terms) addCuts(term, cuts)
  cuts.delete(256 << 16)
  return Uint32Array.from(cuts).sort()
}

/**
 * Starts of the intervals of a row over `base`, and which of them are left to it, because none of `terms` can hold there;
 * undefined when nothing is.
 */
function startsOver(
  base: BaseRow,
  terms: readonly L4Term[],
): { readonly starts: Uint32Array; readonly left: ReadonlySet<number> } | undefined {
  if (terms.length === 0) return undefined
  const own = cutsOf(terms)
  const anySource = terms.map((term): L4Term => ({ ...term, sourcePorts: undefined, notSourcePorts: undefined }))
  const starts: number[] = []
  const left = new Set<number>()
  let at = 0
  for (const [i, start] of own.entries()) {
    const holds = termsHold(anySource, start >>> 16, start & 0xffff, 0) !== No
    if (!holds) left.add(starts.length)
    starts.push(start)
    const end = own[i + 1] ?? Number.POSITIVE_INFINITY
    for (; (base.cuts[at] ?? end) < end; at++) {
      const cut = base.cuts[at] ?? 0
      if (holds && cut > start) starts.push(cut)
    }
  }
  if (left.size === 0) return undefined
  return { starts: Uint32Array.from(starts), left }
}

const ALLOW = 1
const DENY = 2

/** First match over all tiers at one point of protocol and ports; where the peer's being unknown leaves it open, no. */
function decide(
  tiers: readonly ActiveTier[],
  ends: Ends,
  protocol: ProtocolNumber,
  low: number,
  sourcePort: number,
): Decision {
  const search = new Search(tiers, ends, protocol, low, sourcePort)
  const decision = search.from(0, false)
  search.possible |= decision.action === OutcomeAction.allow ? ALLOW : DENY
  if (search.possible !== (ALLOW | DENY)) return decision
  return { action: OutcomeAction.deny, by: ends.unknownPeer, log: decision.log }
}

class Search {
  possible = 0
  #tiers: readonly ActiveTier[]
  #ends: Ends
  #protocol: ProtocolNumber
  #low: number
  #sourcePort: number

  constructor(tiers: readonly ActiveTier[], ends: Ends, protocol: ProtocolNumber, low: number, sourcePort: number) {
    this.#tiers = tiers
    this.#ends = ends
    this.#protocol = protocol
    this.#low = low
    this.#sourcePort = sourcePort
  }

  from(first: number, logged: boolean): Decision {
    let log = logged
    tiers: for (let index = first; index < this.#tiers.length; index++) {
      const tier = this.#tiers[index]
      if (tier === undefined) break
      for (const rule of tier.rules) {
        const l4 = termsHold(rule.l4, this.#protocol, this.#low, this.#sourcePort)
        if (l4 === No) continue
        if (l4 === Maybe || rule.maybe) {
          if (rule.action === "allow") this.possible |= ALLOW
          else if (rule.action === "deny") this.possible |= DENY
          else if (rule.action === "pass") {
            // Asked first: on its way it adds to what is possible itself, which `|=` would read before.
            const further = this.from(index + 1, log).action === OutcomeAction.allow ? ALLOW : DENY
            this.possible |= further
          }
          continue
        }
        if (rule.action === "log") log = true
        else if (rule.action === "pass") continue tiers
        else return { action: rule.action === "allow" ? OutcomeAction.allow : OutcomeAction.deny, by: rule.by, log }
      }
      if (tier.deny !== undefined) return { action: OutcomeAction.deny, by: tier.deny, log }
    }
    return { action: OutcomeAction.allow, by: this.#ends.noPolicy, log }
  }
}

function decideNodeSocket(
  tiers: readonly ActiveTier[],
  ends: Ends,
  protocol: ProtocolNumber,
  low: number,
  sourcePort: number,
): Decision {
  for (const tier of tiers) {
    for (const rule of tier.rules) {
      if (rule.beforeNode && !rule.maybe && termsHold(rule.l4, protocol, low, sourcePort) === Yes) {
        return { action: OutcomeAction.deny, by: rule.by, log: false }
      }
    }
  }
  return { action: OutcomeAction.allow, by: ends.nodeToOwnPod, log: false }
}
