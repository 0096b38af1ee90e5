import type { Origin } from "./origin.ts"
import type { FieldPath } from "./problem.ts"

/** One object as it was written: plain JSON data, and where each of its fields stands. */
export interface ManifestObject {
  /** JSON data, not yet validated. */
  readonly value: unknown
  /** Where the object begins. */
  readonly origin: Origin
  /** Where a field stands; the nearest enclosing thing that exists when the path does not. */
  originAt(path: FieldPath): Origin
}

/** An object without text of its own (from a suite's manifest list, from the API): every field stands where the object does. */
export function manifestAt(value: unknown, origin: Origin): ManifestObject {
  return { value, origin, originAt: () => origin }
}

/** JSON objects, as opposed to lists, texts, numbers and null. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
