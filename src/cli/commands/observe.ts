import type { Command } from "commander"
import { Failure } from "../../api/failure.ts"
import type { Flow } from "../../api/generated/heddle/agent/v1/agent_pb.ts"
import { type AgentOptions, agentOptions, answersOf, askAll, examples, type Register, targetsOf } from "../command.ts"
import type { Io } from "../io.ts"
import { Merger } from "../merge.ts"
import { painter } from "../output/colour.ts"
import { flowData, flowLine } from "../output/flow.ts"
import { formatOf } from "../output/print.ts"
import { protocolNumber } from "../output/text.ts"
import { clientOf, type Target } from "../target.ts"

interface Options extends AgentOptions {
  readonly follow?: boolean
  readonly last?: string
  readonly since?: string
  readonly until?: string
  readonly output?: string
  readonly protocol?: string[]
  readonly port?: string[]
  readonly fromPort?: string[]
  readonly toPort?: string[]
  readonly staged?: boolean
  readonly all?: boolean
  readonly [filter: string]: unknown
}

/** Nodes' clocks and sockets differ by less than this; following shows a flow so much later. */
const HOLD_MS = 100

const textFilters = [
  ["pod", "pods", "NAMESPACE/NAME or NAME at either end; NAMESPACE/ and a trailing * stand for any rest"],
  ["from-pod", "fromPods", "pod at the source"],
  ["to-pod", "toPods", "pod at the destination"],
  ["namespace", "namespaces", "namespace of either end"],
  ["from-namespace", "fromNamespaces", "namespace of the source"],
  ["to-namespace", "toNamespaces", "namespace of the destination"],
  ["label", "labels", "label selector that either end satisfies, e.g. app=web"],
  ["from-label", "fromLabels", "label selector of the source"],
  ["to-label", "toLabels", "label selector of the destination"],
  ["ip", "ips", "address or block of either end"],
  ["from-ip", "fromIps", "address or block of the source"],
  ["to-ip", "toIps", "address or block of the destination"],
  ["verdict", "verdicts", "forwarded or dropped"],
  ["reason", "reasons", "reason of a drop, e.g. policy, no-record"],
  ["rule", "rules", "part of the deciding rule's text"],
  ["type", "kinds", "start, end, judged or drop"],
] as const

export const registerObserve: Register = (program, session) => {
  const { io } = session
  const command = agentOptions(program.command("observe"))
    .description("Show flows: who talked to whom, the verdict, and the rule that decided")
    .option("-f, --follow", "go on as they come")
    .option("--last <count>", "the newest so many of those kept (default: 20; with --follow: 0)")
    .option("--since <time>", "from then on: 30s, 5m, 2h ago, or a time such as 2026-01-31T12:00:00Z")
    .option("--until <time>", "up to then")
  for (const [flag, , what] of textFilters) repeated(command, `--${flag} <value>`, what)
  repeated(command, "--port <number>", "port of either end")
  repeated(command, "--from-port <number>", "port of the source")
  repeated(command, "--to-port <number>", "port of the destination")
  repeated(command, "--protocol <name>", "tcp, udp, sctp, icmp, icmpv6 or a number")
  command
    .option("--staged", "only what staged policies would decide otherwise, with the rule that would decide")
    .option(
      "--all",
      "link chatter too: multicast and router solicitations of pods, left out unless --reason asks for it",
    )
    .option("-o, --output <format>", "table, wide, json (an array; with --follow one object a line) or jsonl")
    .action((options: Options) => observe(io, options))
  examples(command, [
    ["heddle observe --follow", "everything, as it happens"],
    ["heddle observe -f --verdict dropped --namespace shop", "what policy stops in a namespace"],
    ["heddle observe --pod shop/web-0 --port 5432 --last 100", "one pod's database connections"],
    ["heddle observe -f --staged", "what would change if staged policies were enforced"],
    ["heddle observe --since 5m -o jsonl", "the last five minutes, one object a line"],
  ])
}

function repeated(command: Command, flags: string, what: string): void {
  command.option(flags, what, (value: string, before: string[] | undefined) => [
    ...(before ?? []),
    ...value.split(/,(?![^(]*\))/),
  ])
}

async function observe(io: Io, options: Options): Promise<void> {
  const format = formatOf(options.output, ["table", "wide", "json", "jsonl"], "table")
  const filter = filterOf(options)
  const follow = options.follow === true
  const timed = options.since !== undefined || options.until !== undefined
  const last = options.last === undefined ? (timed ? 0 : 20) : wholeNumber(options.last, "--last")
  const sinceMs = BigInt(timeOf(io, options.since, "--since"))
  const untilMs = BigInt(timeOf(io, options.until, "--until"))
  const request = { follow, last, sinceMs, untilMs, filter, onlyNew: follow && options.last === undefined && !timed }
  const targets = targetsOf(options)
  const write = writer(io, format, follow)
  if (follow) await followAll(io, targets, request, write.flow)
  else {
    const answered = await askAll(targets, (target) => collect(io, target, request))
    const flows = answersOf(io, answered)
      .flatMap(({ answer }) => answer)
      .sort(compareFlows)
    for (const flow of last === 0 ? flows : flows.slice(-last)) write.flow(flow)
    if (flows.length === 0 && format === "table")
      io.err("no flows kept that match; heddle observe --follow waits for new ones\n")
  }
  write.end()
}

