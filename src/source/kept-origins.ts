import { isRecord, type ManifestObject } from "../model/manifest.ts"
import type { Origin } from "../model/origin.ts"
import { type FieldPath, fieldPathText } from "../model/problem.ts"

/**
 * Objects that a tool writes into a directory source (`heddle apply`, the lab) shall lead people back to the lines that they
 * wrote, not to the copy. Such a file has two parts: a comment line that keeps the lines, and the object as JSON.
 */
const HEADER = "# heddle-origins: "

interface Kept {
  readonly file: string
  /** Line and column by field path; a field that is not here stands where the nearest one around it does. */
  readonly at: Readonly<Record<string, readonly [line: number, column: number]>>
}

/** The text of a file that holds one object and where its fields were written. */
export function keepOrigins(object: ManifestObject): string {
  const { file } = object.origin
  const at: Record<string, readonly [number, number]> = { "": [object.origin.line, object.origin.column] }
  // One list for the way down to every field: an object of thousands of fields makes no thousands of lists.
  const path: (string | number)[] = []
  const visit = (key: string | number, child: unknown, above: Origin): void => {
    path.push(key)
    const origin = object.originAt(path)
    if (origin.file === file && (origin.line !== above.line || origin.column !== above.column)) {
      at[fieldPathText(path)] = [origin.line, origin.column]
    }
    walk(child, origin)
    path.pop()
  }
  const walk = (value: unknown, above: Origin): void => {
    if (Array.isArray(value)) for (const [index, child] of value.entries()) visit(index, child, above)
    else if (isRecord(value)) for (const key of Object.keys(value)) visit(key, value[key], above)
  }
  walk(object.value, object.origin)
  const kept: Kept = { file, at }
  return `${HEADER}${JSON.stringify(kept)}\n${JSON.stringify(object.value, undefined, 1)}\n`
}

/** The object of such a file; undefined when the text is not one. */
export function readKeptOrigins(text: string): ManifestObject | undefined {
  if (!text.startsWith(HEADER)) return undefined
  const end = text.indexOf("\n")
  try {
    const kept: unknown = JSON.parse(text.slice(HEADER.length, end))
    const value: unknown = JSON.parse(text.slice(end + 1))
    if (!isRecord(kept) || typeof kept["file"] !== "string" || !isRecord(kept["at"]) || !isRecord(value))
      return undefined
    const { file, at } = kept
    const originAt = (path: FieldPath): Origin => {
      for (let length = path.length; length >= 0; length--) {
        const place = at[fieldPathText(path.slice(0, length))]
        if (Array.isArray(place)) return { file, line: Number(place[0]), column: Number(place[1]) }
      }
      return { file, line: 1, column: 1 }
    }
    return { value, origin: originAt([]), originAt }
  } catch {
    // Edited by hand, or half written: it is read as any other file.
    return undefined
  }
}
