import { createHash } from "node:crypto"
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { open, rename, unlink } from "node:fs/promises"
import { join } from "node:path"
import { isRecord, type ManifestObject } from "../model/manifest.ts"
import type { Origin } from "../model/origin.ts"
import { type FieldPath, fieldPathText, type Problem } from "../model/problem.ts"

/** Why a newer version of an object was refused, and since when (milliseconds since 1970). */
export interface Refusal {
  readonly since: number
  readonly problems: readonly Problem[]
}

/** What is remembered of one object across restarts: its last good version, and why a newer one is not in force. */
export interface Remembered {
  /** `GROUP/KIND/NAMESPACE/NAME`. */
  readonly key: string
  readonly value: unknown
  readonly origin: Origin
  /** Lines of the fields that the model leads back to. */
  readonly origins: Readonly<Record<string, Origin>>
  /** Milliseconds since 1970. */
  readonly acceptedAt: number
  readonly refusal?: Refusal
}

/**
 * The memory of acceptance on disk: one file per object in a directory (`state/accepted`), each replaced whole (temporary file,
 * fsync, rename), so that a crash leaves the old version or the new one. Writes follow in the background; `flush` waits for them.
 */
export class AcceptanceMemory {
  readonly #directory: string
  readonly #onError: (message: string) => void
  readonly #dirty = new Map<string, Remembered | undefined>()
  #writing: Promise<void> | undefined

  /** `onError` hears of files that could not be read or written; what is in force does not depend on them. */
  constructor(directory: string, onError: (message: string) => void) {
    this.#directory = directory
    this.#onError = onError
    mkdirSync(directory, { recursive: true })
  }

  /** Everything remembered. Files left half-written by a crash are removed; unreadable ones are reported and left. */
  load(): Remembered[] {
    const entries: Remembered[] = []
    for (const name of readdirSync(this.#directory).sort()) {
      const path = join(this.#directory, name)
      if (name.endsWith(".tmp")) rmSync(path, { force: true })
      if (!name.endsWith(".json")) continue
      try {
        const entry: unknown = JSON.parse(readFileSync(path, "utf8"))
        if (!isRemembered(entry)) throw new Error("it has another form")
        entries.push(entry)
      } catch (error) {
        this.#onError(`Cannot read the remembered object ${path}: ${messageOf(error)}; delete it if the object is gone`)
      }
    }
    return entries
  }

  remember(entry: Remembered): void {
    this.#dirty.set(entry.key, entry)
    this.#write()
  }

  forget(key: string): void {
    this.#dirty.set(key, undefined)
    this.#write()
  }

  /** Resolves when everything said so far is on disk. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  #write(): void {
    this.#writing ??= this.#drain().finally(() => {
      this.#writing = undefined
    })
  }

  async #drain(): Promise<void> {
    await Promise.resolve()
    while (this.#dirty.size > 0) {
      const [[key, entry] = ["", undefined]] = this.#dirty
      this.#dirty.delete(key)
      const path = join(this.#directory, `${createHash("sha256").update(key).digest("hex").slice(0, 40)}.json`)
      try {
        if (entry === undefined) await unlink(path).catch(ignoreMissing)
        else await replaceFile(path, JSON.stringify(entry))
      } catch (error) {
        this.#onError(`Cannot remember ${key} in ${path}: ${messageOf(error)}; it is in force, but not after a restart`)
      }
    }
    await syncDirectory(this.#directory).catch(() => undefined)
  }
}

/** Lets a remembered object lead back to its lines as the text did. */
export function rememberedObject(entry: Remembered): ManifestObject {
  const originAt = (path: FieldPath): Origin => entry.origins[fieldPathText(path)] ?? entry.origin
  return { value: entry.value, origin: entry.origin, originAt }
}

/** The same object, noting into `origins` which lines were asked for. */
export function recordingOrigins(object: ManifestObject, origins: Record<string, Origin>): ManifestObject {
  const originAt = (path: FieldPath): Origin => {
    const origin = object.originAt(path)
    origins[fieldPathText(path)] = origin
    return origin
  }
  return { value: object.value, origin: object.origin, originAt }
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`
  try {
    const file = await open(temporary, "w")
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    // On a full disk a part of it may lie there, and takes what little room there is.
    await unlink(temporary).catch(() => undefined)
    throw error
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r")
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error
}

function isRemembered(entry: unknown): entry is Remembered {
  return (
    isRecord(entry) &&
    typeof entry["key"] === "string" &&
    isRecord(entry["value"]) &&
    isRecord(entry["origin"]) &&
    isRecord(entry["origins"]) &&
    typeof entry["acceptedAt"] === "number"
  )
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
