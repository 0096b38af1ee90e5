import { isRecord, type ManifestObject } from "../../model/manifest.ts"
import type { Origin } from "../../model/origin.ts"
import type { Policy } from "../../model/policy.ts"
import type { FieldPath } from "../../model/problem.ts"
import { identify } from "../../source/objects.ts"
import type { LintContext } from "./context.ts"

/** The object that a policy was read from. */
export function objectOf(context: Pick<LintContext, "objects">, policy: Policy): ManifestObject | undefined {
  return context.objects.find((object) => {
    const ref = identify(object)
    return (
      ref !== undefined &&
      ref.kind === policy.kind &&
      ref.name === policy.name &&
      ref.namespace === policy.namespace &&
      ref.apiVersion.includes(policy.group)
    )
  })
}

/** Where a policy writes a word, at `from` or below; `from` itself if that cannot be told. */
export function placeOf(context: LintContext, policy: Policy, word: string, from: Origin): Origin {
  const object = objectOf(context, policy)
  if (object === undefined) return from
  for (const path of pathsTo(isRecord(object.value) ? object.value["spec"] : undefined, word, ["spec"])) {
    const place = object.originAt(path)
    if (place.line > from.line || (place.line === from.line && place.column >= from.column)) return place
  }
  return from
}

/** Paths of keys that are the word and of texts that contain it, in the order of the file. */
function* pathsTo(value: unknown, word: string, path: FieldPath): Generator<FieldPath> {
  if (typeof value === "string") {
    if (value.includes(word)) yield path
  } else if (Array.isArray(value)) {
    for (const [index, part] of value.entries()) yield* pathsTo(part, word, [...path, index])
  } else if (isRecord(value)) {
    for (const [key, part] of Object.entries(value)) {
      if (key === word) yield [...path, key]
      yield* pathsTo(part, word, [...path, key])
    }
  }
}
