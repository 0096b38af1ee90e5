import { type BigIntStats, statSync } from "node:fs"
import { readdir, realpath, stat } from "node:fs/promises"
import { join } from "node:path"
import { setImmediate } from "node:timers/promises"

/** Files looked at in one turn of the event loop: about a millisecond, a tenth of what it takes to ask for them one by one. */
const FILES_A_TURN = 250

/** What tells whether a file changed, and how: a new inode at the same path is a whole file moved into place. */
export interface FileStamp {
  readonly inode: bigint
  readonly size: bigint
  /** Nanoseconds since 1970. */
  readonly modified: bigint
  readonly changed: bigint
}

/** The manifest files under a directory, and every directory that was seen (to be watched). */
export interface Listing {
  /** Path relative to the directory, with `/`, sorted → stamp. */
  readonly files: ReadonlyMap<string, FileStamp>
  /** Path → inode: a directory made anew needs a new watch. */
  readonly directories: ReadonlyMap<string, bigint>
}

/**
 * Lists `*.yaml`, `*.yml` and `*.json` below `root`, symbolic links followed, names with a leading dot left out (editors' files,
 * the `..data` of mounted ConfigMaps). Undefined when the directory itself is gone or cannot be read.
 */
export async function listManifestFiles(root: string): Promise<Listing | undefined> {
  const files = new Map<string, FileStamp>()
  const directories = new Map<string, bigint>()
  const visited = new Set<string>()
  const visit = async (directory: string, prefix: string): Promise<boolean> => {
    const real = await realpath(directory).catch(() => undefined)
    // A link to a directory above would never end.
    if (real === undefined || visited.has(real)) return real !== undefined
    visited.add(real)
    const own = await stat(directory, { bigint: true }).catch(() => undefined)
    const names = await readdir(directory).catch(() => undefined)
    if (own === undefined || names === undefined) return false
    directories.set(directory, own.ino)
    for (const [index, name] of names.entries()) {
      if (name.startsWith(".")) continue
      const path = join(directory, name)
      if (index % FILES_A_TURN === FILES_A_TURN - 1) await setImmediate()
      const found = fileAt(path)
      if (found?.isDirectory() === true) await visit(path, `${prefix}${name}/`)
      else if (found?.isFile() === true && /\.(ya?ml|json)$/i.test(name)) {
        const { ino, size, mtimeNs, ctimeNs } = found
        files.set(`${prefix}${name}`, { inode: ino, size, modified: mtimeNs, changed: ctimeNs })
      }
    }
    return true
  }
  if (!(await visit(root, ""))) return undefined
  const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1))
  return { files: new Map(sorted), directories }
}

function fileAt(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false })
  } catch {
    // A loop of links, or a directory that may not be entered: there is no file for us.
    return undefined
  }
}

export function sameStamp(a: FileStamp, b: FileStamp): boolean {
  return a.inode === b.inode && a.size === b.size && a.modified === b.modified && a.changed === b.changed
}
