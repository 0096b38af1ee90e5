import type { WhyQuestion } from "../../agent/why.ts"
import { Failure } from "../../api/failure.ts"
import type { WhyResponse, WhySide } from "../../api/generated/heddle/agent/v1/agent_pb.ts"
import {
  type AgentOptions,
  agentOptions,
  answersOf,
  askAll,
  examples,
  type Register,
  targetsOf,
  timeoutOf,
} from "../command.ts"
import { parseEnd, parsePort } from "../end.ts"
import type { Io } from "../io.ts"
import { readManifestFiles } from "../manifest.ts"
import { painter } from "../output/colour.ts"
import { formatOf, jsonText, yamlText } from "../output/print.ts"
import { whyText } from "../output/why.ts"
import { repeatable } from "../repeatable.ts"
import { clientOf, type Target } from "../target.ts"

interface Options extends AgentOptions {
  readonly port: string
  readonly sourcePort?: string
  readonly icmpType?: string
  readonly icmpCode?: string
  readonly family?: string
  readonly fromFile?: string[]
  readonly expect?: string
  readonly output?: string
}

export const registerWhy: Register = (program, session) => {
  const { io } = session
  const command = agentOptions(program.command("why"))
    .description("Say why a connection may, or may not, come about: the deciding rule at both ends, with its line")
    .argument("<from>", "NAMESPACE/POD, node/NAME or an address")
    .argument("<to>", "NAMESPACE/POD, node/NAME or an address")
    .option("--port <port>", "80/TCP, dns/UDP (a port's name), or a protocol without ports: ICMP", "80/TCP")
    .option("--source-port <number>", "port of the source", "40000")
    .option("--icmp-type <number>", "default: echo request")
    .option("--icmp-code <number>", "default: 0")
    .option("--family <name>", "ipv4 or ipv6 (default: that of the address named, else of the source's first address)")
    .option(
      "--from-file <path>",
      "compute from these manifests (files or directories) instead of asking a cluster",
      repeatable,
    )
    .option("--expect <verdict>", "allow or deny: exit with 1 if it is the other")
    .option("-o, --output <format>", "table, json or yaml")
    .action(async (from: string, to: string, options: Options) => {
      const format = formatOf(options.output, ["table", "json", "yaml"], "table")
      const expected = options.expect === undefined ? undefined : expectation(options.expect)
      const question = questionOf(from, to, options)
      const answer =
        options.fromFile === undefined
          ? await askCluster(io, options, question)
          : await compute(io, options.fromFile, question)
      if (format === "json") io.out(jsonText(answer))
      else if (format === "yaml") io.out(await yamlText(answer))
      else io.out(whyText(answer, painter(io.colour.out)))
      if (expected !== undefined && expected !== answer.allowed) {
        io.err(
          `${painter(io.colour.err)("red", "unexpected:")} wanted ${options.expect}, it is ${answer.allowed ? "allowed" : "denied"}\n`,
        )
        session.exitCode = 1
      }
    })
  examples(command, [
    ["heddle why shop/web-0 shop/db-0 --port 5432/TCP", "two pods"],
    ["heddle why 203.0.113.9 shop/web-0 --port http/TCP", "from outside, to a port by name"],
    ["heddle why node/node-1 shop/web-0 --port ICMP", "a ping from a process on a node"],
    ["heddle why a/x b/y --port 80/TCP --expect deny", "as a check: exit code 1 if it is allowed"],
    ["heddle why a/x b/y --from-file deploy/", "from files alone: no cluster, no root"],
  ])
}

function questionOf(from: string, to: string, options: Options): WhyQuestion {
  const whole = (text: string | undefined, flag: string, most: number): number => {
    if (text === undefined) return 0
    if (/^\d+$/.test(text) && Number(text) <= most) return Number(text)
    throw new Failure("usage", `Cannot use ${flag} ${text}`, `wanted a whole number from 0 to ${most}`)
  }
  return {
    from: parseEnd(from),
    to: parseEnd(to),
    ...parsePort(options.port),
    sourcePort: whole(options.sourcePort, "--source-port", 65_535),
    icmpType: whole(options.icmpType, "--icmp-type", 255),
    icmpCode: whole(options.icmpCode, "--icmp-code", 255),
    family: familyOf(options.family),
  }
}

function familyOf(text: string | undefined): 0 | 4 | 6 {
  if (text === undefined) return 0
  if (/^(ipv)?4$/i.test(text)) return 4
  if (/^(ipv)?6$/i.test(text)) return 6
  throw new Failure("usage", `Cannot use --family ${text}`, "wanted ipv4 or ipv6")
}

function expectation(text: string): boolean {
  if (text === "allow" || text === "deny") return text === "allow"
  throw new Failure("usage", `Cannot use --expect ${text}`, "wanted allow or deny")
}

/** Every node is asked; each end is told by the node that judges it, when that one answers. */
async function askCluster(io: Io, options: Options, question: WhyQuestion): Promise<WhyResponse> {
  const timeout = timeoutOf(options)
  const answered = await askAll(targetsOf(options), (target) => askNode(target, question, timeout))
  const answers = answersOf(io, answered).map(({ answer }) => answer)
  const [first] = answers
  if (first === undefined) throw new Failure("unreachable", "Cannot tell why", "no node answered", "heddle status")
  const side = (pick: (answer: WhyResponse) => WhySide | undefined): WhySide | undefined => {
    const own = answers.find((answer) => pick(answer)?.node === answer.node && answer.node !== "")
    return pick(own ?? first)
  }
  const egress = side((answer) => answer.egress)
  const ingress = side((answer) => answer.ingress)
  const notes = new Set(
    answers
      .filter(
        (answer) => answer.egress?.node === answer.node || answer.ingress?.node === answer.node || answers.length === 1,
      )
      .flatMap((answer) => answer.notes),
  )
  if (new Set(answers.map((answer) => answer.digest)).size > 1)
    notes.add("the nodes are not at the same objects yet: heddle status")
  return {
    ...first,
    allowed: (egress?.allowed ?? true) && (ingress?.allowed ?? true),
    notes: [...notes],
    ...(egress && { egress }),
    ...(ingress && { ingress }),
  }
}

async function askNode(target: Target, question: WhyQuestion, timeout: number): Promise<WhyResponse> {
  try {
    return await clientOf(target, timeout).call("why", question)
  } catch (error) {
    if (!(error instanceof Failure) || (error.kind !== "unreachable" && error.kind !== "timeout")) throw error
    const { offlineWhy } = await import("../../agent/offline.ts")
    try {
      return await offlineWhy(target.runDir, question)
    } catch (cause) {
      throw cause instanceof Failure && cause.kind !== "unreachable" ? cause : error
    }
  }
}

async function compute(io: Io, paths: readonly string[], question: WhyQuestion): Promise<WhyResponse> {
  const texts = await readManifestFiles(io, paths, true)
  const { whyFromTexts } = await import("../why-from-files.ts")
  return whyFromTexts(texts, question, io.now, (line) => io.err(`${line}\n`))
}
