/**
 * Loaded into an agent under measurement (`--import`): on SIGUSR2 it begins to watch how late the event loop is, and with the next
 * one writes the longest delay in ms to the file that HEDDLE_LOOP_DELAY names. With HEDDLE_PROFILE it writes a profile of the time
 * between to that file; not from the start on, because the profiler's signals interrupt the kernel's verifier (EAGAIN).
 */
import { writeFileSync } from "node:fs"
import { Session } from "node:inspector/promises"
import { monitorEventLoopDelay } from "node:perf_hooks"

const histogram = monitorEventLoopDelay({ resolution: 2 })
const profile = process.env["HEDDLE_PROFILE"]
const session = new Session()
let watching = false

async function toggle(): Promise<void> {
  const file = process.env["HEDDLE_LOOP_DELAY"]
  watching = !watching
  if (profile !== undefined && watching) {
    session.connect()
    await session.post("Profiler.enable")
    await session.post("Profiler.start")
  } else if (profile !== undefined) {
    writeFileSync(profile, JSON.stringify((await session.post("Profiler.stop")).profile))
    session.disconnect()
  }
  if (watching) {
    histogram.reset()
    histogram.enable()
  } else histogram.disable()
  if (file === undefined) return
  const delays = { maxMs: histogram.max / 1e6, p99Ms: histogram.percentile(99) / 1e6 }
  writeFileSync(file, JSON.stringify({ watching, ...delays, memory: process.memoryUsage() }))
}

process.on("SIGUSR2", () => void toggle())
