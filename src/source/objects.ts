import { crc32 } from "node:zlib"
import { objectGroup } from "../dialect/group.ts"
import { identityOf } from "../dialect/kubernetes/index.ts"
import type { Cluster } from "../model/cluster.ts"
import { isRecord, type ManifestObject } from "../model/manifest.ts"
import type { Origin } from "../model/origin.ts"
import { hasErrors, type Problem } from "../model/problem.ts"
import type { Prefix } from "../net/types.ts"
import {
  HeapMemory,
  type ObjectMemory,
  originOf,
  type Places,
  type Refusal,
  type Remembered,
  recordingPlaces,
  rememberedObject,
} from "./acceptance.ts"
import { ClusterBuilder, type LocalAddresses } from "./cluster-builder.ts"
import { contentHash, SetDigest } from "./digest.ts"
import { type KindRules, type ModelPart, rulesOf, unknownKindProblem } from "./kinds.ts"

export interface ObjectRef {
  readonly apiVersion: string
  readonly kind: string
  /** Empty for a cluster-wide object. */
  readonly namespace: string
  readonly name: string
}

/** Identity of an object among all: `GROUP/KIND/NAMESPACE/NAME`; versions of one API group name the same object. */
export function objectKey(ref: ObjectRef): string {
  return `${objectGroup(ref.apiVersion)}/${ref.kind}/${ref.namespace}/${ref.name}`
}

/** One for all, as most objects have nothing wrong. */
const NOTHING: readonly Problem[] = []

/** An object in force. Its text is not in the heap: `value` and `origin` are read when they are asked for, and may throw. */
export interface StoredObject {
  readonly ref: ObjectRef
  /** JSON data as it was written. */
  readonly value: unknown
  readonly origin: Origin
  /** Milliseconds since 1970. */
  readonly acceptedAt: number
  /** Warnings that it was accepted with. */
  readonly warnings: readonly Problem[]
  /** Why a newer version is not in force. */
  readonly refusal?: Refusal
}

/** What became of an object that was put. */
export interface Acceptance {
  /** `ignored`: of a kind that says nothing about packets and that Heddle does not know. */
  readonly outcome: "accepted" | "unchanged" | "refused" | "ignored"
  /** Absent when the object does not say who it is. */
  readonly ref?: ObjectRef
  readonly problems: readonly Problem[]
  /** When a refused object leaves an earlier version in force: since when that is (milliseconds since 1970). */
  readonly kept?: number
  /** One sentence for people, e.g. `NetworkPolicy shop/web refused: kept the version of 12:04`. */
  readonly message: string
}

/** A memory that outlives the process. */
export interface LastingMemory extends ObjectMemory {
  /** All that an earlier run remembered. */
  entries(): Iterable<Remembered>
  /** Whether this very program judged what it remembers, so that it need not be judged again. */
  readonly sameProgram: boolean
}

export interface ObjectStoreOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Configured ranges of the cluster, besides those of its nodes. */
  readonly clusterPrefixes?: readonly Prefix[]
  /** Where last good versions survive a restart. */
  readonly memory?: LastingMemory
}

/** What an object means, and which of its lines the meaning leads back to (its own included). */
interface Translation {
  readonly part: ModelPart
  readonly places: Places
}

/** What is kept in the heap of an object in force; its memory has the rest. */
interface Entry {
  readonly ref: ObjectRef
  readonly hash: bigint
  /** Tells the lines that its meaning leads back to from others. */
  readonly placesSum: number
  readonly acceptedAt: number
  /** Undefined when it was not judged by this process. */
  warnings: readonly Problem[] | undefined
  refusal: Refusal | undefined
}

/**
 * The accepted objects of a cluster. An object that is wrong is refused alone and its last good version stays in force.
 * What is compiled depends on the accepted objects only, not on the order in which they came.
 */
export class ObjectStore {
  readonly #options: ObjectStoreOptions
  readonly #memory: ObjectMemory
  readonly #entries = new Map<string, Entry>()
  /** Of these, the ones of which a newer version is refused. */
  readonly #refused = new Set<string>()
  /** Refusals of objects that have no good version. */
  readonly #neverAccepted = new Map<string, { readonly ref: ObjectRef; readonly refusal: Refusal }>()
  readonly #builder: ClusterBuilder
  readonly #digest = new SetDigest()

  constructor(options: ObjectStoreOptions) {
    this.#options = options
    this.#memory = options.memory ?? new HeapMemory()
    this.#builder = new ClusterBuilder(options.clusterPrefixes)
  }

