import { existsSync, readdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { AgentClient } from "../api/client.ts"
import { Failure } from "../api/failure.ts"

/** One agent that a command may ask. */
export interface Target {
  /** Name of its node, as far as the path tells. */
  readonly node: string
  readonly socket: string
  /** Where its state lies; readable when no agent answers. */
  readonly runDir: string
  /** The lab it belongs to, if any. */
  readonly lab: string | undefined
}

export interface TargetOptions {
  readonly socket?: string
  readonly node?: string
  readonly lab?: string
}

/** Where run directories are. Tests name another. */
export const RUN_DIRECTORY = "/run/heddle"

/**
 * The agents that a command is about: the one of `--socket`; those of the lab `--lab` (with `--node`, that one); else those of
 * the only running lab (or the one called `lab`); else the agents of this machine. Throws a `Failure` when there is none.
 */
export function findTargets(options: TargetOptions, root = RUN_DIRECTORY): Target[] {
  if (options.socket !== undefined) {
    const runDir = dirname(options.socket)
    return [{ node: options.node ?? "", socket: options.socket, runDir, lab: undefined }]
  }
  const lab = options.lab ?? defaultLab(root, options.node)
  const all = lab === undefined ? machineTargets(root) : labTargets(root, lab)
  const found = options.node === undefined ? all : all.filter((target) => target.node === options.node)
  if (found.length > 0) return found
  if (options.node !== undefined && all.length > 0) {
    const names = all.map((target) => target.node).join(", ")
    throw new Failure(
      "unreachable",
      `Cannot find node ${options.node}`,
      `the nodes here are: ${names}`,
      "heddle status lists them",
    )
  }
  if (options.lab !== undefined) {
    const labs = runningLabs(root)
    const why = labs.length === 0 ? "no lab is running" : `the labs running are: ${labs.join(", ")}`
    throw new Failure("unreachable", `Cannot find lab ${options.lab}`, why, `heddle lab up --name ${options.lab}`)
  }
  throw new Failure(
    "unreachable",
    "Cannot find an agent",
    `no lab is running, and no agent has its socket under ${root}`,
    "heddle lab up -f DIR starts a lab; --socket names an agent elsewhere",
  )
}

/** Labs that have nodes. */
export function runningLabs(root = RUN_DIRECTORY): string[] {
  return list(join(root, "lab")).filter((name) => existsSync(join(root, "lab", name, "lab.json")))
}

export function clientOf(target: Target, timeoutMs?: number): AgentClient {
  return new AgentClient(target.socket, timeoutMs === undefined ? {} : { timeoutMs })
}

function defaultLab(root: string, node: string | undefined): string | undefined {
  const labs = runningLabs(root)
  if (labs.length === 0) return undefined
  if (node !== undefined && !labs.some((lab) => existsSync(join(root, "lab", lab, "nodes", node)))) return undefined
  if (labs.length === 1) return labs[0]
  if (labs.includes("lab")) return "lab"
  throw new Failure(
    "usage",
    "Cannot tell which lab is meant",
    `several are running: ${labs.join(", ")}`,
    "name one by --lab",
  )
}

function labTargets(root: string, lab: string): Target[] {
  const nodes = join(root, "lab", lab, "nodes")
  return list(nodes).map((node) => ({
    node,
    socket: join(nodes, node, "agent.sock"),
    runDir: join(nodes, node),
    lab,
  }))
}

function machineTargets(root: string): Target[] {
  const own = join(root, "agent.sock")
  const direct: Target[] = existsSync(own) ? [{ node: "", socket: own, runDir: root, lab: undefined }] : []
  const nodes = list(root)
    .filter((name) => name !== "lab" && existsSync(join(root, name, "state")))
    .map((node) => ({ node, socket: join(root, node, "agent.sock"), runDir: join(root, node), lab: undefined }))
  return [...direct, ...nodes]
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory).sort()
  } catch {
    return []
  }
}
