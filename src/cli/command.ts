import type { Command } from "commander"
import { Failure } from "../api/failure.ts"
import type { Io } from "./io.ts"
import { findTargets, type Target, type TargetOptions } from "./target.ts"

/** Adds one command, or a group of them, to the program. */
export type Register = (program: Command, session: Session) => void

/** What one run of the command line has: where it speaks, and the exit code it ends with. */
export interface Session {
  readonly io: Io
  /** Set by commands that are checks; 0 otherwise. */
  exitCode: number
}

/** The options with which every command that asks an agent names it. */
export interface AgentOptions extends TargetOptions {
  readonly timeout?: string
}

export function agentOptions(command: Command): Command {
  return command
    .option("--socket <path>", "ask the agent with this socket")
    .option("--lab <name>", "ask the nodes of this lab (default: the only one running, or the one called lab)")
    .option("--node <name>", "ask this node only")
    .option("--timeout <seconds>", "give up after so long", "10")
}

/** How long a call may take, in ms; a `Failure` of kind usage when the option is no number of seconds. */
export function timeoutOf(options: { readonly timeout?: string }): number {
  const seconds = Number(options.timeout ?? "10")
  if (!Number.isFinite(seconds) || seconds <= 0) {
    throw new Failure(
      "usage",
      `Cannot use --timeout ${options.timeout}`,
      "wanted a number of seconds above 0",
      "--timeout 10",
    )
  }
  return Math.ceil(seconds * 1_000)
}

export function targetsOf(options: AgentOptions): Target[] {
  return findTargets(options)
}

/** A text from a node: its answer, or why there is none. */
export type Answered<T> = { readonly target: Target } & ({ readonly answer: T } | { readonly error: unknown })

/** Asks all targets at once; an error of one does not hide the answers of the others. */
export async function askAll<T>(
  targets: readonly Target[],
  ask: (target: Target) => Promise<T>,
): Promise<Answered<T>[]> {
  return Promise.all(
    targets.map(async (target): Promise<Answered<T>> => {
      try {
        return { target, answer: await ask(target) }
      } catch (error) {
        return { target, error }
      }
    }),
  )
}

/** The answers; throws the first error when there are none at all, and tells the others' on standard error. */
export function answersOf<T>(io: Io, answered: readonly Answered<T>[]): { target: Target; answer: T }[] {
  const answers = answered.flatMap((one) => ("answer" in one ? [{ target: one.target, answer: one.answer }] : []))
  const errors = answered.flatMap((one) => ("error" in one ? [one] : []))
  if (answers.length === 0 && errors[0] !== undefined) throw errors[0].error
  for (const { target, error } of errors) {
    const text = error instanceof Failure ? `${error.message}: ${error.why}` : String(error)
    io.err(`warning: no answer from ${target.node || target.socket}: ${text}\n`)
  }
  return answers
}

/** Examples under a command's help, the shortest first. */
export function examples(command: Command, lines: readonly (readonly [command: string, what: string])[]): Command {
  const width = Math.max(...lines.map(([line]) => line.length))
  const text = lines.map(([line, what]) => `  ${line.padEnd(width)}  ${what}`).join("\n")
  return command.addHelpText("after", `\nExamples:\n${text}\n`)
}
