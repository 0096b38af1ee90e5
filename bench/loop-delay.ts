/**
 * Loaded into an agent under measurement (`--import`): on SIGUSR2 it begins to watch how late the event loop is, and with the next
 * one writes the longest delay in ms to the file that HEDDLE_LOOP_DELAY names, with the memory and CPU used.
 */
import { writeFileSync } from "node:fs"
import { monitorEventLoopDelay } from "node:perf_hooks"

const histogram = monitorEventLoopDelay({ resolution: 2 })
let watching = false

process.on("SIGUSR2", () => {
  const file = process.env["HEDDLE_LOOP_DELAY"]
  if (!watching) histogram.reset()
  watching = !watching
  if (watching) histogram.enable()
  else histogram.disable()
  if (file === undefined) return
  const delays = { maxMs: histogram.max / 1e6, p99Ms: histogram.percentile(99) / 1e6 }
  writeFileSync(file, JSON.stringify({ watching, ...delays, memory: process.memoryUsage() }))
})
