import { readFileSync } from "node:fs"
import { mkdir, open, rename } from "node:fs/promises"
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

/** JSON, with maps, bytes and infinities marked. */
export function encodeSnapshot(snapshot: Snapshot): string {
  return JSON.stringify({ form: FORM, snapshot }, (_key, value: unknown) => {
    if (isMap(value)) return { $map: [...value.entries()] }
    if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("hex") }
    if (value === Number.POSITIVE_INFINITY) return { $number: "Infinity" }
    return value
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
  const file = await open(next, "w", 0o600)
  try {
    await file.writeFile(text)
  } finally {
    await file.close()
  }
  await rename(next, path)
}
