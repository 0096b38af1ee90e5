import type { Command } from "commander"
import { Failure } from "../../api/failure.ts"
import type { EffectiveRule, PolicyInfo, ShowPolicyResponse } from "../../api/generated/heddle/agent/v1/agent_pb.ts"
import {
  type AgentOptions,
  agentOptions,
  answersOf,
  askAll,
  examples,
  type Register,
  type Session,
  targetsOf,
  timeoutOf,
} from "../command.ts"
import { readManifestFiles } from "../manifest.ts"
import { painter } from "../output/colour.ts"
import { formatOf, formats, jsonText, printListing, yamlText } from "../output/print.ts"
import { problemLines, refName } from "../output/result.ts"
import { tableText } from "../output/table.ts"
import { count, originText } from "../output/text.ts"
import { clientOf } from "../target.ts"
import { registerConvert } from "./policy-convert.ts"
import { registerDiff } from "./policy-diff.ts"
import { registerLint } from "./policy-lint.ts"

interface Options extends AgentOptions {
  readonly namespace?: string
  readonly output?: string
  readonly recursive?: boolean
  readonly filename?: string[]
}

export const registerPolicy: Register = (program, session) => {
  const group = program
    .command("policy")
    .description("Policies: check, lint, compare and convert files; list what is in force, show what a pod enforces")
  registerCheck(group, session)
  registerList(group, session)
  registerShow(group, session)
  registerLint(group, session)
  registerDiff(group, session)
  registerConvert(group, session)
}

function registerCheck(group: Command, session: Session): void {
  const { io } = session
  const command = group
    .command("check")
    .description("Check manifests as the API server would, every mistake with its line; needs no cluster and no root")
    .argument("[files...]", "files, directories, or - for standard input")
    .option("-f, --filename <path...>", "the same, as an option")
    .option("-R, --recursive", "subdirectories too")
    .option("-o, --output <format>", "table or json")
    .action(async (files: string[], options: Options) => {
      const format = formatOf(options.output, ["table", "json"], "table")
      const paths = [...files, ...(options.filename ?? [])]
      if (paths.length === 0) throw new Failure("usage", "Cannot check", "no file is given", "heddle policy check FILE")
      const { checkManifests } = await import("../../source/check.ts")
      const result = checkManifests(await readManifestFiles(io, paths, options.recursive ?? false))
      if (!result.ok) session.exitCode = 1
      if (format === "json") {
        io.out(jsonText(result))
        return
      }
      const { problemText } = await import("../../model/problem.ts")
      io.out(result.problems.map((problem) => `${problemText(problem)}\n`).join(""))
      const errors = result.problems.filter((problem) => problem.severity === "error").length
      const kinds = Object.entries(result.objects).map(([kind, n]) => `${n} ${kind}`)
      const read = kinds.length === 0 ? "no objects" : kinds.join(", ")
      const paint = painter(io.colour.err)
      const verdict = errors === 0 ? paint("green", "no mistakes") : paint("red", count(errors, "mistake"))
      io.err(`${verdict} in ${read}\n`)
    })
  examples(command, [
    ["heddle policy check policy.yaml", "one file"],
    ["heddle policy check -R deploy/", "a tree of files, e.g. in CI"],
    ["helm template . | heddle policy check -", "what another command prints"],
  ])
}

function registerList(group: Command, { io }: Session): void {
  const command = agentOptions(group.command("list"))
    .description("List the policies in force, what they select, and whether a newer version was refused")
    .option("-n, --namespace <name>", "of this namespace only")
    .option("-o, --output <format>", formats.join(", "))
    .action(async (options: Options) => {
      const format = formatOf(options.output, formats, "table")
      const timeout = timeoutOf(options)
      const [first] = answersOf(
        io,
        await askAll(targetsOf(options), (target) => clientOf(target, timeout).call("listPolicies", {})),
      )
      const rows = (first?.answer.policies ?? []).filter(
        (row) => options.namespace === undefined || row.ref?.namespace === options.namespace,
      )
      await printListing(io, format, {
        rows,
        columns,
        name: (row) => refName(row.ref),
        empty: "no policies: everything is allowed",
      })
      if (format === "table" || format === "wide") io.err(rows.map((row) => problemLines(io, row.problems)).join(""))
    })
  examples(command, [
    ["heddle policy list", "all policies"],
    ["heddle policy list -n shop -o wide", "with tier, order and rules"],
  ])
}

