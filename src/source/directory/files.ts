import { closeSync, fstatSync, openSync, readFileSync, statSync } from "node:fs"
import { readdir, realpath, stat } from "node:fs/promises"
import { join } from "node:path"

/** What tells whether a file changed, and how: a new inode at the same path is a whole file moved into place. */
export interface FileStamp {
  readonly inode: number
  readonly size: number
  /** Milliseconds since 1970, with their fractions. */
  readonly modified: number
  readonly changed: number
}

/** What a file held when it was last read. */
export interface RememberedFile {
  /** Absent when something in it was wrong, or not in force: it must be read again. */
  readonly stamp?: FileStamp
  /** Keys of the objects that it held. */
  readonly keys: readonly string[]
}

/** Remembers across restarts what files held, so that those that did not change since need not be read again. */
export interface FileMemory {
  /** Files remembered by an earlier run, by path. */
  files(): ReadonlyMap<string, RememberedFile>
  rememberFile(path: string, file: RememberedFile): void
  forgetFile(path: string): void
}

/** The manifest files under a directory, and every directory that was seen (to be watched). */
export interface Listing {
  /** Paths relative to the directory, with `/`. */
  readonly files: ReadonlySet<string>
  /** Path → what it was before it was listed. */
  readonly directories: ReadonlyMap<string, FileStamp>
}

/**
 * Lists `*.yaml`, `*.yml` and `*.json` below `root`, symbolic links followed, names with a leading dot left out (editors' files,
 * the `..data` of mounted ConfigMaps). Undefined when the directory itself is gone or cannot be read. `onDirectory` hears of each directory
 * before it is listed.
 */
export async function listManifestFiles(
  root: string,
  onDirectory: (path: string, prefix: string, stamp: FileStamp) => void,
): Promise<Listing | undefined> {
  const files = new Set<string>()
  const directories = new Map<string, FileStamp>()
  const visited = new Set<string>()
  const visit = async (directory: string, prefix: string): Promise<boolean> => {
    const real = await realpath(directory).catch(() => undefined)
    // A link to a directory above would never end.
    if (real === undefined || visited.has(real)) return real !== undefined
    visited.add(real)
    const own = directoryStamp(directory)
    if (own === undefined) return false
    onDirectory(directory, prefix, own)
    const entries = await readdir(directory, { withFileTypes: true }).catch(() => undefined)
    if (entries === undefined) return false
    directories.set(directory, own)
    for (const entry of entries) {
      const { name } = entry
      if (name.startsWith(".")) continue
      const linked = entry.isSymbolicLink() ? await stat(join(directory, name)).catch(() => undefined) : undefined
      const found = linked ?? entry
      if (found.isDirectory()) await visit(join(directory, name), `${prefix}${name}/`)
      else if (found.isFile() && isManifestName(name)) files.add(`${prefix}${name}`)
    }
    return true
  }
  return (await visit(root, "")) ? { files, directories } : undefined
}

export function isManifestName(name: string): boolean {
  return /\.(ya?ml|json)$/i.test(name) && !name.startsWith(".")
}

/** What a path leads to now; undefined when that is no file. */
export function fileStamp(path: string): FileStamp | undefined {
  return stampOf(path, false)
}

/** What a path leads to now; undefined when that is no directory. */
export function directoryStamp(path: string): FileStamp | undefined {
  return stampOf(path, true)
}

function stampOf(path: string, directory: boolean): FileStamp | undefined {
  try {
    const found = statSync(path, { throwIfNoEntry: false })
    if (found === undefined || !(directory ? found.isDirectory() : found.isFile())) return undefined
    const { ino, size, mtimeMs, ctimeMs } = found
    return { inode: ino, size, modified: mtimeMs, changed: ctimeMs }
  } catch {
    // A loop of links, or a directory that may not be entered: there is nothing for us.
    return undefined
  }
}

export function sameStamp(a: FileStamp, b: FileStamp): boolean {
  return a.inode === b.inode && a.size === b.size && a.modified === b.modified && a.changed === b.changed
}

/** A file's text and what it was while it was read, or why it cannot be read; undefined when it is gone or changes meanwhile. */
export function readWhole(
  path: string,
):
  | { readonly text: string; readonly stamp: FileStamp }
  | { readonly text?: undefined; readonly stamp?: undefined; readonly code: string }
  | undefined {
  try {
    const file = openSync(path, "r")
    try {
      const before = fstatSync(file)
      const text = readFileSync(file, "utf8")
      const { ino, size, mtimeMs, ctimeMs } = fstatSync(file)
      if (before.size !== size || before.mtimeMs !== mtimeMs) return undefined
      return { text, stamp: { inode: ino, size, modified: mtimeMs, changed: ctimeMs } }
    } finally {
      closeSync(file)
    }
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error)
    return code === "ENOENT" ? undefined : { code }
  }
}
