import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { keepOrigins } from "../source/kept-origins.ts"
import { ObjectStore } from "../source/objects.ts"
import type { Manifest } from "../suite/format.ts"
import { kindOf, manifestKey, nameOf, namespaceOf } from "../suite/manifest.ts"
import { replaceFile } from "./record.ts"

/** The directory source that the nodes of a lab share: one file an object, replaced by rename. */
export class ObjectDirectory {
  readonly path: string
  /** Text by file name, as it was written last. */
  readonly #written = new Map<string, string>()

  /** Opens the directory, made when missing; what an earlier process wrote counts as written. */
  constructor(path: string) {
    this.path = path
    mkdirSync(path, { recursive: true })
    for (const name of readdirSync(path)) {
      if (isOurs(name)) this.#written.set(name, readFileSync(join(path, name), "utf8"))
    }
  }

  /** Makes the directory hold exactly these objects; returns whether anything changed. */
  set(manifests: readonly Manifest[]): boolean {
    const wanted = new Map(manifests.map((manifest) => [fileName(manifest), keepOrigins(manifest)]))
    let changed = false
    // What comes is written before what goes is removed: a directory that is empty for a moment looks like an accident.
    for (const [name, text] of wanted) {
      if (this.#written.get(name) === text) continue
      replaceFile(join(this.path, name), text, true)
      this.#written.set(name, text)
      changed = true
    }
    for (const name of [...this.#written.keys()]) {
      if (wanted.has(name)) continue
      rmSync(join(this.path, name), { force: true })
      this.#written.delete(name)
      changed = true
    }
    return changed
  }
}

/** What the nodes call the set of these objects once they have accepted them all (`ObjectStore.digest`). */
export function digestOf(manifests: readonly Manifest[]): string {
  const store = new ObjectStore({ now: () => 0 })
  for (const manifest of manifests) store.put(manifest)
  return store.digest
}

function isOurs(name: string): boolean {
  return name.endsWith(".json") || name.endsWith(".yaml")
}

/** `networking.k8s.io_NetworkPolicy_shop_web.yaml`; names that are no file names (a case may have any) are escaped. */
function fileName({ value }: Manifest): string {
  const group = manifestKey(value).split("/")[0] ?? ""
  const parts = [group, kindOf(value), namespaceOf(value), nameOf(value)].filter((part) => part !== "")
  return `${parts.map((part) => encodeURIComponent(part)).join("_")}.yaml`
}
