import type { ManifestObject } from "../model/manifest.ts"
import { type FieldPath, fieldPathText, type Problem } from "../model/problem.ts"

/** Collects what is wrong with one object, each problem at the line of its field. */
export class Report {
  readonly problems: Problem[] = []
  readonly #object: ManifestObject

  constructor(object: ManifestObject) {
    this.#object = object
  }

  error(path: FieldPath, message: string, hint?: string): void {
    this.#add("error", path, message, hint)
  }

  warning(path: FieldPath, message: string, hint?: string): void {
    this.#add("warning", path, message, hint)
  }

  #add(severity: Problem["severity"], path: FieldPath, message: string, hint: string | undefined): void {
    const origin = this.#object.originAt(path)
    this.problems.push({
      origin,
      path: fieldPathText(path),
      message,
      severity,
      ...(hint === undefined ? {} : { hint }),
    })
  }
}

/**
 * Problems of form (unknown fields, wrong types) followed by those of meaning, without the latter's mere consequences: a
 * misspelt `podSelectr` in a peer is one mistake, not also a peer without selector.
 */
export function withoutConsequences(form: readonly Problem[], meaning: readonly Problem[]): Problem[] {
  const broken = new Set<string>()
  for (const { path, severity } of form) {
    if (severity === "warning") continue
    broken.add(path)
    broken.add(path.replace(/(\.[^.[\]]+|\[[^\]]*\])$/, ""))
  }
  return [...form, ...meaning.filter((problem) => !broken.has(problem.path))]
}
