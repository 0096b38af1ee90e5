import { type FSWatcher, lstatSync, watch } from "node:fs"
import { basename, join } from "node:path"
import { directoryStamp, type FileStamp, isManifestName, sameStamp } from "./files.ts"

/** Milliseconds that notifications are gathered, as one save makes several. */
const GATHER = 10
/** Above so many names at once all files are looked at: that is no dearer, and the kernel's queue may have overflown. */
const MANY = 1_000

/** What is to be looked at. */
export interface Signs {
  /** Files, relative to the directory. */
  readonly names: ReadonlySet<string>
  /** Everything: what changed cannot be told. */
  readonly all: boolean
}

interface Watched {
  /** Of the files in it: their names in the source begin with this. */
  readonly prefix: string
  readonly inode: number
  /** As it was when it was last sure that every change in it was told. */
  stamp: FileStamp
  readonly watcher: FSWatcher
  /** Notifications since the stamp was taken. */
  told: number
  /** It is gone, or something in it changed without a notification: another directory may lie there, even with its inode. */
  deaf: boolean
}

/** Says which files below a set of directories may have changed, by the notifications of the kernel and at the times asked for. */
export class DirectoryWatch {
  readonly #onSigns: () => void
  readonly #watched = new Map<string, Watched>()
  /** Directories that could not be watched. */
  readonly #blind = new Set<string>()
  #names = new Set<string>()
  /** Paths of what came or went and is no manifest by its name; most are drafts, and gone when they are looked at. */
  #others = new Set<string>()
  #all = false
  #count = 0
  /** When files are to be looked at again, by `performance.now()`. */
  readonly #later = new Map<string, number>()
  #allLater = Number.POSITIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #due = Number.POSITIVE_INFINITY
  #closed = false

  constructor(onSigns: () => void) {
    this.#onSigns = onSigns
  }

  /** Whether changes in all directories are told. */
  get sees(): boolean {
    return this.#blind.size === 0
  }

  /** Watches a directory from now on; nothing is done when it is watched. */
  add(path: string, prefix: string, stamp: FileStamp): void {
    const before = this.#watched.get(path)
    if (before?.inode === stamp.inode && before.prefix === prefix && !before.deaf) {
      before.stamp = stamp
      before.told = 0
      return
    }
    this.#drop(path)
    if (this.#closed) return
    try {
      const watcher = watch(path, (event, name) => this.#told(path, event, name))
      watcher.on("error", () => {
        if (this.#watched.get(path)?.watcher !== watcher) return
        this.#drop(path)
        this.#all = true
        this.#wake(GATHER)
      })
      this.#watched.set(path, { prefix, inode: stamp.inode, stamp, watcher, told: 0, deaf: false })
      this.#blind.delete(path)
    } catch {
      // Out of watches, or gone again: regular looks go on.
      this.#blind.add(path)
    }
  }

  /** Watches no others than these directories. */
  keep(directories: ReadonlyMap<string, unknown>): void {
    for (const path of this.#watched.keys()) if (!directories.has(path)) this.#drop(path)
    for (const path of this.#blind) if (!directories.has(path)) this.#blind.delete(path)
  }

  /** Whether a directory changed, or was made anew, and nothing told it; such a one is watched anew when it is added again. */
  missed(): boolean {
    let missed = false
    for (const [path, watched] of this.#watched) {
      const stamp = directoryStamp(path)
      if (stamp?.inode === watched.inode && sameStamp(stamp, watched.stamp)) continue
      if (stamp?.inode !== watched.inode || watched.told === 0) {
        watched.deaf = true
        missed = true
        continue
      }
      watched.stamp = stamp
      watched.told = 0
    }
    return missed
  }

  /** Gives a sign for a file in so many milliseconds. */
  again(name: string, milliseconds: number): void {
    this.#later.set(name, performance.now() + milliseconds)
    this.#wake(milliseconds)
  }

  /** Gives a sign for everything in so many milliseconds at the latest. */
  allAgain(milliseconds: number): void {
    this.#allLater = Math.min(this.#allLater, performance.now() + milliseconds)
    this.#wake(milliseconds)
  }

  /** A file that waits need not be looked at again: it is just being. */
  seen(name: string): void {
    this.#later.delete(name)
  }

  /** Files that wait to be looked at again. */
  get waiting(): ReadonlyMap<string, unknown> {
    return this.#later
  }

  /** The signs up to now; from here on others are gathered. */
  take(): Signs {
    const now = performance.now()
    // A timer may be early by less than a millisecond.
    for (const [name, due] of this.#later) {
      if (due > now + 1) continue
      this.#later.delete(name)
      this.#names.add(name)
    }
    let all = this.#all || this.#allLater <= now + 1
    for (const path of this.#others) all ||= this.#mayMeanMore(path)
    this.#others = new Set()
    if (all) this.#allLater = Number.POSITIVE_INFINITY
    const signs = { names: this.#names, all: all || this.#count > MANY }
    this.#names = new Set()
    this.#all = false
    this.#count = 0
    clearTimeout(this.#timer)
    this.#due = Number.POSITIVE_INFINITY
    let next = this.#allLater
    for (const due of this.#later.values()) next = Math.min(next, due)
    if (next < Number.POSITIVE_INFINITY) this.#wake(Math.max(0, next - now))
    return signs
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const path of [...this.#watched.keys()]) this.#drop(path)
  }

  #told(path: string, event: string, name: string | null): void {
    const watched = this.#watched.get(path)
    if (watched === undefined) return
    watched.told++
    if (event === "rename" && name === basename(path)) watched.deaf = true
    this.#count++
    if (name === null || name === basename(path)) this.#all = true
    else if (isManifestName(name)) this.#names.add(`${watched.prefix}${name}`)
    // Writing in place, or its permissions: that makes no folder and no link.
    else if (event === "change") return
    else this.#others.add(join(path, name))
    this.#wake(GATHER)
  }

  /** Whether what happened to this path, which is no manifest's, may have changed others: a folder, or a link to one. */
  #mayMeanMore(path: string): boolean {
    if (this.#watched.has(path)) return true
    try {
      const found = lstatSync(path, { throwIfNoEntry: false })
      return found !== undefined && (found.isDirectory() || found.isSymbolicLink())
    } catch {
      return true
    }
  }

  #wake(milliseconds: number): void {
    const due = performance.now() + milliseconds
    if (this.#closed || due >= this.#due) return
    clearTimeout(this.#timer)
    this.#due = due
    this.#timer = setTimeout(() => {
      this.#due = Number.POSITIVE_INFINITY
      this.#onSigns()
    }, Math.ceil(milliseconds))
  }

  #drop(path: string): void {
    this.#watched.get(path)?.watcher.close()
    this.#watched.delete(path)
  }
}
