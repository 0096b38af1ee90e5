import type { ManifestObject } from "../model/manifest.ts"
import { compareProblems, hasErrors, type Problem } from "../model/problem.ts"
import { admit } from "./admit.ts"
import { identify, objectKey, refText } from "./objects.ts"
import { readManifests } from "./yaml.ts"

/** A text to check and the name under which messages lead back to it. */
export interface SourceText {
  readonly file: string
  readonly text: string
}

/** The answer of `heddle policy check`. */
export interface CheckResult {
  readonly ok: boolean
  /** Everything found, in the order of files and lines. */
  readonly problems: readonly Problem[]
  /** Objects that were read, by kind. */
  readonly objects: Readonly<Record<string, number>>
}

/** Checks manifests as an API server would on creation, all mistakes of all files at once; an object that stands twice is one. */
export function checkManifests(texts: readonly SourceText[]): CheckResult {
  const problems: Problem[] = []
  const objects: Record<string, number> = {}
  const seen = new Map<string, ManifestObject>()
  for (const { file, text } of texts) {
    const read = readManifests(text, file)
    problems.push(...read.problems)
    for (const object of read.objects) {
      problems.push(...admit(object).problems)
      const ref = identify(object)
      if (ref === undefined) continue
      objects[ref.kind] = (objects[ref.kind] ?? 0) + 1
      const earlier = seen.get(objectKey(ref))
      if (earlier === undefined) seen.set(objectKey(ref), object)
      else {
        const where = `${earlier.origin.file}:${earlier.origin.line}`
        const message = `a second ${refText(ref)}: the first one stands in ${where}`
        problems.push({
          origin: object.origin,
          path: "metadata.name",
          message,
          hint: "remove one of the two",
          severity: "error",
        })
      }
    }
  }
  const order = new Map(texts.map(({ file }, index) => [file, index]))
  const byFile = (a: Problem, b: Problem): number => (order.get(a.origin.file) ?? 0) - (order.get(b.origin.file) ?? 0)
  problems.sort((a, b) => byFile(a, b) || compareProblems(a, b))
  return { ok: !hasErrors(problems), problems, objects }
}
