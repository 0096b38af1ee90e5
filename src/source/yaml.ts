import type { Document, Node, ScalarTag, Tags } from "yaml"
import { isAlias, isCollection, isMap, isPair, isScalar, isSeq, LineCounter, parseAllDocuments } from "yaml"
import { isRecord, type ManifestObject } from "../model/manifest.ts"
import type { Origin } from "../model/origin.ts"
import type { FieldPath, Problem } from "../model/problem.ts"
import { jsonOffsets, parseJson } from "./json.ts"
import { readKeptOrigins } from "./kept-origins.ts"

/** What a text held: the objects that could be read, and what is wrong with the rest. */
export interface Manifests {
  readonly objects: readonly ManifestObject[]
  readonly problems: readonly Problem[]
}

/**
 * Reads Kubernetes manifests: YAML documents separated by `---`, JSON, and lists (`kind: List`, `PodList`, …), which are taken
 * apart. A document that cannot be read is reported with its line and takes no other with it. Scalars mean what they mean to
 * kubectl (sigs.k8s.io/yaml): `yes` and `on` are booleans and `010` is octal, so a label value `yes` without quotes is refused.
 */
export function readManifests(text: string, file: string): Manifests {
  const steps = readInSteps(text, file)
  for (;;) {
    const { done, value } = steps.next()
    if (done === true) return value
  }
}

/** The same, one document at a step, so that whoever reads a long text can let others have a turn. */
export function* readInSteps(text: string, file: string): Generator<void, Manifests> {
  const kept = readKeptOrigins(text)
  if (kept !== undefined) return { objects: [kept], problems: [] }
  const objects: ManifestObject[] = []
  const problems: Problem[] = []
  for (const [index, part] of splitDocuments(text).entries()) {
    if (index > 0) yield
    if (!readJsonDocument(part, file, objects)) readYamlDocuments(part, file, objects, problems)
  }
  return { objects, problems }
}

/** One document by itself, as it stands in a file. */
interface DocumentText {
  readonly text: string
  /** Of its beginning. */
  readonly line: number
}

/** False when it is no JSON object; then nothing was read. */
function readJsonDocument(part: DocumentText, file: string, objects: ManifestObject[]): boolean {
  if (!/^\s*\{/.test(part.text)) return false
  const found = parseJson(part.text)
  if (found === undefined || !isRecord(found.value)) return false
  const offsetAt = jsonOffsets(part.text)
  let ends: readonly number[] | undefined
  const originAt = (path: FieldPath): Origin => {
    const offset = offsetAt(path)
    ends ??= lineEnds(part.text)
    const before = countBelow(ends, offset)
    const column = offset - (before === 0 ? -1 : (ends[before - 1] ?? 0))
    return { file, line: part.line + before, column }
  }
  takeApart(found.value, [], originAt, objects)
  return true
}

function lineEnds(text: string): readonly number[] {
  const ends: number[] = []
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) ends.push(at)
  return ends
}

/** How many of these ascending numbers are below `limit`. */
function countBelow(numbers: readonly number[], limit: number): number {
  let low = 0
  let high = numbers.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((numbers[middle] ?? 0) < limit) low = middle + 1
    else high = middle
  }
  return low
}

function readYamlDocuments(part: DocumentText, file: string, objects: ManifestObject[], problems: Problem[]): void {
  const lines = new LineCounter()
  // What misses its end is missed behind the last word, not on an empty line after it.
  const end = part.text.trimEnd().length
  const at = (offset: number): Origin => {
    const position = lines.linePos(Math.min(offset, end))
    return { file, line: position.line + part.line - 1, column: Math.max(position.col, 1) }
  }
  const documents = parseAllDocuments(part.text, {
    lineCounter: lines,
    customTags: kubernetesScalars,
    merge: true,
    uniqueKeys: true,
    prettyErrors: false,
    logLevel: "error",
  })
  if (!Array.isArray(documents)) return
  for (const document of documents) {
    if (document.errors.length > 0) {
      for (const error of document.errors) problems.push(syntaxProblem(error.code, error.message, at(error.pos[0])))
      continue
    }
    readDocument(document, at, objects, problems)
  }
}

function readDocument(
  document: Document.Parsed,
  at: (offset: number) => Origin,
  objects: ManifestObject[],
  problems: Problem[],
): void {
  const root = document.contents as Node | null
  if (root === null || (isScalar(root) && root.value === null)) return
  const origin = at(root.range?.[0] ?? 0)
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 1_000 })
  } catch (error) {
    problems.push(syntaxProblem("ALIAS", error instanceof Error ? error.message : String(error), origin))
    return
  }
  const originAt = (path: FieldPath): Origin => at(offsetOf(document, root, path))
  if (!isRecord(value)) {
    problems.push({
      origin,
      path: "",
      message: `a manifest must be an object with apiVersion and kind, found ${typeName(value)}`,
      severity: "error",
    })
    return
  }
  takeApart(value, [], originAt, objects)
}

