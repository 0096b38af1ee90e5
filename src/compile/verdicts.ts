import type { RuleId, Verdict } from "../model/verdict.ts"
import { type OutcomeAction, packOutcome } from "./compiled.ts"

/** What a verdict is by, with a number; equal but for the origin is the same cause. */
export interface Cause {
  readonly code: number
  id: RuleId
  readonly key: string
  /** Ids of verdicts that name it. */
  readonly verdicts: Set<number>
  /** Rules and policies in force that stand behind it. */
  holders: number
}

export interface Decision {
  readonly action: typeof OutcomeAction.deny | typeof OutcomeAction.allow
  readonly by: Cause
  readonly log: boolean
}

/** How many verdicts out of use keep their ids, so that events still on their way find them. */
const KEPT_OUT_OF_USE = 16_384

/** Verdicts by number. Equal ones have one id for as long as anything uses them, and well beyond. */
export class Verdicts {
  #causes = new Map<string, Cause>()
  #nextCode = 1
  #ids = new Map<string | number, number>()
  #verdicts: (Verdict | undefined)[] = [undefined]
  #keys: (string | number)[] = [""]
  #uses: number[] = [0]
  #outOfUse: number[] = []
  #free: number[] = []
  #published: readonly (Verdict | undefined)[] | undefined

  /** The cause that is `id` but for its origin; the origin becomes that of `id`. */
  cause(id: RuleId): Cause {
    const key = JSON.stringify("origin" in id ? { ...id, origin: undefined } : id)
    const known = this.#causes.get(key)
    if (known === undefined) {
      const cause: Cause = { code: this.#nextCode++, id, key, verdicts: new Set(), holders: 0 }
      this.#causes.set(key, cause)
      return cause
    }
    if (!sameOrigin(known.id, id)) {
      known.id = id
      for (const verdict of known.verdicts) this.#refresh(verdict)
    }
    return known
  }

  /** The cause, to be given back with `letGo`. */
  hold(id: RuleId): Cause {
    const cause = this.cause(id)
    cause.holders++
    return cause
  }

  letGo(cause: Cause): void {
    cause.holders--
    this.#forgetCause(cause)
  }

  #forgetCause(cause: Cause): void {
    if (cause.holders <= 0 && cause.verdicts.size === 0) this.#causes.delete(cause.key)
  }

  /** The packed outcome of a decision, and of a staged one if that differs in action or rule. */
  outcome(decision: Decision, staged: Decision | undefined): number {
    return this.#outcome(decision, staged, undefined)
  }

  /** Verdicts that records in the kernel name from an earlier life: equal ones get the same ids again. */
  adopt(verdicts: readonly (Verdict | undefined)[]): void {
    const word = (action: "allow" | "deny"): Decision["action"] => (action === "allow" ? 1 : 0)
    for (const [id, verdict] of verdicts.entries()) {
      if (id === 0 || verdict === undefined) continue
      const { action, by, log, staged } = verdict
      const beside = staged && { action: word(staged.action), by: this.cause(staged.by), log: false }
      while (this.#verdicts.length < id) {
        this.#free.push(this.#verdicts.length)
        this.#verdicts.push(undefined)
      }
      this.#outcome({ action: word(action), by: this.cause(by), log }, beside, id)
      this.#outOfUse.push(id)
    }
  }

  /** All uses are void: their rows are built anew. */
  restart(): void {
    this.#uses.fill(0)
    for (const cause of this.#causes.values()) cause.holders = 0
    this.#outOfUse = [...this.#parts.keys()]
  }

  #outcome(decision: Decision, staged: Decision | undefined, wanted: number | undefined): number {
    const differs = staged !== undefined && (staged.action !== decision.action || staged.by !== decision.by)
    const own = decision.by.code * 4 + decision.action * 2 + (decision.log ? 1 : 0)
    const key = differs ? `${own}:${staged.action}:${staged.by.code}` : own
    let id = this.#ids.get(key)
    if (id === undefined) {
      id = wanted ?? this.#free.pop() ?? this.#verdicts.length
      this.#ids.set(key, id)
      this.#keys[id] = key
      this.#uses[id] = 0
      this.#verdicts[id] = makeVerdict(decision, differs ? staged : undefined)
      this.#published = undefined
      decision.by.verdicts.add(id)
      if (differs) staged.by.verdicts.add(id)
      this.#parts.set(id, { decision, staged: differs ? staged : undefined })
    }
    return packOutcome({ action: decision.action, log: decision.log, staged: differs, id })
  }

  #parts = new Map<number, { readonly decision: Decision; readonly staged: Decision | undefined }>()

  #refresh(id: number): void {
    const parts = this.#parts.get(id)
    if (parts === undefined) return
    this.#verdicts[id] = makeVerdict(parts.decision, parts.staged)
    this.#published = undefined
  }

  use(id: number): void {
    this.#uses[id] = (this.#uses[id] ?? 0) + 1
  }

  unuse(id: number): void {
    const uses = (this.#uses[id] ?? 0) - 1
    this.#uses[id] = uses
    if (uses > 0) return
    this.#outOfUse.push(id)
    if (this.#outOfUse.length > KEPT_OUT_OF_USE) this.#forgetSome()
  }

  #forgetSome(): void {
    const old = this.#outOfUse.splice(0, KEPT_OUT_OF_USE / 2)
    const later = new Set(this.#outOfUse)
    for (const id of old) {
      const parts = this.#parts.get(id)
      if (parts === undefined || (this.#uses[id] ?? 0) > 0 || later.has(id)) continue
      for (const cause of [parts.decision.by, parts.staged?.by]) {
        cause?.verdicts.delete(id)
        if (cause !== undefined) this.#forgetCause(cause)
      }
      this.#parts.delete(id)
      this.#ids.delete(this.#keys[id] ?? "")
      this.#verdicts[id] = undefined
      this.#free.push(id)
    }
    this.#published = undefined
  }

  /** All verdicts by id; the same array until something changes. */
  publish(): readonly (Verdict | undefined)[] {
    this.#published ??= this.#verdicts.slice()
    return this.#published
  }
}

function makeVerdict(decision: Decision, staged: Decision | undefined): Verdict {
  const word = (d: Decision): "allow" | "deny" => (d.action === 1 ? "allow" : "deny")
  const verdict = { action: word(decision), by: decision.by.id, log: decision.log }
  return staged === undefined ? verdict : { ...verdict, staged: { action: word(staged), by: staged.by.id } }
}

function sameOrigin(a: RuleId, b: RuleId): boolean {
  if (!("origin" in a) || !("origin" in b)) return true
  return a.origin.file === b.origin.file && a.origin.line === b.origin.line && a.origin.column === b.origin.column
}
