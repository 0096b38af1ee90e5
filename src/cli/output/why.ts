import type { WhyResponse, WhySide, WhyStep } from "../../api/generated/heddle/agent/v1/agent_pb.ts"
import type { Paint } from "./colour.ts"
import { originText, protocolName } from "./text.ts"

/** The answer of `heddle why` for people: the verdict first, then each end with its rule and line, then what nearly matched. */
export function whyText(answer: WhyResponse, paint: Paint): string {
  const { egress, ingress } = answer
  const icmp = answer.protocol === 1 || answer.protocol === 58
  const port =
    icmp || answer.port === 0 ? protocolName(answer.protocol) : `port ${answer.port}/${protocolName(answer.protocol)}`
  const verdict = answer.allowed ? paint("green", "ALLOWED") : paint("red", "DENIED")
  const lines = [`${verdict}  ${endText(egress)} -> ${endText(ingress)}  ${port}`, ""]
  for (const side of [egress, ingress]) if (side !== undefined) lines.push(...sideLines(side, paint), "")
  for (const note of answer.notes) lines.push(`${paint("yellow", "note:")} ${note}`)
  return `${lines.join("\n").trimEnd()}\n`
}

function endText(side: WhySide | undefined): string {
  if (side === undefined) return "?"
  return side.end.endsWith(side.address) ? side.end : `${side.end} (${side.address})`
}

function sideLines(side: WhySide, paint: Paint): string[] {
  const verdict = side.allowed ? paint("green", "allowed") : paint("red", "denied")
  const name = side.direction === "egress" ? `leaving ${side.end}` : `arriving at ${side.end}`
  if (!side.enforced) return [`${paint("bold", name)}: ${verdict}, nothing is enforced at this end`]
  const lines = [`${paint("bold", name)}: ${verdict}`, `  by    ${side.rule}`]
  const place = originText(side.origin)
  if (place !== "") lines.push(`  at    ${place}`)
  const how = side.fromKernel ? "read from its kernel's tables" : "computed from the objects"
  lines.push(`  node  ${side.node}${side.generation === 0 ? "" : `, generation ${side.generation}`}, ${how}`)
  if (side.staged !== undefined) lines.push(`  stage ${stagedText(side.staged, side.allowed, paint)}`)
  if (side.disagreement !== "") lines.push(`  ${paint("red", "but")}   ${side.disagreement}`)
  for (const [i, step] of side.steps.entries()) lines.push(`${i === 0 ? "  way   " : "        "}${stepText(step)}`)
  for (const [i, step] of side.nearMisses.entries()) lines.push(`${i === 0 ? "  near  " : "        "}${stepText(step)}`)
  return lines
}

/** What would be if staged policies were enforced. */
function stagedText(staged: NonNullable<WhySide["staged"]>, allowed: boolean, paint: Paint): string {
  const place = originText(staged.origin)
  const by = `by ${staged.rule}${place === "" ? "" : ` (${place})`}`
  if (staged.allowed === allowed) return `would still be ${allowed ? "allowed" : "denied"}, ${by}`
  return `${staged.allowed ? paint("green", "would be allowed") : paint("red", "would be denied")} ${by}`
}

function stepText(step: WhyStep): string {
  const place = originText(step.origin)
  return place === "" ? step.text : `${step.text} (${place})`
}
