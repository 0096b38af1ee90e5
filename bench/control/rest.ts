import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { MeasuredAgent } from "./agent.ts"

/** CPU of the settled agent over so many seconds; from 60 on one repair of everything is among them. */
export async function atRest(agent: MeasuredAgent, seconds: number): Promise<Record<string, unknown>> {
  const settledMs = await agent.settle()
  await agent.begin({ loop: false })
  await sleep(seconds * 1_000)
  const { moments, cpuMs, heapMB } = await agent.end("rest")
  const cpuAt = (name: string): number[] => moments.filter(({ what }) => what === name).map(({ cpu }) => cpu)
  const ends = cpuAt("applied")
  const repairMs = cpuAt("begun").reduce((sum, begun, i) => sum + (ends[i] ?? begun) - begun, 0)
  return {
    ...{ settledMs, seconds, cpuPercent: cpuMs / (seconds * 10) },
    ...{ repairs: ends.length, cpuMs: { repairs: repairMs, otherwise: cpuMs - repairMs } },
    ...{ memoryMB: memory(agent.pid), heapMB },
  }
}

/** Memory of the agent now, by what lies behind it, and its greatest so far. */
export async function memoryNow(agent: MeasuredAgent): Promise<Record<string, unknown>> {
  await agent.settle()
  await agent.begin({ loop: false })
  const { heapMB } = await agent.end("memory")
  return { memoryMB: memory(agent.pid), heapMB }
}

function memory(pid: number): Record<string, number> {
  const status = readFileSync(`/proc/${pid}/status`, "utf8")
  const megabytes = (name: string): number =>
    (Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0) * 1_024) / 1e6
  return {
    rss: megabytes("VmRSS"),
    RssAnon: megabytes("RssAnon"),
    RssFile: megabytes("RssFile"),
    RssShmem: megabytes("RssShmem"),
    highest: megabytes("VmHWM"),
  }
}

/** MB of all maps that the agent holds, as the kernel reports them. */
export function mapsMB(agent: MeasuredAgent): number {
  const folder = `/proc/${agent.pid}/fdinfo`
  const maps = new Map<number, number>()
  for (const name of readdirSync(folder)) {
    const text = textOf(join(folder, name))
    const id = /^map_id:\s+(\d+)/m.exec(text)
    const bytes = /^memlock:\s+(\d+)/m.exec(text)
    if (id !== null && bytes !== null) maps.set(Number(id[1]), Number(bytes[1]))
  }
  return [...maps.values()].reduce((sum, bytes) => sum + bytes, 0) / 1e6
}

/** Empty for a descriptor that was closed meanwhile. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return ""
  }
}
