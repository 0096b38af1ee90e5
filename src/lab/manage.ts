import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { constants } from "node:os"
import { AgentClient } from "../api/client.ts"
import { Failure, reasonOf } from "../api/failure.ts"
import type { StatusResponse } from "../api/generated/heddle/agent/v1/agent_pb.ts"
import type { Problem } from "../model/problem.ts"
import type { Address, Family } from "../net/types.ts"
import type { SourceText } from "../source/check.ts"
import { agentLog, agentSocket } from "./agent-process.ts"
import { clearAbandoned, clearLab, list, lockPatiently } from "./clear.ts"
import { Lab } from "./lab.ts"
import { readLabManifests } from "./manifests.ts"
import { LABS_DIRECTORY, LabPaths } from "./paths.ts"
import { planLab } from "./plan.ts"
import { isAlive } from "./processes.ts"
import { type LabRecord, type PodRecord, readRecord } from "./record.ts"

/** Name of the lab when none is given. */
export const DEFAULT_LAB = "lab"
/** How long a command waits for another that works on the same lab, in ms. */
const LOCK_MS = 10_000

export interface LabUpRequest {
  readonly name: string
  /** Manifests as files' texts. */
  readonly texts: readonly SourceText[]
  /** Absent: as many as the manifests name, else two. */
  readonly nodes?: number
  readonly routing: "vxlan" | "native"
  readonly families: readonly Family[]
  /** Hosts outside the cluster to make. */
  readonly outside?: readonly Address[]
  /** Told what is being done, for people who wait. */
  readonly progress?: (text: string) => void
  /** Whether a signal takes a half made lab away again (default); false when the caller sees to that. */
  readonly undoOnSignal?: boolean
}

export interface LabUp {
  readonly lab: Lab
  /** A lab of that name ran already, and only the differences were applied. */
  readonly changed: boolean
  readonly warnings: readonly Problem[]
}

/**
 * `heddle lab up`: makes a lab, or brings the running one of that name into the state of these manifests. A lab that a
 * crash left half made goes first. When it fails or is interrupted, a lab that was being made goes again.
 */
export async function labUp(request: LabUpRequest): Promise<LabUp> {
  requireRoot()
  const paths = new LabPaths(request.name)
  const { manifests, warnings } = readLabManifests(request.texts)
  const state = planLab(manifests, request)
  const lock = await lockPatiently(request.name, LOCK_MS)
  try {
    await clearAbandoned()
    const options = request.progress === undefined ? {} : { progress: request.progress }
    const running = Lab.open(paths, options)
    const reuse = running !== undefined && readRecord(paths)?.routing === request.routing
    const work = async (): Promise<Lab> => {
      const lab = reuse ? running : await Lab.create(paths, { ...options, routing: request.routing })
      await lab.apply(state)
      return lab
    }
    const lab = reuse ? await work() : await undoneByFailure(work, () => clearLab(paths), request.undoOnSignal ?? true)
    return { lab, changed: reuse, warnings }
  } finally {
    await lock.release()
  }
}

/** `heddle lab down`: takes the lab away, and what crashed labs left. False when there was none of that name. */
export async function labDown(name: string): Promise<boolean> {
  requireRoot()
  const paths = new LabPaths(name)
  const lock = await lockPatiently(name, LOCK_MS)
  try {
    const there = existsSync(paths.root)
    await clearLab(paths)
    await clearAbandoned()
    return there
  } finally {
    await lock.release()
  }
}

export interface LabStatus {
  readonly record: LabRecord
  readonly nodes: readonly NodeStatus[]
}

export interface NodeStatus {
  readonly name: string
  readonly addresses: readonly Address[]
  /** What its agent says; absent when it does not answer. */
  readonly status?: StatusResponse
  /** Why it does not answer. */
  readonly problem?: string
  /** Where the agent writes what happens. */
  readonly log: string
  readonly pods: readonly PodRecord[]
}

/** `heddle lab status`: what a lab consists of and what its agents say. */
export async function labStatus(name: string): Promise<LabStatus> {
  const { paths, record } = existing(name)
  const nodes = await Promise.all(
    record.nodes.map(async (node): Promise<NodeStatus> => {
      const { addresses } = node
      const pods = record.pods.filter((pod) => pod.node === node.name)
      const known = { name: node.name, addresses, log: agentLog(paths, node.name), pods }
      if (node.agent === undefined || !isAlive(node.agent)) return { ...known, problem: "its agent does not run" }
      try {
        return { ...known, status: await new AgentClient(agentSocket(paths, node.name)).call("status", {}) }
      } catch (error) {
        return { ...known, problem: reasonOf(error) }
      }
    }),
  )
  return { record, nodes }
}

