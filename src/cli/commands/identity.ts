import type { IdentityInfo } from "../../api/generated/heddle/agent/v1/agent_pb.ts"
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
import { formatOf, formats, printListing } from "../output/print.ts"
import { clientOf } from "../target.ts"
import { labelsText } from "./endpoint.ts"

interface Options extends AgentOptions {
  readonly output?: string
}

type Row = IdentityInfo & { readonly at: string }

export const registerIdentity: Register = (program, { io }) => {
  const group = program.command("identity").description("What the rules in force tell apart")
  const command = agentOptions(group.command("list"))
    .description(
      "List the classes of each node: addresses that no rule in force tells apart (numbers are the node's own)",
    )
    .option("-o, --output <format>", formats.join(", "))
    .action(async (options: Options) => {
      const format = formatOf(options.output, formats, "table")
      const timeout = timeoutOf(options)
      const answered = await askAll(targetsOf(options), (target) =>
        clientOf(target, timeout).call("listIdentities", {}),
      )
      const rows = answersOf(io, answered).flatMap(({ target, answer }) =>
        answer.identities.map((identity): Row => ({ ...identity, at: target.node })),
      )
      const data = rows.map(({ at, ...identity }) => ({ node: at, ...identity }))
      await printListing(io, format, {
        rows,
        columns,
        data,
        name: (row) => `${row.at}/${row.class}`,
        empty: "no identities",
      })
    })
  examples(command, [
    ["heddle identity list --node node-1", "the classes of one node"],
    ["heddle identity list -o wide", "with slots and every address"],
  ])
}

const columns = [
  { header: "NODE", value: (row: Row) => row.at || "-" },
  { header: "CLASS", value: (row: Row) => String(row.class), align: "right" as const },
  { header: "KIND", value: (row: Row) => row.kind },
  { header: "MEMBERS", value: (row: Row) => few(row.names.length > 0 ? row.names : row.addresses) },
  { header: "LABELS IN COMMON", value: (row: Row) => labelsText(row.labels) },
  { header: "SLOTS", value: (row: Row) => row.slots.join(","), wide: true },
  { header: "ADDRESSES", value: (row: Row) => row.addresses.join(","), wide: true },
]

const SHOWN = 4

function few(texts: readonly string[]): string {
  if (texts.length === 0) return "-"
  const more = texts.length > SHOWN ? ` and ${texts.length - SHOWN} more` : ""
  return `${texts.slice(0, SHOWN).join(", ")}${more}`
}
