import { isRecord } from "../model/manifest.ts"

/*
 * Reading fields of JSON data whose form is checked elsewhere (schema.ts): what is absent, null or of another type reads as
 * absent, as the API server's decoder takes null for absent.
 */

export type Data = Readonly<Record<string, unknown>>

/** The field as an object, if it is one. */
export function recordAt(value: unknown, key: string): Data | undefined {
  const found = fieldAt(value, key)
  return isRecord(found) ? found : undefined
}

/** The field as a list; absent reads as empty. */
export function listAt(value: unknown, key: string): readonly unknown[] {
  const found = fieldAt(value, key)
  return Array.isArray(found) ? found : []
}

export function textAt(value: unknown, key: string): string | undefined {
  const found = fieldAt(value, key)
  return typeof found === "string" ? found : undefined
}

export function numberAt(value: unknown, key: string): number | undefined {
  const found = fieldAt(value, key)
  return typeof found === "number" ? found : undefined
}

/** The field whatever its type; null reads as absent. */
export function fieldAt(value: unknown, key: string): unknown {
  if (!isRecord(value) || !Object.hasOwn(value, key)) return undefined
  return value[key] ?? undefined
}

/** The entries of a map of texts (labels). A null reads as the empty text, as the API server's decoder has it; others are left out. */
export function textMapAt(value: unknown, key: string): Readonly<Record<string, string>> {
  const found = recordAt(value, key)
  if (found === undefined) return {}
  const result: Record<string, string> = {}
  for (const [name, text] of Object.entries(found)) {
    if (typeof text === "string" || text === null) setOwn(result, name, text ?? "")
  }
  return result
}

/** The texts of a list; a null item reads as the empty text. */
export function textsAt(value: unknown, key: string): readonly string[] {
  return listAt(value, key).flatMap((item) => (typeof item === "string" || item === null ? [item ?? ""] : []))
}

/** Sets a key that may be called `__proto__`. */
export function setOwn<T>(target: Record<string, T>, key: string, value: T): void {
  Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true })
}
