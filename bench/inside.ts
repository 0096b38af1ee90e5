/**
 * Loaded into an agent under measurement (`--import`), which is asked over its IPC channel: "begin" forgets what was seen, "watch" does so
 * and watches the event loop too, "end" answers with a `Seen`. Until the first of these it notes moments from the start of the process
 * on. With HEDDLE_PROFILE, a folder, it writes a CPU profile of each watched time; not from the start on, because the profiler's signals
 * interrupt the kernel's verifier (EAGAIN).
 */
import { subscribe } from "node:diagnostics_channel"
import { readFileSync, writeFileSync } from "node:fs"
import type { IncomingMessage } from "node:http"
import { Session } from "node:inspector/promises"
import { join } from "node:path"
import { monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks"
import { getHeapStatistics } from "node:v8"

/** Something that the agent told of on the channel `heddle:moments`, `at` ms of CLOCK_MONOTONIC, which all processes share. */
export interface Moment {
  readonly what: string
  readonly at: number
  /** CPU time of the process until then, in ms; 0 while the event loop is watched, for asking takes 20 µs and more. */
  readonly cpu: number
  readonly digest?: string
  readonly generation?: number
}

/** A request whose head the agent has read; `tag` is what the caller said as its time limit, in ms. */
export interface Received {
  readonly method: string
  readonly tag: number
  readonly at: number
}

export interface Seen {
  readonly moments: readonly Moment[]
  readonly received: readonly Received[]
  /** How much later than asked for a timer of the event loop fired, in ms; a timer is no finer than 1 ms. */
  readonly loopDelay: { readonly p99: number; readonly max: number }
  /** Pauses of the garbage collector, in ms; they are part of the loop's delays. */
  readonly gc: { readonly count: number; readonly total: number; readonly max: number }
  readonly cpuMs: number
  /** Ms that the main thread could have run and waited for a CPU: what neighbours took. */
  readonly waitedForCpuMs: number
  readonly heapMB: {
    readonly used: number
    readonly total: number
    readonly external: number
    readonly buffers: number
  }
}

const RESOLUTION_MS = 1
const profiles = process.env["HEDDLE_PROFILE"]
const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
const session = new Session()
const pauses: number[] = []
const observer = new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) pauses.push(duration)
})
let moments: Moment[] = []
let received: Received[] = []
let watching = false
let before = { cpu: process.cpuUsage(), waited: waited() }

const now = (): number => Number(process.hrtime.bigint()) / 1e6

function cpuMs(since?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1e3
}

function waited(): number {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[1]) / 1e6
}

subscribe("heddle:moments", (message) => {
  moments.push({ ...(message as Omit<Moment, "at" | "cpu">), at: now(), cpu: watching ? 0 : cpuMs() })
})
subscribe("http.server.request.start", (message) => {
  const { url = "", headers } = (message as { request: IncomingMessage }).request
  const method = url.slice(url.lastIndexOf("/") + 1).toLowerCase()
  received.push({ method, tag: Number(headers["connect-timeout-ms"]), at: now() })
})

async function begin(watch: boolean): Promise<void> {
  if (watch && profiles !== undefined) {
    session.connect()
    await session.post("Profiler.enable")
    await session.post("Profiler.start")
  }
  watching = watch
  if (watch) {
    observer.observe({ entryTypes: ["gc"] })
    histogram.reset()
    histogram.enable()
  }
  pauses.length = 0
  moments = []
  received = []
  before = { cpu: process.cpuUsage(), waited: waited() }
}

async function end(phase: string): Promise<Seen> {
  const used = cpuMs(before.cpu)
  const waitedForCpuMs = waited() - before.waited
  if (watching) {
    histogram.disable()
    for (const { duration } of observer.takeRecords()) pauses.push(duration)
    observer.disconnect()
  }
  if (watching && profiles !== undefined) {
    const { profile } = await session.post("Profiler.stop")
    writeFileSync(join(profiles, `${phase}.cpuprofile`), JSON.stringify(profile))
    session.disconnect()
  }
  const beyond = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS)
  const heap = getHeapStatistics()
  return {
    ...{ moments, received },
    loopDelay: watching ? { p99: beyond(histogram.percentile(99)), max: beyond(histogram.max) } : { p99: 0, max: 0 },
    gc: { count: pauses.length, total: pauses.reduce((a, b) => a + b, 0), max: Math.max(0, ...pauses) },
    ...{ cpuMs: used, waitedForCpuMs },
    heapMB: {
      ...{ used: heap.used_heap_size / 1e6, total: heap.total_heap_size / 1e6, external: heap.external_memory / 1e6 },
      buffers: process.memoryUsage().arrayBuffers / 1e6,
    },
  }
}

process.on("message", (words: readonly [ask: "begin" | "watch" | "end", phase: string]) => {
  const [ask, phase] = words
  const answer = ask === "end" ? end(phase) : begin(ask === "watch")
  void answer.then((seen) => process.send?.(seen ?? {}))
})
// The agent ends when it has nothing left to do.
process.channel?.unref()
