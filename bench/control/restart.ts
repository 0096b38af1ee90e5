import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { Ground } from "../ground.ts"
import { median } from "../measure.ts"
import { ALLOWED_PORT, DENIED_PORT, SERVER } from "../objects.ts"
import { root } from "../paths.ts"
import type { MeasuredAgent, Start } from "./agent.ts"
import type { Runtime } from "./plugins.ts"

/** What bench/load/steady.c counted. */
interface Traffic {
  readonly seconds: number
  readonly ownLateMs: number
  readonly udp: { readonly sent: number; readonly lost: number; readonly longestGapMs: number }
  readonly tcp: Readonly<
    Record<"exchanges" | "unanswered" | "sentAgain" | "ofThemNeedlessly" | "resets" | "longestGapMs", number>
  >
  readonly connections: Readonly<Record<"opened" | "answered" | "failed" | "slowestMs", number>>
  readonly denied: { readonly sent: number; readonly passed: number }
}

/** Restarts of the agent under traffic between two pods of its node, and starts with empty tables. */
export class RestartBench {
  readonly #ground: Ground
  readonly #agent: MeasuredAgent
  readonly #runtime: Runtime

  constructor(ground: Ground, agent: MeasuredAgent, runtime: Runtime) {
    this.#ground = ground
    this.#agent = agent
    this.#runtime = runtime
  }

  /** traffic/client and traffic/server must be attached. */
  async run(rounds: number): Promise<Record<string, unknown>> {
    const quiet = await this.#under(() => sleep(2_000))
    const killed = await this.#restarts("SIGKILL", rounds)
    const ended = await this.#restarts("SIGTERM", rounds)
    const empty: Start[] = []
    for (let i = 0; i < rounds; i++) {
      await this.#agent.stop("SIGTERM")
      this.#agent.forgetTables()
      empty.push(await this.#agent.start())
    }
    const { traffic } = await this.#under(() => sleep(500))
    return {
      noRestart: quiet.traffic,
      ...{ killed, ended },
      fromEmptyTables: { rounds, ms: medians(empty), trafficAfterwards: traffic },
    }
  }

  async #restarts(signal: "SIGKILL" | "SIGTERM", rounds: number): Promise<Record<string, unknown>> {
    const starts: Start[] = []
    const { traffic } = await this.#under(async () => {
      for (let i = 0; i < rounds; i++) {
        await sleep(500)
        await this.#agent.stop(signal)
        await sleep(500)
        starts.push(await this.#agent.start())
      }
      await sleep(1_000)
    })
    return { rounds, ms: medians(starts), traffic }
  }

  /** Counts the traffic while `work` goes on. */
  async #under(work: () => Promise<unknown>): Promise<{ readonly traffic: Traffic }> {
    const netns = (name: string): string => this.#runtime.netns("traffic", name)
    const words = [netns("client"), netns("server"), SERVER, String(ALLOWED_PORT), String(DENIED_PORT), "0"]
    const child = spawn(join(root, "build/bench/steady"), words, { stdio: ["ignore", "pipe", "inherit"] })
    this.#ground.first(() => child.kill("SIGKILL"))
    let output = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text
    })
    const exit = once(child, "exit")
    while (!output.startsWith("ready")) {
      if (child.exitCode !== null) throw new Error("traffic between the pods does not come about")
      await sleep(10)
    }
    await work()
    child.kill("SIGTERM")
    await exit
    return { traffic: JSON.parse(output.slice("ready\n".length)) as Traffic }
  }
}

function medians(starts: readonly Start[]): Start {
  const names = Object.keys(starts[0] ?? {}) as (keyof Start)[]
  return Object.fromEntries(names.map((name) => [name, median(starts.map((one) => one[name]))])) as unknown as Start
}
