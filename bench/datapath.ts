/**
 * What the data plane costs real packets: two pods, both ends on one CPU, beside plain forwarding, a bare redirect and an
 * iptables policy in the same rounds. `node bench/datapath.ts [--rounds N] [--ms N] [--only NAME,…] [--quick]`, as root.
 */
import { execFileSync } from "node:child_process"
import { Ground } from "./ground.ts"
import { flag, median, option, quantile, shuffled, spread, writeResults } from "./measure.ts"
import {
  heddlePath,
  iptablesPath,
  type Load,
  load,
  type Mode,
  type Path,
  plainPath,
  redirectPath,
  root,
} from "./paths.ts"

/** One CPU makes the load; this process keeps off it. */
const LOAD_CPU = 1

const modes: readonly Mode[] = ["rr", "crr", "udp", "stream"]
const families = [4, 6] as const

/** The figure of a run that is compared: ns of the CPU an exchange or packet, or ms of the CPU a Gbit. */
const figures: Record<Mode, { unit: string; of: (run: Load) => number }[]> = {
  rr: [
    { unit: "p50 µs", of: (run) => run.p50 / 1e3 },
    { unit: "CPU µs", of: (run) => (run.cpuSeconds / run.count) * 1e6 },
  ],
  crr: [
    { unit: "p50 µs", of: (run) => run.p50 / 1e3 },
    { unit: "CPU µs", of: (run) => (run.cpuSeconds / run.count) * 1e6 },
    { unit: "1/CPU s", of: (run) => run.count / run.cpuSeconds },
  ],
  udp: [{ unit: "CPU ns", of: (run) => (run.cpuSeconds / run.count) * 1e9 }],
  stream: [
    { unit: "Gbit/CPU s", of: (run) => (run.bytes * 8) / 1e9 / run.cpuSeconds },
    { unit: "CPU ms/Gbit", of: (run) => run.cpuSeconds / ((run.bytes * 8) / 1e12) },
  ],
}

const ground = new Ground()
const closing: (() => void)[] = []
const reference: Record<string, string> = {}

async function build(): Promise<Path[]> {
  const heddle = async (name: string, options: Parameters<typeof heddlePath>[2]): Promise<Path> => {
    const path = await heddlePath(ground, name, options)
    closing.push(path.close)
    return path
  }
  const makers: Record<string, () => Path | Promise<Path>> = {
    forward: () => plainPath(ground, "forward"),
    redirect: () => redirectPath(ground, "redirect"),
    iptables: () => iptablesPath(ground, "iptables"),
    heddle0: () => heddle("heddle0", { routing: "native", rules: 0 }),
    heddle100: () => heddle("heddle100", { routing: "native", rules: 100 }),
    heddle10k: () => heddle("heddle10k", { routing: "native", rules: 10_000 }),
    "big-forward": () => plainPath(ground, "big-forward", { bigTcp: true }),
    "big-heddle": () => heddle("big-heddle", { routing: "native", rules: 100, bigTcp: true }),
    "routed-forward": () => plainPath(ground, "routed-forward", { remote: "routed" }),
    "routed-heddle": () => heddle("routed-heddle", { routing: "native", rules: 100, remote: true }),
    "vxlan-forward": () => plainPath(ground, "vxlan-forward", { remote: "vxlan" }),
    "vxlan-heddle": () => heddle("vxlan-heddle", { routing: "vxlan", rules: 100, remote: true }),
  }
  const only = process.argv.includes("--only")
    ? (process.argv[process.argv.indexOf("--only") + 1] ?? "").split(",")
    : []
  const paths: Path[] = []
  for (const [name, make] of Object.entries(makers)) {
    if (only.length > 0 && !only.includes(name)) continue
    reference[name] = name.startsWith("routed")
      ? "routed-forward"
      : name.startsWith("vxlan")
        ? "vxlan-forward"
        : "forward"
    paths.push(await make())
    console.error(`made ${name}`)
  }
  return paths
}

interface Row {
  readonly path: string
  readonly mode: Mode
  readonly family: number
  readonly unit: string
  readonly median: number
  readonly low: number
  readonly high: number
  readonly spread: number
  /** Median over the rounds of this path's figure by the reference path's of the same round. */
  readonly ratio: number
  readonly ratioSpread: number
}

async function run(): Promise<Row[]> {
  const rounds = option("rounds", flag("quick") ? 2 : 9)
  const milliseconds = option("ms", flag("quick") ? 100 : 250)
  const paths = await build()
  const runs = new Map<string, Load[]>()
  for (let round = 0; round < rounds; round++) {
    for (const mode of modes)
      for (const family of families)
        for (const path of shuffled(paths)) {
          const key = `${path.name} ${mode} ${family}`
          const all = runs.get(key) ?? []
          runs.set(key, all)
          all.push(await load(path, mode, family, mode === "stream" ? milliseconds * 2 : milliseconds, LOAD_CPU))
        }
    console.error(`round ${round + 1} of ${rounds}`)
  }
  const rows: Row[] = []
  for (const mode of modes)
    for (const family of families)
      for (const { unit, of } of figures[mode])
        for (const { name: path } of paths) {
          const values = (runs.get(`${path} ${mode} ${family}`) ?? []).map(of)
          const base = (runs.get(`${reference[path]} ${mode} ${family}`) ?? []).map(of)
          const ratios = values.map((value, i) => value / (base[i] ?? Number.NaN))
          rows.push({
            ...{ path, mode, family, unit, median: median(values), spread: spread(values) },
            ...{ low: quantile(values, 0), high: quantile(values, 1) },
            ...{ ratio: median(ratios), ratioSpread: spread(ratios) },
          })
        }
  return rows
}

try {
  execFileSync(`${root}/bench/build`, { stdio: "inherit" })
  execFileSync("taskset", ["-acp", "0", String(process.pid)], { stdio: "ignore" })
  const rows = await run()
  for (const row of rows)
    console.log(
      `${row.path.padEnd(15)} ${row.mode.padEnd(6)} IPv${row.family} ${row.unit.padEnd(12)} ${row.median.toFixed(2).padStart(10)} ±${row.spread.toFixed(2).padEnd(8)} ${row.ratio.toFixed(3)}×`,
    )
  if (!flag("quick") && !process.argv.includes("--only")) writeResults("datapath", { rows })
} finally {
  for (const close of closing) close()
  ground.remove()
}
