import { Failure } from "../../api/failure.ts"
import { awaitDigest } from "../await.ts"
import { type AgentOptions, agentOptions, examples, type Register, targetsOf, timeoutOf } from "../command.ts"
import { readManifestFiles } from "../manifest.ts"
import { painter } from "../output/colour.ts"
import { formatOf, formats } from "../output/print.ts"
import { printResults } from "../output/result.ts"
import { clientOf } from "../target.ts"

/** Kinds that a lab makes pods of. */
const isWorkload = (kind: string): boolean =>
  /^(Pod|Deployment|StatefulSet|DaemonSet|ReplicaSet|Job|CronJob|ReplicationController)$/.test(kind)

interface Options extends AgentOptions {
  readonly filename?: string[]
  readonly recursive?: boolean
  readonly dryRun?: boolean
  readonly namespace: string
  readonly wait: boolean
  readonly output?: string
}

export const registerApply: Register = (program, session) => {
  const { io } = session
  const command = agentOptions(program.command("apply"))
    .description("Put objects into the cluster and wait until every node enforces them")
    .option("-f, --filename <path...>", "files, directories, or - for standard input")
    .option("-R, --recursive", "subdirectories too")
    .option("-n, --namespace <name>", "namespace of objects that name none", "default")
    .option("--dry-run", "check only")
    .option("--no-wait", "do not wait until it is enforced")
    .option("-o, --output <format>", formats.join(", "))
    .action(async (options: Options) => {
      const format = formatOf(options.output, formats, "table")
      if (options.filename === undefined) {
        throw new Failure("usage", "Cannot apply", "no file is given", "heddle apply -f FILE")
      }
      const manifests = await readManifestFiles(io, options.filename, options.recursive ?? false)
      const targets = targetsOf(options)
      const [first] = targets
      if (first === undefined) return
      const timeout = timeoutOf(options)
      const { namespace, dryRun = false } = options
      // The nodes of a lab share their directory of objects: one of them writes, all of them read.
      const answer = await clientOf(first, timeout).call("apply", { manifests, dryRun, namespace })
      const pods = first.lab === undefined ? [] : answer.results.filter((one) => isWorkload(one.ref?.kind ?? ""))
      const good = await printResults(io, format, answer, dryRun ? " (dry run)" : "")
      if (!good) session.exitCode = 1
      if (pods.length > 0) {
        const what = `${pods.length} of these are workloads; the pods of a lab are made by heddle lab up -f`
        io.err(`${painter(io.colour.err)("yellow", "note:")} ${what}\n`)
      }
      if (options.wait && !dryRun && answer.digest !== "") await awaitDigest(io, targets, answer.digest, timeout)
    })
  examples(command, [
    ["heddle apply -f policy.yaml", "one file"],
    ["heddle apply -R -f deploy/", "a directory and those below it"],
    ["kubectl kustomize . | heddle apply -f -", "what another command prints"],
    ["heddle apply --dry-run -f policy.yaml", "check against the cluster, change nothing"],
  ])
}
