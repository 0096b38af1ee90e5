/**
 * How fast a node follows: changes and CNI calls through the real agent and its sockets, among 1,000 policies, 1,000 local and 10,000
 * remote pods; what it takes at rest; restarts under traffic. Beside it Debian's ptp and host-local plugins. `node bench/control.ts
 * [--part rest|changes|cni|restart] [--changes N] [--pods N] [--attached N] [--rounds N] [--quick]`, as root. Only a whole run of full
 * size is written to results/; HEDDLE_PROFILE names a folder for CPU profiles of the agent, one for each phase.
 */
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { MeasuredAgent } from "./control/agent.ts"
import { ChangeBench, podChanges } from "./control/changes.ts"
import { localPods, Runtime } from "./control/plugins.ts"
import { atRest, mapsMB, memoryNow } from "./control/rest.ts"
import { RestartBench } from "./control/restart.ts"
import { Ground } from "./ground.ts"
import { flag, machine, option, writeResults } from "./measure.ts"
import { type Size, writeCluster } from "./objects.ts"
import { root } from "./paths.ts"

const quick = flag("quick")
const size: Size = quick
  ? { policies: 100, local: 100, remote: 1_000 }
  : { policies: 1_000, local: 1_000, remote: 10_000 }
const changes = option("changes", quick ? 20 : 200)
const pods = option("pods", quick ? 10 : 100)
const rounds = option("rounds", quick ? 1 : 3)
/** Local pods that are real, with a namespace and an interface; of the others there is only the object. */
const attached = Math.min(option("attached", size.local), size.local)
const onlyPart = process.argv.includes("--part") ? process.argv[process.argv.indexOf("--part") + 1] : undefined

async function main(ground: Ground): Promise<void> {
  const results: Record<string, unknown> = { machine: machine(), size: { ...size, attached } }
  const agent = new MeasuredAgent(ground)
  const runtime = new Runtime(ground, agent)
  writeCluster(agent.objects, size, 2 * pods, podChanges(changes))
  const step = async (name: string, run: () => Promise<unknown> | unknown): Promise<void> => {
    const from = performance.now()
    results[name] = await run()
    const text = JSON.stringify(results[name], (_, value) =>
      typeof value === "number" ? Number(value.toPrecision(4)) : value,
    )
    console.log(`${name} (${((performance.now() - from) / 1_000).toFixed(1)} s): ${text}`)
  }
  const parts: Readonly<Record<string, () => Promise<unknown>>> = {
    rest: () => atRest(agent, quick ? 5 : 60),
    changes: () => new ChangeBench(agent, size).run(changes),
    cni: () => runtime.compare(agent, pods),
    restart: () => new RestartBench(ground, agent, runtime).run(rounds),
  }
  if (onlyPart !== undefined && !(onlyPart in parts))
    throw new Error(`there is no part ${onlyPart}: ${Object.keys(parts).join(", ")}`)
  await step("firstStartMs", () => agent.start())
  await step("attachedASecond", () =>
    runtime.attach([...localPods(attached), ...["client", "server"].map((name) => ({ namespace: "traffic", name }))]),
  )
  await step("kernelTablesMB", () => mapsMB(agent))
  if (onlyPart !== undefined && onlyPart !== "rest") await agent.settle()
  for (const [name, run] of Object.entries(parts)) {
    if (onlyPart !== undefined && name !== onlyPart) continue
    await step(name, run)
    if (name === "cni" || name === "changes") await step(`after-${name}`, () => memoryNow(agent))
  }
  await agent.stop("SIGTERM")
  if (!quick && onlyPart === undefined) writeResults("control", { ...results, loadAtEnd: machine()["load"] })
}

const ground = new Ground()
try {
  execFileSync(`${root}/bench/build`, { stdio: "inherit" })
  execFileSync(`${root}/scripts/build-bundle`, { stdio: "inherit" })
  await main(ground)
} catch (error) {
  if (existsSync(ground.path("agent.log"))) console.error(readFileSync(ground.path("agent.log"), "utf8").slice(-3_000))
  throw error
} finally {
  ground.remove()
}
