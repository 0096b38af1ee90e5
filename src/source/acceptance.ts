import type { ManifestObject } from "../model/manifest.ts"
import type { Origin } from "../model/origin.ts"
import { type FieldPath, fieldPathText, type Problem } from "../model/problem.ts"

/** Why a newer version of an object was refused, and since when (milliseconds since 1970). */
export interface Refusal {
  readonly since: number
  readonly problems: readonly Problem[]
}

/** Line and column of fields in one file, by field path; the object itself is "". */
export type Places = Readonly<Record<string, readonly [line: number, column: number]>>

/** What is remembered of one object: its last good version, and why a newer one is not in force. */
export interface Remembered {
  /** `GROUP/KIND/NAMESPACE/NAME`. */
  readonly key: string
  /** JSON data as it was written. */
  readonly value: unknown
  /** The file that `places` speaks of. */
  readonly file: string
  /** Where the fields stand that the model leads back to. */
  readonly places: Places
  /** Name and content (`contentHash`). */
  readonly hash: bigint
  /** Milliseconds since 1970. */
  readonly acceptedAt: number
  readonly refusal?: Refusal
}

/** Keeps what is remembered of each object, so that nobody else need hold its text. */
export interface ObjectMemory {
  remember(entry: Remembered): void
  forget(key: string): void
  /** What was remembered last; undefined for a key that is not remembered. Throws when it cannot be read any more. */
  recall(key: string): Remembered | undefined
}

/** Remembers as long as the process lives. */
export class HeapMemory implements ObjectMemory {
  readonly #entries = new Map<string, Remembered>()

  remember(entry: Remembered): void {
    this.#entries.set(entry.key, entry)
  }

  forget(key: string): void {
    this.#entries.delete(key)
  }

  recall(key: string): Remembered | undefined {
    return this.#entries.get(key)
  }
}

/** Where a remembered object stands. */
export function originOf({ file, places }: Remembered): Origin {
  const [line, column] = places[""] ?? [1, 1]
  return { file, line, column }
}

/** Lets a remembered object lead back to its lines as the text did. */
export function rememberedObject(entry: Remembered): ManifestObject {
  const origin = originOf(entry)
  const originAt = (path: FieldPath): Origin => {
    const place = entry.places[fieldPathText(path)]
    return place === undefined ? origin : { file: entry.file, line: place[0], column: place[1] }
  }
  return { value: entry.value, origin, originAt }
}

/** The same object, noting into `places` which of its lines were asked for. */
export function recordingPlaces(
  object: ManifestObject,
  places: Record<string, readonly [number, number]>,
): ManifestObject {
  const originAt = (path: FieldPath): Origin => {
    const origin = object.originAt(path)
    places[fieldPathText(path)] = [origin.line, origin.column]
    return origin
  }
  return { value: object.value, origin: object.origin, originAt }
}
