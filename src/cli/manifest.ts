import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { Failure, reasonOf } from "../api/failure.ts"
import type { Io } from "./io.ts"

export interface ManifestText {
  readonly file: string
  readonly text: string
}

const EXTENSION = /\.(ya?ml|json)$/i

/** Reads `-f` arguments: files, directories (with `recursive` their subdirectories too; only .yaml, .yml and .json), and `-`. */
export async function readManifestFiles(io: Io, paths: readonly string[], recursive: boolean): Promise<ManifestText[]> {
  const files: ManifestText[] = []
  for (const path of paths) {
    if (path === "-") files.push({ file: "stdin", text: await io.stdin() })
    else files.push(...readPath(path, recursive))
  }
  return files
}

function readPath(path: string, recursive: boolean): ManifestText[] {
  try {
    if (!statSync(path).isDirectory()) return [{ file: path, text: readFileSync(path, "utf8") }]
    const found: ManifestText[] = []
    const entries = readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
    for (const entry of entries) {
      const inside = join(path, entry.name)
      if (statSync(inside).isDirectory()) {
        if (recursive) found.push(...readPath(inside, true))
      } else if (EXTENSION.test(entry.name)) found.push({ file: inside, text: readFileSync(inside, "utf8") })
    }
    if (found.length === 0) {
      throw new Failure(
        "usage",
        `Cannot read manifests from ${path}`,
        "no file there ends in .yaml, .yml or .json",
        "name a file, or -R for subdirectories",
      )
    }
    return found
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Failure(
      "usage",
      `Cannot read ${path}`,
      reasonOf(error),
      "name a file, a directory, or - for standard input",
    )
  }
}
