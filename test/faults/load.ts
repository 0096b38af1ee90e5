/**
 * Runs in a pod's namespace: `serve` echoes on the ports named, `ask` holds streams and opens new connections and answers
 * questions on its standard input, one JSON line each way.
 */
import { connect, createServer, type Socket } from "node:net"
import { createInterface } from "node:readline"

export interface AskOptions {
  readonly targets: readonly { readonly host: string; readonly port: number }[]
  /** Streams, spread over the targets; one echo of 16 bytes each per `everyMs`. */
  readonly streams: number
  readonly everyMs: number
  /** New connections a second, each with one echo. */
  readonly connectsPerSecond: number
}

export interface Report {
  readonly echoes: number
  readonly resets: number
  /** Of all echoes that came or are awaited, the longest, in ms. */
  readonly worstMs: number
  readonly opened: number
  readonly failed: number
}

export interface Burst {
  readonly host: string
  readonly port: number
  readonly count: number
  readonly timeoutMs: number
}

export interface BurstReport {
  readonly answered: number
  readonly silent: number
  readonly refused: number
}

function serve(ports: readonly number[]): void {
  for (const port of ports) {
    createServer({ noDelay: true }, (socket) => {
      socket.on("error", () => socket.destroy())
      socket.on("data", (chunk) => socket.write(chunk))
    }).listen({ port, host: "::", backlog: 1024 })
  }
  console.log("ready")
}

class Asker {
  readonly #options: AskOptions
  #echoes = 0
  #resets = 0
  #worst = 0
  #opened = 0
  #failed = 0
  readonly #waiting: number[][] = []
  #ending = false

  constructor(options: AskOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    const { streams, everyMs, connectsPerSecond } = this.#options
    const sockets: Socket[] = []
    for (let i = 0; i < streams; i++) sockets.push(await this.#stream(i))
    setInterval(() => {
      const now = performance.now()
      for (const [i, socket] of sockets.entries()) {
        this.#waiting[i]?.push(now)
        socket.write(Buffer.alloc(16, i))
      }
    }, everyMs)
    let owed = 0
    let next = 0
    setInterval(() => {
      for (owed += connectsPerSecond / 100; owed >= 1; owed--) this.#once(next++)
    }, 10)
  }

  #target(i: number): AskOptions["targets"][number] {
    const target = this.#options.targets[i % this.#options.targets.length]
    if (target === undefined) throw new Error("no targets")
    return target
  }

  #stream(i: number): Promise<Socket> {
    const waiting: number[] = []
    this.#waiting.push(waiting)
    return new Promise((resolve, reject) => {
      const socket = connect({ ...this.#target(i), noDelay: true })
      let bytes = 0
      socket.once("connect", () => resolve(socket))
      socket.on("data", (chunk) => {
        for (bytes += chunk.length; bytes >= 16; bytes -= 16) {
          this.#echoes++
          this.#worst = Math.max(this.#worst, performance.now() - (waiting.shift() ?? 0))
        }
      })
      socket.once("error", reject)
      socket.on("error", () => undefined)
      socket.once("close", () => {
        if (!this.#ending) this.#resets++
      })
    })
  }

  #once(i: number): void {
    const socket = connect({ ...this.#target(i), noDelay: true })
    socket.setTimeout(5_000, () => socket.destroy(new Error("silence")))
    socket.once("connect", () => socket.write(Buffer.alloc(16, 1)))
    socket.once("data", () => {
      this.#opened++
      socket.end()
    })
    socket.once("error", () => this.#failed++)
  }

  report(): Report {
    const now = performance.now()
    const oldest = Math.max(0, ...this.#waiting.map((times) => (times[0] === undefined ? 0 : now - times[0])))
    const report: Report = {
      echoes: this.#echoes,
      resets: this.#resets,
      worstMs: Math.round(Math.max(this.#worst, oldest)),
      opened: this.#opened,
      failed: this.#failed,
    }
    return report
  }

  async burst({ host, port, count, timeoutMs }: Burst): Promise<BurstReport> {
    const ends = await Promise.all(
      Array.from(
        { length: count },
        () =>
          new Promise<keyof BurstReport>((resolve) => {
            const socket = connect({ host, port, noDelay: true })
            const end = (how: keyof BurstReport) => {
              resolve(how)
              socket.destroy()
            }
            socket.setTimeout(timeoutMs, () => end("silent"))
            socket.once("connect", () => socket.write(Buffer.alloc(16, 2)))
            socket.once("data", () => end("answered"))
            socket.once("error", () => end("refused"))
          }),
      ),
    )
    const of = (how: keyof BurstReport) => ends.filter((end) => end === how).length
    return { answered: of("answered"), silent: of("silent"), refused: of("refused") }
  }

  stop(): void {
    this.#ending = true
    process.exit(0)
  }
}

const [role, text = "null"] = process.argv.slice(2)
if (role === "serve") serve(JSON.parse(text) as number[])
if (role === "ask") {
  const asker = new Asker(JSON.parse(text) as AskOptions)
  await asker.start()
  console.log("ready")
  createInterface({ input: process.stdin }).on("line", async (line) => {
    const question = JSON.parse(line) as "report" | "stop" | Burst
    if (question === "stop") asker.stop()
    console.log(JSON.stringify(question === "report" ? asker.report() : await asker.burst(question as Burst)))
  })
}
