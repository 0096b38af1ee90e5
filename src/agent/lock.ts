import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Failure } from "../api/failure.ts"

interface Holder {
  readonly pid: number
  /** Clock ticks since boot at which it began (proc_pid_stat(5), field 22): tells it from a later one of that number. */
  readonly started: string
}

/**
 * Makes this process the only agent of a run directory and returns how to let go. A lock whose process is gone is taken over. Throws a
 * `Failure` that names the process that holds it.
 */
export function lockRunDirectory(runDir: string): () => void {
  const path = join(runDir, "agent.pid")
  const started = startOf(process.pid)
  if (started === undefined)
    throw new Failure("failed", "Cannot lock the run directory", "/proc is not mounted", "mount it")
  const own: Holder = { pid: process.pid, started }
  mkdirSync(runDir, { recursive: true })
  const mine = `${path}.${process.pid}`
  writeFileSync(mine, `${JSON.stringify(own)}\n`)
  try {
    for (let attempt = 0; attempt < 5; attempt++) {
      try {
        // A hard link is made whole or not at all, and never over another.
        linkSync(mine, path)
        return () => release(path, own)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
      }
      const holder = readHolder(path)
      if (holder !== undefined && startOf(holder.pid) === holder.started) {
        throw new Failure(
          "failed",
          `Cannot start an agent in ${runDir}`,
          `process ${holder.pid} is the agent of this directory`,
          "stop that one first (it leaves everything enforced), or use another --run-dir",
        )
      }
      rmSync(path, { force: true })
    }
  } finally {
    rmSync(mine, { force: true })
  }
  throw new Failure(
    "failed",
    `Cannot start an agent in ${runDir}`,
    "other agents are starting in it at the same time",
    "try again",
  )
}

/** Process id of the agent that runs in this directory, if one does. */
export function agentOf(runDir: string): number | undefined {
  const holder = readHolder(join(runDir, "agent.pid"))
  return holder !== undefined && startOf(holder.pid) === holder.started ? holder.pid : undefined
}

function release(path: string, own: Holder): void {
  const holder = readHolder(path)
  if (holder?.pid === own.pid && holder.started === own.started) rmSync(path, { force: true })
}

function readHolder(path: string): Holder | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"))
    if (typeof value !== "object" || value === null || !("pid" in value) || !("started" in value)) return undefined
    return { pid: Number(value.pid), started: String(value.started) }
  } catch {
    return undefined
  }
}

function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return fields[0] === "Z" ? undefined : fields[19]
  } catch {
    return undefined
  }
}