const columns = [
  { header: "NAMESPACE", value: (row: PolicyInfo) => row.ref?.namespace || "-" },
  { header: "NAME", value: (row: PolicyInfo) => row.ref?.name ?? "" },
  { header: "KIND", value: (row: PolicyInfo) => row.ref?.kind ?? "" },
  { header: "STATE", value: (row: PolicyInfo) => (row.state === "refused" ? "newer refused, kept" : row.state) },
  { header: "SELECTS", value: (row: PolicyInfo) => count(row.selected, "pod") },
  { header: "ISOLATES", value: isolates },
  { header: "TIER", value: (row: PolicyInfo) => row.tier, wide: true },
  { header: "ORDER", value: (row: PolicyInfo) => row.order, wide: true },
  { header: "RULES", value: (row: PolicyInfo) => `${row.ingressRules} in, ${row.egressRules} out`, wide: true },
  { header: "MODE", value: (row: PolicyInfo) => row.mode, wide: true },
  { header: "FROM", value: (row: PolicyInfo) => originText(row.origin) },
]

function isolates(row: PolicyInfo): string {
  const directions = [row.isolatesIngress ? "ingress" : "", row.isolatesEgress ? "egress" : ""].filter(
    (one) => one !== "",
  )
  return directions.join(", ") || "-"
}

function registerShow(group: Command, { io }: Session): void {
  const command = agentOptions(group.command("show"))
    .description("Show everything that a pod enforces, flattened, in the order in which it is asked")
    .argument("<pod>", "NAMESPACE/NAME, or NAME when only one pod has it")
    .option("-o, --output <format>", "table, wide, json or yaml")
    .action(async (pod: string, options: Options) => {
      const format = formatOf(options.output, ["table", "wide", "json", "yaml"], "table")
      const [namespace, name] = pod.includes("/")
        ? [pod.slice(0, pod.indexOf("/")), pod.slice(pod.indexOf("/") + 1)]
        : ["", pod]
      const timeout = timeoutOf(options)
      const answered = await askAll(targetsOf(options), (target) =>
        clientOf(target, timeout).call("showPolicy", { namespace, name }),
      )
      const answers = answersOf(io, answered).map(({ answer }) => answer)
      // Every node knows every pod; the one that it runs on speaks for it.
      const answer = answers[0]
      if (answer === undefined) return
      if (format === "json") io.out(jsonText(answer))
      else if (format === "yaml") io.out(await yamlText(answer))
      else io.out(showText(answer, format === "wide", io.colour.out))
    })
  examples(command, [
    ["heddle policy show shop/web-0", "the rules of one pod"],
    ["heddle policy show shop/web-0 -o json", "for a script"],
  ])
}

function showText(answer: ShowPolicyResponse, wide: boolean, colour: boolean): string {
  const paint = painter(colour)
  const blocks = (["ingress", "egress"] as const).map((direction) => {
    const rules = answer.rules.filter((rule) => rule.direction === direction)
    const table = tableText(
      rules,
      [
        {
          header: "ACTION",
          value: (rule: EffectiveRule) =>
            paint(rule.action === "deny" ? "red" : rule.action === "allow" ? "green" : "yellow", rule.action),
        },
        { header: direction === "ingress" ? "FROM" : "TO", value: (rule) => rule.peer },
        { header: "PORTS", value: (rule) => rule.ports },
        { header: "BY", value: (rule) => (rule.policy === "" ? "no policy" : `${rule.policy} ${rule.rule}`) },
        { header: "TIER", value: (rule) => rule.tier || "-", wide: true },
        { header: "MODE", value: (rule) => rule.mode, wide: true },
        { header: "WRITTEN AT", value: (rule) => originText(rule.origin) },
      ],
      wide,
    )
    return `${paint("bold", direction)}\n${table}`
  })
  return `${answer.namespace}/${answer.name} on ${answer.node || "no node"} (${answer.addresses.join(", ") || "no address"})\n\n${blocks.join("\n")}`
}
