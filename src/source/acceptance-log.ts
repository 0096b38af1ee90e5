import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  fsync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  write,
} from "node:fs"
import { dirname } from "node:path"
import { setImmediate } from "node:timers/promises"
import { promisify } from "node:util"
import { isRecord } from "../model/manifest.ts"
import type { ObjectMemory, Remembered } from "./acceptance.ts"
import {
  decodeFile,
  decodeObject,
  encodeLine,
  encodeObject,
  lineBody,
  lineHead,
  linesOf,
  wholeLineBody,
} from "./acceptance-line.ts"
import type { FileMemory, RememberedFile } from "./directory/files.ts"

export interface AcceptanceLogOptions {
  readonly path: string
  /** Identifies the program to the byte; undefined when nothing tells it, and then nothing that another run judged is believed unseen. */
  readonly program: string | undefined
  /** Hears what is wrong with the file; what is in force does not depend on it. */
  readonly tell: (message: string) => void
  /** Puts bytes at a position of an open file and onto the disk; default: `write` and `fdatasync`. */
  readonly put?: (file: number, bytes: Uint8Array, position: number) => Promise<void>
}

/** Where a line lies in the file, its end included. */
interface Place {
  readonly offset: number
  readonly length: number
}

/** What is to be written about an id; `undefined`: that it is gone. */
type Change = Remembered | RememberedFile | undefined

const FORM = 1
/** How long changes are gathered before they are written, in ms. */
const GATHER_MS = 10
/** Objects in one write: encoding them takes some 4 ms. */
const BATCH = 400
/** Garbage up to this is left, in bytes. */
const SMALL = 1 << 20
const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 30_000
/** Bytes read or copied at once. */
const CHUNK = 1 << 20

/**
 * The memory of acceptance on disk: one log (`state/accepted.log`) to which whatever changed is appended, one write and one
 * fdatasync a batch, while the next batch gathers. Whenever garbage outweighs what is live, what is live is copied to a new file that takes the
 * log's place by rename. A crash leaves a log whose last lines may not be whole: they are cut off when it is opened, and what is left
 * is the state of some moment before. What cannot be written is kept in the heap and tried again.
 */
export class AcceptanceLog implements ObjectMemory, FileMemory {
  readonly #options: AcceptanceLogOptions
  readonly #put: NonNullable<AcceptanceLogOptions["put"]>
  #file: number | undefined
  /** Bytes of the file that are good. */
  #length = 0
  /** Of these, bytes of the newest line of each id. */
  #live = 0
  /** Bytes behind the good ones have to go first. */
  #torn = false
  /** The log is to be copied: damaged, or mostly garbage. */
  #renew = false
  /** The program that the log names. */
  #written: string | undefined
  /** Newest line of each object (by key) and file (by `fileId`), in the order of the log. */
  #places = new Map<string, Place>()
  #pending = new Map<string, Change>()
  #writing = new Map<string, Change>()
  #files: Map<string, RememberedFile> | undefined = new Map()
  #running: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #failures = 0
  #copyFailed = false
  /** Whether this very program wrote the log, and all of it is there. */
  readonly sameProgram: boolean

