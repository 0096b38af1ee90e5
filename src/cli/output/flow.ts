import type { Flow, FlowEnd } from "../../api/generated/heddle/agent/v1/agent_pb.ts"
import type { Paint } from "./colour.ts"
import { bytesText, originText, protocolName } from "./text.ts"

/** `shop/web-0`, `node node-1`, or the address of what has no name. */
export function endName(end: FlowEnd | undefined): string {
  if (end === undefined) return "?"
  if (end.kind === "pod") return `${end.namespace}/${end.name}`
  if (end.kind === "node") return `node/${end.name}`
  return end.kind === "unknown" ? `${end.address} (unknown)` : end.address
}

function endText(end: FlowEnd | undefined, port: boolean): string {
  const name = endName(end)
  if (!port || end === undefined) return name
  return name.includes(":") && end.kind !== "pod" ? `[${name}]:${end.port}` : `${name}:${end.port}`
}

function portsOf(flow: Flow): boolean {
  return flow.protocol === 6 || flow.protocol === 17 || flow.protocol === 132
}

function protocolText(flow: Flow): string {
  const name = protocolName(flow.protocol)
  return flow.protocol === 1 || flow.protocol === 58
    ? `${name} type ${flow.icmpType}${flow.icmpCode === 0 ? "" : ` code ${flow.icmpCode}`}`
    : name
}

/** What decided, in the order in which it was asked: both ends when both allowed, else the one that denied. */
export function decisionText(flow: Flow): string {
  const { egress, ingress } = flow
  if (flow.verdict === "dropped") {
    if (flow.reason !== "" && flow.reason !== "policy") return flow.reason
    const denied =
      flow.direction === "egress"
        ? egress
        : flow.direction === "ingress"
          ? ingress
          : [egress, ingress].find((one) => one?.allowed === false)
    return denied?.rule ?? flow.reason
  }
  const named = [egress?.rule, ingress?.rule].filter((rule) => rule !== undefined)
  return named.join("; ") || "-"
}

/** A local time of day to the millisecond. */
export function timeText(timeNs: bigint): string {
  const date = new Date(Number(timeNs / 1_000_000n))
  const pad = (n: number, width = 2): string => String(n).padStart(width, "0")
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`
}

/** One event as a line: time, what, ends, protocol, verdict, deciding rule; `wide` adds node, counters and places. */
export function flowLine(flow: Flow, paint: Paint, wide: boolean): string {
  const ports = portsOf(flow)
  const ends = `${endText(flow.source, ports)} -> ${endText(flow.destination, ports)}`
  const verdict = flow.verdict === "dropped" ? paint("red", "DROPPED  ") : paint("green", "FORWARDED")
  const parts = [paint("dim", timeText(flow.timeNs)), verdict, ends.padEnd(44), protocolText(flow).padEnd(4)]
  parts.push(flow.kind === "start" || flow.kind === "drop" ? "" : flow.kind === "judged" ? "judged again:" : "ended:")
  const counters = `${flow.packets} packets, ${bytesText(flow.bytes)} out; ${flow.replyPackets}, ${bytesText(flow.replyBytes)} back`
  parts.push(flow.kind === "end" ? counters : decisionText(flow))
  if (flow.kind !== "end") parts.push(stagedText(flow, paint))
  if (flow.kind === "drop" && flow.packets > 1n) parts.push(`(${flow.packets} packets)`)
  if (wide) {
    const { source, destination, egress, ingress } = flow
    parts.push(
      `[${flow.node} ${flow.hook}, generation ${flow.generation}, ${source?.address} -> ${destination?.address}]`,
    )
    const places = [egress, ingress].map((one) => originText(one?.origin)).filter((text) => text !== "")
    if (places.length > 0) parts.push(places.join(" "))
  }
  return `${parts.filter((part) => part !== "").join("  ")}\n`
}

/** What would be otherwise if staged policies were enforced: `[staged: would be dropped by …]`; empty when nothing would. */
export function stagedText(flow: Flow, paint: Paint): string {
  const changed = [flow.egress, flow.ingress].flatMap((one) =>
    one?.staged === undefined || one.staged.allowed === one.allowed ? [] : [one.staged],
  )
  return changed
    .map((one) =>
      paint(
        "yellow",
        `[staged: would be ${one.allowed ? "allowed" : "dropped"} by ${one.rule}${whereText(one.origin)}]`,
      ),
    )
    .join(" ")
}

function whereText(origin: Parameters<typeof originText>[0]): string {
  const text = originText(origin)
  return text === "" ? "" : ` (${text})`
}

/** One event as data, with the names that `-o json` promises. */
export function flowData(flow: Flow): Record<string, unknown> {
  const end = (one: FlowEnd | undefined): Record<string, unknown> | undefined =>
    one === undefined
      ? undefined
      : {
          kind: one.kind,
          ...(one.namespace === "" ? {} : { namespace: one.namespace }),
          ...(one.kind === "pod" ? { pod: one.name } : {}),
          ...(one.node === "" ? {} : { node: one.node }),
          address: one.address,
          ...(portsOf(flow) ? { port: one.port } : {}),
          ...(Object.keys(one.labels).length === 0 ? {} : { labels: one.labels }),
        }
  const decision = (one: Flow["egress"]): Record<string, unknown> | undefined =>
    one === undefined
      ? undefined
      : {
          verdict: one.allowed ? "allow" : "deny",
          by: one.rule,
          ...(one.origin === undefined
            ? {}
            : { file: one.origin.file, line: one.origin.line, column: one.origin.column }),
          ...(one.staged === undefined ? {} : { staged: decision(one.staged) }),
        }
  const icmp = flow.protocol === 1 || flow.protocol === 58
  return {
    time: isoText(flow.timeNs),
    node: flow.node,
    event: flow.kind,
    verdict: flow.verdict,
    ...(flow.reason === "" ? {} : { reason: flow.reason }),
    ...(flow.direction === "" ? {} : { direction: flow.direction }),
    source: end(flow.source),
    destination: end(flow.destination),
    protocol: protocolName(flow.protocol),
    ...(icmp ? { icmpType: flow.icmpType, icmpCode: flow.icmpCode } : {}),
    ...(flow.egress === undefined ? {} : { egress: decision(flow.egress) }),
    ...(flow.ingress === undefined ? {} : { ingress: decision(flow.ingress) }),
    by: decisionText(flow),
    hook: flow.hook,
    generation: flow.generation,
    packets: Number(flow.packets),
    bytes: Number(flow.bytes),
    replyPackets: Number(flow.replyPackets),
    replyBytes: Number(flow.replyBytes),
    ...(flow.protocol === 6 ? { tcpFlags: tcpFlagNames(flow.tcpFlags) } : {}),
  }
}

/** Nanoseconds since the epoch as RFC 3339 with microseconds. */
function isoText(timeNs: bigint): string {
  const micros = timeNs / 1_000n
  const rest = (micros % 1_000n).toString().padStart(3, "0")
  return new Date(Number(micros / 1_000n)).toISOString().replace("Z", `${rest}Z`)
}

const tcpFlags = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"] as const

function tcpFlagNames(bits: number): string[] {
  return tcpFlags.filter((_, i) => (bits & (1 << i)) !== 0)
}
