import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"

/** A process as it can be told from a later one with the same number. */
export interface ProcessId {
  readonly pid: number
  /** Field 22 of /proc/PID/stat: clock ticks since boot at which it began. */
  readonly started: string
}

/** The process with that number, if it is there (a zombie is not). */
export function processId(pid: number): ProcessId | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  } catch {
    return undefined
  }
  // The command name in parentheses may hold blanks and parentheses itself; the fields count from the last one.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const started = fields[19]
  return started === undefined || fields[0] === "Z" || fields[0] === "X" ? undefined : { pid, started }
}

/** Whether it is still the same process. */
export function isAlive(process: ProcessId): boolean {
  return processId(process.pid)?.started === process.started
}

/** All processes (of whatever parent) that are in one of these network namespaces, given by inode. */
export function processesIn(inodes: ReadonlySet<number>): ProcessId[] {
  if (inodes.size === 0) return []
  const found: ProcessId[] = []
  for (const entry of readdirSync("/proc")) {
    if (!/^[0-9]+$/.test(entry) || Number(entry) === process.pid) continue
    try {
      const inode = /^net:\[(\d+)\]$/.exec(readlinkSync(`/proc/${entry}/ns/net`))?.[1]
      if (inode === undefined || !inodes.has(Number(inode))) continue
    } catch {
      continue // it ended meanwhile, or is a kernel thread
    }
    const id = processId(Number(entry))
    if (id !== undefined) found.push(id)
  }
  return found
}

/** Inode of the network namespace mounted at `path`; undefined when the file is there but no namespace on it. */
export function mountedNamespace(path: string): number | undefined {
  try {
    const stat = statSync(path)
    // A namespace file lies on nsfs, a leftover without its mount on the same device as its directory.
    return stat.dev === statSync("/proc/self/ns/net").dev ? stat.ino : undefined
  } catch {
    return undefined
  }
}

/** Ends processes: SIGTERM, and SIGKILL for those that have not ended after `graceMs`. Returns when all are gone. */
export async function endProcesses(processes: readonly ProcessId[], graceMs: number): Promise<void> {
  let left = processes.filter(isAlive)
  for (const each of left) send(each, "SIGTERM")
  for (let waited = 0; left.length > 0 && waited < graceMs; waited += 10) {
    await sleep(10)
    left = left.filter(isAlive)
  }
  for (const each of left) send(each, "SIGKILL")
  for (let waited = 0; left.length > 0 && waited < 5_000; waited += 10) {
    await sleep(10)
    left = left.filter(isAlive)
  }
}

function send(target: ProcessId, signal: NodeJS.Signals): void {
  try {
    if (isAlive(target)) process.kill(target.pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error
  }
}
