import type { Command } from "commander"
import type { SeenFlow } from "../../analyse/flows.ts"
import { Failure } from "../../api/failure.ts"
import type { Cluster } from "../../model/cluster.ts"
import type { ManifestObject } from "../../model/manifest.ts"
import { type AgentOptions, agentOptions, examples, type Session } from "../command.ts"
import type { Io } from "../io.ts"
import { readManifestFiles } from "../manifest.ts"
import { painter } from "../output/colour.ts"
import { formatOf, jsonText } from "../output/print.ts"
import { repeatable } from "../repeatable.ts"

interface Options extends AgentOptions {
  readonly with?: string[]
  readonly flows?: string
  readonly exitCode?: boolean
  readonly output?: string
}

interface Compared {
  readonly before: Cluster
  readonly after: Cluster
  readonly flows?: readonly SeenFlow[]
}

/** `heddle policy diff`. */
export function registerDiff(group: Command, session: Session): void {
  const { io } = session
  const command = agentOptions(group.command("diff"))
    .description("Say which connections change their verdict between two states, and by which rules before and after")
    .argument(
      "<paths...>",
      "OLD and NEW (files or directories); or NEW alone: what applying it to the running cluster would change",
    )
    .option("-w, --with <path>", "manifests that both states have, e.g. namespaces and pods", repeatable)
    .option("--flows <count>", "running cluster: check so many of each node's newest flows too", "1000")
    .option("--exit-code", "exit with 1 if anything changes")
    .option("-o, --output <format>", "table or json (everything, nothing grouped away)")
    .action(async (paths: string[], options: Options) => {
      const format = formatOf(options.output, ["table", "json"], "table")
      const compared = await states(io, paths, options)
      const { diffClusters } = await import("../../analyse/diff.ts")
      const { changedFlows } = await import("../../analyse/flows.ts")
      const { before, after } = compared
      const diff = diffClusters(before, after)
      const flows = compared.flows && changedFlows(before, after, compared.flows)
      if (options.exitCode === true && diff.changes.length > 0) session.exitCode = 1
      if (format === "json") {
        io.out(jsonText(flows === undefined ? diff : { ...diff, flows }))
        return
      }
      const { diffSummary, diffText } = await import("../output/diff.ts")
      io.out(diffText(diff, flows, after, painter(io.colour.out)))
      io.err(`${diffSummary(diff, flows)}\n`)
    })
  examples(command, [
    ["heddle policy diff policy.yaml", "what applying this file would change in the running cluster"],
    ["heddle policy diff old/ new/", "two directories, each a whole cluster"],
    ["heddle policy diff old.yaml new.yaml --with cluster/", "two sets of policies over the same pods"],
    ["heddle policy diff old/ new/ --exit-code -o json", "for CI"],
  ])
}

async function states(io: Io, paths: readonly string[], options: Options): Promise<Compared> {
  const [first, second] = paths
  if (first === undefined || paths.length > 2) {
    throw new Failure(
      "usage",
      "Cannot compare",
      `${paths.length} paths are given, wanted one or two`,
      "heddle policy diff OLD NEW",
    )
  }
  if (second === undefined) return againstCluster(io, first, options)
  if (options.lab !== undefined || options.socket !== undefined) {
    const why = "--lab and --socket stand for OLD, but two paths are given"
    throw new Failure("usage", "Cannot compare", why, `heddle policy diff ${second} --lab NAME`)
  }
  const { clusterOfTexts } = await import("../why-from-files.ts")
  const common = options.with === undefined ? [] : await readManifestFiles(io, options.with, true)
  const state = async (path: string): Promise<Cluster> => {
    const texts = await readManifestFiles(io, [path], true)
    return clusterOfTexts([...common, ...texts], io.now, (line) => io.err(`${line}\n`)).cluster
  }
  const [before, after] = [await state(first), await state(second)]
  if (before.endpoints.size === 0 || after.endpoints.size === 0) {
    const which = before.endpoints.size === 0 ? first : second
    const hint = "--with FILES names manifests that both have, --lab NAME a running cluster"
    throw new Failure("usage", "Cannot compare", `there are no pods in ${which}, so nothing enforces anything`, hint)
  }
  return { before, after }
}

/** The running cluster, and the same with the file's objects in it. */
async function againstCluster(io: Io, path: string, options: Options): Promise<Compared> {
  const { clusterOf, objectsInForce, seenFlows } = await import("../cluster-source.ts")
  const changed = await readObjects(io, [path, ...(options.with ?? [])])
  const objects = await objectsInForce(options)
  const last = Number(options.flows ?? "1000")
  if (!Number.isInteger(last) || last < 0) {
    throw new Failure(
      "usage",
      `Cannot use --flows ${options.flows}`,
      "wanted a whole number",
      "--flows 1000; 0 for none",
    )
  }
  const flows = last === 0 ? {} : { flows: await seenFlows(io, options, last) }
  return { before: clusterOf(io, objects), after: clusterOf(io, objects, changed), ...flows }
}

async function readObjects(io: Io, paths: readonly string[]): Promise<ManifestObject[]> {
  const { readManifests } = await import("../../source/yaml.ts")
  const { refuseMistakes } = await import("../cluster-source.ts")
  const texts = await readManifestFiles(io, paths, true)
  const read = texts.map(({ file, text }) => readManifests(text, file))
  refuseMistakes("compare", read)
  return read.flatMap(({ objects }) => objects)
}
