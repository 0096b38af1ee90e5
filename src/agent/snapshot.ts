import { readFileSync } from "node:fs"
import { mkdir, open, rename, unlink } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { NodeView } from "./view.ts"

/** What a node enforced when its agent last committed: what the kernel's numbers mean. */
export interface Snapshot extends NodeView {
  /** Numbers that the kernel has for local endpoints, by `NAMESPACE/NAME`, and for other nodes, by name. */
  readonly numbers: ReadonlyMap<string, number>
  readonly peers: ReadonlyMap<string, number>
  /** Ms since the epoch. */
  readonly committedAt: number
  readonly version: string
  readonly plane: string
  readonly routing: string
  readonly addresses: readonly string[]
}

const FORM = 1
/** Between two writes. */
const PAUSE_MS = 100

export function snapshotPath(runDir: string): string {
  return join(runDir, "state", "enforced.json")
}

/**
 * Keeps the newest snapshot on disk, for when the agent is dead. Written in the background, one at a time, each replaced whole; what
 * comes while one is written, or soon after, waits, and only the newest of that is written.
 */
export class SnapshotWriter {
  readonly #path: string
  readonly #onError: (error: unknown) => void
  #next: Snapshot | undefined
  #writing: Promise<void> | undefined
  /** Ends the pause between two writes. */
  #hurry: (() => void) | undefined

  constructor(runDir: string, onError: (error: unknown) => void) {
    this.#path = snapshotPath(runDir)
    this.#onError = onError
  }

  write(snapshot: Snapshot): void {
    this.#next = snapshot
    this.#writing ??= this.#drain().finally(() => {
      this.#writing = undefined
    })
  }

  /** Resolves when everything said so far is on disk. */
  async flush(): Promise<void> {
    this.#hurry?.()
    while (this.#writing !== undefined) await this.#writing
  }

  async #drain(): Promise<void> {
    await Promise.resolve()
    while (this.#next !== undefined) {
      const snapshot = this.#next
      this.#next = undefined
      try {
        await replace(this.#path, encodeSnapshot(snapshot))
      } catch (error) {
        this.#onError(error)
      }
      await this.#pause()
    }
  }

  /** Commits may come by the hundred a second; the newest is enough. */
  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, PAUSE_MS)
      this.#hurry = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/** Undefined when there is none, or when it was written by a version with another form. */
export function readSnapshot(runDir: string): Snapshot | undefined {
  try {
    return decodeSnapshot(readFileSync(snapshotPath(runDir), "utf8"))
  } catch {
    return undefined
  }
}

/** Clusters hold maps of several makes. */
function isMap(value: unknown): value is ReadonlyMap<unknown, unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    "get" in value &&
    "entries" in value &&
    typeof value.entries === "function"
  )
}

/** Texts of values that snapshots share: of a cluster of thousands, a commit changes a few. */
const texts = new WeakMap<object, string>()

/** JSON, with maps, bytes and infinities marked. */
export function encodeSnapshot(snapshot: Snapshot): string {
  return `{"form":${FORM},"snapshot":${encodeParts(snapshot, 2)}}`
}

/** The properties of an object, down to `depth`, one by one, so that what is in maps and lists is encoded once only. */
function encodeParts(value: object, depth: number): string {
  const parts: string[] = []
  for (const [name, part] of Object.entries(value)) {
    const text =
      isMap(part) || Array.isArray(part) || part instanceof Uint8Array || typeof part !== "object" || part === null
        ? encodeCollection(part)
        : depth > 1
          ? encodeParts(part, depth - 1)
          : encodeValue(part)
    if (text !== undefined) parts.push(`${JSON.stringify(name)}:${text}`)
  }
  return `{${parts.join(",")}}`
}

function encodeCollection(value: unknown): string | undefined {
  if (Array.isArray(value)) return `[${value.map((item) => encodeShared(item) ?? "null").join(",")}]`
  if (!isMap(value)) return encodeValue(value)
  const entries: string[] = []
  for (const [key, item] of value.entries()) entries.push(`[${encodeValue(key)},${encodeShared(item) ?? "null"}]`)
  return `{"$map":[${entries.join(",")}]}`
}

function encodeShared(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return encodeValue(value)
  let text = texts.get(value)
  if (text === undefined) {
    text = encodeValue(value) ?? "null"
    texts.set(value, text)
  }
  return text
}

function encodeValue(value: unknown): string | undefined {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (isMap(item)) return { $map: [...item.entries()] }
    if (item instanceof Uint8Array) return { $bytes: Buffer.from(item).toString("hex") }
    if (item === Number.POSITIVE_INFINITY) return { $number: "Infinity" }
    return item
  })
}

export function decodeSnapshot(text: string): Snapshot | undefined {
  const value: unknown = JSON.parse(text, (_key, item: unknown) => {
    if (typeof item !== "object" || item === null) return item
    if ("$map" in item) return new Map(item.$map as [unknown, unknown][])
    if ("$bytes" in item) return new Uint8Array(Buffer.from(String(item.$bytes), "hex"))
    if ("$number" in item) return Number(item.$number)
    return item
  })
  if (
    typeof value !== "object" ||
    value === null ||
    !("form" in value) ||
    value.form !== FORM ||
    !("snapshot" in value)
  ) {
    return undefined
  }
  // JSON has no undefined: verdicts without one come back as null.
  const snapshot = value.snapshot as Snapshot
  return { ...snapshot, verdicts: snapshot.verdicts.map((verdict) => verdict ?? undefined) }
}

async function replace(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const next = `${path}.next`
  try {
    const file = await open(next, "w", 0o600)
    try {
      await file.writeFile(text)
    } finally {
      await file.close()
    }
    await rename(next, path)
  } catch (error) {
    // On a full disk a part of it may lie there, and takes what little room there is.
    await unlink(next).catch(() => undefined)
    throw error
  }
}
