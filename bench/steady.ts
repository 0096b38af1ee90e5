import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

const root = join(import.meta.dirname, "..")

/** What bench/load/steady.c counted. */
export interface Traffic {
  readonly seconds: number
  /** How late its own process was at most: a gap no longer than that is the machine's. */
  readonly ownLateMs: number
  readonly udp: { readonly sent: number; readonly lost: number; readonly longestGapMs: number }
  readonly tcp: Readonly<
    Record<"exchanges" | "unanswered" | "sentAgain" | "ofThemNeedlessly" | "resets" | "longestGapMs", number>
  >
  readonly connections: Readonly<Record<"opened" | "answered" | "failed" | "slowestMs", number>>
  readonly denied: { readonly sent: number; readonly passed: number }
}

export interface SteadyOptions {
  /** Paths of the network namespaces. */
  readonly client: string
  readonly server: string
  readonly address: string
  /** UDP and TCP port that the client may reach, and one that it may not. */
  readonly port: number
  readonly deniedPort: number
}

/** Traffic at a known rate between two pods: see bench/load/steady.c. */
export class Steady {
  readonly #child: ChildProcess
  #output = ""

  private constructor({ client, server, address, port, deniedPort }: SteadyOptions) {
    const words = [client, server, address, String(port), String(deniedPort), "0"]
    this.#child = spawn(join(root, "build/bench/steady"), words, { stdio: ["ignore", "pipe", "inherit"] })
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#output += text
    })
  }

  /** Resolves when the first packets have come back; throws when none do. */
  static async start(options: SteadyOptions): Promise<Steady> {
    execFileSync(join(root, "bench/build"), { stdio: "inherit" })
    const steady = new Steady(options)
    while (!steady.#output.startsWith("ready")) {
      if (steady.#child.exitCode !== null) throw new Error("traffic between the pods does not come about")
      await sleep(10)
    }
    return steady
  }

  /** Ends the traffic, waits for what is on its way, and tells what came. */
  async end(): Promise<Traffic> {
    const exit = once(this.#child, "close")
    this.#child.kill("SIGTERM")
    await exit
    return JSON.parse(this.#output.slice("ready\n".length)) as Traffic
  }

  kill(): void {
    this.#child.kill("SIGKILL")
  }
}
