import { Command, CommanderError, type Help } from "commander"
import type { Register, Session } from "./command.ts"
import { registerAgent } from "./commands/agent.ts"
import { registerApply } from "./commands/apply.ts"
import { registerCompletion } from "./commands/completion.ts"
import { registerDelete } from "./commands/delete.ts"
import { registerDoctor } from "./commands/doctor.ts"
import { registerEndpoint } from "./commands/endpoint.ts"
import { registerGet } from "./commands/get.ts"
import { registerIdentity } from "./commands/identity.ts"
import { registerLab } from "./commands/lab.ts"
import { registerMap } from "./commands/map.ts"
import { registerObserve } from "./commands/observe.ts"
import { registerPolicy } from "./commands/policy.ts"
import { registerStatus } from "./commands/status.ts"
import { registerTest } from "./commands/test.ts"
import { registerVersion } from "./commands/version.ts"
import { registerWhy } from "./commands/why.ts"
import type { Io } from "./io.ts"
import { painter } from "./output/colour.ts"
import { tellError } from "./output/error.ts"

const commands: readonly Register[] = [
  registerLab,
  registerApply,
  registerGet,
  registerDelete,
  registerObserve,
  registerWhy,
  registerStatus,
  registerPolicy,
  registerEndpoint,
  registerIdentity,
  registerMap,
  registerTest,
  registerDoctor,
  registerAgent,
  registerVersion,
  registerCompletion,
]

/** The whole command line as commander has it; completion and the documentation are made from the same tree. */
export function makeProgram(session: Session): Command {
  const { io } = session
  const paint = painter(io.colour.out)
  const program = new Command("heddle")
  program
    .description("Kubernetes network policy enforced by eBPF, with every verdict explained")
    .exitOverride()
    .showSuggestionAfterError(true)
    .helpCommand("help [command]", "help for a command")
    .configureHelp({ styleTitle: (text) => paint("bold", text) } satisfies Partial<Help>)
    .configureOutput({
      writeOut: io.out,
      writeErr: io.err,
      getOutHasColors: () => io.colour.out,
      getErrHasColors: () => io.colour.err,
      outputError: () => undefined,
    })
    .addHelpText(
      "after",
      `
Start here:
  heddle lab up -f examples/shop                       a cluster on this machine, in seconds
  heddle observe --follow                              every connection, its verdict and the rule that decided
  heddle why shop/web-0 shop/db-0 --port 5432/TCP      why it may, or may not

Exit codes: 0 ok, 1 the check failed, 2 usage, 3 cannot reach an agent, 124 timed out.
`,
    )
  for (const register of commands) register(program, session)
  return program
}

/** Runs one command line (without the program's own name) and returns its exit code. */
export async function run(words: readonly string[], io: Io): Promise<number> {
  const session: Session = { io, exitCode: 0 }
  const program = makeProgram(session)
  try {
    if (words.length === 0) {
      io.out(program.helpInformation())
      return 0
    }
    await program.parseAsync([...words], { from: "user" })
    return session.exitCode
  } catch (error) {
    if (error instanceof CommanderError) return tellUsage(io, program, words, error)
    return tellError(io, error)
  }
}

function tellUsage(io: Io, program: Command, words: readonly string[], error: CommanderError): number {
  if (error.exitCode === 0) return 0
  const command = commandOf(program, words)
  const name = pathOf(command)
  // A group without its subcommand: commander has shown the help, which is the answer.
  if (error.code === "commander.help") return 2
  const [why = "", suggestion] = error.message.replace(/^error: /, "").split("\n")
  io.err(`${painter(io.colour.err)("red", "error:")} Cannot run ${name}\n`)
  io.err(`  why: ${why}\n`)
  const meant = suggestion === undefined ? "" : `${suggestion.replace(/^\(|\)$/g, "")}; `
  io.err(`  try: ${meant}${name} --help\n`)
  return 2
}

/** The deepest command that the words name. */
function commandOf(program: Command, words: readonly string[]): Command {
  let command = program
  for (const word of words) {
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word))
    if (next === undefined) break
    command = next
  }
  return command
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`
}
