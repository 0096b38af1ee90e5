import type { JsonObject } from "../format.ts"
import type { CaseResult, ProbeOutcome } from "../run.ts"

/** The case as it was read, with the answers added: `got`, `by`, `backend`, … on every probe; `admitted` and `errors`. */
export function answeredCase(result: CaseResult): JsonObject {
  const { admission } = result
  const errors = [...(admission?.errors ?? []), ...result.errors]
  return {
    ...result.case.raw,
    ...(result.case.raw["probes"] === undefined ? {} : { probes: result.probes.map(answeredProbe) }),
    ...(admission === undefined ? {} : { admitted: admission.admitted }),
    ...(admission === undefined && errors.length === 0 ? {} : { errors }),
  }
}

function answeredProbe({ probe, result, passed }: ProbeOutcome): JsonObject {
  return {
    ...probe.raw,
    got: result.got,
    ...(result.by === undefined ? {} : { by: result.by }),
    ...(result.backend === undefined ? {} : { backend: result.backend }),
    ...(result.connection === undefined ? {} : { connection: result.connection }),
    ...(result.reason === undefined ? {} : { reason: result.reason }),
    ...(passed ? {} : { failed: true }),
  }
}
