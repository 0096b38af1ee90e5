import { problemText } from "../model/problem.ts"
import { admit } from "../source/admit.ts"
import type { Admission } from "./run.ts"
import type { CaseState } from "./state.ts"
import { StateStore } from "./store.ts"

/** Whether the state's candidate is admitted into the cluster of its objects; a case that names none is refused. */
export function admission(state: CaseState): Admission {
  if (state.candidate === undefined) return { admitted: "reject", errors: ["the case has no manifest to admit"] }
  const store = new StateStore()
  store.apply({ ...state, fresh: true })
  const { accepted, problems } = admit(state.candidate, store.objects)
  const errors = problems.filter((problem) => problem.severity === "error").map((problem) => problemText(problem))
  return { admitted: accepted ? "accept" : "reject", errors }
}
