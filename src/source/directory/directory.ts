import { join } from "node:path"
import { setImmediate } from "node:timers/promises"
import type { Cluster } from "../../model/cluster.ts"
import type { Problem } from "../../model/problem.ts"
import type { Acceptance, ObjectStore } from "../objects.ts"
import {
  directoryStamp,
  type FileMemory,
  type FileStamp,
  fileStamp,
  type Listing,
  listManifestFiles,
  type RememberedFile,
  readWhole,
  sameStamp,
} from "./files.ts"
import { Findings } from "./findings.ts"
import { Holders } from "./holders.ts"
import { fileProblem, type ParsedFile, parseInSteps, unreadableFile } from "./parse.ts"
import { Turns } from "./turns.ts"
import { DirectoryWatch } from "./watch.ts"

export interface DirectorySourceOptions {
  readonly directory: string
  /** Owned by this source: objects that no file holds are taken out of it. */
  readonly store: ObjectStore
  /** Where it is kept which files need not be read again after a restart. */
  readonly memory?: FileMemory
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Called after the first look and whenever the cluster, the accepted objects or the problems changed. */
  readonly onChange: (change: DirectoryChange) => void
  /** How long a file that is written in place must rest before it is read; default 25 ms. */
  readonly settle?: number
  /** How long a loss of objects that may be an accident of writing must last before it counts; default 500 ms. */
  readonly hold?: number
  /** Milliseconds between looks that need no notification; default 5,000. */
  readonly rescan?: number
}

export interface DirectoryChange {
  /** Identifies the set of accepted objects. */
  readonly digest: string
  readonly cluster: Cluster
  /** All that is wrong with the files now, in the order of files and lines; the same list as long as it is the same. */
  readonly problems: readonly Problem[]
}

/** Where an object stands. */
export interface Holder {
  /** The file that counts, relative to the directory. */
  readonly name: string
  /** How many objects of known kinds it holds, the ones included that cannot be told any more. */
  readonly objects: number
  /** Whether it holds that one and nothing else, is whole, and is as it was when it was read. */
  readonly alone: boolean
}

/** What a file was last seen to hold; of a file that could not be told whole, also what it held before. */
interface FileState {
  readonly stamp: FileStamp
  readonly keys: readonly string[]
  /** Objects in it, those of kinds that nobody knows included. */
  readonly documents: number
  readonly incomplete: boolean
}

/** One look at some of the files, or at all. */
interface Look {
  /** Objects to decide about when all the files were seen: those that went, and those that stand in several. */
  readonly touched: Set<string>
  /** Objects of files that were read in this look, for those decisions. */
  readonly parsed: Map<string, ParsedFile>
  /** Files whose memory may have to change. */
  readonly changed: Set<string>
  /** Known files that are not there. */
  readonly gone: Set<string>
  readonly turns: Turns
}

/** A look that was asked for and has not begun. */
interface Wanted {
  readonly names: Set<string>
  all: boolean
  /** Names alone are listed; only those that came or went are looked at. */
  list: boolean
  readonly done: PromiseWithResolvers<void>
}

/** Files that a regular look sees: with 12,000 files the turn of each comes every four minutes, for half a millisecond of CPU in 5 s. */
const FILES_A_ROUND = 250
/** What findings are about besides objects, whose keys have a slash where these have a colon. */
const DIRECTORY = ""
const fileId = (name: string): string => `file:${name}`
/** Notifications are heard within that time, in ms. */
const RECHECK_MS = 20

/**
 * Objects from a directory of YAML and JSON files. A change costs what changed: notifications name the file, and that one is looked
 * at. As notifications get lost, a regular look sees whether a directory changed untold, and a bounded number of files, one after the other.
 * What a file held stays in force while the file cannot be read, while it is being written, and while the whole
 * directory is gone. Of an object that stands in two files, the first file by name counts and the other is reported.
 */
