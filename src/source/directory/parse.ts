import type { ManifestObject } from "../../model/manifest.ts"
import { hasErrors, type Problem } from "../../model/problem.ts"
import { admit } from "../admit.ts"
import { identify, type ObjectRef, objectKey, refText } from "../objects.ts"
import { readInSteps } from "../yaml.ts"

/** What one file holds. */
export interface ParsedFile {
  /** By object key; of an object that stands twice, the first. */
  readonly objects: ReadonlyMap<string, { readonly ref: ObjectRef; readonly object: ManifestObject }>
  /** Of texts that are no objects, objects that do not say who they are, and second occurrences. */
  readonly problems: readonly Problem[]
  /** Texts in it that are objects, of whatever kind, or should be. */
  readonly documents: number
  /** Something in the file could not be told, so an object missing from it may still be meant. */
  readonly incomplete: boolean
}

/** Reads a file's text, one document at a step; `held` tells whether the file held objects before. */
export function* parseInSteps(text: string, path: string, held: boolean): Generator<void, ParsedFile> {
  const { objects: manifests, problems: syntax } = yield* readInSteps(text, path)
  const objects = new Map<string, { ref: ObjectRef; object: ManifestObject }>()
  const unidentified: Problem[] = []
  const duplicates: Problem[] = []
  for (const object of manifests) {
    const ref = identify(object)
    if (ref === undefined) {
      unidentified.push(...admit(object).problems)
      continue
    }
    const key = objectKey(ref)
    const first = objects.get(key)?.object.origin
    if (first === undefined) objects.set(key, { ref, object })
    else {
      const message = `a second ${refText(ref)} in this file: the one in line ${first.line} counts`
      duplicates.push({ origin: object.origin, path: "", message, hint: "remove one of the two", severity: "error" })
    }
  }
  const emptied: Problem[] = []
  if (held && text.trim() === "") {
    const message = "the file is empty: the objects that it held stay in force"
    emptied.push(fileProblem(path, message, "delete the file to remove them"))
  }
  return {
    objects,
    problems: [...syntax, ...emptied, ...unidentified, ...duplicates],
    documents: manifests.length + syntax.length,
    incomplete: syntax.length > 0 || emptied.length > 0 || hasErrors(unidentified),
  }
}

/** A file that could not be read. */
export function unreadableFile(path: string, reason: string): ParsedFile {
  const message = `the file cannot be read (${reason}): the objects that it held stay in force`
  return { objects: new Map(), problems: [fileProblem(path, message)], documents: 0, incomplete: true }
}

/** A problem of a file or directory as a whole. */
export function fileProblem(file: string, message: string, hint?: string): Problem {
  const problem = { origin: { file, line: 1, column: 1 }, path: "", message, severity: "error" as const }
  return hint === undefined ? problem : { ...problem, hint }
}
