/** Where a command speaks: data to `out`, talk to `err`. Tests pass their own. */
export interface Io {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  /** Whether standard output, and standard error, may carry colour. */
  readonly colour: { readonly out: boolean; readonly err: boolean }
  /** Columns of the terminal; undefined when standard output is none. */
  readonly width: number | undefined
  readonly stdin: () => Promise<string>
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Ms since the epoch. */
  readonly now: () => number
  /** Aborted when the person interrupts the command. */
  readonly interrupted: AbortSignal
}

/** The process's own. Colour as https://no-color.org has it: on a terminal, unless NO_COLOR is set. */
export function processIo(): Io {
  const { env } = process
  const wanted = (stream: NodeJS.WriteStream): boolean =>
    (env["NO_COLOR"] ?? "") === "" && ((env["FORCE_COLOR"] ?? "") !== "" || (stream.isTTY && env["TERM"] !== "dumb"))
  let signal: AbortSignal | undefined
  // `heddle observe | head` closes the pipe: that is no error of ours.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0)
    throw error
  })
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    colour: { out: wanted(process.stdout), err: wanted(process.stderr) },
    width: process.stdout.isTTY ? process.stdout.columns : undefined,
    stdin: readStdin,
    environment: env,
    now: Date.now,
    get interrupted() {
      signal ??= interruption()
      return signal
    },
  }
}

/** Only commands that end in order by themselves ask for it; all others end at once. */
function interruption(): AbortSignal {
  const stop = new AbortController()
  for (const [name, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    process.on(name, () => {
      // The second one ends the process: whatever is under way may be what hangs.
      if (stop.signal.aborted) process.exit(code)
      stop.abort()
    })
  }
  return stop.signal
}

async function readStdin(): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Uint8Array)
  return Buffer.concat(chunks).toString("utf8")
}
