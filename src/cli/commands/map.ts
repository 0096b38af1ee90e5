import { Failure } from "../../api/failure.ts"
import type { MapInfo } from "../../api/generated/heddle/agent/v1/agent_pb.ts"
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
import type { Io } from "../io.ts"
import { formatOf, formats, jsonText, printListing } from "../output/print.ts"
import { tableText } from "../output/table.ts"
import { bytesText } from "../output/text.ts"
import { clientOf, type Target } from "../target.ts"

interface Options extends AgentOptions {
  readonly output?: string
  readonly limit?: string
}

type Row = MapInfo & { readonly at: string }

export const registerMap: Register = (program, { io }) => {
  const group = program.command("map").description("The kernel's tables")
  const list = agentOptions(group.command("list"))
    .description("List them with entries used and there, and memory (also with the agent dead)")
    .option("-o, --output <format>", formats.join(", "))
    .action(async (options: Options) => {
      const format = formatOf(options.output, formats, "table")
      const timeout = timeoutOf(options)
      const answered = await askAll(targetsOf(options), (target) =>
        orOffline(
          io,
          target,
          async () => (await clientOf(target, timeout).call("listMaps", {})).maps,
          (offline) => offline.offlineMaps(target.runDir),
        ),
      )
      const rows = answersOf(io, answered).flatMap(({ target, answer }) =>
        answer.map((map): Row => ({ ...map, at: target.node })),
      )
      const data = rows.map(({ at, ...map }) => ({ node: at, ...map }))
      await printListing(io, format, { rows, columns, data, name: (row) => row.name, empty: "no maps" })
    })
  examples(list, [
    ["heddle map list", "all tables of all nodes"],
    ["heddle map list --node node-1 -o json", "for a script"],
  ])
  const show = agentOptions(group.command("show"))
    .description("Print the entries of one table as key and value")
    .argument("<name>", "a name of heddle map list")
    .option("--limit <entries>", "at most so many", "1000")
    .option("-o, --output <format>", "table or json")
    .action(async (name: string, options: Options) => {
      const format = formatOf(options.output, ["table", "json"], "table")
      const limit = Number(options.limit)
      if (!Number.isInteger(limit) || limit < 1)
        throw new Failure("usage", `Cannot use --limit ${options.limit}`, "wanted a whole number above 0")
      const timeout = timeoutOf(options)
      const answered = await askAll(targetsOf(options), (target) =>
        orOffline(
          io,
          target,
          async () => await clientOf(target, timeout).call("readMap", { name, limit }),
          (offline) => offline.offlineMap(target.runDir, name, limit),
        ),
      )
      for (const { target, answer } of answersOf(io, answered)) {
        if (format === "json") {
          io.out(jsonText({ node: target.node, ...answer }))
          continue
        }
        io.out(
          tableText(answer.entries, [
            { header: "NODE", value: () => target.node || "-" },
            { header: "KEY", value: (entry) => entry.key },
            { header: "VALUE", value: (entry) => entry.value },
          ]),
        )
        if (answer.truncated) io.err(`more than ${limit} entries: --limit shows more\n`)
      }
    })
  examples(show, [
    ["heddle map show addrs --node node-1", "addresses and their slots"],
    ["heddle map show flows --limit 20", "some connection records"],
  ])
}

type Offline = typeof import("../../agent/offline.ts")

/** Asks the agent; when it does not answer, reads its pins, and says so. */
async function orOffline<T>(
  io: Io,
  target: Target,
  ask: () => Promise<T>,
  read: (offline: Offline) => Promise<T>,
): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof Failure) || (error.kind !== "unreachable" && error.kind !== "timeout")) throw error
    let answer: T
    try {
      answer = await read(await import("../../agent/offline.ts"))
    } catch (cause) {
      throw cause instanceof Failure ? cause : error
    }
    io.err(`${target.node || target.socket}: the agent does not answer; read from the pinned maps\n`)
    return answer
  }
}

const columns = [
  { header: "NODE", value: (row: Row) => row.at || "-" },
  { header: "NAME", value: (row: Row) => row.name },
  { header: "TYPE", value: (row: Row) => row.type },
  { header: "USED", value: (row: Row) => (row.usedKnown ? String(row.used) : "-"), align: "right" as const },
  { header: "MAX", value: (row: Row) => String(row.max), align: "right" as const },
  { header: "MEMORY", value: (row: Row) => bytesText(row.bytes), align: "right" as const },
  { header: "HOLDS", value: (row: Row) => row.description, wide: true },
]
