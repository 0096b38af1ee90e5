import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { Failure } from "../api/failure.ts"
import type { ManifestObject } from "../model/manifest.ts"
import { keepOrigins } from "../source/kept-origins.ts"
import { identify, type ObjectRef, objectKey, refText } from "../source/objects.ts"
import { readManifests } from "../source/yaml.ts"

/** Age given to files that are moved into place whole, so that the source need not wait for them to rest. */
const RESTED_S = 2

/** Writes and removes single objects in the directory of a directory source, one file an object, each replaced whole. */
export class ObjectFiles {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Puts the object in place of what the directory holds of it. Throws a `Failure` when that shares its file with others. */
  write(object: ManifestObject, ref: ObjectRef): void {
    const holder = this.#holder(ref)
    const name = holder ?? fileName(ref)
    mkdirSync(this.#directory, { recursive: true })
    const path = join(this.#directory, name)
    // The source reads what ends in .yaml, .yml or .json only.
    const next = `${path}.next-${process.pid}`
    writeFileSync(next, keepOrigins(object))
    const rested = Date.now() / 1_000 - RESTED_S
    utimesSync(next, rested, rested)
    renameSync(next, path)
  }

  /** Removes the object; false when no file holds it. */
  remove(ref: ObjectRef): boolean {
    const holder = this.#holder(ref)
    if (holder === undefined) return false
    rmSync(join(this.#directory, holder))
    return true
  }

  /** Name of the file that holds the object and nothing else. */
  #holder(ref: ObjectRef): string | undefined {
    const key = objectKey(ref)
    const own = fileName(ref)
    // Almost always it is where we would write it; else every file has to be looked at.
    for (const name of existsSync(join(this.#directory, own)) ? [own] : this.#names()) {
      const path = join(this.#directory, name)
      const { objects } = readManifests(readFileSync(path, "utf8"), path)
      const found = objects.find((object) => keyOf(object) === key)
      if (found === undefined) continue
      if (objects.length === 1) return name
      throw new Failure(
        "failed",
        `Cannot change ${refText(ref)}`,
        `it stands with others in ${path}:${found.origin.line}`,
        "edit that file; the agent follows it",
      )
    }
    return undefined
  }

  #names(): string[] {
    try {
      return readdirSync(this.#directory)
        .filter((name) => /\.(ya?ml|json)$/.test(name) && statSync(join(this.#directory, name)).isFile())
        .sort()
    } catch {
      return []
    }
  }
}

function keyOf(object: ManifestObject): string | undefined {
  const ref = identify(object)
  return ref === undefined ? undefined : objectKey(ref)
}

/** `networking.k8s.io_NetworkPolicy_shop_web.json`, the same name as the lab gives. */
export function fileName(ref: ObjectRef): string {
  return `${objectKey(ref)
    .split("/")
    .filter((part) => part !== "")
    .map(encodeURIComponent)
    .join("_")}.json`
}
