import type { EndpointInfo } from "../../api/generated/heddle/agent/v1/agent_pb.ts"
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

interface Options extends AgentOptions {
  readonly namespace?: string
  readonly output?: string
}

export const registerEndpoint: Register = (program, { io }) => {
  const group = program.command("endpoint").description("The pods that the nodes enforce policy for")
  const command = agentOptions(group.command("list"))
    .description("List them with address, node, state and the policies that isolate them")
    .option("-n, --namespace <name>", "of this namespace only")
    .option("-o, --output <format>", formats.join(", "))
    .action(async (options: Options) => {
      const format = formatOf(options.output, formats, "table")
      const timeout = timeoutOf(options)
      const answered = await askAll(targetsOf(options), (target) => clientOf(target, timeout).call("listEndpoints", {}))
      const rows = answersOf(io, answered)
        .flatMap(({ answer }) => answer.endpoints)
        .filter((endpoint) => options.namespace === undefined || endpoint.namespace === options.namespace)
        .sort((a, b) => compare(`${a.namespace}/${a.name}`, `${b.namespace}/${b.name}`))
      await printListing(io, format, {
        rows,
        columns,
        name: (row) => `${row.namespace}/${row.name}`,
        empty: "no endpoints",
      })
    })
  examples(command, [
    ["heddle endpoint list", "all of them"],
    ["heddle endpoint list -n shop -o wide", "with interfaces, MAC addresses and labels"],
  ])
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

const columns = [
  { header: "NAMESPACE", value: (row: EndpointInfo) => row.namespace },
  { header: "NAME", value: (row: EndpointInfo) => row.name },
  { header: "NODE", value: (row: EndpointInfo) => row.node },
  { header: "ADDRESSES", value: (row: EndpointInfo) => row.addresses.join(",") || "-" },
  { header: "STATE", value: (row: EndpointInfo) => row.state },
  { header: "INGRESS", value: (row: EndpointInfo) => isolated(row.ingress) },
  { header: "EGRESS", value: (row: EndpointInfo) => isolated(row.egress) },
  { header: "NUMBER", value: (row: EndpointInfo) => String(row.number), wide: true, align: "right" as const },
  { header: "INTERFACE", value: (row: EndpointInfo) => (row.ifindex === 0 ? "-" : String(row.ifindex)), wide: true },
  { header: "MAC", value: (row: EndpointInfo) => row.mac || "-", wide: true },
  { header: "LABELS", value: (row: EndpointInfo) => labelsText(row.labels), wide: true },
]

function isolated(policies: readonly string[]): string {
  return policies.length === 0 ? "open" : policies.join(",")
}

export function labelsText(labels: Readonly<Record<string, string>>): string {
  const entries = Object.entries(labels)
  return entries.length === 0 ? "-" : entries.map(([key, value]) => `${key}=${value}`).join(",")
}
