/**
 * How fast a node follows: policy changes and CNI calls through the real agent and its sockets, among 1,000 policies, 1,000 local and
 * 10,000 remote endpoints; what it takes at rest; a restart under traffic. Beside it Debian's ptp and host-local plugins. `node
 * bench/control.ts [--changes N] [--pods N] [--quick]`, as root.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { AgentClient } from "../src/api/client.ts"
import { inNamespace } from "../src/kernel/namespace.ts"
import { setSysctl } from "../src/kernel/sysctl.ts"
import { Ground } from "./ground.ts"
import { flag, least, median, option, times, writeResults } from "./measure.ts"
import { policyManifest, type Size, writeCluster } from "./objects.ts"
import { root } from "./paths.ts"

const size: Size = flag("quick")
  ? { policies: 100, local: 100, remote: 1_000 }
  : { policies: 1_000, local: 1_000, remote: 10_000 }
const changes = option("changes", flag("quick") ? 20 : 200)
const pods = option("pods", flag("quick") ? 10 : 100)

const ground = new Ground()
const runDir = ground.path("run")
const objects = ground.path("objects")
const loopFile = ground.path("loop.json")
const client = new AgentClient(join(runDir, "agent.sock"), { timeoutMs: 60_000 })
let agent: ChildProcess | undefined

function makeNode(): void {
  ground.namespace("node")
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

/** Ms from the start of the process until its socket answers with a generation in force. */
async function startAgent(): Promise<number> {
  const config = ground.path("agent.yaml")
  writeFileSync(config, `${JSON.stringify({ routing: "native", uplink: "eth0", logLevel: "debug" })}\n`)
  const log = openSync(ground.path("agent.log"), "a")
  const from = performance.now()
  const { HEDDLE_LOOP_DELAY: _, ...environment } = process.env
  agent = spawn(
    "nsenter",
    [
      `--net=${ground.path("node")}`,
      "--",
      process.execPath,
      ...["--import", join(root, "bench/loop-delay.ts")],
      join(root, "dist/heddle.mjs"),
      "agent",
      ...["--node", "a", "--run-dir", runDir, "--objects", objects, "--config", config],
    ],
    { stdio: ["ignore", log, log], env: { ...environment, HEDDLE_LOOP_DELAY: loopFile } },
  )
  closeSync(log)
  for (;;) {
    await sleep(20)
    if (agent.exitCode !== null) throw new Error(`the agent ended: ${readFileSync(ground.path("agent.log"), "utf8")}`)
    const found = existsSync(join(runDir, "agent.sock"))
      ? await client.call("status", {}).catch(() => undefined)
      : undefined
    if (found !== undefined && found.generation > 0) return performance.now() - from
    if (performance.now() - from > 120_000) throw new Error("the agent did not become ready within 2 minutes")
  }
}

async function stopAgent(signal: NodeJS.Signals): Promise<void> {
  const child = agent
  agent = undefined
  if (child === undefined || child.exitCode !== null) return
  const gone = new Promise((resolve) => child.once("exit", resolve))
  child.kill(signal)
  await gone
}

/** ms from sending `apply` until the node enforces it, as a client on the socket sees it. */
async function change(number: number, port: number): Promise<number> {
  const text = JSON.stringify(policyManifest(number, port))
  const from = performance.now()
  const { digest, problems } = await client.call("apply", { manifests: [{ file: "change.json", text }] })
  if (problems.length > 0) throw new Error(`apply was refused: ${problems[0]?.message}`)
  const { reached, error } = await client.call("await", { digest, timeoutMs: 10_000 })
  if (!reached) throw new Error(`a change was not enforced: ${error}`)
  return performance.now() - from
}

interface LoopDelay {
  readonly watching: boolean
  readonly maxMs: number
  readonly p99Ms: number
  readonly memory: NodeJS.MemoryUsage
}

/** Begins or ends watching the agent's event loop. */
async function toggleWatch(): Promise<LoopDelay> {
  writeFileSync(loopFile, "")
  agent?.kill("SIGUSR2")
  for (let i = 0; i < 200; i++) {
    await sleep(20)
    const text = readFileSync(loopFile, "utf8")
    if (text !== "") return JSON.parse(text) as LoopDelay
  }
  throw new Error("the agent did not answer SIGUSR2")
}

/** What the committer logged since `from`: ms from the start of each commit to its end, compiling included. */
function commitTimes(from: number): number[] {
  const log = readFileSync(ground.path("agent.log"), "utf8").slice(from)
  return [...log.matchAll(/"ms":(\d+)[^\n]*Committed|Committed[^\n]*?\bms=(\d+)/g)].map((found) =>
    Number(found[1] ?? found[2]),
  )
}

