import { fstatSync } from "node:fs"
import { type FileHandle, mkdir, open, rename, unlink } from "node:fs/promises"
import { dirname } from "node:path"
import { changePieces, emptyFile, type FileEnd, nothingEnforced, type Snapshot, snapshotPath } from "./snapshot.ts"

/** What came after the base may grow to the base's length, and at least to this, in bytes, before a new base is written. */
const LEAST_LOG = 64 * 1024
const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 30_000

export interface SnapshotWriterOptions {
  /** Told once when the state cannot be written, and once (undefined) when it can be again. */
  readonly onError: (error: unknown) => void
  readonly onRecovery?: () => void
  /** Opens a file for writing; another one for tests. */
  readonly open?: (path: string) => Promise<FileHandle>
}

/**
 * Keeps the newest snapshot on disk, for when the agent is dead. Each commit appends what it changed, in the background and one
 * write at a time; commits that come meanwhile share the next. When the appended part outgrows the rest, a new file is written
 * beside it, piece by piece, and takes its place. What is on disk is always one state that was in force, whole.
 */
export class SnapshotWriter {
  readonly #path: string
  readonly #options: SnapshotWriterOptions
  #newest: Snapshot = nothingEnforced
  #file: SnapshotFile | undefined
  #writing: Promise<void> | undefined
  #attempts = 0
  /** Ends the pause before another attempt. */
  #hurry: (() => void) | undefined
  #closing = false

  constructor(runDir: string, options: SnapshotWriterOptions) {
    this.#path = snapshotPath(runDir)
    this.#options = options
  }

  write(snapshot: Snapshot): void {
    this.#newest = snapshot
    this.#writing ??= this.#drain().finally(() => {
      this.#writing = undefined
    })
  }

  /** Resolves when everything said so far is on disk, or could not be written in one more attempt. Nothing may be said afterwards. */
  async close(): Promise<void> {
    this.#closing = true
    this.#hurry?.()
    await this.#writing
    await this.#file?.close()
    this.#file = undefined
  }

  async #drain(): Promise<void> {
    // Those who wait for the commit hear of it first.
    await new Promise(setImmediate)
    while (this.#file?.says !== this.#newest) {
      try {
        await this.#bringUpToDate()
        if (this.#attempts > 0) this.#options.onRecovery?.()
        this.#attempts = 0
      } catch (error) {
        if (this.#attempts === 0) this.#options.onError(error)
        if (this.#closing) return
        await this.#pause(Math.min(FIRST_RETRY_MS * 2 ** this.#attempts, LONGEST_RETRY_MS))
        this.#attempts++
      }
    }
  }

  async #bringUpToDate(): Promise<void> {
    const file = this.#file
    if (file === undefined || !file.isThere()) return this.#replace()
    await file.append(this.#newest)
    if (file.outgrown) await this.#replace()
  }

  /** Writes a new file and puts it in the place of the old one, which is kept up to date until then. */
  async #replace(): Promise<void> {
    const old = this.#file
    await mkdir(dirname(this.#path), { recursive: true })
    const path = `${this.#path}.next`
    const { open: opened = (where) => open(where, "w", 0o600) } = this.#options
    const next = new SnapshotFile(await opened(path))
    try {
      // What is lost while this one is written is no worse than before.
      const meanwhile = async () => {
        if (old?.isThere() === true) await old.append(this.#newest).catch(() => undefined)
      }
      while (next.says !== this.#newest) await next.append(this.#newest, meanwhile)
      next.expectBase()
      await rename(path, this.#path)
    } catch (error) {
      old?.expectBase()
      await next.close()
      // On a full disk a part of it may lie there, and takes what little room there is.
      await unlink(path).catch(() => undefined)
      throw error
    }
    this.#file = next
    await old?.close()
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#hurry = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/** A file that holds a snapshot as a sequence of changes. Calls are made one at a time. */
class SnapshotFile {
  readonly #handle: FileHandle
  #says: Snapshot = nothingEnforced
  #end: FileEnd = emptyFile
  /** Length at which a new base is due. */
  #limit = Number.POSITIVE_INFINITY
  /** Bytes of a change that could not be written whole lie behind the end. */
  #torn = false

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  /** The snapshot that a reader would find. */
  get says(): Snapshot {
    return this.#says
  }

  get outgrown(): boolean {
    return this.#end.length > this.#limit
  }

  /** A new base is due when as much again has been appended. */
  expectBase(): void {
    this.#limit = this.#end.length + Math.max(this.#end.length, LEAST_LOG)
  }

  /** Whether a reader would still find this file, as it was left. Asks only for what the kernel has in memory. */
  isThere(): boolean {
    const { nlink, size } = fstatSync(this.#handle.fd)
    return nlink > 0 && (this.#torn ? size >= this.#end.length : size === this.#end.length)
  }

  /** Makes the file say `next`; on an error it says what it said. `between` is awaited after each piece but the last. */
  async append(next: Snapshot, between?: () => Promise<void>): Promise<void> {
    if (next === this.#says) return
    try {
      if (this.#torn) await this.#handle.truncate(this.#end.length)
      this.#torn = true
      let { length: at } = this.#end
      let end = this.#end
      for (const piece of changePieces(this.#says, next, this.#end)) {
        if (end !== this.#end) await between?.()
        await writeAll(this.#handle, piece.bytes, at)
        at = piece.end.length
        end = piece.end
      }
      this.#end = end
      this.#says = next
      this.#torn = false
    } catch (error) {
      // What was written of it takes room that others may need; where that fails too, the next attempt does it.
      await this.#handle.truncate(this.#end.length).catch(() => undefined)
      throw error
    }
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}