/** Adds the object, or the items of a list (which may lack apiVersion and kind when the list's own name tells them). */
function takeApart(
  value: Readonly<Record<string, unknown>>,
  path: FieldPath,
  originAt: (path: FieldPath) => Origin,
  objects: ManifestObject[],
): void {
  const { kind, items } = value
  if (
    typeof kind === "string" &&
    kind.endsWith("List") &&
    (Array.isArray(items) || (items === null && kind === "List"))
  ) {
    const itemKind = kind.slice(0, -"List".length)
    for (const [index, item] of (items ?? []).entries()) {
      const itemPath = [...path, "items", index]
      if (!isRecord(item)) objects.push(located(item, itemPath, originAt))
      else if (itemKind === "" || item["kind"] !== undefined) takeApart(item, itemPath, originAt, objects)
      else objects.push(located({ apiVersion: value["apiVersion"], kind: itemKind, ...item }, itemPath, originAt))
    }
    return
  }
  objects.push(located(value, path, originAt))
}

function located(value: unknown, prefix: FieldPath, originAt: (path: FieldPath) => Origin): ManifestObject {
  return { value, origin: originAt(prefix), originAt: (path) => originAt([...prefix, ...path]) }
}

/** Offset of the field at `path`: of a scalar its value, of a block its key or its `- ` item; else of the nearest that exists. */
function offsetOf(document: Document.Parsed, root: Node, path: FieldPath): number {
  let node: Node | undefined = root
  let offset = root.range?.[0] ?? 0
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(document)
    if (isMap(node)) {
      const pair: unknown = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part))
      if (!isPair(pair)) break
      const key = pair.key as Node
      node = (pair.value ?? undefined) as Node | undefined
      const own = isScalar(node) && node.value !== null ? node.range?.[0] : undefined
      offset = own ?? key.range?.[0] ?? offset
    } else if (isSeq(node) && typeof part === "number") {
      node = node.items[part] as Node | undefined
      offset = node?.range?.[0] ?? offset
    } else break
    if (node === undefined || (!isCollection(node) && !isAlias(node))) break
  }
  return offset
}

/** Documents begin at a line `---`; cutting there first keeps a broken quote or bracket from swallowing what follows. */
function splitDocuments(text: string): DocumentText[] {
  const parts: DocumentText[] = []
  let current: string[] = []
  let start = 1
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/)
  const finish = (): void => {
    // Directives (%YAML) and comments before the first `---` are no document.
    if (current.some((line) => !/^\s*(#.*|%.*)?$/.test(line)))
      parts.push({ text: `${current.join("\n")}\n`, line: start })
  }
  for (const [index, line] of lines.entries()) {
    if (/^---(\s|$)/.test(line)) {
      finish()
      // The rest of the line belongs to the document (`--- # comment`, `--- {…}`); blanks keep its columns.
      current = [`   ${line.slice(3)}`]
      start = index + 1
    } else current.push(line)
  }
  finish()
  return parts
}

function syntaxProblem(code: string, message: string, origin: Origin): Problem {
  const problem = { origin, path: "", severity: "error" as const }
  if (code === "DUPLICATE_KEY") {
    return { ...problem, message: "the same key stands twice in one map", hint: "keep one of the two" }
  }
  if (code === "TAB_AS_INDENT")
    return { ...problem, message: "a tab is used as indentation", hint: "YAML allows only spaces" }
  const text = message.replace(/ at line \d+, column \d+:?[\s\S]*$/, "").trim()
  return { ...problem, message: `not valid YAML: ${text.charAt(0).toLowerCase()}${text.slice(1)}` }
}

function typeName(value: unknown): string {
  if (value === null) return "null"
  return Array.isArray(value) ? "a list" : `the ${typeof value} ${JSON.stringify(value)}`
}

const boolean: ScalarTag = {
  tag: "tag:yaml.org,2002:bool",
  default: true,
  test: /^(?:y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE|n|N|no|No|NO|off|Off|OFF|false|False|FALSE)$/,
  resolve: (text) => /^(?:y|on|true)/i.test(text) && !/^off/i.test(text),
}

/** go-yaml: decimal, 0x, 0b, 0o and a leading 0 for octal; underscores between digits are left out. */
const integer: ScalarTag = {
  tag: "tag:yaml.org,2002:int",
  default: true,
  test: /^[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$/,
  resolve: (text) => {
    const digits = text.replace(/_/g, "").replace(/^[-+]/, "")
    const octal = /^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits
    return (text.startsWith("-") ? -1 : 1) * Number(octal)
  },
}

/** The core schema with booleans and integers as kubectl's YAML library reads them (YAML 1.1 without base 60). */
function kubernetesScalars(tags: Tags): Tags {
  const kept = tags.filter((tag) => {
    if (typeof tag === "string") return tag !== "bool" && tag !== "int"
    return tag.tag !== boolean.tag && tag.tag !== integer.tag
  })
  return [boolean, integer, ...kept]
}
