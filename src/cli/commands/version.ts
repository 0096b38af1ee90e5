import { type AgentOptions, agentOptions, askAll, examples, type Register } from "../command.ts"
import { jsonText } from "../output/print.ts"
import { clientOf, findTargets, type Target } from "../target.ts"
import { version } from "../version.ts"

interface Options extends AgentOptions {
  readonly output?: string
  readonly client?: boolean
}

export const registerVersion: Register = (program, { io }) => {
  const command = agentOptions(program.command("version"))
    .description("Print the version of this command and of the agents that answer")
    .option("-o, --output <format>", "table or json", "table")
    .option("--client", "of this command only")
    .action(async (options: Options) => {
      const agents = options.client === true ? [] : await agentVersions(options)
      if (options.output === "json") {
        io.out(jsonText({ ...version, node: process.version, agents }))
        return
      }
      io.out(`heddle ${version.version} (${version.commit}), Node.js ${process.version}\n`)
      for (const agent of agents) io.out(`agent of ${agent.node}: ${agent.version}\n`)
    })
  examples(command, [
    ["heddle version", "this command's and the agents'"],
    ["heddle version --client -o json", "for a script"],
  ])
}

/** No agent is no error here: the command has a version without one. */
async function agentVersions(options: AgentOptions): Promise<{ node: string; version: string }[]> {
  let targets: Target[]
  try {
    targets = findTargets(options)
  } catch {
    return []
  }
  const answered = await askAll(targets, (target) => clientOf(target, 2_000).call("status", {}))
  return answered.flatMap((one) => ("answer" in one ? [{ node: one.answer.node, version: one.answer.version }] : []))
}
