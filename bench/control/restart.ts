import { setTimeout as sleep } from "node:timers/promises"
import type { Ground } from "../ground.ts"
import { median } from "../measure.ts"
import { ALLOWED_PORT, DENIED_PORT, SERVER } from "../objects.ts"
import { Steady, type Traffic } from "../steady.ts"
import type { MeasuredAgent, Start } from "./agent.ts"
import type { Runtime } from "./plugins.ts"

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
    const steady = await Steady.start({
      ...{ client: netns("client"), server: netns("server") },
      ...{ address: SERVER, port: ALLOWED_PORT, deniedPort: DENIED_PORT },
    })
    this.#ground.first(() => steady.kill())
    await work()
    return { traffic: await steady.end() }
  }
}

function medians(starts: readonly Start[]): Start {
  const names = Object.keys(starts[0] ?? {}) as (keyof Start)[]
  return Object.fromEntries(names.map((name) => [name, median(starts.map((one) => one[name]))])) as unknown as Start
}
