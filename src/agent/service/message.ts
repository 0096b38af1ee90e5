import type { Policy } from "../../model/policy.ts"
import type { Problem } from "../../model/problem.ts"
import type { ObjectRef, StoredObject } from "../../source/objects.ts"

/** A problem as the wire has it: every field there. */
export function problemMessage(problem: Problem) {
  const { origin, path, message, hint = "", severity } = problem
  return { origin: { ...origin }, path, message, hint, severity }
}

export function refMessage(ref: ObjectRef) {
  const { apiVersion, kind, namespace, name } = ref
  return { apiVersion, kind, namespace, name }
}

/** An object in force, with why a newer version of it is not. */
export function storedMessage(object: StoredObject) {
  const problems = [...object.warnings, ...(object.refusal?.problems ?? [])].map(problemMessage)
  return { ref: refMessage(object.ref), json: JSON.stringify(object.value), origin: { ...object.origin }, problems }
}

export function policyRef(policy: Policy) {
  const { group, kind, namespace, name } = policy
  return { apiVersion: group, kind, namespace, name }
}
