import { mkdirSync, readFileSync, watch } from "node:fs"
import { basename, dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Failure } from "../api/failure.ts"
import { startInNamespace } from "./agent-process.ts"
import { heddleCommand } from "./package.ts"
import type { LabPaths } from "./paths.ts"
import { isAlive, type ProcessId } from "./processes.ts"
import { Reactor } from "./reactor.ts"
import { replaceFile } from "./record.ts"
import { Responder, type Station } from "./responder.ts"

/** Whoever answers for a lab's pods: this process, or one in the background. */
export interface Answering {
  /** Answers for exactly these from now on; returns what could not be opened, in words. */
  set(stations: readonly Station[]): Promise<readonly string[]>
}

/** Wishes to the background responder, and its answer. */
interface Wanted {
  readonly revision: number
  readonly stations: readonly Station[]
}
interface Ready {
  readonly revision: number
  readonly problems: readonly string[]
}

const ANSWER_MS = 20_000

/** The responder of a lab that outlives the command that made it: a process in the lab's underlay namespace. */
export class BackgroundAnswering implements Answering {
  readonly #paths: LabPaths
  readonly process: ProcessId

  constructor(paths: LabPaths, process: ProcessId) {
    this.#paths = paths
    this.process = process
  }

  static start(paths: LabPaths): BackgroundAnswering {
    const command = [...heddleCommand(), "lab", "respond", "--name", paths.name]
    return new BackgroundAnswering(paths, startInNamespace(paths.underlay, command, log(paths)))
  }

  async set(stations: readonly Station[]): Promise<readonly string[]> {
    const wanted: Wanted = { revision: (read<Wanted>(this.#paths.responder)?.revision ?? 0) + 1, stations }
    replaceFile(this.#paths.responder, JSON.stringify(wanted))
    for (let waited = 0; waited < ANSWER_MS; waited += 10) {
      const ready = read<Ready>(readyFile(this.#paths))
      if (ready?.revision === wanted.revision) return ready.problems
      if (!isAlive(this.process)) throw this.#failure("it ended")
      await sleep(10)
    }
    throw this.#failure(`it did not answer within ${ANSWER_MS / 1_000} s`)
  }

  #failure(why: string): Failure {
    return new Failure("failed", "Cannot make the pods answer on their ports", why, `read ${log(this.#paths)}`)
  }
}

/** What `heddle lab respond` runs: answers for the lab until it is told to end. */
export async function respond(paths: LabPaths, stop: AbortSignal): Promise<void> {
  const reactor = new Reactor((error) => process.stderr.write(`${error instanceof Error ? error.message : error}\n`))
  reactor.start()
  const responder = new Responder(reactor)
  let done = 0
  const look = (): void => {
    const wanted = read<Wanted>(paths.responder)
    if (wanted === undefined || wanted.revision === done) return
    done = wanted.revision
    let problems: readonly string[]
    try {
      problems = responder.set(wanted.stations)
    } catch (error) {
      problems = [error instanceof Error ? error.message : String(error)]
    }
    replaceFile(readyFile(paths), JSON.stringify({ revision: done, problems } satisfies Ready))
  }
  mkdirSync(dirname(paths.responder), { recursive: true })
  const watcher = watch(dirname(paths.responder), (_event, name) => {
    if (name === basename(paths.responder)) look()
  })
  // A lost notification costs a second, not the lab.
  const clock = setInterval(look, 1_000)
  look()
  await new Promise<void>((resolve) => stop.addEventListener("abort", () => resolve(), { once: true }))
  clearInterval(clock)
  watcher.close()
  responder.close()
  await reactor.close()
}

function readyFile(paths: LabPaths): string {
  return join(paths.root, "responder.ready")
}

function log(paths: LabPaths): string {
  return join(paths.root, "responder.log")
}

function read<T>(path: string): T | undefined {
  try {
    // Written by this same file's other half.
    return JSON.parse(readFileSync(path, "utf8")) as T
  } catch {
    return undefined
  }
}