/** Names of the labs that are up. */
export function labNames(): string[] {
  return list(LABS_DIRECTORY).filter((name) => existsSync(new LabPaths(name).state))
}

/**
 * `heddle lab exec NS/POD -- COMMAND`: runs a command in a pod's network namespace (`node/NAME` and `outside` name the
 * others), with our own terminal and files, and returns its exit code. nsenter changes the network only.
 */
export async function labExec(name: string, place: string, command: readonly string[]): Promise<number> {
  requireRoot()
  const { paths, record } = existing(name)
  const child = spawn("nsenter", [`--net=${namespaceOf(paths, record, place)}`, "--", ...command], { stdio: "inherit" })
  // The terminal sends Ctrl-C to both; what to make of it is the command's to say.
  const ignore = (): void => undefined
  process.on("SIGINT", ignore)
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once("error", (error) =>
        reject(
          new Failure(
            "failed",
            `Cannot run ${command[0] ?? ""} in ${place}`,
            error.message,
            "install util-linux (nsenter)",
          ),
        ),
      )
      child.once("exit", (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
    })
  } finally {
    process.off("SIGINT", ignore)
  }
}

function namespaceOf(paths: LabPaths, record: LabRecord, place: string): string {
  if (place === "outside") return paths.outside
  const [namespace = "", name = ""] = place.split("/")
  if (namespace === "node" && record.nodes.some((node) => node.name === name)) return paths.nodeNamespace(name)
  const pod = record.pods.find((each) => each.namespace === namespace && each.name === name)
  if (pod !== undefined) return pod.hostNetwork ? paths.nodeNamespace(pod.node) : paths.podNamespace(namespace, name)
  const pods = record.pods.map((each) => `${each.namespace}/${each.name}`)
  throw new Failure(
    "notFound",
    `Cannot find ${place} in the lab ${record.name}`,
    `its pods are: ${pods.slice(0, 20).join(", ")}${pods.length > 20 ? ", …" : ""}`,
    "NAMESPACE/POD, node/NAME or outside",
  )
}

function existing(name: string): { paths: LabPaths; record: LabRecord } {
  const paths = new LabPaths(name)
  const record = readRecord(paths)
  if (record !== undefined) return { paths, record }
  const names = labNames()
  throw new Failure(
    "unreachable",
    `Cannot find the lab ${name}`,
    names.length === 0 ? "no lab is up" : `the labs that are up: ${names.join(", ")}`,
    names.length === 0 ? "heddle lab up -f DIR makes one" : "name one by --name",
  )
}

/** Namespaces, veth and BPF are root's. */
export function requireRoot(): void {
  if (process.getuid?.() === 0) return
  throw new Failure(
    "failed",
    "Cannot work on a lab",
    "it is made of network namespaces and BPF programs, which only root may make",
    "run it as root (sudo); heddle test --plane model needs no root",
  )
}

/**
 * Runs `undo` and ends the process when it is told to end (Ctrl-C, SIGTERM, a closed terminal). Returns how to stop
 * listening.
 */
export function onEndSignal(undo: () => Promise<void>): () => void {
  let ending = false
  const end = (signal: NodeJS.Signals): void => {
    if (ending) return
    ending = true
    void undo().finally(() => process.exit(128 + constants.signals[signal]))
  }
  const signals: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"]
  for (const signal of signals) process.on(signal, end)
  return () => {
    // Once the end is under way nothing calls it off.
    if (!ending) for (const signal of signals) process.off(signal, end)
  }
}

/** Runs `work`; when it fails, or with `onSignal` when the process is told to end meanwhile, `undo` runs. */
async function undoneByFailure<T>(work: () => Promise<T>, undo: () => Promise<void>, onSignal: boolean): Promise<T> {
  let ending = false
  const end = async (): Promise<void> => {
    ending = true
    await undo()
  }
  const forget = onSignal ? onEndSignal(end) : () => undefined
  try {
    return await work()
  } catch (error) {
    // Work whose ground is taken away fails; the exit is under way.
    if (ending) return await new Promise<T>(() => undefined)
    await undo()
    throw error
  } finally {
    forget()
  }
}
