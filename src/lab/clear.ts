import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs"
import { dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { isKernelError } from "../kernel/error.ts"
import { unmount } from "../kernel/mount.ts"
import { deleteNamespace } from "../kernel/namespace.ts"
import { type LabLock, lockLab } from "./lock.ts"
import { LABS_DIRECTORY, LabPaths } from "./paths.ts"
import { endProcesses, isAlive, mountedNamespace, processesIn } from "./processes.ts"
import { readRecord } from "./record.ts"

/** How long a process of a lab has to end by itself before it is ended, in ms. */
const GRACE_MS = 400

/**
 * Takes away everything of a lab, whatever state it was left in: the processes in its namespaces, what is mounted in its
 * directory, its namespaces with all their links, routes and programs, and the directory. Only processes that are in a
 * namespace of the lab, or began when the lab's record says, are ended: a number given to a stranger meanwhile never matters.
 */
export async function clearLab(paths: LabPaths): Promise<void> {
  if (!existsSync(paths.root)) return
  const record = readRecord(paths)
  // A process that was started but is not in its namespace yet is known by number and start time alone.
  const recorded = [record?.responder, ...(record?.nodes ?? []).map((node) => node.agent)].filter(
    (id) => id !== undefined,
  )
  for (let round = 0; ; round++) {
    const inodes = new Set(
      list(paths.namespaces).flatMap((name) => mountedNamespace(join(paths.namespaces, name)) ?? []),
    )
    const processes = [...processesIn(inodes), ...recorded.filter(isAlive)]
    if (processes.length === 0 || round === 3) break
    await endProcesses(processes, GRACE_MS)
  }
  clearMounts(paths.root)
  rmSync(paths.root, { recursive: true, force: true })
  for (const folder of [dirname(paths.root), dirname(dirname(paths.root))]) {
    try {
      rmdirSync(folder)
    } catch {
      return // others use it
    }
  }
}

/** Unmounts everything at and below a directory; namespaces are unlinked too. */
export function clearMounts(directory: string): void {
  for (const point of mountsBelow(directory).reverse()) {
    if (mountedNamespace(point) !== undefined) deleteNamespace(point)
    else {
      try {
        unmount(point)
      } catch (error) {
        if (!isKernelError(error, "EINVAL", "ENOENT")) throw error
      }
    }
  }
}

/** Mount points at or below a directory, in the order they were mounted. */
function mountsBelow(directory: string): string[] {
  const points: string[] = []
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const point = line
      .split(" ")[4]
      ?.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
    if (point !== undefined && (point === directory || point.startsWith(`${directory}/`))) points.push(point)
  }
  return points
}

/** Clears every lab whose owner died without taking it down, or that a crash left without a record. Returns their names. */
export async function clearAbandoned(directory: string = LABS_DIRECTORY): Promise<string[]> {
  const cleared: string[] = []
  for (const name of list(directory)) {
    const paths = labPaths(name, directory)
    if (paths === undefined) continue
    const record = readRecord(paths)
    if (record !== undefined && (record.owner === undefined || isAlive(record.owner))) continue
    const lock = await tryLock(name)
    if (lock === undefined) continue // somebody is just making it
    try {
      await clearLab(paths)
      cleared.push(name)
    } finally {
      await lock.release()
    }
  }
  return cleared
}

/** Takes the lock, waiting up to `patienceMs` for another command to end. */
export async function lockPatiently(name: string, patienceMs: number): Promise<LabLock> {
  for (let waited = 0; ; waited += 100) {
    const lock = await tryLock(name)
    if (lock !== undefined) return lock
    if (waited >= patienceMs) return await lockLab(name)
    await sleep(100)
  }
}

async function tryLock(name: string): Promise<LabLock | undefined> {
  try {
    return await lockLab(name)
  } catch {
    return undefined
  }
}

function labPaths(name: string, directory: string): LabPaths | undefined {
  try {
    return new LabPaths(name, directory)
  } catch {
    return undefined // not a name that a lab can have: not ours
  }
}

/** Names of what is in a directory; none when it is not there. */
export function list(directory: string): string[] {
  try {
    return readdirSync(directory).sort()
  } catch {
    return []
  }
}
