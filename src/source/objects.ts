import { isDeepStrictEqual } from "node:util"
import { objectGroup } from "../dialect/group.ts"
import { identityOf } from "../dialect/kubernetes/index.ts"
import type { Cluster } from "../model/cluster.ts"
import { isRecord, type ManifestObject } from "../model/manifest.ts"
import type { Origin } from "../model/origin.ts"
import { hasErrors, type Problem } from "../model/problem.ts"
import type { Prefix } from "../net/types.ts"
import { type AcceptanceMemory, type Refusal, recordingOrigins, rememberedObject } from "./acceptance.ts"
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

/** An object in force. */
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

export interface ObjectStoreOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Configured ranges of the cluster, besides those of its nodes. */
  readonly clusterPrefixes?: readonly Prefix[]
  /** Where last good versions survive a restart. */
  readonly memory?: AcceptanceMemory
}

interface Translation {
  readonly part: ModelPart
  /** Lines by field path. */
  readonly origins: Readonly<Record<string, Origin>>
  readonly hash: bigint
}

interface Entry {
  stored: StoredObject
  readonly origins: Readonly<Record<string, Origin>>
  readonly hash: bigint
}

/**
 * The accepted objects of a cluster. An object that is wrong is refused alone and its last good version stays in force.
 * What is compiled depends on the accepted objects only, not on the order in which they came.
 */
export class ObjectStore {
  readonly #options: ObjectStoreOptions
  readonly #entries = new Map<string, Entry>()
  /** Refusals of objects that have no good version. */
  readonly #neverAccepted = new Map<string, { readonly ref: ObjectRef; readonly refusal: Refusal }>()
  readonly #builder: ClusterBuilder
  readonly #digest = new SetDigest()

  constructor(options: ObjectStoreOptions) {
    this.#options = options
    this.#builder = new ClusterBuilder(options.clusterPrefixes)
  }

  /** Takes the remembered objects into force, before any source is read. Returns how many there were. */
  restore(): number {
    const remembered = this.#options.memory?.load() ?? []
    for (const entry of remembered) {
      const object = rememberedObject(entry)
      const rules = rulesOf(object.value)
      const ref = rules === undefined ? undefined : refOf(object.value, rules)
      // A newer Heddle may judge more strictly; what it no longer understands cannot stay in force.
      if (rules === undefined || ref === undefined || hasErrors(rules.validate(object, { create: false }))) continue
      this.#accept(object, ref, translate(object, objectKey(ref), rules), [], entry.acceptedAt)
      if (entry.refusal !== undefined) this.#setRefusal(objectKey(ref), entry.refusal)
    }
    return remembered.length
  }

  /** Offers a new version of an object. */
  put(object: ManifestObject): Acceptance {
    const rules = rulesOf(object.value)
    if (rules === undefined) {
      const problem = unknownKindProblem(object)
      const outcome = problem.severity === "error" ? "refused" : "ignored"
      return { outcome, problems: [problem], message: `${nameOf(object.value)} ${outcome}: ${problem.message}` }
    }
    const problems = rules.validate(object, { create: false })
    const ref = refOf(object.value, rules)
    if (ref === undefined || hasErrors(problems)) return this.#refuse(object, ref, problems)
    const key = objectKey(ref)
    const before = this.#entries.get(key)
    const next = translate(object, key, rules)
    const same = before?.hash === next.hash
    const outcome = same ? "unchanged" : "accepted"
    if (!same || before.stored.refusal !== undefined || !isDeepStrictEqual(before.origins, next.origins)) {
      this.#accept(object, ref, next, problems, same ? before.stored.acceptedAt : this.#options.now())
    }
    return { outcome, ref, problems, message: `${refText(ref)} ${outcome}` }
  }

  /** Takes an object out of force; false if it was not there. */
  delete(ref: ObjectRef): boolean {
    const key = objectKey(ref)
    const refused = this.#neverAccepted.delete(key)
    const entry = this.#entries.get(key)
    if (entry === undefined) return refused
    this.#entries.delete(key)
    this.#digest.remove(entry.hash)
    this.#builder.set(key, undefined)
    this.#options.memory?.forget(key)
    return true
  }

  get(ref: ObjectRef): StoredObject | undefined {
    return this.#entries.get(objectKey(ref))?.stored
  }

  /** How many objects are in force. */
  get size(): number {
    return this.#entries.size
  }

  /** The objects in force, of one kind or all, sorted by kind, namespace and name. */
  list(kind?: string): StoredObject[] {
    const found: [key: string, stored: StoredObject][] = []
    for (const [key, { stored }] of this.#entries)
      if (kind === undefined || stored.ref.kind === kind) found.push([key, stored])
    return found.sort(([a], [b]) => compareTexts(a, b)).map(([, stored]) => stored)
  }

  /** Objects of which a version is refused at present; `kept` since when the version in force is. */
  refusals(): { readonly ref: ObjectRef; readonly refusal: Refusal; readonly kept?: number }[] {
    const found: { ref: ObjectRef; refusal: Refusal; kept?: number }[] = [...this.#neverAccepted.values()]
    for (const { stored } of this.#entries.values()) {
      if (stored.refusal !== undefined)
        found.push({ ref: stored.ref, refusal: stored.refusal, kept: stored.acceptedAt })
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
    const since = (entry?.stored.refusal ?? this.#neverAccepted.get(key)?.refusal)?.since ?? this.#options.now()
    const refusal = { since, problems: problems.filter((problem) => problem.severity === "error") }
    if (entry === undefined) {
      this.#neverAccepted.set(key, { ref, refusal })
      return { outcome: "refused", ref, problems, message: `${refText(ref)} refused: no earlier version is in force` }
    }
    this.#setRefusal(key, refusal)
    const kept = entry.stored.acceptedAt
    const message = `${refText(ref)} refused: kept the version of ${timeText(kept, this.#options.now())}`
    return { outcome: "refused", ref, problems, kept, message }
  }

  #accept(
    object: ManifestObject,
    ref: ObjectRef,
    next: Translation,
    problems: readonly Problem[],
    acceptedAt: number,
  ): void {
    const key = objectKey(ref)
    this.#builder.set(key, next.part)
    const before = this.#entries.get(key)
    if (before !== undefined) this.#digest.remove(before.hash)
    this.#digest.add(next.hash)
    const warnings = problems.filter((problem) => problem.severity === "warning")
    const stored = { ref, value: object.value, origin: object.origin, acceptedAt, warnings }
    this.#entries.set(key, { stored, origins: next.origins, hash: next.hash })
    this.#neverAccepted.delete(key)
    this.#remember(key)
  }

  #setRefusal(key: string, refusal: Refusal): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    entry.stored = { ...entry.stored, refusal }
    this.#remember(key)
  }

  #remember(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined || this.#options.memory === undefined) return
    const { value, origin, acceptedAt, refusal } = entry.stored
    const remembered = { key, value, origin, origins: entry.origins, acceptedAt }
    this.#options.memory.remember(refusal === undefined ? remembered : { ...remembered, refusal })
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

/** What an object means, and which of its lines the meaning leads back to (its own included). */
function translate(object: ManifestObject, key: string, rules: KindRules): Translation {
  const origins: Record<string, Origin> = { "": object.origin }
  const part = rules.toModel(recordingOrigins(object, origins))
  return { part, origins, hash: contentHash(key, object.value) }
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
