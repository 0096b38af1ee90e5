import type { FieldPath } from "../model/problem.ts"

/**
 * Where the fields of a JSON text stand, found when somebody asks: reading the values needs none of it, and `JSON.parse` is much
 * faster than a parser that notes places.
 */
interface Place {
  /** Of a value in a map: where its key begins. */
  readonly key?: number
  readonly value: number
  /** Whether the value is a text, a number or a boolean. */
  readonly scalar: boolean
  /** Of a map by key, of a list by index. */
  readonly children?: ReadonlyMap<string, Place>
}

/** The value of a text that is JSON and in which no key stands twice in a map; undefined of any other. */
export function parseJson(text: string): { readonly value: unknown } | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  // Written without blanks: had a key stood twice, it would be written once.
  if (JSON.stringify(value) === text.trim()) return { value }
  return placesOf(text) === undefined ? undefined : { value }
}

/** Finds offsets in a JSON text: of a scalar its value, of a map or list its key or the item itself; else of the nearest that exists. */
export function jsonOffsets(text: string): (path: FieldPath) => number {
  let root: Place | undefined
  const start = skipBlanks(text, 0)
  return (path) => {
    if (path.length === 0) return start
    root ??= placesOf(text)
    let place = root
    let offset = start
    for (const part of path) {
      const child = place?.children?.get(String(part))
      if (child === undefined) break
      offset = child.scalar ? child.value : (child.key ?? child.value)
      place = child
    }
    return offset
  }
}

/** Of a text that `JSON.parse` takes; undefined when a key stands twice in a map. */
function placesOf(text: string): Place | undefined {
  let at = 0
  let twice = false
  const blanks = (): void => {
    at = skipBlanks(text, at)
  }
  const string = (): string => {
    const begin = at
    at = endOfString(text, at)
    const raw = text.slice(begin + 1, at - 1)
    return raw.includes("\\") ? String(JSON.parse(text.slice(begin, at))) : raw
  }
  const value = (key?: number): Place => {
    const begin = at
    const own = key === undefined ? {} : { key }
    const char = text[at]
    if (char === "{") {
      const children = new Map<string, Place>()
      at++
      for (blanks(); text[at] !== "}"; blanks()) {
        if (text[at] === ",") at++
        blanks()
        const keyAt = at
        const name = string()
        blanks()
        at++
        blanks()
        if (children.has(name)) twice = true
        children.set(name, value(keyAt))
      }
      at++
      return { ...own, value: begin, scalar: false, children }
    }
    if (char === "[") {
      const children = new Map<string, Place>()
      at++
      for (blanks(); text[at] !== "]"; blanks()) {
        if (text[at] === ",") at++
        blanks()
        children.set(String(children.size), value())
      }
      at++
      return { ...own, value: begin, scalar: false, children }
    }
    if (char === '"') at = endOfString(text, at)
    else while (at < text.length && !/[\s,\]}]/.test(text[at] ?? "")) at++
    return { ...own, value: begin, scalar: char !== "n" }
  }
  blanks()
  const root = value()
  return twice ? undefined : root
}

function skipBlanks(text: string, from: number): number {
  let at = from
  for (let code = text.charCodeAt(at); code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09; ) {
    code = text.charCodeAt(++at)
  }
  return at
}

/** Behind the closing quote of the string that begins at `from`. */
function endOfString(text: string, from: number): number {
  let at = from + 1
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1
  return at + 1
}