function logLength(): number {
  return readFileSync(ground.path("agent.log"), "utf8").length
}

async function policyChanges(): Promise<Record<string, unknown>> {
  for (let i = 0; i < 5; i++) await change(i, 9_000 + i)
  await toggleWatch()
  const before = logLength()
  const alone: number[] = []
  for (let i = 0; i < changes; i++) {
    alone.push(await change((i * 7) % size.policies, 10_000 + i))
    // Alone: the wait for readers of the other side is over long before the next.
    await sleep(40)
  }
  const commits = commitTimes(before)
  const loopAlone = await toggleWatch()
  await toggleWatch()
  const backToBack: number[] = []
  const from = performance.now()
  await Promise.all(
    Array.from({ length: 4 }, async (_, worker) => {
      for (let i = 0; i < changes / 4; i++) backToBack.push(await change((i * 4 + worker) % size.policies, 20_000 + i))
    }),
  )
  const seconds = (performance.now() - from) / 1_000
  const loopBusy = await toggleWatch()
  return {
    alone: times(alone),
    commit: times(commits),
    backToBack: { ...times(backToBack), aSecond: changes / seconds },
    loopDelayMs: { alone: loopAlone.maxMs, backToBack: loopBusy.maxMs },
  }
}

interface Plugin {
  readonly name: string
  readonly program: string
  readonly config: unknown
  readonly environment: Readonly<Record<string, string>>
  /** Words of CNI_ARGS for the n-th pod. */
  readonly args: (n: number) => string
}

/** Runs a plugin once for each of these pods, started by the C runner; ms from its start to its exit. */
function runPlugin(plugin: Plugin, command: "ADD" | "DEL", numbers: readonly number[], parallel: number): number[] {
  const config = ground.path(`${plugin.name}.conf`)
  writeFileSync(config, JSON.stringify(plugin.config))
  const lines = numbers.map(
    (n) => `${plugin.name}-${n} ${ground.path(`pod-${plugin.name}-${n}`)} eth0 ${command} ${plugin.args(n)}`,
  )
  const inside = plugin.name === "ptp" ? (["nsenter", [`--net=${ground.path("peer")}`, "--"]] as const) : undefined
  const words = [join(root, "build/bench/load"), "exec", String(parallel), plugin.program, config]
  const [program, ...rest] = inside ? [inside[0], ...inside[1], ...words] : words
  const output = execFileSync(program ?? "", rest, {
    input: `${lines.join("\n")}\n`,
    encoding: "utf8",
    env: { ...process.env, CNI_PATH: "/usr/lib/cni", ...plugin.environment },
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

async function pluginCalls(): Promise<Record<string, unknown>> {
  const heddle: Plugin = {
    name: "heddle",
    program: join(root, "build/heddle-cni"),
    config: { cniVersion: "1.0.0", name: "pods", type: "heddle-cni" },
    environment: { HEDDLE_CNI_SOCKET: join(runDir, "cni.sock") },
    args: (n) => `IgnoreUnknown=1;K8S_POD_NAMESPACE=ns-0;K8S_POD_NAME=cni-${n}`,
  }
  const ptp: Plugin = {
    name: "ptp",
    program: "/usr/lib/cni/ptp",
    config: {
      ...{ cniVersion: "1.0.0", name: "peer", type: "ptp" },
      ipam: {
        type: "host-local",
        dataDir: ground.path("ipam"),
        ranges: [[{ subnet: "10.3.0.0/16" }], [{ subnet: "fd00:3::/64" }]],
        routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
      },
    },
    environment: {},
    args: () => "IgnoreUnknown=1",
  }
  ground.namespace("peer")
  const plugins = existsSync(ptp.program) ? [heddle, ptp] : [heddle]
  const noDad = (name: string): void =>
    inNamespace(ground.namespace(name), () => setSysctl("net.ipv6.conf.default.accept_dad", 0))
  // Debian's plugin would wait 1.5 s for the kernel's search for duplicate addresses.
  noDad("peer")
  for (const { name } of plugins) for (let i = 0; i < 2 * pods; i++) noDad(`pod-${name}-${i}`)
  await sleep(500)
  const numbers = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i)
  const found: Record<string, unknown> = {}
  const one: Record<string, { add: number[]; del: number[] }> = {}
  await toggleWatch()
  // Ten of one, then ten of the other: neighbours disturb both alike.
  for (let i = 0; i < pods; i += 10)
    for (const plugin of plugins) {
      one[plugin.name] ??= { add: [], del: [] }
      one[plugin.name]?.add.push(...runPlugin(plugin, "ADD", numbers(i, 10), 1))
    }
  const loop = await toggleWatch()
  for (const plugin of plugins) {
    const from = performance.now()
    const times8 = runPlugin(plugin, "ADD", numbers(pods, pods), 8)
    const seconds = (performance.now() - from) / 1_000
    found[plugin.name] = {
      add: times(one[plugin.name]?.add ?? []),
      addEightAtATime: { ...times(times8), aSecond: pods / seconds },
    }
  }
  for (let i = 0; i < pods; i += 10)
    for (const plugin of plugins) one[plugin.name]?.del.push(...runPlugin(plugin, "DEL", numbers(i, 10), 1))
  for (const plugin of plugins) {
    found[plugin.name] = { ...(found[plugin.name] as object), del: times(one[plugin.name]?.del ?? []) }
    runPlugin(plugin, "DEL", numbers(pods, pods), 8)
  }
  return { ...found, loopDelayMs: loop.maxMs }
}

function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
  return Number(fields[11]) + Number(fields[12])
}

function residentMB(pid: number): Record<string, number> {
  const status = readFileSync(`/proc/${pid}/status`, "utf8")
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0) / 1_024
  return { rss: field("VmRSS"), anonymous: field("RssAnon"), file: field("RssFile"), shared: field("RssShmem") }
}

