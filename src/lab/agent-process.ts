import { spawn } from "node:child_process"
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { AgentClient } from "../api/client.ts"
import { Failure, reasonOf } from "../api/failure.ts"
import { heddleCommand } from "./package.ts"
import type { LabPaths } from "./paths.ts"
import { isAlive, type ProcessId, processId } from "./processes.ts"

/** How long an agent may take from its start to its first answer. */
const START_MS = 30_000

/** Starts a background process of the lab in a network namespace; its output goes to the file `log`. */
export function startInNamespace(netns: string, command: readonly string[], log: string): ProcessId {
  const output = openSync(log, "a")
  try {
    const child = spawn("nsenter", [`--net=${netns}`, "--", ...command], {
      // A session of its own: the terminal's Ctrl-C is for the command that people see.
      detached: true,
      stdio: ["ignore", output, output],
      cwd: "/",
    })
    // A failure to start shows as a process that is not there.
    child.on("error", () => undefined)
    child.unref()
    const id = child.pid === undefined ? undefined : processId(child.pid)
    if (id === undefined)
      throw new Failure("failed", `Cannot start ${command.join(" ")}`, "nsenter ended at once", `read ${log}`)
    return id
  } finally {
    closeSync(output)
  }
}

/** Starts the agent of a node inside the node's namespace. */
export function startAgent(paths: LabPaths, node: string, routing: "vxlan" | "native"): ProcessId {
  const directory = paths.node(node)
  mkdirSync(directory, { recursive: true })
  const config = join(directory, "agent.yaml")
  // The uplink is a veth, of which an agent cannot know where it leads. Here it leads to a wire that carries long packets.
  const bigTcp = routing === "native" ? "on" : "auto"
  writeFileSync(config, `${JSON.stringify({ routing, uplink: "eth0", bigTcp }, null, 1)}\n`)
  const command = [
    ...heddleCommand(),
    "agent",
    ...["--node", node],
    ...["--run-dir", directory],
    ...["--objects", paths.objects],
    ...["--config", config],
  ]
  return startInNamespace(paths.nodeNamespace(node), command, agentLog(paths, node))
}

export function agentLog(paths: LabPaths, node: string): string {
  return join(paths.node(node), "agent.log")
}

export function agentSocket(paths: LabPaths, node: string): string {
  return join(paths.node(node), "agent.sock")
}

export function cniSocket(paths: LabPaths, node: string): string {
  return join(paths.node(node), "cni.sock")
}

/** Waits until the agent answers; throws with the end of its log when it ends or the time is up. */
export async function agentReady(paths: LabPaths, node: string, process: ProcessId): Promise<AgentClient> {
  const client = new AgentClient(agentSocket(paths, node))
  const until = Date.now() + START_MS
  for (let pause = 20; ; pause = Math.min(pause * 1.3, 200)) {
    try {
      const status = await client.call("status", {}, 2_000)
      if (status.alive) return client
    } catch (error) {
      if (!isAlive(process)) throw notStarted(node, `it ended: ${lastWords(paths, node)}`)
      if (Date.now() > until) {
        throw notStarted(
          node,
          `it did not answer within ${START_MS / 1_000} s (${reasonOf(error)}): ${lastWords(paths, node)}`,
        )
      }
    }
    await sleep(pause)
  }
}

function notStarted(node: string, why: string): Failure {
  return new Failure("failed", `Cannot start the agent of ${node}`, why, "heddle doctor says what this machine lacks")
}

function lastWords(paths: LabPaths, node: string): string {
  try {
    const text = readFileSync(agentLog(paths, node), "utf8").trim()
    return text === "" ? "it said nothing" : text.split("\n").slice(-5).join("\n")
  } catch {
    return "it left no log"
  }
}
