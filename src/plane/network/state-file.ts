import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
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
  try {
    writeState(path, value)
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