/** Ms until the agent has written down all the objects that it accepted: before that it is not at rest. */
async function untilWritten(): Promise<number> {
  const folder = join(runDir, "state", "accepted")
  const from = performance.now()
  for (let last = -1; performance.now() - from < 120_000; ) {
    const now = existsSync(folder) ? readdirSync(folder).length : 0
    if (now === last) break
    last = now
    await sleep(1_500)
  }
  return performance.now() - from
}

async function atRest(): Promise<Record<string, unknown>> {
  const pid = agent?.pid ?? 0
  const objectsWrittenMs = await untilWritten()
  const seconds = flag("quick") ? 5 : 30
  await sleep(2_000)
  const profiled = process.env["HEDDLE_PROFILE"] !== undefined
  if (profiled) await toggleWatch()
  const before = cpuTicks(pid)
  await sleep(seconds * 1_000)
  if (profiled) await toggleWatch()
  return { objectsWrittenMs, cpuPercent: (cpuTicks(pid) - before) / seconds, memoryMB: residentMB(pid) }
}

/** Bytes of all maps that the agent holds, as the kernel reports them. */
function mapBytes(): number {
  const folder = `/proc/${agent?.pid}/fdinfo`
  const maps = new Map<number, number>()
  for (const name of readdirSync(folder)) {
    const text = readFileSync(join(folder, name), "utf8")
    const id = /^map_id:\s+(\d+)/m.exec(text)
    const bytes = /^memlock:\s+(\d+)/m.exec(text)
    if (id !== null && bytes !== null) maps.set(Number(id[1]), Number(bytes[1]))
  }
  return [...maps.values()].reduce((sum, bytes) => sum + bytes, 0)
}

async function main(): Promise<void> {
  makeNode()
  writeCluster(objects, size, 2 * pods)
  const results: Record<string, unknown> = { size, startMs: await startAgent() }
  console.error(`agent ready after ${results["startMs"]} ms`)
  const step = async (name: string, run: () => Promise<unknown> | unknown): Promise<void> => {
    results[name] = await run()
    console.log(
      `${name}: ${JSON.stringify(results[name], (_, value) => (typeof value === "number" ? Number(value.toPrecision(4)) : value))}`,
    )
  }
  const parts = process.argv.includes("--part") ? process.argv[process.argv.indexOf("--part") + 1] : undefined
  if (parts !== undefined) {
    if (parts !== "rest") await untilWritten()
    await step(parts, { rest: atRest, policy: policyChanges, cni: pluginCalls }[parts] ?? (() => "no such part"))
    await stopAgent("SIGTERM")
    return
  }
  await step("rest", atRest)
  await step("mapsMB", () => mapBytes() / 1e6)
  await step("policy", policyChanges)
  await step("cni", pluginCalls)
  await step("restart", async () => {
    const restarts: number[] = []
    const commits: number[] = []
    for (let i = 0; i < 3; i++) {
      await stopAgent("SIGKILL")
      const before = logLength()
      restarts.push(await startAgent())
      commits.push(commitTimes(before)[0] ?? Number.NaN)
    }
    return { untilReadyMs: median(restarts), firstCommitMs: least(commits) }
  })
  if (!flag("quick")) writeResults("control", results)
}

try {
  execFileSync(`${root}/bench/build`, { stdio: "inherit" })
  execFileSync(`${root}/scripts/build-bundle`, { stdio: "inherit" })
  await main()
} catch (error) {
  if (existsSync(ground.path("agent.log"))) console.error(readFileSync(ground.path("agent.log"), "utf8").slice(-3_000))
  throw error
} finally {
  await stopAgent("SIGKILL")
  ground.remove()
}
