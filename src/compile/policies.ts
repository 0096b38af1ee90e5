import type { NamedPort } from "../model/cluster.ts"
import {
  builtinTiers,
  type Direction,
  type L4Match,
  type Policy,
  type PolicySide,
  policyKey,
  stagedTarget,
  type Tier,
} from "../model/policy.ts"
import type { RuleId } from "../model/verdict.ts"
import type { Family, Prefix } from "../net/types.ts"
import { addTo, removeFrom } from "./index-sets.ts"
import { type L4Term, No, nearTerms, portNames, Yes } from "./l4.ts"
import {
  blocksOf,
  constant,
  holds,
  indexKeys,
  keysOfWorkload,
  type Resolved,
  resolve,
  type SetBlocks,
  usesNetworkSets,
  type Workload,
} from "./match.ts"

import type { ActiveRule } from "./rows.ts"
import type { Cause, Verdicts } from "./verdicts.ts"

/** A peer of rules, interned: equal ones are one. It has features while a set in use looks at it. */
export interface Peer {
  readonly resolved: Resolved
  readonly blocks: ReadonlySet<Prefix>
  /** Feature of what it matches, and of what it may match; 0 while nobody looks at it. */
  yes: number
  maybe: number
  /** Rules that have it. */
  rules: number
}

export interface RuleEntry {
  readonly number: number
  readonly key: string
  readonly action: ActiveRule["action"]
  readonly peer: Peer
  readonly local: Resolved | undefined
  readonly l4: readonly L4Match[]
  readonly nearNames: readonly string[]
  readonly farNames: readonly string[]
  /** An alternative holds in one family only. */
  readonly families: boolean
  readonly ciliumDeny: boolean
  readonly cause: Cause
  uses: number
}

export interface SideEntry {
  readonly isolates: boolean
  /** A rule speaks of one family only. */
  readonly families: boolean
  readonly rules: readonly RuleEntry[]
  readonly deny: Cause
}

/** A policy taken apart once, for all endpoints. */
export interface PolicyEntry {
  readonly policy: Policy
  readonly subject: Resolved
  /** Index keys of which a workload that it selects has one; undefined: it may select any. */
  readonly keys: readonly string[] | undefined
  readonly ingress: SideEntry | undefined
  readonly egress: SideEntry | undefined
  /** Key of the enforced policy that it stands for, if staged. */
  readonly target: string
  readonly usesNetworkSets: boolean
  /** Subject or a rule's near end speaks of blocks. */
  readonly addressed: boolean
}

/** Policies taken apart; equal peers and rules are one object. */
export class Policies {
  readonly entries = new Map<string, PolicyEntry>()
  stagedCount = 0
  addressedCount = 0
  #verdicts: Verdicts
  #peers = new Map<string, Peer>()
  #rules = new Map<string, RuleEntry>()
  #nextRule = 1
  /** By the index keys of their subjects; those without such keys may select anything. */
  #bySubject = new Map<string, Set<PolicyEntry>>()
  #general = new Set<PolicyEntry>()

  constructor(verdicts: Verdicts) {
    this.#verdicts = verdicts
  }

