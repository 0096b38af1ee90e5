import { Protocol } from "../../net/types.ts"
import type { End, Probe } from "../format.ts"
import type { CaseResult, ProbeOutcome } from "../run.ts"

const protocolNames = new Map<number, string>(Object.entries(Protocol).map(([name, number]) => [number, name]))

/** `x/a → y/b 80/TCP`, `node-1 → 10.0.0.1 ICMP type 8`. */
function probeText(probe: Probe): string {
  return `${endText(probe.from)} → ${endText(probe.to)} ${portText(probe)}`
}

function portText(probe: Probe): string {
  const protocol = protocolNames.get(probe.protocol) ?? `protocol ${probe.protocol}`
  const family = probe.family === undefined ? "" : ` IPv${probe.family}`
  const source = probe.sourcePort === undefined ? "" : ` from port ${probe.sourcePort}`
  const type = probe.icmpType === undefined ? "" : ` type ${probe.icmpType} code ${probe.icmpCode ?? 0}`
  return `${probe.port === undefined ? protocol : `${probe.port}/${protocol}`}${type}${source}${family}`
}

function endText(end: End): string {
  switch (end.kind) {
    case "pod":
      return `${end.namespace}/${end.pod}`
    case "node":
      return `node ${end.node}`
    case "ip":
      return end.ip
    case "service":
      return `service ${end.namespace}/${end.service}`
  }
}

/** One line for a failed probe: what was asked, what is wrong, and the rule that decided. */
function failureText({ probe, result, failure }: ProbeOutcome): string {
  const by = result.by === undefined || failure?.includes(result.by) === true ? "" : ` by ${result.by}`
  return `${probeText(probe)}: ${failure ?? "passed"}${by}`
}

/** Every reason why the case failed, a line each; none if it passed. */
export function caseFailures(result: CaseResult): readonly string[] {
  const { admission } = result
  const wanted = result.case.admit
  const admitted =
    admission === undefined || admission.admitted === wanted
      ? []
      : [`admission: expected ${wanted}, got ${admission.admitted}${admission.errors.map((e) => `\n  ${e}`).join("")}`]
  const refused = result.errors.map((error) => `refused manifest: ${error}`)
  // A case with refused manifests has no answers at all: a line per probe would only repeat the refusal.
  const probes = result.errors.length > 0 ? [] : result.probes.filter((probe) => !probe.passed).map(failureText)
  return result.passed ? [] : [...admitted, ...refused, ...probes]
}
