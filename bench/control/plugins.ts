import { execFileSync } from "node:child_process"
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { setSysctl } from "../../src/kernel/sysctl.ts"
import type { Ground } from "../ground.ts"
import type { Seen } from "../inside.ts"
import { median, times } from "../measure.ts"
import { podName, podNamespace } from "../objects.ts"
import { root } from "../paths.ts"
import type { MeasuredAgent } from "./agent.ts"
import { health, stages } from "./changes.ts"

/** How a runtime calls one plugin. */
interface Plugin {
  readonly name: string
  readonly program: string
  readonly config: unknown
  readonly environment: Readonly<Record<string, string>>
  /** Runs in this namespace; undefined: where the bench does. */
  readonly inside?: string
}

/** One pod as a runtime sees it. */
interface Sandbox {
  readonly container: string
  /** Name of its namespace on the ground. */
  readonly netns: string
  readonly args: string
}

/** Calls CNI plugins as a runtime does, each call started by a small C program that takes the times. */
export class Runtime {
  readonly #ground: Ground
  readonly #heddle: Plugin

  constructor(ground: Ground, agent: MeasuredAgent) {
    this.#ground = ground
    this.#heddle = {
      name: "heddle",
      program: join(root, "build/heddle-cni"),
      config: { cniVersion: "1.0.0", name: "pods", type: "heddle-cni" },
      environment: { HEDDLE_CNI_SOCKET: join(agent.runDir, "cni.sock") },
    }
  }

  /** Attaches pods of the cluster, eight at a time; pods a second. */
  attach(pods: readonly { readonly namespace: string; readonly name: string }[]): number {
    const sandboxes = pods.map(({ namespace, name }) => this.#sandbox(namespace, name))
    for (const { netns } of sandboxes) this.#ground.pod(netns)
    const from = performance.now()
    this.#call(this.#heddle, "ADD", sandboxes, 8)
    return pods.length / ((performance.now() - from) / 1_000)
  }

  /** Namespace of an attached pod, by the name it has on the ground. */
  netns(namespace: string, name: string): string {
    return this.#ground.path(this.#sandbox(namespace, name).netns)
  }

  #sandbox(namespace: string, name: string): Sandbox {
    const container = `${namespace}-${name}`
    const args = `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name}`
    return { container, netns: `pod-${container}`, args }
  }

  /** ADD and DEL of `count` pods one at a time and of as many eight at a time, beside Debian's ptp with host-local in turns. */
  async compare(agent: MeasuredAgent, count: number): Promise<Record<string, unknown>> {
    const peer: Plugin = {
      name: "ptp",
      program: "/usr/lib/cni/ptp",
      inside: "peer",
      config: {
        ...{ cniVersion: "1.0.0", name: "peer", type: "ptp" },
        ipam: {
          type: "host-local",
          dataDir: this.#ground.path("ipam"),
          ranges: [[{ subnet: "10.3.0.0/16" }], [{ subnet: "fd00:3::/64" }]],
          routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
        },
      },
      environment: { CNI_PATH: "/usr/lib/cni" },
    }
    // Debian's plugin would wait 1.5 s for the kernel's search for duplicate addresses.
    const noSearch = (): void => setSysctl("net.ipv6.conf.default.accept_dad", 0)
    this.#ground.pod("peer", noSearch)
    const plugins = existsSync(peer.program) ? [this.#heddle, peer] : [this.#heddle]
    const of = new Map(
      plugins.map((plugin) => {
        const all = Array.from({ length: 2 * count }, (_, i) =>
          plugin === peer
            ? { container: `ptp-${i}`, netns: `pod-ptp-${i}`, args: "IgnoreUnknown=1" }
            : this.#sandbox("ns-0", `cni-${i}`),
        )
        for (const { netns } of all) this.#ground.pod(netns, noSearch)
        return [plugin, { alone: all.slice(0, count), crowd: all.slice(count) }] as const
      }),
    )
    await sleep(500)
    /** Ten of one, then ten of the other: neighbours disturb both alike. */
    const inTurns = (command: "ADD" | "DEL"): Map<Plugin, number[]> => {
      const taken = new Map(plugins.map((plugin) => [plugin, [] as number[]]))
      for (let i = 0; i < count; i += 10)
        for (const [plugin, { alone }] of of)
          taken.get(plugin)?.push(...this.#call(plugin, command, alone.slice(i, i + 10), 1))
      return taken
    }
    // The least that a call can take: a process, the socket, and an answer that asks nothing of the kernel.
    const shim = Array.from({ length: 20 }, (_, i) => this.#sandbox("ns-0", `cni-${i}`))
    const nothingAsked = median(this.#call(this.#heddle, "VERSION", shim, 1))
    const shares = (seen: Seen): Record<string, unknown> => ({
      ofIt: { "shim and socket": nothingAsked, ...stages(seen.moments) },
      ...health(seen),
    })
    await agent.begin({ loop: true })
    const add = inTurns("ADD")
    const duringAdd = await agent.end("cni-add")
    const crowded = new Map<Plugin, Record<string, unknown>>()
    for (const [plugin, { crowd }] of of) {
      await agent.begin({ loop: true })
      const from = performance.now()
      const taken = this.#call(plugin, "ADD", crowd, 8)
      const aSecond = count / ((performance.now() - from) / 1_000)
      const seen = await agent.end("cni-add-eight")
      crowded.set(plugin, { ...times(taken), aSecond, ...(plugin === peer ? {} : shares(seen)) })
    }
    await agent.begin({ loop: true })
    const del = inTurns("DEL")
    const duringDel = await agent.end("cni-del")
    const results = plugins.map((plugin) => {
      const own = plugin !== peer
      return [
        plugin.name,
        {
          add: { ...times(add.get(plugin) ?? []), ...(own ? shares(duringAdd) : {}) },
          addEightAtATime: crowded.get(plugin),
          del: { ...times(del.get(plugin) ?? []), ...(own ? shares(duringDel) : {}) },
        },
      ] as const
    })
    for (const [plugin, { crowd }] of of) this.#call(plugin, "DEL", crowd, 8)
    return Object.fromEntries(results)
  }

  /** Runs the plugin once for each pod, so many at a time; ms from the start of each process to its exit. */
  #call(plugin: Plugin, command: "ADD" | "DEL" | "VERSION", pods: readonly Sandbox[], parallel: number): number[] {
    const config = this.#ground.path(`${plugin.name}.conf`)
    writeFileSync(config, JSON.stringify(plugin.config))
    const lines = pods.map(
      ({ container, netns, args }) => `${container} ${this.#ground.path(netns)} eth0 ${command} ${args}\n`,
    )
    const words = [join(root, "build/bench/load"), "exec", String(parallel), plugin.program, config]
    const all = plugin.inside === undefined ? words : ["nsenter", `--net=${this.#ground.path(plugin.inside)}`, ...words]
    const [program = "", ...rest] = all
    const output = execFileSync(program, rest, {
      input: lines.join(""),
      encoding: "utf8",
      env: { ...process.env, ...plugin.environment },
      stdio: ["pipe", "pipe", "inherit"],
    })
    return output
      .trim()
      .split("\n")
      .map((line) => {
        const [nanoseconds, code] = line.split(" ")
        if (code !== "0") throw new Error(`${plugin.name} ${command} failed with exit code ${code}`)
        return Number(nanoseconds) / 1e6
      })
  }
}

/** The first so many of the cluster's pods on this node. */
export function localPods(count: number): { readonly namespace: string; readonly name: string }[] {
  return Array.from({ length: count }, (_, i) => ({ namespace: podNamespace(i), name: podName(i, "a") }))
}
