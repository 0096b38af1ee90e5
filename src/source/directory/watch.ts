import { type FSWatcher, watch } from "node:fs"

/** Milliseconds that notifications are gathered, as one save makes several. */
const GATHER = 10

/**
 * Says when a set of directories may have changed: on notification, at the times asked for by `wake`, and regularly, since
 * notifications get lost (queue overflow, network file systems).
 */
export class DirectoryWatch {
  readonly #onSign: () => void
  readonly #period: number
  readonly #watchers = new Map<string, { readonly inode: bigint; readonly watcher: FSWatcher }>()
  #timer: NodeJS.Timeout | undefined
  /** When the timer fires, by `performance.now()`. */
  #due = Number.POSITIVE_INFINITY
  #regular: NodeJS.Timeout | undefined
  #closed = false

  /** `period`: milliseconds between regular signs. */
  constructor(onSign: () => void, period: number) {
    this.#onSign = onSign
    this.#period = period
  }

  start(): void {
    this.#regular = setInterval(this.#onSign, this.#period)
  }

  /** Watches these directories (path → inode) and no others. */
  follow(directories: ReadonlyMap<string, bigint>): void {
    for (const [path, { inode, watcher }] of this.#watchers) {
      if (directories.get(path) === inode) continue
      watcher.close()
      this.#watchers.delete(path)
    }
    if (this.#closed) return
    for (const [path, inode] of directories) {
      if (this.#watchers.has(path)) continue
      try {
        const watcher = watch(path, () => this.wake(GATHER))
        watcher.on("error", () => {
          watcher.close()
          if (this.#watchers.get(path)?.watcher === watcher) this.#watchers.delete(path)
          this.wake(GATHER)
        })
        this.#watchers.set(path, { inode, watcher })
        // What changed between the listing and the watch gave no sign.
        this.wake(GATHER)
      } catch {
        // Out of watches, or gone again: the regular scans go on.
      }
    }
  }

  /** Gives a sign in so many milliseconds at the latest. */
  wake(milliseconds: number): void {
    const due = performance.now() + milliseconds
    if (this.#closed || due >= this.#due) return
    clearTimeout(this.#timer)
    this.#due = due
    this.#timer = setTimeout(() => {
      this.#due = Number.POSITIVE_INFINITY
      this.#onSign()
    }, Math.ceil(milliseconds))
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    clearInterval(this.#regular)
    for (const { watcher } of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }
}
