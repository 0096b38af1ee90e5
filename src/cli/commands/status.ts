import { Failure, reasonOf } from "../../api/failure.ts"
import type { StatusResponse } from "../../api/generated/heddle/agent/v1/agent_pb.ts"
import { type AgentOptions, agentOptions, examples, type Register, targetsOf, timeoutOf } from "../command.ts"
import type { Io } from "../io.ts"
import { type Paint, painter } from "../output/colour.ts"
import { formatOf, jsonText, yamlText } from "../output/print.ts"
import { problemLines, refName } from "../output/result.ts"
import { count, durationText } from "../output/text.ts"
import { clientOf, type Target } from "../target.ts"

interface Options extends AgentOptions {
  readonly output?: string
}

export const registerStatus: Register = (program, session) => {
  const { io } = session
  const command = agentOptions(program.command("status"))
    .description("How each node is: what it enforces, since when, and what went wrong (also with its agent dead)")
    .option("-o, --output <format>", "table, json or yaml")
    .action(async (options: Options) => {
      const format = formatOf(options.output, ["table", "json", "yaml"], "table")
      const timeout = timeoutOf(options)
      const found = await Promise.all(targetsOf(options).map((target) => statusOf(target, timeout)))
      const nodes = found.flatMap((one) => (one.status === undefined ? [] : [one.status]))
      if (format === "json") io.out(jsonText(nodes))
      else if (format === "yaml") io.out(await yamlText(nodes))
      else io.out(nodes.map((node) => statusText(io, node)).join("\n"))
      for (const one of found) {
        if (one.error !== undefined) io.err(`${painter(io.colour.err)("yellow", "warning:")} ${reasonOf(one.error)}\n`)
        if (one.status !== undefined)
          io.err(one.status.refused.map((object) => problemLines(io, object.problems)).join(""))
      }
      const first = found.find((one) => one.error !== undefined)
      if (nodes.length === 0 && first !== undefined) throw first.error
      if (found.some((one) => one.status?.alive !== true)) session.exitCode = 3
      else if (nodes.some((node) => node.commitError !== "")) session.exitCode = 1
    })
  examples(command, [
    ["heddle status", "all nodes of the lab, or this machine's"],
    ["heddle status --node node-1 -o json", "one node, for a script"],
  ])
}

/** What the agent says; when it does not answer, what its pins and its state on disk say. */
async function statusOf(target: Target, timeout: number): Promise<{ status?: StatusResponse; error?: unknown }> {
  try {
    return { status: await clientOf(target, timeout).call("status", {}) }
  } catch (error) {
    if (!(error instanceof Failure) || (error.kind !== "unreachable" && error.kind !== "timeout")) return { error }
    try {
      const { offlineStatus } = await import("../../agent/offline.ts")
      return { status: await offlineStatus(target.runDir), error }
    } catch {
      return { error }
    }
  }
}

/** One node as a block of lines. */
export function statusText(io: Pick<Io, "colour" | "now">, node: StatusResponse): string {
  const paint = painter(io.colour.out)
  const ago = (ms: bigint): string => `${durationText(Math.max(0, io.now() - Number(ms)))} ago`
  const lines: [string, string][] = []
  const add = (name: string, text: string) => lines.push([name, text])
  if (node.alive)
    add(
      "Agent",
      `${paint("green", "running")}, version ${node.version}, process ${node.processId}, started ${ago(node.startedMs)}`,
    )
  else
    add(
      "Agent",
      `${paint("red", "not running")}; what was enforced still is (read from the kernel and from the state on disk)`,
    )
  add(
    "Plane",
    `${node.plane}, routing ${node.routing}${node.addresses.length > 0 ? `, node addresses ${node.addresses.join(", ")}` : ""}`,
  )
  if (node.bigTcp !== "") add("BIG TCP", node.bigTcp)
  const sync =
    node.digest === node.wantedDigest || node.wantedDigest === ""
      ? ""
      : paint("yellow", ` (wanted ${node.wantedDigest})`)
  add("Enforced", `generation ${node.generation}, objects ${node.digest || "none"}${sync}`)
  if (node.lastCommitMs > 0n) {
    const took = node.alive
      ? `, took ${durationText(node.lastCommitDurationUs / 1_000)}, ${count(node.commits, "commit")} since start`
      : ""
    add("Last commit", `${ago(node.lastCommitMs)}${took}`)
  }
  if (node.commitError !== "") {
    add("Failing", paint("red", `since ${ago(node.commitErrorSinceMs)}: ${node.commitError.split("\n")[0]}`))
  }
  for (const source of node.sources) {
    const refused = source.refused === 0 ? "" : `, ${paint("red", `${source.refused} refused`)}`
    const error = source.error === "" ? "" : `; ${paint("red", source.error)}`
    add("Source", `${source.name} ${source.place}: ${count(source.objects, "object")}${refused}${error}`)
  }
  const ready = node.endpointsReady === node.endpoints ? "green" : "yellow"
  add("Endpoints", paint(ready, `${node.endpointsReady} of ${node.endpoints} ready`))
  add(
    "Policy",
    !node.alive
      ? count(node.policies, "policy", "policies")
      : `${count(node.policies, "policy", "policies")}, ${count(node.classes, "class", "classes")} of ${count(node.slots, "slot")}, ${count(node.sets, "set")}, ${count(node.rows, "row")}`,
  )
  add("Flows", `${node.flowsLive} live`)
  const drops = node.drops.filter((drop) => drop.packets > 0n)
  add("Drops", drops.length === 0 ? "none" : drops.map((drop) => `${drop.name} ${drop.packets}`).join(", "))
  const lost = node.lost.filter((one) => one.packets > 0n)
  add(
    "Lost events",
    lost.length === 0 ? "none" : paint("yellow", lost.map((one) => `${one.name} ${one.packets}`).join(", ")),
  )
  for (const object of node.refused) add("Refused", paint("red", `${refName(object.ref)}: the version before is kept`))
  for (const [name, why] of Object.entries(node.features)) if (why !== "") add("Without", `${name}: ${why}`)
  for (const warning of node.warnings) add("Warning", paint("yellow", warning))
  return `${paint("bold", node.node)}\n${block(lines, paint)}`
}

function block(lines: readonly (readonly [string, string])[], paint: Paint): string {
  const width = Math.max(...lines.map(([name]) => name.length))
  return lines.map(([name, text]) => `  ${paint("dim", name.padEnd(width))}  ${text}\n`).join("")
}