  /** Opens the log, or prepares to make it. Never fails: what cannot be read is told, and counts as not remembered. */
  constructor(options: AcceptanceLogOptions) {
    this.#options = options
    this.#put = options.put ?? putOnDisk
    rmSync(this.#nextPath, { force: true })
    const damaged = this.#open()
    this.sameProgram = !damaged && options.program !== undefined && this.#written === options.program
    this.#renew = damaged
    if (this.#written === undefined || this.sameProgram) return
    // Another program may judge otherwise: its stamps say nothing about us.
    for (const [path, { stamp, keys }] of this.#files ?? []) {
      this.#files?.set(path, { keys })
      if (stamp !== undefined) this.rememberFile(path, { keys })
    }
    if (this.#written !== (options.program ?? "")) this.#change(PROGRAM, undefined)
    this.#schedule(GATHER_MS)
  }

  /** What is remembered on disk, in the order of its writing. */
  *entries(): Generator<Remembered> {
    let bytes: Buffer = Buffer.alloc(0)
    let start = 0
    for (const [id, { offset, length }] of this.#places) {
      if (isFileId(id)) continue
      if (offset + length > start + bytes.length) {
        bytes = this.#read(offset, Math.max(length, CHUNK))
        start = offset
      }
      // Its checksum was looked at when the log was opened.
      const line = bytes.subarray(offset - start, offset - start + length - 1)
      const entry = decodeObject(id, wholeLineBody(line))
      if (entry === undefined) this.forget(id)
      else yield entry
    }
  }

  remember(entry: Remembered): void {
    this.#change(entry.key, entry)
  }

  forget(key: string): void {
    this.#change(key, undefined)
  }

  recall(key: string): Remembered | undefined {
    for (const changes of [this.#pending, this.#writing])
      if (changes.has(key)) return changes.get(key) as Remembered | undefined
    const place = this.#places.get(key)
    if (place === undefined) return undefined
    const found = decodeObject(key, lineBody(this.#line(place).subarray(0, -1)))
    if (found === undefined) throw new Error(`${this.#options.path} is damaged at byte ${place.offset}`)
    return found
  }

  files(): ReadonlyMap<string, RememberedFile> {
    const files = this.#files ?? new Map<string, RememberedFile>()
    // Asked once, at the start; from then on whoever asked knows better.
    this.#files = undefined
    return files
  }

  rememberFile(path: string, { stamp, keys }: RememberedFile): void {
    this.#change(fileId(path), stamp === undefined || this.#options.program === undefined ? { keys } : { stamp, keys })
  }

  forgetFile(path: string): void {
    this.#change(fileId(path), undefined)
  }

  /** Resolves when everything said so far is on disk, or could not be written. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#running
    if (this.#hasWork()) await this.#run()
  }

  async close(): Promise<void> {
    await this.flush()
    clearTimeout(this.#timer)
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }

  get #nextPath(): string {
    return `${this.#options.path}.next`
  }

  #change(id: string, change: Change): void {
    // At the end, even if it waits already: a file must not be told before the objects that it holds.
    this.#pending.delete(id)
    const known = this.#places.has(id) || this.#writing.has(id)
    if (change !== undefined || known || id === PROGRAM) this.#pending.set(id, change)
    this.#schedule(GATHER_MS)
  }

  #schedule(ms: number): void {
    if (this.#running !== undefined || this.#timer !== undefined || !this.#hasWork()) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      void this.#run()
    }, ms)
  }

  #hasWork(): boolean {
    return this.#pending.size > 0 || (this.#renew && !this.#copyFailed)
  }

  #run(): Promise<void> {
    this.#running ??= this.#drain().finally(() => {
      this.#running = undefined
      if (this.#failures > 0) this.#schedule(Math.min(FIRST_RETRY_MS * 2 ** (this.#failures - 1), LONGEST_RETRY_MS))
      else this.#schedule(GATHER_MS)
    })
    return this.#running
  }

  async #drain(): Promise<void> {
    while (this.#hasWork()) {
      try {
        // Made for the first time, or made again: somebody took it away.
        if (!this.#isThere()) await this.#copy()
        await this.#append()
      } catch (error) {
        this.#failed(error)
        return
      }
      if (this.#failures > 0) this.#options.tell(`What is accepted is written to ${this.#options.path} again`)
      this.#failures = 0
      if (this.#pending.size === 0) await this.#tidy()
    }
  }

  #failed(error: unknown): void {
    this.#torn = true
    // What came meanwhile is newer.
    for (const id of this.#pending.keys()) this.#writing.delete(id)
    this.#pending = new Map([...this.#writing, ...this.#pending])
    this.#writing = new Map()
    if (this.#failures++ > 0) return
    this.#options.tell(
      `Cannot remember ${this.#pending.size} changes in ${this.#options.path}: ${messageOf(error)}; what is accepted is in force, ` +
        "but after a restart only what the files say counts; it is tried again",
    )
  }

  #isThere(): boolean {
    if (this.#file === undefined) return false
    return statSync(this.#options.path, { throwIfNoEntry: false })?.ino === fstatSync(this.#file).ino
  }

  async #append(): Promise<void> {
    const file = this.#file
    if (file === undefined || this.#pending.size === 0) return
    const lines: { readonly id: string; readonly change: Change; readonly text: string }[] = []
    for (const [id, change] of this.#pending) {
      if (lines.length >= BATCH) break
      lines.push({ id, change, text: this.#encode(id, change) })
      this.#pending.delete(id)
      this.#writing.set(id, change)
    }
    if (this.#torn) ftruncateSync(file, this.#length)
    this.#torn = false
    await this.#put(file, Buffer.from(lines.map(({ text }) => text).join("")), this.#length)
    for (const { id, change, text } of lines) {
      const length = Buffer.byteLength(text)
      this.#live -= this.#places.get(id)?.length ?? 0
      if (id === PROGRAM) this.#written = this.#options.program ?? ""
      this.#places.delete(id)
      if (change !== undefined) {
        this.#live += length
        this.#places.set(id, { offset: this.#length, length })
      }
      this.#length += length
    }
    this.#writing = new Map()
  }

  #encode(id: string, change: Change): string {
    if (id === PROGRAM) return programLine(this.#options.program ?? "")
    if (isFileId(id)) {
      const path = id.slice(FILE.length)
      return change === undefined ? encodeLine("n", path, "{}") : encodeLine("f", path, JSON.stringify(change))
    }
    if (change === undefined) return encodeLine("g", id, "{}")
    return encodeLine("o", id, encodeObject(change as Remembered))
  }

  /** Copies what is live when garbage outweighs it. */
  async #tidy(): Promise<void> {
    const garbage = this.#length - this.#live
    if (!this.#renew && garbage <= Math.max(this.#live, SMALL)) return
    if (this.#copyFailed && garbage <= 2 * Math.max(this.#live, SMALL)) return
    try {
      await this.#copy()
    } catch (error) {
      if (!this.#copyFailed) this.#options.tell(`Cannot make ${this.#options.path} smaller: ${messageOf(error)}`)
      this.#copyFailed = true
    }
  }

  /** Writes the newest line of each id to a new file, in their order, and puts it in the log's place. */
  async #copy(): Promise<void> {
    const path = this.#nextPath
    mkdirSync(dirname(path), { recursive: true })
    const next = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600)
    try {
      const program = this.#written ?? this.#options.program ?? ""
      const places = new Map<string, Place>()
      let length = 0
      let chunk: Buffer[] = [Buffer.from(programLine(program))]
      let gathered = chunk[0]?.length ?? 0
      const writeOut = async (): Promise<void> => {
        await this.#put(next, Buffer.concat(chunk), length)
        length += gathered
        chunk = []
        gathered = 0
      }
      const head = gathered
      for (const [id, place] of this.#places) {
        const line = this.#line(place)
        // What became unreadable is in force still, but cannot be remembered.
        if (lineHead(line.subarray(0, -1)) === undefined) continue
        places.set(id, { offset: length + gathered, length: place.length })
        chunk.push(line)
        gathered += place.length
        if (chunk.length % BATCH === 0) await setImmediate()
        if (gathered >= CHUNK) await writeOut()
      }
      if (gathered > 0) await writeOut()
      renameSync(path, this.#options.path)
      if (this.#file !== undefined) closeSync(this.#file)
      this.#file = next
      this.#places = places
      this.#written = program
      this.#length = length
      this.#live = length - head
      this.#torn = false
      this.#renew = false
      this.#copyFailed = false
    } catch (error) {
      closeSync(next)
      rmSync(path, { force: true })
      throw error
    }
    // Before that, a crash of the machine may show the old log again: it has what was live then.
    await syncDirectory(dirname(path)).catch(() => undefined)
  }

  /** The bytes of a line, its end included. Throws when they cannot be read. */
  #line({ offset, length }: Place): Buffer {
    const bytes = this.#read(offset, length)
    if (bytes.length < length) throw new Error(`${this.#options.path} was cut off at byte ${offset + bytes.length}`)
    return bytes
  }

  /** Less than that where the file ends. */
  #read(offset: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    return bytes.subarray(0, this.#file === undefined ? 0 : readSync(this.#file, bytes, 0, length, offset))
  }

  /** Finds the newest line of each id. True when the log is damaged elsewhere than at its end. */
  #open(): boolean {
    const { path, tell } = this.#options
    let file: number
    try {
      file = openSync(path, constants.O_RDWR)
    } catch (error) {
      const missing = error instanceof Error && "code" in error && error.code === "ENOENT"
      if (!missing) tell(`Cannot read ${path}: ${messageOf(error)}; it is written anew`)
      return false
    }
    try {
      const { size } = fstatSync(file)
      const bad = this.#index(file)
      if (this.#written === undefined) {
        if (size > 0) tell(`${path} is no list of accepted objects that this version can read; it is written anew`)
        closeSync(file)
        this.#places.clear()
        this.#files?.clear()
        return false
      }
      this.#file = file
      this.#torn = this.#length < size
      if (this.#torn)
        tell(
          `The last ${size - this.#length} bytes of ${path} are not whole (a crash cut them short); they are left out`,
        )
      if (bad > 0) tell(`${bad} lines of ${path} are damaged and left out; every file is read again`)
      return bad > 0
    } catch (error) {
      closeSync(file)
      tell(`Cannot read ${path}: ${messageOf(error)}; it is written anew`)
      this.#places.clear()
      this.#files?.clear()
      this.#written = undefined
      return false
    }
  }

  /** Notes each line; counts damaged ones that others follow. */
  #index(file: number): number {
    let bad = 0
    let badSinceGood = 0
    for (const { line, offset } of linesOf(file, CHUNK)) {
      const head = lineHead(line)
      if (head === undefined) {
        badSinceGood++
        continue
      }
      if (!this.#note(head.type, head.key, line, offset)) return bad
      bad += badSinceGood
      badSinceGood = 0
      this.#length = offset + line.length + 1
    }
    return bad
  }

  /** False when the log has another form. */
  #note(type: string, key: string, line: Buffer, offset: number): boolean {
    const length = line.length + 1
    if (type === "p") {
      const body = lineBody(line)
      if (!isRecord(body) || body["form"] !== FORM) return false
      this.#written = key
      return true
    }
    if (this.#written === undefined) return false
    const isFile = type === "f" || type === "n"
    const id = isFile ? fileId(key) : key
    this.#live -= this.#places.get(id)?.length ?? 0
    this.#places.delete(id)
    if (type === "o" || type === "f") {
      this.#places.set(id, { offset, length })
      this.#live += length
    }
    if (type === "n") this.#files?.delete(key)
    if (type === "f") {
      const read = decodeFile(lineBody(line))
      if (read !== undefined) this.#files?.set(key, read)
    }
    return true
  }
}

/** Ids that are no keys of objects, which hold a `/` and nothing unprintable. */
const FILE = "\u0001"
const PROGRAM = "\u0002"

function fileId(path: string): string {
  return `${FILE}${path}`
}

function isFileId(id: string): boolean {
  return id.startsWith(FILE)
}

function programLine(program: string): string {
  return encodeLine("p", program, JSON.stringify({ form: FORM }))
}

const writeSome = promisify(write)
const syncData = promisify(fdatasync)

async function putOnDisk(file: number, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await writeSome(file, bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
  await syncData(file)
}

const sync = promisify(fsync)

async function syncDirectory(path: string): Promise<void> {
  const directory = openSync(path, constants.O_RDONLY)
  try {
    await sync(directory)
  } finally {
    closeSync(directory)
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
