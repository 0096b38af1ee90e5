import { readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import type { Cluster } from "../../model/cluster.ts"
import type { ManifestObject } from "../../model/manifest.ts"
import { compareProblems, type Problem } from "../../model/problem.ts"
import { type Acceptance, type ObjectRef, type ObjectStore, objectKey, refText } from "../objects.ts"
import { type FileStamp, type Listing, listManifestFiles, sameStamp } from "./files.ts"
import { fileProblem, type ParsedFile, parseFile, unreadableFile } from "./parse.ts"
import { DirectoryWatch } from "./watch.ts"

export interface DirectorySourceOptions {
  readonly directory: string
  /** Owned by this source: objects that no file holds are taken out of it. */
  readonly store: ObjectStore
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Called after the first scan and whenever the cluster, the accepted objects or the problems changed. */
  readonly onChange: (change: DirectoryChange) => void
  /** How long a file that is written in place must rest before it is read; default 25 ms. */
  readonly settle?: number
  /** How long a loss of objects that may be an accident of writing must last before it counts; default 500 ms. */
  readonly hold?: number
  /** Milliseconds between scans that need no notification; default 5,000. */
  readonly rescan?: number
}

export interface DirectoryChange {
  /** Identifies the set of accepted objects. */
  readonly digest: string
  readonly cluster: Cluster
  /** All that is wrong with the files now, in the order of files and lines. */
  readonly problems: readonly Problem[]
}

/** What a file was last seen to hold; of a file that could not be told whole, also what it held before. */
interface FileState {
  readonly stamp: FileStamp
  readonly refs: ReadonlyMap<string, ObjectRef>
  readonly problems: readonly Problem[]
  readonly incomplete: boolean
}

/** One scan's findings. */
interface Scan {
  /** Objects to decide about, by key. */
  readonly touched: Map<string, ObjectRef>
  /** Files read in this scan. */
  readonly parsed: Map<string, ParsedFile>
  /** Every file was read or had been before. */
  complete: boolean
}

/**
 * Objects from a directory of YAML and JSON files. Changes are found by notification and, as notifications get lost, by regular
 * scans. What a file held stays in force while the file cannot be read, while it is being written, and while the whole
 * directory is gone. Of an object that stands in two files, the first file by name counts and the other is reported.
 */
export class DirectorySource {
  readonly #options: Required<DirectorySourceOptions>
  readonly #watch: DirectoryWatch
  readonly #files = new Map<string, FileState>()
  /** Which files hold an object, by its key. */
  readonly #holders = new Map<string, Set<string>>()
  readonly #objectProblems = new Map<string, readonly Problem[]>()
  #missing: Problem | undefined
  /** Since when files have been missing that may come back at once. */
  #lossSince: number | undefined
  /** Whether objects that the store remembers from an earlier run have been held against the files. */
  #restoredChecked = false
  #scanning: Promise<boolean> | undefined
  #again = false
  #started = false
  #closed = false
  #reported: { readonly digest: string; readonly problems: string; readonly cluster: Cluster } | undefined

  constructor(options: DirectorySourceOptions) {
    this.#options = { settle: 25, hold: 500, rescan: 5_000, ...options }
    // The failure of one scan is repaired by the next.
    this.#watch = new DirectoryWatch(() => void this.scan().catch(() => undefined), this.#options.rescan)
  }

  /** Reads the directory, reports, and from then on follows it. Waits up to a second for files that are just being written. */
  async start(): Promise<void> {
    for (let waited = 0; waited < 1_000; waited += this.#options.settle) {
      if (await this.#scan()) break
      await new Promise((resolve) => setTimeout(resolve, this.#options.settle))
    }
    if (this.#closed) return
    this.#started = true
    this.#report()
    this.#watch.start()
  }

  /** Looks for changes now. Resolves when a scan that began after this call is done and reported. */
  async scan(): Promise<void> {
    await this.#scan()
  }

  /** Stops following. What is in force stays. */
  async close(): Promise<void> {
    this.#closed = true
    this.#watch.close()
    await this.#scanning
  }

  /** All that is wrong with the files at present. */
  problems(): readonly Problem[] {
    const all = this.#missing === undefined ? [] : [this.#missing]
    for (const state of this.#files.values()) all.push(...state.problems)
    for (const problems of this.#objectProblems.values()) all.push(...problems)
    return all.sort(compareProblems)
  }

  /** True when every file was read. */
  #scan(): Promise<boolean> {
    if (this.#scanning !== undefined) this.#again = true
    this.#scanning ??= this.#scanUntilQuiet().finally(() => {
      this.#scanning = undefined
    })
    return this.#scanning
  }

  async #scanUntilQuiet(): Promise<boolean> {
    let complete = true
    do {
      this.#again = false
      const listing = await listManifestFiles(this.#options.directory)
      if (this.#closed) return true
      this.#watch.follow(listing?.directories ?? new Map())
      if (listing === undefined) this.#directoryGone()
      else complete = await this.#takeIn(listing)
      if (this.#started) this.#report()
    } while (this.#again && !this.#closed)
    return complete
  }

  #directoryGone(): void {
    const message = "the directory cannot be read: the objects that it held stay in force"
    this.#missing = fileProblem(this.#options.directory, message, "create it, or give another one")
    this.#lossSince = this.#options.now()
    this.#watch.wake(2 * this.#options.hold)
  }

  async #takeIn(listing: Listing): Promise<boolean> {
    this.#missing = undefined
    const scan: Scan = { touched: new Map(), parsed: new Map(), complete: true }
    for (const [name, stamp] of listing.files) {
      const before = this.#files.get(name)
      if (before !== undefined && sameStamp(before.stamp, stamp)) continue
      const again = await this.#readFile(name, stamp, before, scan)
      if (again === undefined) continue
      scan.complete = false
      this.#watch.wake(again)
    }
    if (!this.#lossHeld(listing)) {
      this.#forgetFiles(listing, scan)
      if (scan.complete) this.#dropRestored(scan)
    }
    for (const [key, ref] of scan.touched) await this.#decide(key, ref, scan)
    return scan.complete
  }

  /** Takes in what a new or changed file holds, or says in how many milliseconds to look again. */
  async #readFile(
    name: string,
    stamp: FileStamp,
    before: FileState | undefined,
    scan: Scan,
  ): Promise<number | undefined> {
    const { settle, hold } = this.#options
    // A file moved into place is whole; one written in place is whole when it has rested for a while.
    const moved = before !== undefined && before.stamp.inode !== stamp.inode
    const age = this.#options.now() - Number(stamp.modified / 1_000_000n)
    if (!moved && age >= 0 && age < settle) return settle
    const parsed = await this.#parse(name, (before?.refs.size ?? 0) > 0)
    if (parsed === undefined) return settle
    const refs = new Map([...parsed.objects].map(([key, { ref }]) => [key, ref]))
    const lost = [...(before?.refs ?? [])].filter(([key]) => !refs.has(key))
    // Written in place and shorter than before: the rest may be on its way.
    if (lost.length > 0 && !parsed.incomplete && !moved && age >= 0 && age < hold) return hold - age
    if (parsed.incomplete) for (const [key, ref] of lost) refs.set(key, ref)
    this.#files.set(name, { stamp, refs, problems: parsed.problems, incomplete: parsed.incomplete })
    scan.parsed.set(name, parsed)
    for (const [key, ref] of lost) {
      if (!refs.has(key)) this.#unhold(key, name)
      scan.touched.set(key, ref)
    }
    for (const [key, ref] of refs) {
      this.#hold(key, name)
      scan.touched.set(key, ref)
    }
    return undefined
  }

  /** The contents of a file; undefined when it is gone or changes while it is read. */
  async #parse(name: string, held: boolean): Promise<ParsedFile | undefined> {
    const path = this.#pathOf(name)
    try {
      const before = await stat(path, { bigint: true })
      const text = await readFile(path, "utf8")
      const after = await stat(path, { bigint: true })
      const same = before.size === after.size && before.mtimeNs === after.mtimeNs && before.ino === after.ino
      return same ? parseFile(text, path, held) : undefined
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : String(error)
      return code === "ENOENT" ? undefined : unreadableFile(path, code)
    }
  }

  /**
   * Whether files that are gone still count: for a while when all of them vanish at once or the directory was gone, as it may
   * be on its way out, or on its way back file by file.
   */
  #lossHeld(listing: Listing): boolean {
    const gone = [...this.#files.keys()].some((name) => !listing.files.has(name))
    const restored = !this.#restoredChecked && this.#options.store.size > 0
    if (!gone && !restored) {
      this.#lossSince = undefined
      return false
    }
    if (listing.files.size > 0 && this.#lossSince === undefined) return false
    this.#lossSince ??= this.#options.now()
    const left = this.#lossSince + this.#options.hold - this.#options.now()
    if (left > 0) {
      this.#watch.wake(left)
      return true
    }
    this.#lossSince = undefined
    return false
  }

  #forgetFiles(listing: Listing, scan: Scan): void {
    for (const [name, state] of this.#files) {
      if (listing.files.has(name)) continue
      this.#files.delete(name)
      for (const [key, ref] of state.refs) {
        this.#unhold(key, name)
        scan.touched.set(key, ref)
      }
    }
  }

  /** Once, when all files are known: objects remembered from an earlier run that no file holds any more are over. */
  #dropRestored(scan: Scan): void {
    if (this.#restoredChecked) return
    this.#restoredChecked = true
    const incomplete = new Map<string, string>()
    for (const [name, state] of this.#files) if (state.incomplete) incomplete.set(this.#pathOf(name), name)
    for (const { ref, origin } of this.#options.store.list()) {
      const key = objectKey(ref)
      if (this.#holders.has(key)) continue
      const name = incomplete.get(origin.file)
      const state = name === undefined ? undefined : this.#files.get(name)
      if (name === undefined || state === undefined) scan.touched.set(key, ref)
      else {
        // A file that cannot be told whole may still mean what it held.
        this.#files.set(name, { ...state, refs: new Map(state.refs).set(key, ref) })
        this.#hold(key, name)
      }
    }
  }

  /** Puts the version of the first file by name, or takes the object out when no file holds it. */
  async #decide(key: string, ref: ObjectRef, scan: Scan): Promise<void> {
    const { store } = this.#options
    const [first, ...others] = [...(this.#holders.get(key) ?? [])].sort()
    this.#objectProblems.delete(key)
    if (first === undefined) {
      store.delete(ref)
      return
    }
    const parsed = scan.parsed.get(first) ?? (await this.#parse(first, true))
    const object: ManifestObject | undefined = parsed?.objects.get(key)?.object
    const found: Problem[] = []
    // Absent when the file cannot be told whole: the store has the last good version.
    if (object !== undefined) found.push(...explained(store.put(object)))
    for (const other of others) {
      const message = `${refText(ref)} stands in ${this.#pathOf(first)} too, and that one counts`
      found.push(fileProblem(this.#pathOf(other), message, "remove one of the two"))
    }
    if (found.length > 0) this.#objectProblems.set(key, found)
  }

  #hold(key: string, name: string): void {
    const holders = this.#holders.get(key)
    if (holders === undefined) this.#holders.set(key, new Set([name]))
    else holders.add(name)
  }

  #unhold(key: string, name: string): void {
    const holders = this.#holders.get(key)
    holders?.delete(name)
    if (holders?.size === 0) this.#holders.delete(key)
  }

  #pathOf(name: string): string {
    return join(this.#options.directory, name)
  }

  #report(): void {
    const problems = this.problems()
    const { store } = this.#options
    const report = { digest: store.digest, problems: JSON.stringify(problems), cluster: store.cluster() }
    const last = this.#reported
    if (last?.digest === report.digest && last.problems === report.problems && last.cluster === report.cluster) return
    this.#reported = report
    this.#options.onChange({ digest: report.digest, cluster: report.cluster, problems })
  }
}

/** The problems of a refused object, the first of them saying what stays in force. */
function explained(acceptance: Acceptance): readonly Problem[] {
  const { problems, kept, message } = acceptance
  if (kept === undefined) return problems
  const [first, ...rest] = problems
  if (first === undefined) return problems
  return [{ ...first, message: `${first.message}; ${message}` }, ...rest]
}