  add(key: string, policy: Policy, sets: readonly SetBlocks[]): PolicyEntry {
    const subject = resolve(policy.subject, sets)
    const ingress = policy.ingress && this.#side(policy, "ingress", policy.ingress, sets)
    const egress = policy.egress && this.#side(policy, "egress", policy.egress, sets)
    const rules = [...(ingress?.rules ?? []), ...(egress?.rules ?? [])]
    const speaksOfBlocks = (resolved: Resolved | undefined): boolean =>
      resolved !== undefined && blocksOf(resolved).size > 0
    const entry: PolicyEntry = {
      policy,
      subject,
      keys: subjectKeys(subject),
      ingress,
      egress,
      target: stagedTarget(policy),
      usesNetworkSets: policyUsesNetworkSets(policy),
      addressed: speaksOfBlocks(subject) || rules.some((rule) => speaksOfBlocks(rule.local)),
    }
    this.entries.set(key, entry)
    if (entry.keys === undefined) this.#general.add(entry)
    for (const index of entry.keys ?? []) addTo(this.#bySubject, index, entry)
    if (policy.mode !== "enforced") this.stagedCount++
    if (entry.addressed) this.addressedCount++
    return entry
  }

  remove(key: string): PolicyEntry | undefined {
    const entry = this.entries.get(key)
    if (entry === undefined) return undefined
    this.entries.delete(key)
    this.#general.delete(entry)
    for (const index of entry.keys ?? []) removeFrom(this.#bySubject, index, entry)
    return entry
  }

  /** Policies that may select a workload: all that do, and few others. */
  candidates(workload: Workload): Set<PolicyEntry> {
    const found = new Set(this.#general)
    for (const key of keysOfWorkload(workload)) {
      for (const entry of this.#bySubject.get(key) ?? []) found.add(entry)
    }
    return found
  }

  /** Gives back what an entry holds, once its successor is made. */
  release(entry: PolicyEntry): void {
    if (entry.policy.mode !== "enforced") this.stagedCount--
    if (entry.addressed) this.addressedCount--
    for (const side of [entry.ingress, entry.egress]) if (side !== undefined) this.#verdicts.letGo(side.deny)
    for (const rule of [...(entry.ingress?.rules ?? []), ...(entry.egress?.rules ?? [])]) {
      this.#verdicts.letGo(rule.cause)
      if (--rule.uses === 0) this.#rules.delete(rule.key)
      if (--rule.peer.rules === 0) this.#peers.delete(rule.peer.resolved.key)
    }
  }

  #side(policy: Policy, direction: Direction, side: PolicySide, sets: readonly SetBlocks[]): SideEntry {
    const { group, kind, namespace, name, tier } = policy
    const named = { group, kind, namespace, name }
    const rules: RuleEntry[] = []
    for (const rule of side.rules) {
      const peer = resolve(rule.peer, sets)
      const local = rule.local && resolve(rule.local, sets)
      const id: RuleId = {
        kind: "rule",
        tier,
        policy: named,
        direction,
        section: rule.section,
        index: rule.index,
        origin: rule.origin,
      }
      const cause = this.#verdicts.hold(id)
      const key = `${cause.code} ${rule.action} ${peer.key} ${local?.key ?? ""} ${JSON.stringify(rule.l4)}`
      let entry = this.#rules.get(key)
      if (entry === undefined) {
        const names = portNames(rule.l4)
        const [near, far] =
          direction === "ingress" ? (["destination", "source"] as const) : (["source", "destination"] as const)
        entry = {
          number: this.#nextRule++,
          key,
          action: rule.action,
          peer: this.#peer(peer),
          local,
          l4: rule.l4,
          nearNames: names[near],
          farNames: names[far],
          families: rule.l4.some((match) => match.family !== undefined),
          ciliumDeny: group === "cilium.io" && rule.action === "deny",
          cause,
          uses: 0,
        }
        this.#rules.set(key, entry)
      }
      entry.uses++
      entry.peer.rules++
      rules.push(entry)
    }
    const deny = this.#verdicts.hold({ kind: "defaultDeny", tier, policy: named, direction, origin: policy.origin })
    return { isolates: side.isolates, families: rules.some((rule) => rule.families), rules, deny }
  }

  #peer(resolved: Resolved): Peer {
    let peer = this.#peers.get(resolved.key)
    if (peer === undefined) {
      peer = { resolved, blocks: blocksOf(resolved), yes: 0, maybe: 0, rules: 0 }
      this.#peers.set(resolved.key, peer)
    }
    return peer
  }
}

function subjectKeys(subject: Resolved): string[] | undefined {
  const keys = indexKeys(subject)
  // A workload is looked up without its blocks.
  return keys?.some((key) => key.startsWith("B")) ? undefined : keys
}

function policyUsesNetworkSets(policy: Policy): boolean {
  const rules = [...(policy.ingress?.rules ?? []), ...(policy.egress?.rules ?? [])]
  return (
    usesNetworkSets(policy.subject) ||
    rules.some((rule) => usesNetworkSets(rule.peer) || (rule.local !== undefined && usesNetworkSets(rule.local)))
  )
}

/** Order of tiers: those that exist by order and name, then the others by name, which deny. */
export class TierOrder {
  #ranks = new Map<string, number>()
  #tiers = new Map<string, Tier>()

  constructor(tiers: ReadonlyMap<string, Tier>) {
    for (const tier of tiers.values()) this.#tiers.set(tier.name, tier)
    for (const tier of builtinTiers) this.#tiers.set(tier.name, tier)
    const sorted = [...this.#tiers.values()].sort((a, b) => numbers(a.order, b.order) || texts(a.name, b.name))
    for (const [rank, tier] of sorted.entries()) this.#ranks.set(tier.name, rank)
  }

  denies(name: string): boolean {
    return (this.#tiers.get(name)?.defaultAction ?? "deny") === "deny"
  }

  compare = (a: PolicyEntry, b: PolicyEntry): number => {
    const [p, q] = [a.policy, b.policy]
    return (
      this.#compareTiers(p.tier, q.tier) ||
      numbers(p.order, q.order) ||
      texts(p.tieBreak, q.tieBreak) ||
      texts(p.kind, q.kind) ||
      texts(p.namespace, q.namespace) ||
      texts(p.name, q.name) ||
      texts(p.group, q.group)
    )
  }

  #compareTiers(a: string, b: string): number {
    const [x, y] = [this.#ranks.get(a) ?? Infinity, this.#ranks.get(b) ?? Infinity]
    return numbers(x, y) || (x === Infinity ? texts(a, b) : 0)
  }
}

function numbers(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1
}

function texts(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1
}

/** A rule as one endpoint's side has it: its own condition is met, its own names are resolved, one family. */
export interface ProgramRule {
  readonly entry: RuleEntry
  readonly l4: readonly L4Term[]
}

export interface ProgramTier {
  readonly rules: readonly ProgramRule[]
  readonly deny: Cause | undefined
}

/** All that one endpoint enforces in one direction and family, in order. Equal keys mean the same. */
export interface Program {
  readonly key: string
  readonly tiers: readonly ProgramTier[]
}

/** The near end as its policies see it. */
export interface Subject {
  readonly workload: Workload
  readonly inside: (prefixes: ReadonlySet<Prefix>) => boolean
}

/** The program of the policies given (sorted, all selecting the subject). */
export function makeProgram(
  policies: readonly PolicyEntry[],
  tierOrder: TierOrder,
  direction: Direction,
  family: Family,
  subject: Subject,
): Program {
  const tiers: ProgramTier[] = []
  const keys: string[] = []
  for (let from = 0; from < policies.length; ) {
    const name = policies[from]?.policy.tier ?? ""
    let to = from
    while (policies[to]?.policy.tier === name) to++
    const here = policies.slice(from, to)
    from = to
    const rules: ProgramRule[] = []
    for (const entry of rulesInOrder(here, direction)) {
      const rule = programRule(entry, direction, family, subject)
      if (rule === undefined) continue
      rules.push(rule)
      keys.push(ruleKey(rule, family, subject.workload.namedPorts))
    }
    const isolating = here.find((entry) => entry[direction]?.isolates)
    const deny = isolating !== undefined && tierOrder.denies(name) ? isolating[direction]?.deny : undefined
    if (rules.length === 0 && deny === undefined) continue
    keys.push(deny === undefined ? ";" : `!${deny.code};`)
    tiers.push({ rules, deny })
    // Behind a default deny nothing is reached, but by a rule that passes, and by what the node's sockets meet.
    const passes = rules.some((rule) => rule.entry.action === "pass")
    if (deny !== undefined && !passes && !policies.slice(to).some((entry) => entry.policy.group === "cilium.io")) break
  }
  return { key: keys.join(" "), tiers }
}

/** Rules of one tier's policies; at each order Cilium's denies first. */
function rulesInOrder(policies: readonly PolicyEntry[], direction: Direction): RuleEntry[] {
  const result: RuleEntry[] = []
  for (let from = 0; from < policies.length; ) {
    const order = policies[from]?.policy.order
    let to = from
    while (to < policies.length && policies[to]?.policy.order === order) to++
    const rules = policies.slice(from, to).flatMap((entry) => entry[direction]?.rules ?? [])
    from = to
    if (rules.some((rule) => rule.ciliumDeny)) {
      for (const rule of rules) if (rule.ciliumDeny) result.push(rule)
      for (const rule of rules) if (!rule.ciliumDeny) result.push(rule)
    } else for (const rule of rules) result.push(rule)
  }
  return result
}

function programRule(
  entry: RuleEntry,
  direction: Direction,
  family: Family,
  subject: Subject,
): ProgramRule | undefined {
  if (entry.peer.resolved.kind === "constant" && !entry.peer.resolved.value) return undefined
  const local = entry.local ?? constant(true)
  if (holds(local, subject.workload, subject.inside) !== Yes) return undefined
  const near = direction === "ingress" ? "destination" : "source"
  const { namedPorts } = subject.workload
  const l4 = nearTerms(entry.l4, family, near, (name) => namedPorts.filter((port) => port.name === name))
  return l4 === undefined ? undefined : { entry, l4 }
}

function ruleKey({ entry }: ProgramRule, family: Family, ports: readonly NamedPort[]): string {
  let key = String(entry.number)
  if (entry.families) key += `/${family}`
  if (entry.nearNames.length > 0) {
    const used = ports.filter((port) => entry.nearNames.includes(port.name))
    key += `(${used
      .map((port) => `${port.name}=${port.protocol}:${port.port}`)
      .sort()
      .join()})`
  }
  return key
}

/** The policies that count: the enforced ones, or as if the staged ones were in the place of those they stand for. */
export function enforcedOf(selected: readonly PolicyEntry[]): PolicyEntry[] {
  return selected.filter((entry) => entry.policy.mode === "enforced")
}

export function stagedOf(selected: readonly PolicyEntry[], replaced: ReadonlySet<string>): PolicyEntry[] {
  return selected.filter((entry) => {
    if (entry.policy.mode === "enforced") return !replaced.has(policyKey(entry.policy))
    return entry.policy.mode === "staged"
  })
}

/** Whether a subject is selected; a workload's own facts are never unknown. */
export function selected(entry: PolicyEntry, subject: Subject): boolean {
  return holds(entry.subject, subject.workload, subject.inside) !== No
}