  /** Takes the remembered objects into force, before any source is read. Returns how many there were. */
  restore(): number {
    const { memory } = this.#options
    if (memory === undefined) return 0
    for (const remembered of memory.entries()) {
      if (!this.#restoreOne(remembered, memory.sameProgram)) memory.forget(remembered.key)
    }
    return this.#entries.size
  }

  /** Offers a new version of an object. */
  put(object: ManifestObject): Acceptance {
    const rules = rulesOf(object.value)
    if (rules === undefined) {
      const problem = unknownKindProblem(object)
      const outcome = problem.severity === "error" ? "refused" : "ignored"
      return { outcome, problems: [problem], message: `${nameOf(object.value)} ${outcome}: ${problem.message}` }
    }
    const ref = refOf(object.value, rules)
    if (ref === undefined) return this.#refuse(object, ref, rules.validate(object, { create: false }))
    const key = objectKey(ref)
    const before = this.#entries.get(key)
    const hash = contentHash(key, object.value)
    const same = before?.hash === hash
    // The same content is judged alike; its warnings may stand at other lines.
    const judged = same && before.warnings?.length === 0
    const problems = judged ? NOTHING : rules.validate(object, { create: false })
    if (hasErrors(problems)) return this.#refuse(object, ref, problems)
    const outcome = same ? "unchanged" : "accepted"
    const answer = { outcome, ref, problems, message: `${refText(ref)} ${outcome}` } as const
    const warnings = problems.length === 0 ? NOTHING : problems
    if (same) before.warnings = warnings
    const samePlaces = (places: Places) => before?.placesSum === placesSum(object.origin.file, places)
    // Most objects mean nothing that leads back to other lines than their own.
    if (same && before.refusal === undefined && samePlaces(ownPlace(object))) return answer
    const next = translate(object, rules)
    if (!same || before.refusal !== undefined || !samePlaces(next.places)) {
      const acceptedAt = same ? before.acceptedAt : this.#options.now()
      const { places } = next
      this.#memory.remember({ key, value: object.value, file: object.origin.file, places, hash, acceptedAt })
      this.#enter(
        key,
        {
          ref,
          hash,
          placesSum: placesSum(object.origin.file, places),
          acceptedAt,
          warnings,
          refusal: undefined,
        },
        next.part,
      )
    }
    return answer
  }

  /** Takes an object out of force; false if it was not there. */
  delete(ref: ObjectRef | string): boolean {
    const key = typeof ref === "string" ? ref : objectKey(ref)
    const refused = this.#neverAccepted.delete(key)
    const entry = this.#entries.get(key)
    if (entry === undefined) return refused
    this.#entries.delete(key)
    this.#refused.delete(key)
    this.#digest.remove(entry.hash)
    this.#builder.set(key, undefined)
    this.#memory.forget(key)
    return true
  }

