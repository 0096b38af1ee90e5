import type { ManifestObject } from "../model/manifest.ts"
import { hasErrors, type Problem } from "../model/problem.ts"
import { rulesOf, unknownKindProblem } from "./kinds.ts"
import type { ObjectStore } from "./objects.ts"

export interface Admission {
  readonly accepted: boolean
  /** All mistakes, and warnings. */
  readonly problems: readonly Problem[]
}

/**
 * Whether an API server would take this object as a new one into the cluster of `store` (which does not change). Unknown fields
 * are refused. A kind that cannot decide about packets and is not known here is admitted with a warning.
 */
export function admit(object: ManifestObject, _store?: ObjectStore): Admission {
  const rules = rulesOf(object.value)
  const problems = rules === undefined ? [unknownKindProblem(object)] : rules.validate(object, { create: true })
  return { accepted: !hasErrors(problems), problems }
}
