import { Failure } from "../api/failure.ts"
import { isRecord } from "../model/manifest.ts"
import { hasErrors, type Problem, problemText } from "../model/problem.ts"
import { admit } from "../source/admit.ts"
import type { SourceText } from "../source/check.ts"
import { identify } from "../source/objects.ts"
import { readManifests } from "../source/yaml.ts"
import type { JsonObject, Manifest } from "../suite/format.ts"
import { manifestKey } from "../suite/manifest.ts"
import { isController } from "../suite/workloads.ts"

export interface LabManifests {
  readonly manifests: readonly Manifest[]
  /** Files of which something is left out, or that may not mean what was meant. */
  readonly warnings: readonly Problem[]
}

/**
 * Reads the manifests of a lab as an API server would take them into an empty cluster. Throws a `Failure` with all
 * mistakes of all files, each with its line. Kinds that say nothing about packets are left out with a warning.
 */
export function readLabManifests(texts: readonly SourceText[]): LabManifests {
  const problems: Problem[] = []
  const manifests = new Map<string, Manifest>()
  for (const { file, text } of texts) {
    const read = readManifests(text, file)
    problems.push(...read.problems)
    for (const object of read.objects) {
      problems.push(...admit(object).problems)
      if (!isRecord(object.value)) continue
      const value: JsonObject = object.value
      if (identify(object) === undefined && !isController(value)) continue
      const manifest: Manifest = { value, origin: object.origin, originAt: (path) => object.originAt(path) }
      const earlier = manifests.get(manifestKey(value))
      if (earlier === undefined) manifests.set(manifestKey(value), manifest)
      else problems.push(twice(manifest, earlier))
    }
  }
  if (hasErrors(problems)) {
    const errors = problems.filter((problem) => problem.severity === "error")
    throw new Failure(
      "usage",
      `Cannot make a lab of these manifests: ${errors.length === 1 ? "one mistake" : `${errors.length} mistakes`}`,
      errors.map(problemText).join("\n"),
      "correct them; heddle policy check -f FILE says the same without a lab",
    )
  }
  return { manifests: [...manifests.values()], warnings: problems }
}

function twice(manifest: Manifest, earlier: Manifest): Problem {
  return {
    origin: manifest.origin,
    path: "metadata.name",
    message: `the same object stands in ${earlier.origin.file}:${earlier.origin.line}`,
    hint: "remove one of the two",
    severity: "error",
  }
}