  get(ref: ObjectRef): StoredObject | undefined {
    const key = objectKey(ref)
    const entry = this.#entries.get(key)
    return entry && this.#stored(key, entry)
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  /** Name and content of the object in force (`contentHash`). */
  hashOf(ref: ObjectRef): bigint | undefined {
    return this.#entries.get(objectKey(ref))?.hash
  }

  /** How many objects are in force. */
  get size(): number {
    return this.#entries.size
  }

  /** Keys of the objects in force, in no order. */
  keys(): Iterable<string> {
    return this.#entries.keys()
  }

  /** Who the objects in force are, in no order. */
  *refs(): Generator<ObjectRef> {
    for (const { ref } of this.#entries.values()) yield ref
  }

  /** The objects in force, of one kind or all, sorted by kind, namespace and name. */
  list(kind?: string): StoredObject[] {
    const found: [key: string, entry: Entry][] = []
    for (const [key, entry] of this.#entries)
      if (kind === undefined || entry.ref.kind === kind) found.push([key, entry])
    return found.sort(([a], [b]) => compareTexts(a, b)).map(([key, entry]) => this.#stored(key, entry))
  }

  /** Objects of which a version is refused at present; `kept` since when the version in force is. */
  refusals(): { readonly ref: ObjectRef; readonly refusal: Refusal; readonly kept?: number }[] {
    const found: { ref: ObjectRef; refusal: Refusal; kept?: number }[] = [...this.#neverAccepted.values()]
    for (const key of this.#refused) {
      const entry = this.#entries.get(key)
      if (entry?.refusal !== undefined) found.push({ ref: entry.ref, refusal: entry.refusal, kept: entry.acceptedAt })
    }
    return found.sort((a, b) => compareTexts(objectKey(a.ref), objectKey(b.ref)))
  }

  /** The cluster that the accepted objects make: the same value as long as nothing changes. */
  cluster(): Cluster {
    return this.#builder.cluster()
  }

  /** The cluster as `cluster()` gave it last, with local addresses as they are now. */
  get settled(): Cluster {
    return this.#builder.settled
  }

  /** Notes what a node's network gave to the pod `NAMESPACE/NAME` while its object states no addresses (`ClusterBuilder.setLocal`). */
  setLocal(key: string, local: LocalAddresses | undefined): void {
    this.#builder.setLocal(key, local)
  }

  /** Identifies the set of accepted objects: equal on every node that accepted the same, in whatever order. */
  get digest(): string {
    return this.#digest.text
  }

  #refuse(object: ManifestObject, ref: ObjectRef | undefined, problems: readonly Problem[]): Acceptance {
    if (ref === undefined) return { outcome: "refused", problems, message: `${nameOf(object.value)} refused` }
    const key = objectKey(ref)
    const entry = this.#entries.get(key)
    const since = (entry?.refusal ?? this.#neverAccepted.get(key)?.refusal)?.since ?? this.#options.now()
    const refusal = { since, problems: problems.filter((problem) => problem.severity === "error") }
    if (entry === undefined) {
      this.#neverAccepted.set(key, { ref, refusal })
      return { outcome: "refused", ref, problems, message: `${refText(ref)} refused: no earlier version is in force` }
    }
    entry.refusal = refusal
    this.#refused.add(key)
    this.#rememberRefusal(key, refusal)
    const kept = entry.acceptedAt
    const message = `${refText(ref)} refused: kept the version of ${timeText(kept, this.#options.now())}`
    return { outcome: "refused", ref, problems, kept, message }
  }

  #rememberRefusal(key: string, refusal: Refusal): void {
    try {
      const remembered = this.#memory.recall(key)
      if (remembered !== undefined) this.#memory.remember({ ...remembered, refusal })
    } catch {
      // The memory cannot be read any more. The refusal is told as long as this process lives, and found again by the next.
    }
  }

  /** False when what is remembered cannot be in force any more. */
  #restoreOne(remembered: Remembered, sameProgram: boolean): boolean {
    const { key, file, places, acceptedAt, refusal } = remembered
    const object = rememberedObject(remembered)
    const rules = rulesOf(object.value)
    const ref = rules === undefined ? undefined : refOf(object.value, rules)
    // A newer Heddle may judge more strictly; what it no longer understands cannot stay in force.
    if (rules === undefined || ref === undefined || objectKey(ref) !== key) return false
    if (!sameProgram && hasErrors(rules.validate(object, { create: false }))) return false
    const hash = sameProgram ? remembered.hash : contentHash(key, object.value)
    if (hash !== remembered.hash) this.#memory.remember({ ...remembered, hash })
    const sum = placesSum(file, places)
    this.#enter(key, { ref, hash, placesSum: sum, acceptedAt, warnings: undefined, refusal }, rules.toModel(object))
    return true
  }

  #enter(key: string, entry: Entry, part: ModelPart): void {
    this.#builder.set(key, part)
    const before = this.#entries.get(key)
    if (before !== undefined) this.#digest.remove(before.hash)
    this.#digest.add(entry.hash)
    this.#entries.set(key, entry)
    this.#neverAccepted.delete(key)
    if (entry.refusal === undefined) this.#refused.delete(key)
    else this.#refused.add(key)
  }

  #stored(key: string, { ref, acceptedAt, warnings = [], refusal }: Entry): StoredObject {
    const memory = this.#memory
    let remembered: Remembered | undefined
    const recall = (): Remembered => {
      remembered ??= memory.recall(key)
      if (remembered === undefined) throw new Error(`${refText(ref)} is not in force any more`)
      return remembered
    }
    return {
      ref,
      acceptedAt,
      warnings,
      ...(refusal === undefined ? {} : { refusal }),
      get value() {
        return recall().value
      },
      get origin() {
        return originOf(recall())
      },
    }
  }
}

/** Who an object is; undefined when its kind is not known or it has no name. */
export function identify(object: ManifestObject): ObjectRef | undefined {
  const rules = rulesOf(object.value)
  return rules === undefined ? undefined : refOf(object.value, rules)
}

function refOf(value: unknown, rules: KindRules): ObjectRef | undefined {
  const identity = identityOf(value, rules.namespaced)
  if (identity === undefined) return undefined
  const { apiVersion, kind, namespace, name } = identity
  return { apiVersion, kind, namespace, name }
}

function translate(object: ManifestObject, rules: KindRules): Translation {
  const places: Record<string, readonly [number, number]> = { ...ownPlace(object) }
  return { part: rules.toModel(recordingPlaces(object, places)), places }
}

function ownPlace({ origin }: ManifestObject): Places {
  return { "": [origin.line, origin.column] }
}

function placesSum(file: string, places: Places): number {
  return crc32(`${file}\0${JSON.stringify(places)}`)
}

/** `NetworkPolicy shop/web`. */
export function refText(ref: ObjectRef): string {
  return `${ref.kind} ${ref.namespace === "" ? "" : `${ref.namespace}/`}${ref.name}`
}

function nameOf(value: unknown): string {
  if (!isRecord(value)) return "The object"
  const kind = typeof value["kind"] === "string" && value["kind"] !== "" ? value["kind"] : "An object"
  const metadata = value["metadata"]
  const name = isRecord(metadata) && typeof metadata["name"] === "string" ? ` ${metadata["name"]}` : ""
  return `${kind}${name}`
}

/** `12:04`, with the day when it was another one. */
function timeText(time: number, now: number): string {
  const two = (value: number): string => String(value).padStart(2, "0")
  const date = new Date(time)
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}`
  if (new Date(now).toDateString() === date.toDateString()) return clock
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock}`
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
