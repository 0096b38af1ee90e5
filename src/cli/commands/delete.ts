import { Failure } from "../../api/failure.ts"
import { awaitDigest } from "../await.ts"
import { type AgentOptions, agentOptions, examples, type Register, targetsOf, timeoutOf } from "../command.ts"
import { readManifestFiles } from "../manifest.ts"
import { formatOf, formats } from "../output/print.ts"
import { printResults } from "../output/result.ts"
import { clientOf } from "../target.ts"

interface Options extends AgentOptions {
  readonly filename?: string[]
  readonly recursive?: boolean
  readonly namespace: string
  readonly dryRun?: boolean
  readonly wait: boolean
  readonly output?: string
  readonly ignoreNotFound?: boolean
}

export const registerDelete: Register = (program, session) => {
  const { io } = session
  const command = agentOptions(program.command("delete"))
    .description("Take objects out of the cluster and wait until every node enforces that")
    .argument("[kind]", "kind of the objects, e.g. networkpolicy")
    .argument("[names...]", "their names")
    .option("-f, --filename <path...>", "the objects in these files, directories, or - for standard input")
    .option("-R, --recursive", "subdirectories too")
    .option("-n, --namespace <name>", "their namespace", "default")
    .option("--dry-run", "say what would go, change nothing")
    .option("--ignore-not-found", "an object that is not there is no failure")
    .option("--no-wait", "do not wait until it is enforced")
    .option("-o, --output <format>", formats.join(", "))
    .action(async (kind: string | undefined, names: string[], options: Options) => {
      const format = formatOf(options.output, formats, "table")
      const { namespace, dryRun = false } = options
      if (options.filename === undefined && (kind === undefined || names.length === 0)) {
        throw new Failure(
          "usage",
          "Cannot delete",
          "neither a file nor kind and name are given",
          "heddle delete -f FILE, or heddle delete networkpolicy NAME -n NAMESPACE",
        )
      }
      const manifests = await readManifestFiles(io, options.filename ?? [], options.recursive ?? false)
      const refs = kind === undefined ? [] : names.map((name) => ({ kind, namespace, name }))
      const targets = targetsOf(options)
      const [first] = targets
      if (first === undefined) return
      const timeout = timeoutOf(options)
      const answer = await clientOf(first, timeout).call("delete", { manifests, refs, namespace, dryRun })
      const good = await printResults(io, format, answer, dryRun ? " (dry run)" : "")
      const missing = answer.results.some((result) => result.result === "not-found")
      if (!good || (missing && options.ignoreNotFound !== true)) session.exitCode = 1
      if (options.wait && !dryRun && answer.digest !== "") await awaitDigest(io, targets, answer.digest, timeout)
    })
  examples(command, [
    ["heddle delete -f policy.yaml", "what the file holds"],
    ["heddle delete networkpolicy deny-all -n shop", "one policy by name"],
  ])
}
