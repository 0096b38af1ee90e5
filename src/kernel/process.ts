import { type ChildProcess, spawn } from "node:child_process"

export interface CommandOptions {
  /** Path of a network namespace to run in; the mount namespace stays ours. */
  readonly namespace?: string
  /** Text for standard input, which is closed afterwards. */
  readonly input?: string
  /** After so long the process gets SIGKILL. Default: 30 s. */
  readonly timeoutMs?: number
  /** Environment in place of our own. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  readonly directory?: string
}

export interface CommandResult {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  readonly timedOut: boolean
}

const DEFAULT_TIMEOUT_MS = 30_000

/** The words that run `command` inside a namespace. nsenter changes the network only; `ip netns exec` would also mount. */
export function commandLine(command: readonly string[], namespace?: string): readonly [string, ...string[]] {
  const [program, ...rest] = command
  if (program === undefined) throw new Error("Cannot run a command: it is empty; name a program")
  return namespace === undefined ? [program, ...rest] : ["nsenter", `--net=${namespace}`, "--", program, ...rest]
}

/** Starts a process with the streams of `stdio` and leaves it to the caller. */
export function startCommand(
  command: readonly string[],
  options: Pick<CommandOptions, "namespace" | "environment" | "directory"> & {
    readonly stdio?: "inherit" | "pipe"
  } = {},
): ChildProcess {
  const [program, ...rest] = commandLine(command, options.namespace)
  return spawn(program, rest, {
    stdio: options.stdio ?? "pipe",
    ...(options.environment && { env: { ...options.environment } }),
    ...(options.directory !== undefined && { cwd: options.directory }),
  })
}

/** Runs a command to its end and returns what it wrote, whatever its exit code. Throws when it cannot be started. */
export function runCommand(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = startCommand(command, options)
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      child.kill("SIGKILL")
    }, options.timeoutMs ?? DEFAULT_TIMEOUT_MS)
    child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk))
    child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk))
    // A program that ends without reading its input is no error of ours.
    child.stdin?.on("error", () => undefined)
    child.stdin?.end(options.input ?? "")
    child.on("error", (cause: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      const why = cause.code === "ENOENT" ? "there is no such program; install it" : cause.message
      reject(new Error(`Cannot run ${command.join(" ")}: ${why}`, { cause }))
    })
    child.on("close", (code, signal) => {
      clearTimeout(timer)
      const text = (chunks: readonly Buffer[]) => Buffer.concat(chunks).toString("utf8")
      resolve({ code, signal, stdout: text(stdout), stderr: text(stderr), timedOut })
    })
  })
}

/** Sends a signal to one process; false when it is gone. Never to a group or by name. */
export function killProcess(pid: number, signal: NodeJS.Signals = "SIGTERM"): boolean {
  if (!Number.isInteger(pid) || pid <= 1) throw new RangeError(`Cannot send ${signal}: ${pid} is no process of ours`)
  try {
    return process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false
    throw error
  }
}
