import { objectGroup } from "../dialect/group.ts"
import type { JsonObject, Manifest } from "./format.ts"

/** Reading of raw Kubernetes objects that may be malformed: what is not there or of another type is undefined or empty. */

/** Identity of an object among all: `GROUP/KIND/NAMESPACE/NAME`, whatever the version. */
export function manifestKey(object: JsonObject): string {
  const apiVersion = textAt(object, "apiVersion") ?? ""
  return `${objectGroup(apiVersion)}/${kindOf(object)}/${namespaceOf(object)}/${nameOf(object)}`
}

export function kindOf(object: JsonObject): string {
  return textAt(object, "kind") ?? ""
}

export function nameOf(object: JsonObject): string {
  return textAt(object, "metadata", "name") ?? ""
}

const clusterWide = new Set(["Namespace", "Node"])

/** The namespace of a namespaced core object; `default` when it names none. */
export function namespaceOf(object: JsonObject): string {
  const stated = textAt(object, "metadata", "namespace")
  return stated ?? (clusterWide.has(kindOf(object)) ? "" : "default")
}

export function valueAt(value: unknown, ...path: readonly string[]): unknown {
  let here = value
  for (const key of path) {
    if (typeof here !== "object" || here === null || !Object.hasOwn(here, key)) return undefined
    here = (here as JsonObject)[key]
  }
  return here
}

export function textAt(value: unknown, ...path: readonly string[]): string | undefined {
  const found = valueAt(value, ...path)
  return typeof found === "string" && found !== "" ? found : undefined
}

export function listAt(value: unknown, ...path: readonly string[]): readonly unknown[] {
  const found = valueAt(value, ...path)
  return Array.isArray(found) ? found : []
}

export function objectAt(value: unknown, ...path: readonly string[]): JsonObject {
  const found = valueAt(value, ...path)
  return typeof found === "object" && found !== null && !Array.isArray(found) ? (found as JsonObject) : {}
}

/** The same manifest with another value; places of parts that were added are those of what is above them. */
export function withValue(manifest: Manifest, value: JsonObject): Manifest {
  return { value, origin: manifest.origin, originAt: (path) => manifest.originAt(path) }
}