export class DirectorySource {
  readonly #options: DirectorySourceOptions & {
    readonly settle: number
    readonly hold: number
    readonly rescan: number
  }
  /** The directory with a slash. */
  readonly #base: string
  readonly #watch: DirectoryWatch
  readonly #files = new Map<string, FileState>()
  /** Files of an earlier run that were not seen yet, by path. */
  #remembered: Map<string, RememberedFile>
  readonly #holders = new Holders()
  readonly #findings = new Findings()
  /** Since when files have been missing that may come back at once. */
  #lossSince: number | undefined
  /** Whether every file has been listed once. */
  #listed = false
  /** Whether objects that the store remembers from an earlier run have been held against the files. */
  #restoredChecked = false
  #wanted: Wanted | undefined
  #running: Promise<void> | undefined
  #regular: NodeJS.Timeout | undefined
  #recheck: NodeJS.Timeout | undefined
  /** Files that the regular looks have not come to in this round. */
  #round: string[] = []
  #started = false
  #closed = false
  #reported: DirectoryChange | undefined

  constructor(options: DirectorySourceOptions) {
    this.#options = { settle: 25, hold: 500, rescan: 5_000, ...options }
    this.#base = join(options.directory, "/")
    this.#remembered = new Map(options.memory?.files())
    // What goes wrong in one look is repaired by another.
    this.#watch = new DirectoryWatch(() => void this.#takeSigns().catch(() => undefined))
  }

  /** Reads the directory, reports, and from then on follows it. Waits up to a second for files that are just being written. */
  async start(): Promise<void> {
    await this.scan()
    for (let waited = 0; this.#watch.waiting.size > 0 && waited < 1_000; waited += this.#options.settle) {
      await new Promise((resolve) => setTimeout(resolve, this.#options.settle))
      await this.look([...this.#watch.waiting.keys()])
    }
    if (this.#closed) return
    this.#started = true
    this.#report()
    this.#regular = setInterval(() => this.#lookRegularly(), this.#options.rescan)
  }

  /** Looks at all files now. Resolves when a look that began after this call is done and reported. */
  scan(): Promise<void> {
    return this.#want({ all: true })
  }

  /** Looks at these files now (names relative to the directory). Resolves when that is done and reported. */
  look(names: Iterable<string>): Promise<void> {
    return this.#want({ names })
  }

  /** Resolves when everything that was done to the directory before this call, as far as the kernel tells, is taken in and reported. */
  async catchUp(): Promise<void> {
    if (!this.#watch.sees || !this.#listed) return this.scan()
    // What the kernel told before this call is heard within a turn of the event loop.
    await setImmediate()
    await setImmediate()
    await this.#takeSigns()
    while (this.#running !== undefined) await this.#running
  }

  /** Which file an object stands in; undefined when none is known to hold it. */
  holder(key: string): Holder | undefined {
    const [name = ""] = this.#holders.of(key)
    const state = this.#files.get(name)
    if (state === undefined) return undefined
    const stamp = fileStamp(this.#pathOf(name))
    const unchanged = stamp !== undefined && sameStamp(stamp, state.stamp)
    return { name, objects: state.keys.length, alone: unchanged && state.documents === 1 && !state.incomplete }
  }

  /** Stops following. What is in force stays. */
  async close(): Promise<void> {
    this.#closed = true
    this.#watch.close()
    clearInterval(this.#regular)
    clearTimeout(this.#recheck)
    await this.#running
  }

  /** All that is wrong with the files at present. */
  problems(): readonly Problem[] {
    return this.#findings.all
  }

  #want({
    names = [],
    all = false,
    list = false,
  }: {
    names?: Iterable<string>
    all?: boolean
    list?: boolean
  }): Promise<void> {
    this.#wanted ??= { names: new Set(), all: false, list: false, done: Promise.withResolvers() }
    const wanted = this.#wanted
    for (const name of names) wanted.names.add(name)
    wanted.all ||= all
    wanted.list ||= list
    this.#running ??= this.#lookWhileWanted().finally(() => {
      this.#running = undefined
    })
    return wanted.done.promise
  }

  async #lookWhileWanted(): Promise<void> {
    while (this.#wanted !== undefined) {
      const wanted = this.#wanted
      this.#wanted = undefined
      try {
        if (!this.#closed) await this.#look(wanted)
        if (this.#started && !this.#closed) this.#report()
        wanted.done.resolve()
      } catch (error) {
        wanted.done.reject(error)
      }
    }
  }

  #takeSigns(): Promise<void> {
    const signs = this.#watch.take()
    return signs.all || signs.names.size > 0 ? this.#want(signs) : Promise.resolve()
  }

  /** Finds what was not told: all at once when a directory shows it, else file by file. */
  #lookRegularly(): void {
    const scan = (): void => void this.scan().catch(() => undefined)
    if (!this.#watch.sees || this.#findings.has(DIRECTORY)) {
      scan()
      return
    }
    // What was done a moment ago may not have been heard yet.
    const missed = this.#watch.missed()
    if (missed) this.#recheck = setTimeout(() => this.#watch.missed() && scan(), RECHECK_MS)
    // Listing the names would take what was missed for seen: a file that was replaced by another has the name that it had.
    const list = !missed && this.#round.length === 0
    if (list) this.#round = [...this.#files.keys()]
    void this.#want({ names: this.#round.splice(-FILES_A_ROUND), list }).catch(() => undefined)
  }

  async #look(wanted: Wanted): Promise<void> {
    const listing = wanted.all || wanted.list ? await this.#list() : undefined
    if (this.#closed || listing === "gone") return
    const look: Look = {
      touched: new Set(),
      parsed: new Map(),
      changed: new Set(),
      gone: new Set(),
      turns: new Turns(),
    }
    for (const name of this.#namesToSee(wanted, listing)) {
      if (!this.#isUnchanged(name)) await this.#lookAt(name, look)
      if (look.turns.over) await look.turns.pause()
      if (this.#closed) return
    }
    if (wanted.all) this.#listed = true
    if (!this.#lossHeld(look, listing)) {
      this.#forgetGone(look)
      this.#dropRestored(look)
    }
    for (const key of look.touched) {
      this.#decide(key, look)
      if (look.turns.over) await look.turns.pause()
    }
    for (const name of look.changed) this.#rememberFile(name)
  }

  async #list(): Promise<Listing | "gone"> {
    const { directory, hold, now } = this.#options
    const listing = await listManifestFiles(directory, (...found) => this.#watch.add(...found))
    this.#watch.keep(listing?.directories ?? new Map())
    if (listing !== undefined) {
      this.#findings.set(DIRECTORY, [])
      return listing
    }
    const message = "the directory cannot be read: the objects that it held stay in force"
    this.#findings.set(DIRECTORY, [fileProblem(directory, message, "create it, or give another one")])
    this.#lossSince = now()
    this.#watch.allAgain(2 * hold)
    return "gone"
  }

  #namesToSee({ names, all }: Wanted, listing: Listing | undefined): string[] {
    const found = new Set(names)
    if (listing !== undefined) {
      for (const name of listing.files) if (all || !this.#files.has(name)) found.add(name)
      for (const name of this.#files.keys()) if (all || !listing.files.has(name)) found.add(name)
    }
    // Of an object that stands in two files the first by name counts.
    return [...found].sort()
  }

  #isUnchanged(name: string): boolean {
    const known = this.#files.get(name)
    const stamp = known && fileStamp(this.#pathOf(name))
    const same = known !== undefined && stamp !== undefined && sameStamp(known.stamp, stamp)
    if (same) this.#watch.seen(name)
    return same
  }

  /** Takes in what a new or changed file holds, or asks to be called again. */
  async #lookAt(name: string, look: Look): Promise<void> {
    const path = this.#pathOf(name)
    const stamp = fileStamp(path)
    const before = this.#files.get(name)
    this.#watch.seen(name)
    if (stamp === undefined) {
      if (before !== undefined) look.gone.add(name)
      // A folder with the name of a file: what is in it is found by listing.
      else if (directoryStamp(path) !== undefined) this.#watch.allAgain(0)
      return
    }
    if (before === undefined && this.#takeRemembered(name, path, stamp, look)) return
    await this.#readFile(name, stamp, look)
  }

  /** Takes a file that did not change since an earlier run put all that it holds into force. */
  #takeRemembered(name: string, path: string, stamp: FileStamp, look: Look): boolean {
    const remembered = this.#remembered.get(path)
    if (remembered?.stamp === undefined || !sameStamp(remembered.stamp, stamp)) return false
    if (!remembered.keys.every((key) => this.#options.store.has(key))) return false
    this.#remembered.delete(path)
    const { keys } = remembered
    this.#files.set(name, { stamp, keys, documents: keys.length, incomplete: false })
    for (const key of remembered.keys) {
      this.#holders.add(key, name)
      if (this.#holders.of(key).length > 1) look.touched.add(key)
    }
    return true
  }

  async #readFile(name: string, seen: FileStamp, look: Look): Promise<void> {
    const { settle, hold, now } = this.#options
    const path = this.#pathOf(name)
    const before = this.#files.get(name)
    // A file moved into place is whole; one written in place is whole when it has rested for a while.
    const moved = before !== undefined && before.stamp.inode !== seen.inode
    const age = now() - Math.floor(seen.modified)
    if (!moved && age >= 0 && age < settle) {
      this.#watch.again(name, settle)
      return
    }
    const heldBefore = before?.keys ?? this.#remembered.get(path)?.keys ?? []
    const read = readWhole(path)
    if (read === undefined) {
      this.#watch.again(name, settle)
      return
    }
    const stamp = read.stamp ?? seen
    const parsed =
      read.text === undefined
        ? unreadableFile(path, read.code)
        : await this.#parse(read.text, path, heldBefore.length > 0, look.turns)
    const lost = heldBefore.filter((key) => !parsed.objects.has(key))
    // Written in place and shorter than before: the rest may be on its way.
    if (lost.length > 0 && !parsed.incomplete && !moved && age >= 0 && age < hold) {
      this.#watch.again(name, hold - age)
      return
    }
    const kept = parsed.incomplete ? lost.filter((key) => this.#options.store.has(key)) : []
    this.#remembered.delete(path)
    const { documents, incomplete } = parsed
    this.#files.set(name, { stamp, keys: [...parsed.objects.keys(), ...kept], documents, incomplete })
    this.#findings.set(fileId(name), parsed.problems)
    look.changed.add(name)
    for (const key of kept) this.#holders.add(key, name)
    for (const key of lost) {
      if (!kept.includes(key)) this.#holders.remove(key, name)
      look.touched.add(key)
    }
    for (const key of parsed.objects.keys()) {
      this.#holders.add(key, name)
      // Held by others too, or moved: that is decided when all files were seen.
      if (look.touched.has(key) || this.#holders.of(key).length > 1) {
        look.touched.add(key)
        look.parsed.set(name, parsed)
      } else this.#put(key, parsed, [])
      if (look.turns.over) await look.turns.pause()
    }
  }

  async #parse(text: string, path: string, held: boolean, turns: Turns): Promise<ParsedFile> {
    const steps = parseInSteps(text, path, held)
    for (;;) {
      const { done, value } = steps.next()
      if (done === true) return value
      if (turns.over) await turns.pause()
    }
  }

  /**
   * Whether files that are gone still count: for a while when all of them vanish at once or the directory was gone, as it may
   * be on its way out, or on its way back file by file.
   */
  #lossHeld({ gone }: Look, listing: Listing | undefined): boolean {
    const restored = !this.#restoredChecked && this.#options.store.size > 0
    if (gone.size === 0 && !(restored && listing !== undefined)) {
      if (listing !== undefined) this.#lossSince = undefined
      return this.#lossSince !== undefined
    }
    const left = listing?.files.size ?? this.#files.size - gone.size
    const there = listing !== undefined || directoryStamp(this.#options.directory) !== undefined
    if (there && left > 0 && this.#lossSince === undefined) return false
    if (listing === undefined) {
      // Whether the directory is on its way out is seen by listing it.
      this.#watch.allAgain(0)
      return true
    }
    this.#lossSince ??= this.#options.now()
    const wait = this.#lossSince + this.#options.hold - this.#options.now()
    if (wait > 0) {
      this.#watch.allAgain(wait)
      return true
    }
    this.#lossSince = undefined
    return false
  }

  #forgetGone({ gone, touched }: Look): void {
    for (const name of gone) {
      const state = this.#files.get(name)
      // Back again while others were looked at.
      if (state === undefined || fileStamp(this.#pathOf(name)) !== undefined) continue
      this.#files.delete(name)
      this.#findings.set(fileId(name), [])
      this.#options.memory?.forgetFile(this.#pathOf(name))
      for (const key of state.keys) {
        this.#holders.remove(key, name)
        touched.add(key)
      }
    }
  }

  /** Once, when all files are known: objects and files remembered from an earlier run that are no more. */
  #dropRestored({ touched }: Look): void {
    if (this.#restoredChecked || !this.#listed || this.#watch.waiting.size > 0) return
    this.#restoredChecked = true
    for (const key of this.#options.store.keys()) if (!this.#holders.has(key)) touched.add(key)
    for (const path of this.#remembered.keys()) this.#options.memory?.forgetFile(path)
    this.#remembered = new Map()
  }

  /** Puts the version of the first file by name, or takes the object out when no file holds it. */
  #decide(key: string, look: Look): void {
    const names = this.#holders.of(key)
    for (const name of names) look.changed.add(name)
    const [first, ...others] = names
    if (first === undefined) {
      this.#findings.set(key, [])
      this.#options.store.delete(key)
      return
    }
    const parsed = look.parsed.get(first) ?? this.#parseAgain(first)
    look.parsed.set(first, parsed)
    this.#put(key, parsed, others)
    const state = this.#files.get(first)
    if (state === undefined || state.incomplete || parsed.objects.has(key)) return
    // It changed since it was read: it is to be read as if it were new.
    this.#files.set(first, { ...state, stamp: { ...state.stamp, size: -1 }, incomplete: true })
    this.#watch.again(first, this.#options.settle)
  }

  /** A file that was read before, for one of its objects. */
  #parseAgain(name: string): ParsedFile {
    const path = this.#pathOf(name)
    const read = readWhole(path)
    if (read?.text === undefined) return unreadableFile(path, read?.code ?? "it is being written")
    const steps = parseInSteps(read.text, path, true)
    for (;;) {
      const { done, value } = steps.next()
      if (done === true) return value
    }
  }

  /** Offers an object of a file to the store; `others`: files that hold it too and do not count. */
  #put(key: string, parsed: ParsedFile, others: readonly string[]): void {
    const found = parsed.objects.get(key)
    // Absent when the file cannot be told whole: the store has the last good version.
    const problems = found === undefined ? [] : [...explained(this.#options.store.put(found.object))]
    for (const other of others) {
      const first = this.#pathOf(this.#holders.of(key)[0] ?? "")
      const message = `${keyText(key)} stands in ${first} too, and that one counts`
      problems.push(fileProblem(this.#pathOf(other), message, "remove one of the two"))
    }
    this.#findings.set(key, problems)
  }

  /** A file in which nothing is wrong need not be read again by the next run, as long as it does not change. */
  #rememberFile(name: string): void {
    const { memory } = this.#options
    const state = this.#files.get(name)
    if (memory === undefined || state === undefined) return
    const { stamp, keys, incomplete } = state
    const clean = !incomplete && !this.#findings.has(fileId(name)) && !keys.some((key) => this.#findings.has(key))
    memory.rememberFile(this.#pathOf(name), clean ? { stamp, keys } : { keys })
  }

  #pathOf(name: string): string {
    // As `join` would say it; this is asked for every file that is looked at.
    return `${this.#base}${name}`
  }

  #report(): void {
    const { store } = this.#options
    const report = { digest: store.digest, cluster: store.cluster(), problems: this.problems() }
    const last = this.#reported
    if (last?.digest === report.digest && last.problems === report.problems && last.cluster === report.cluster) return
    this.#reported = report
    this.#options.onChange(report)
  }
}

/** `NetworkPolicy shop/web` of `networking.k8s.io/NetworkPolicy/shop/web`. */
function keyText(key: string): string {
  const [, kind = "", namespace = "", name = ""] = key.split("/")
  return `${kind} ${namespace === "" ? "" : `${namespace}/`}${name}`
}

/** The problems of a refused object, the first of them saying what stays in force. */
function explained(acceptance: Acceptance): readonly Problem[] {
  const { problems, kept, message } = acceptance
  if (kept === undefined) return problems
  const [first, ...rest] = problems
  if (first === undefined) return problems
  return [{ ...first, message: `${first.message}; ${message}` }, ...rest]
}
