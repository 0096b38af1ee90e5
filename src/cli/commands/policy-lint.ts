import type { Command } from "commander"
import type { Finding } from "../../analyse/lint/finding.ts"
import type { Cluster } from "../../model/cluster.ts"
import type { ManifestObject } from "../../model/manifest.ts"
import { type AgentOptions, agentOptions, examples, type Session } from "../command.ts"
import type { Io } from "../io.ts"
import { readManifestFiles } from "../manifest.ts"
import { painter } from "../output/colour.ts"
import { formatOf, jsonText } from "../output/print.ts"
import { count } from "../output/text.ts"

interface Options extends AgentOptions {
  readonly filename?: string[]
  readonly strict?: boolean
  readonly all?: boolean
  readonly output?: string
}

/** `heddle policy lint`. */
export function registerLint(group: Command, session: Session): void {
  const { io } = session
  const command = agentOptions(group.command("lint"))
    .description(
      "Find what is valid and probably not meant: misspelt labels, rules that never decide, denials by accident",
    )
    .argument(
      "[files...]",
      "files, directories, or - for standard input: policies with the pods and namespaces they are about",
    )
    .option("-f, --filename <path...>", "the same, as an option")
    .option("--all", "notes too, e.g. rules that say what others say already")
    .option("--strict", "exit with 1 on warnings as well as on errors")
    .option("-o, --output <format>", "table or json")
    .action(async (files: string[], options: Options) => {
      const format = formatOf(options.output, ["table", "json"], "table")
      const { lint } = await import("../../analyse/lint/lint.ts")
      const { cluster, objects, about } = await subject(io, [...files, ...(options.filename ?? [])], options)
      const found = lint(cluster, objects).filter(about)
      const graver = found.filter((finding) => finding.severity !== "info")
      const errors = graver.some((finding) => finding.severity === "error")
      if (errors || (options.strict === true && graver.length > 0)) session.exitCode = 1
      const shown = options.all === true || format === "json" ? found : graver
      if (format === "json") io.out(jsonText({ findings: shown }))
      else await print(io, shown, cluster, found.length - shown.length)
    })
  examples(command, [
    ["heddle policy lint deploy/", "files: policies, namespaces, and Pods or Deployments"],
    ["heddle policy lint", "the running lab or cluster"],
    ["heddle policy lint policy.yaml --lab demo", "a new policy over the pods of a running lab"],
    ["heddle policy lint deploy/ --strict -o json", "for CI: exit code 1 if anything is found"],
  ])
}

interface Subject {
  readonly cluster: Cluster
  readonly objects: readonly ManifestObject[]
  /** Whether a finding is about what was asked. */
  readonly about: (finding: Finding) => boolean
}

async function subject(io: Io, paths: readonly string[], options: Options): Promise<Subject> {
  const running = paths.length === 0 || options.lab !== undefined || options.socket !== undefined
  const texts = paths.length === 0 ? [] : await readManifestFiles(io, paths, true)
  const { readManifests } = await import("../../source/yaml.ts")
  if (!running) {
    const { clusterOfTexts } = await import("../why-from-files.ts")
    const { cluster } = clusterOfTexts(texts, io.now, (line) => io.err(`${line}\n`))
    return { cluster, objects: texts.flatMap(({ file, text }) => readManifests(text, file).objects), about: () => true }
  }
  const { clusterOf, objectsInForce, refuseMistakes, replaced } = await import("../cluster-source.ts")
  const read = texts.map(({ file, text }) => readManifests(text, file))
  refuseMistakes("lint", read)
  const changed = read.flatMap(({ objects }) => objects)
  const inForce = await objectsInForce(options)
  const asked = new Set(texts.map(({ file }) => file))
  return {
    cluster: clusterOf(io, inForce, changed),
    objects: replaced(inForce, changed),
    about: (finding) => asked.size === 0 || asked.has(finding.origin.file),
  }
}

async function print(io: Io, shown: readonly Finding[], cluster: Cluster, left: number): Promise<void> {
  const { findingText } = await import("../../analyse/lint/finding.ts")
  const paint = painter(io.colour.out)
  const colours = { error: "red", warning: "yellow", info: "dim" } as const
  for (const finding of shown) {
    const text = findingText(finding)
    io.out(text.replace(`: ${finding.severity}: `, `: ${paint(colours[finding.severity], finding.severity)}: `))
  }
  const notes = left === 0 ? "" : `; ${count(left, "note")}, shown with --all`
  const pods = cluster.endpoints.size === 0 ? "; no pods are known, so nothing is said of selectors" : ""
  const policies = count(cluster.policies.size, "policy", "policies")
  const verdict = shown.length === 0 ? "nothing to say" : count(shown.length, "finding")
  io.err(
    `${painter(io.colour.err)(shown.length === 0 ? "green" : "yellow", verdict)} about ${policies}${notes}${pods}\n`,
  )
}