/** The kernel's clock ticks every few ms, and agents tell the time to some microseconds. */
const SAME_TIME_NS = 500_000n

/** By time; of one tick of the clock the end that sent goes first. */
export function compareFlows(a: Flow, b: Flow): number {
  const [at, bt] = [a.timeNs / SAME_TIME_NS, b.timeNs / SAME_TIME_NS]
  if (at !== bt) return at < bt ? -1 : 1
  const arrived = (flow: Flow): number => (flow.egress === undefined && flow.hook !== "pod" ? 1 : 0)
  return arrived(a) - arrived(b)
}

type Request = Parameters<ReturnType<typeof clientOf>["observe"]>[0]

async function collect(io: Io, target: Target, request: Request): Promise<Flow[]> {
  const flows: Flow[] = []
  for await (const { response } of clientOf(target).observe(request, io.interrupted)) {
    if (response.case === "flow") flows.push(response.value)
    else if (response.case === "lost") tellLost(io, response.value)
  }
  return flows
}

async function followAll(
  io: Io,
  targets: readonly Target[],
  request: Request,
  write: (flow: Flow) => void,
): Promise<void> {
  const merger = new Merger<Flow>(write, compareFlows, HOLD_MS, io.now)
  const answered = await askAll(targets, async (target) => {
    for await (const { response } of clientOf(target).observe(request, io.interrupted)) {
      if (response.case === "flow") merger.add(response.value)
      else if (response.case === "lost") tellLost(io, response.value)
    }
  })
  merger.flush()
  answersOf(io, answered)
}

function tellLost(
  io: Io,
  lost: { readonly where: string; readonly count: bigint; readonly node: string; readonly kind: string },
): void {
  const where = lost.where === "ring" ? "the kernel's ring was full" : "they were gone before they could be sent"
  const kind = lost.kind === "" ? "" : ` (${lost.kind})`
  io.err(`${painter(io.colour.err)("yellow", "lost:")} ${lost.count} events of ${lost.node}${kind}: ${where}\n`)
}

function writer(
  io: Io,
  format: "table" | "wide" | "json" | "jsonl",
  follow: boolean,
): { flow: (flow: Flow) => void; end: () => void } {
  if (format === "json" && !follow) {
    let written = 0
    return {
      flow: (flow) => io.out(`${written++ === 0 ? "[\n" : ",\n"}  ${JSON.stringify(flowData(flow))}`),
      end: () => io.out(written === 0 ? "[]\n" : "\n]\n"),
    }
  }
  const paint = painter(io.colour.out)
  const line =
    format === "json" || format === "jsonl"
      ? (flow: Flow) => `${JSON.stringify(flowData(flow))}\n`
      : (flow: Flow) => flowLine(flow, paint, format === "wide")
  return { flow: (flow) => io.out(line(flow)), end: () => undefined }
}

function filterOf(options: Options): NonNullable<Request["filter"]> {
  const texts = Object.fromEntries(
    textFilters.flatMap(([flag, field]) => {
      const value = options[flag.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())]
      return Array.isArray(value) ? [[field, value]] : []
    }),
  )
  const ports = (list: string[] | undefined, flag: string): number[] =>
    (list ?? []).map((text) => wholeNumber(text, flag, 65_535))
  return {
    ...texts,
    staged: options.staged === true,
    noChatter: options.all !== true && texts["reasons"] === undefined,
    verdicts: ((texts["verdicts"] as string[] | undefined) ?? []).map((text) => text.toLowerCase()),
    ports: ports(options.port, "--port"),
    fromPorts: ports(options.fromPort, "--from-port"),
    toPorts: ports(options.toPort, "--to-port"),
    protocols: (options.protocol ?? []).map((text) => {
      const number = protocolNumber(text)
      if (number === undefined)
        throw new Failure(
          "usage",
          `Cannot use --protocol ${text}`,
          "no such protocol",
          "tcp, udp, sctp, icmp, icmpv6 or a number",
        )
      return number
    }),
  }
}

function wholeNumber(text: string, flag: string, most = 0xffff_ffff): number {
  const number = Number(text)
  if (/^\d+$/.test(text) && number <= most) return number
  throw new Failure("usage", `Cannot use ${flag} ${text}`, `wanted a whole number from 0 to ${most}`)
}

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 }

/** Ms since the epoch; 0 when nothing was asked. */
function timeOf(io: Io, text: string | undefined, flag: string): number {
  if (text === undefined) return 0
  const ago = /^(\d+(?:\.\d+)?)(ms|s|min|m|h|d)$/.exec(text)
  if (ago !== null) return Math.floor(io.now() - Number(ago[1]) * (units[ago[2] ?? ""] ?? 0))
  const at = Date.parse(text)
  if (!Number.isNaN(at)) return at
  throw new Failure(
    "usage",
    `Cannot use ${flag} ${text}`,
    "neither a length of time nor a time",
    `${flag} 30s, ${flag} 2026-01-31T12:00:00Z`,
  )
}
