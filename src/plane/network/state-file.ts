import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs"
import { dirname } from "node:path"

/**
 * Writes `value` as JSON so that a reader, or a process after a crash, finds the old content or the new, never a part.
 * Not flushed to the disk: what these files describe does not outlive the kernel that holds it either.
 */
export function writeState(path: string, value: unknown): void {
  const next = `${path}.next`
  const text = `${JSON.stringify(value)}\n`
  try {
    write(next, text)
  } catch (error) {
    // On a full disk a part of it may lie there, and takes what little room there is.
    rmSync(next, { force: true })
    throw error
  }
  renameSync(next, path)
}

/** Bytes of one page: a kill cannot fall into the middle of a write within it. */
const PAGE = 4_096
/** What later versions of a state may be longer by. */
const ROOM = 64

/**
 * Begins a state that `changeState` will change, at a path where none is. Nothing depends on it before this returns: a process
 * that dies in the middle leaves a part, which is no JSON. Neither this nor a change renames, which would cost several times as much.
 */
export function beginState(path: string, value: unknown): void {
  const text = JSON.stringify(value)
  try {
    write(path, padded(text, text.length + ROOM))
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  }
}

/**
 * Changes a state in place where it has room for it, which takes no further room on the disk, else as `writeState`. A process that
 * dies in the middle leaves the old content or the new.
 */
export function changeState(path: string, value: unknown): void {
  const text = JSON.stringify(value)
  const file = tryOpen(path)
  if (file === undefined) {
    writeState(path, value)
    return
  }
  let inPlace = false
  try {
    const { size } = fstatSync(file)
    inPlace = size <= PAGE && Buffer.byteLength(text) < size
    if (inPlace) writeSync(file, padded(text, size - 1), 0)
  } finally {
    closeSync(file)
  }
  if (!inPlace) writeState(path, value)
}

/** The text with spaces behind it, which JSON allows, to so many bytes and a line's end. */
function padded(text: string, bytes: number): string {
  return `${text}${" ".repeat(Math.max(0, bytes - Buffer.byteLength(text)))}\n`
}

function tryOpen(path: string): number | undefined {
  try {
    return openSync(path, "r+")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw error
  }
}

function write(path: string, text: string): void {
  try {
    writeFileSync(path, text, { mode: 0o600 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text, { mode: 0o600 })
  }
}

/** The same where the value matters little enough to go on without: false when it could not be written (a full disk). */
export function tryWriteState(path: string, value: unknown): boolean {
  return succeeds(() => writeState(path, value))
}

/** `changeState`, where the value matters little enough to go on without. */
export function tryChangeState(path: string, value: unknown): boolean {
  return succeeds(() => changeState(path, value))
}

function succeeds(act: () => void): boolean {
  try {
    act()
    return true
  } catch {
    return false
  }
}

/** The file's value; undefined when it is not there or holds no JSON (the disk was lost under a running machine). */
export function readState(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"))
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw error
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
