import { mkdirSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { Failure } from "../api/failure.ts"
import type { ManifestObject } from "../model/manifest.ts"
import type { Holder } from "../source/directory/directory.ts"
import { keepOrigins } from "../source/kept-origins.ts"
import { identify, type ObjectRef, objectKey, refText } from "../source/objects.ts"
import { type Manifests, readManifests } from "../source/yaml.ts"

/** Age given to files that are moved into place whole, so that the source need not wait for them to rest. */
const RESTED_S = 2

/** Writes and removes single objects in the directory of a directory source, one file an object, each replaced whole. */
export class ObjectFiles {
  readonly #directory: string
  readonly #holder: (key: string) => Holder | undefined

  /** `holder`: in which file of the directory the source found an object. */
  constructor(directory: string, holder: (key: string) => Holder | undefined) {
    this.#directory = directory
    this.#holder = holder
  }

  /**
   * Puts the object in place of what the directory holds of it. Returns the name of its file. Throws a `Failure` when that holds others
   * too.
   */
  write(object: ManifestObject, ref: ObjectRef): string {
    const name = this.#nameOf(ref)
    const path = join(this.#directory, name)
    // The source reads what ends in .yaml, .yml or .json only.
    const next = `${path}.next-${process.pid}`
    writeMade(next, keepOrigins(object))
    const rested = Date.now() / 1_000 - RESTED_S
    utimesSync(next, rested, rested)
    renameSync(next, path)
    return name
  }

  /** Removes the object. Returns the name of the file that held it; undefined when none did. Throws a `Failure` when that holds others too. */
  remove(ref: ObjectRef): string | undefined {
    const holder = this.#holder(objectKey(ref))
    if (holder === undefined) return undefined
    const name = this.#nameOf(ref)
    rmSync(join(this.#directory, name), { force: true })
    return name
  }

  /** Name of the file that holds the object and nothing else, or may. */
  #nameOf(ref: ObjectRef): string {
    const key = objectKey(ref)
    const holder = this.#holder(key)
    if (holder?.alone === true) return holder.name
    const name = holder?.name ?? fileName(ref)
    const path = join(this.#directory, name)
    // What the source has not read yet, the text tells.
    const { objects, problems } = read(path)
    const own = objects.find((object) => keyOf(object) === key)
    if (objects.length > (own === undefined ? 0 : 1) || (holder?.objects ?? 0) > 1) {
      const why = `it stands with others in ${path}:${own?.origin.line ?? 1}`
      throw new Failure("failed", `Cannot change ${refText(ref)}`, why, "edit that file; the agent follows it")
    }
    // A file of our own that is broken is made whole again; one that a person wrote is not thrown away.
    if (name === fileName(ref) || (own !== undefined && problems.length === 0)) return name
    const why = `it stood in ${path}, which cannot be told whole`
    throw new Failure("failed", `Cannot change ${refText(ref)}`, why, "correct that file; the agent follows it")
  }
}

function read(path: string): Manifests {
  try {
    return readManifests(readFileSync(path, "utf8"), path)
  } catch {
    return { objects: [], problems: [] }
  }
}

/** Makes the directory when it is not there, which it almost always is. */
function writeMade(path: string, text: string): void {
  try {
    writeFileSync(path, text)
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
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
