import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { AgentClient } from "../../src/api/client.ts"
import { unmount } from "../../src/kernel/mount.ts"
import { inNamespace } from "../../src/kernel/namespace.ts"
import { setSysctl } from "../../src/kernel/sysctl.ts"
import type { Ground } from "../ground.ts"
import type { Moment, Seen } from "../inside.ts"
import { root } from "../paths.ts"

/** Ms from each step of a start to its end. */
export interface Start {
  /** From the start of the process until its socket answers with a generation in force. */
  readonly untilReady: number
  readonly process: number
  /** Remembered and given objects, read and accepted. */
  readonly objects: number
  /** Links, addresses, routes and rules of the node, and what was noted of its pods. */
  readonly network: number
  /** Programs loaded, verified and attached at the node's entrances; tables made or adopted. */
  readonly load: number
  /** Hooks of the pods that are here. */
  readonly hooks: number
  readonly compile: number
  /** Everything compared with the tables and written; up to the flip, and what follows it. */
  readonly toFlip: number
  readonly afterFlip: number
  /** load + hooks + toFlip + afterFlip: what the kernel's side of a full load takes. */
  readonly kernelPart: number
}

/** One node in a namespace of its own with the real agent, started and asked as users do. */
export class MeasuredAgent {
  readonly client: AgentClient
  readonly objects: string
  readonly runDir: string
  readonly #ground: Ground
  #child: ChildProcess | undefined

  constructor(ground: Ground) {
    this.#ground = ground
    this.runDir = ground.path("run")
    this.objects = ground.path("objects")
    this.client = new AgentClient(join(this.runDir, "agent.sock"), { timeoutMs: 60_000 })
    ground.first(() => this.#child?.kill("SIGKILL"))
    ground.namespace("wire")
    inNamespace(ground.namespace("node"), () => setSysctl("net.ipv6.conf.default.accept_dad", 0))
    ground.shell("wire", "ip link add wire type bridge && ip link set wire up")
    ground.on("wire", (netlink) =>
      netlink.addVeth({ name: "a", up: true, peer: { name: "eth0", namespace: ground.namespace("node"), up: true } }),
    )
    ground.shell("wire", "ip link set dev a master wire")
    ground.shell(
      "node",
      `ip address add 192.0.2.1/24 dev eth0; ip -6 address add 2001:db8::1/64 dev eth0 nodad; ip link set eth0 up
       ip route add default via 192.0.2.254; ip -6 route add default via 2001:db8::fe`,
    )
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  async start(): Promise<Start> {
    const config = this.#ground.path("agent.yaml")
    writeFileSync(config, `${JSON.stringify({ routing: "native", uplink: "eth0" })}\n`)
    const log = openSync(this.#logFile, "a")
    const from = Number(process.hrtime.bigint()) / 1e6
    const { HEDDLE_PROFILE: profile, ...environment } = process.env
    const child = spawn(
      "nsenter",
      [
        `--net=${this.#ground.path("node")}`,
        "--",
        process.execPath,
        ...["--import", join(root, "bench/inside.ts")],
        join(root, "dist/heddle.mjs"),
        "agent",
        ...["--node", "a", "--run-dir", this.runDir, "--objects", this.objects, "--config", config],
      ],
      {
        stdio: ["ignore", log, log, "ipc"],
        env: { ...environment, ...(profile === undefined ? {} : { HEDDLE_PROFILE: profile }) },
      },
    )
    closeSync(log)
    this.#child = child
    for (;;) {
      await sleep(20)
      if (child.exitCode !== null) throw new Error(`the agent ended: ${this.log()}`)
      const found = existsSync(this.client.socket) ? await this.client.call("status", {}).catch(() => null) : null
      if (found !== null && found.generation > 0) break
      if (Number(process.hrtime.bigint()) / 1e6 - from > 120_000)
        throw new Error("the agent did not become ready within 2 minutes")
    }
    return startOf(from, (await this.end("start")).moments)
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null) return
    const gone = once(child, "exit")
    child.kill(signal)
    await gone
  }

  /** Takes the tables and programs out of the kernel, as after a reboot; the agent must have ended. */
  forgetTables(): void {
    const pins = join(this.runDir, "bpf")
    unmount(pins)
    rmSync(pins, { recursive: true, force: true })
  }

  /** Forgets what was seen of the agent; with `loop`, its event loop and its garbage collector are watched. */
  async begin({ loop }: { readonly loop: boolean }): Promise<void> {
    await this.#ask(loop ? "watch" : "begin", "")
  }

  /** What was seen since `begin`; with HEDDLE_PROFILE the profile of a watched time goes to PHASE.cpuprofile. */
  async end(phase: string): Promise<Seen> {
    return (await this.#ask("end", phase)) as Seen
  }

  log(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, "utf8") : ""
  }

  /** Waits until the agent takes less than 2 % of a CPU for two seconds; ms that took. */
  async settle(): Promise<number> {
    const from = performance.now()
    while (performance.now() - from < 60_000) {
      const before = this.cpuTicks()
      await sleep(2_000)
      if (this.cpuTicks() - before < 4) break
    }
    return performance.now() - from
  }

  /** CPU time of the agent in hundredths of a second. */
  cpuTicks(): number {
    const fields = readFileSync(`/proc/${this.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
    return Number(fields[11]) + Number(fields[12])
  }

  get #logFile(): string {
    return this.#ground.path("agent.log")
  }

  async #ask(...words: readonly string[]): Promise<unknown> {
    const child = this.#child
    if (child === undefined) throw new Error("the agent is not running")
    const answer = once(child, "message", { signal: AbortSignal.timeout(30_000) })
    child.send(words)
    return (await answer)[0]
  }
}

function startOf(from: number, moments: readonly Moment[]): Start {
  const at = (what: string): number => moments.find((one) => one.what === what)?.at ?? Number.NaN
  const between = (first: string, last: string): number => at(last) - at(first)
  const kernel = {
    load: between("network", "loaded"),
    hooks: between("loaded", "hooked"),
    toFlip: between("compiled", "flipped"),
    afterFlip: between("flipped", "applied"),
  }
  return {
    untilReady: at("ready") - from,
    process: at("started") - from,
    objects: between("started", "begun"),
    network: between("begun", "network"),
    ...{ load: kernel.load, hooks: kernel.hooks },
    compile: between("desired", "compiled"),
    ...{ toFlip: kernel.toFlip, afterFlip: kernel.afterFlip },
    kernelPart: kernel.load + kernel.hooks + kernel.toFlip + kernel.afterFlip,
  }
}
