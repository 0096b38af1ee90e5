/**
 * What telling about flows costs: the same two pods with the product's programs and a reader, and with programs that tell nothing, in
 * the same rounds; the reader's CPU time; what is lost when nobody reads. `node bench/events.ts [--rounds N] [--ms N]`, as root.
 */
import { execFileSync } from "node:child_process"
import { join } from "node:path"
import { flowTexts } from "../src/flow/decode.ts"
import { Names } from "../src/flow/name.ts"
import { FlowReader, wallClockOffset } from "../src/flow/reader.ts"
import { FlowStore } from "../src/flow/store.ts"
import { RingReader } from "../src/kernel/bpf/ring.ts"
import { Ground } from "./ground.ts"
import { median, option, shuffled, spread, writeResults } from "./measure.ts"
import { type HeddlePath, heddlePath, type Load, load, type Mode, root } from "./paths.ts"

const modes: readonly Mode[] = ["rr", "stream", "crr"]
const rounds = option("rounds", 7)
const milliseconds = option("ms", 250)
const ground = new Ground()
const paths: HeddlePath[] = []

/** CPU µs an exchange; stream: CPU ms a Gbit. */
const cost = (mode: Mode, run: Load): number =>
  mode === "stream" ? run.cpuSeconds / ((run.bytes * 8) / 1e12) : (run.cpuSeconds / run.count) * 1e6

function eventsLost(path: HeddlePath): bigint {
  return [...(path.planes[0]?.lost() ?? [])].reduce((sum, [, count]) => sum + count, 0n)
}

async function main(): Promise<void> {
  const options = { routing: "native", rules: 100, halfOpenLimit: 1_000_000 } as const
  const told = await heddlePath(ground, "told", options)
  const unread = await heddlePath(ground, "unread", options)
  const silent = await heddlePath(ground, "silent", { ...options, object: join(root, "build/bench/silent.bpf.o") })
  paths.push(told, unread, silent)
  const plane = told.planes[0]
  if (plane === undefined) throw new Error("there is no plane")
  const ring = new RingReader(plane.events)
  const store = new FlowStore({ texts: flowTexts, segments: 16 })
  let taken = 0
  const counted = {
    read: (each: (view: DataView, offset: number, length: number) => void, limit: number): number => {
      const some = ring.read(each, limit)
      taken += some
      return some
    },
    watch: (ready: () => void): (() => void) => ring.watch(ready),
  }
  const failures: unknown[] = []
  const reader = new FlowReader({
    ...{ ring: counted, names: new Names(), store, clock: wallClockOffset },
    onError: (error) => failures.push(error),
  })
  reader.start()
  const runs = new Map<string, number[]>()
  let readerMicroseconds = 0
  let readerEvents = 0
  for (let round = 0; round < rounds; round++)
    for (const mode of modes)
      for (const path of shuffled(paths)) {
        const before = { cpu: process.cpuUsage(), taken }
        const run = await load(path, mode, 4, milliseconds)
        if (path === told && mode === "crr") {
          await new Promise((resolve) => setTimeout(resolve, 60))
          const used = process.cpuUsage(before.cpu)
          readerMicroseconds += used.user + used.system
          readerEvents += taken - before.taken
        }
        const key = `${path.name} ${mode}`
        runs.set(key, [...(runs.get(key) ?? []), cost(mode, run)])
      }
  const rows = modes.flatMap((mode) =>
    paths.map(({ name }) => {
      const own = runs.get(`${name} ${mode}`) ?? []
      const base = runs.get(`silent ${mode}`) ?? []
      const ratios = own.map((value, i) => value / (base[i] ?? Number.NaN))
      return { mode, path: name, median: median(own), ratio: median(ratios), ratioSpread: spread(ratios) }
    }),
  )
  for (const row of rows)
    console.log(
      `${row.mode.padEnd(7)} ${row.path.padEnd(7)} ${row.median.toFixed(2).padStart(9)} ${row.ratio.toFixed(3)}× ±${row.ratioSpread.toFixed(3)}`,
    )
  const reading = { events: readerEvents, cpuMsPer100k: (readerMicroseconds / 1e3 / readerEvents) * 1e5 }
  const lost = { read: Number(eventsLost(told)), unread: Number(eventsLost(unread)) }
  console.log(`reader: ${JSON.stringify(reading)}; lost: ${JSON.stringify(lost)}`)
  if (failures.length > 0) throw failures[0]
  reader.stop()
  ring.close()
  writeResults("events", { rows, reading, lost })
}

try {
  execFileSync(`${root}/bench/build`, ["silent"], { stdio: "inherit" })
  execFileSync("taskset", ["-acp", "0", String(process.pid)], { stdio: "ignore" })
  await main()
} finally {
  for (const path of paths) path.close()
  ground.remove()
}
