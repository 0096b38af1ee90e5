import { execFile, execFileSync } from "node:child_process"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import type { AgentClient } from "../../src/api/client.ts"
import { agentLog, agentReady, agentSocket, startInNamespace } from "../../src/lab/agent-process.ts"
import { clearLab, lockPatiently } from "../../src/lab/clear.ts"
import { Lab } from "../../src/lab/lab.ts"
import type { LabLock } from "../../src/lab/lock.ts"
import { readLabManifests } from "../../src/lab/manifests.ts"
import { packageRoot } from "../../src/lab/package.ts"
import { LabPaths } from "../../src/lab/paths.ts"
import { planLab } from "../../src/lab/plan.ts"
import { endProcesses, isAlive, type ProcessId } from "../../src/lab/processes.ts"
import type { Address } from "../../src/net/types.ts"

const root = packageRoot()

export interface CommandResult {
  readonly code: number
  readonly out: string
}

/** A lab whose agents the test kills and starts. Nobody answers for its pods but what the test starts in them. */
export class FaultyLab {
  readonly lab: Lab
  readonly paths: LabPaths
  readonly #agents = new Map<string, ProcessId>()

  readonly #lock: LabLock

  private constructor(lab: Lab, lock: LabLock) {
    this.lab = lab
    this.#lock = lock
    this.paths = lab.paths
  }

  /** `before`: prepares the places of the lab before its first agent starts. */
  static async up(
    name: string,
    manifests: string,
    nodes: number,
    before?: (paths: LabPaths) => void,
  ): Promise<FaultyLab> {
    // What users run is the bundle, and it starts at once.
    execFileSync(join(root, "scripts/build-bundle"))
    const paths = new LabPaths(`${name}-${process.pid}`)
    const lock = await lockPatiently(paths.name, 0)
    const lab = await Lab.create(paths, { routing: "vxlan", answering: { set: async () => [] } })
    before?.(paths)
    const made = new FaultyLab(lab, lock)
    try {
      const { manifests: objects } = readLabManifests([{ file: "lab.yaml", text: manifests }])
      await lab.apply(planLab(objects, { nodes, families: [4] }))
    } catch (error) {
      await made.down()
      throw error
    }
    for (const [node, { agent }] of lab.nodes) if (agent !== undefined) made.#agents.set(node, agent)
    return made
  }

  netns(pod: string): string {
    return this.paths.podNamespace("default", pod)
  }

  address(pod: string): Address {
    const [address] = this.lab.pods.get(`default/${pod}`)?.addresses ?? []
    if (address === undefined) throw new Error(`no pod ${pod}`)
    return address
  }

  agent(node: string): ProcessId {
    const agent = this.#agents.get(node)
    if (agent === undefined) throw new Error(`no agent of ${node}`)
    return agent
  }

  /** Ends the agent, and waits until it is gone. */
  async kill(node: string, signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const agent = this.agent(node)
    process.kill(agent.pid, signal)
    while (isAlive(agent)) await sleep(1)
  }

  /** Starts the agent and waits until it answers. */
  async start(node: string): Promise<AgentClient> {
    const directory = this.paths.node(node)
    const command = [
      ...[process.execPath, "--no-warnings", join(root, "dist/heddle.mjs"), "agent"],
      ...["--node", node, "--run-dir", directory, "--objects", this.paths.objects],
      ...["--config", join(directory, "agent.yaml")],
    ]
    const agent = startInNamespace(this.paths.nodeNamespace(node), command, agentLog(this.paths, node))
    this.#agents.set(node, agent)
    return agentReady(this.paths, node, agent)
  }

  /** A command of `heddle` about one node. */
  async heddle(node: string, ...words: string[]): Promise<CommandResult> {
    const where = ["--socket", agentSocket(this.paths, node)]
    try {
      const { stdout, stderr } = await promisify(execFile)(join(root, "bin/heddle"), [...words, ...where], {
        env: { ...process.env, NO_COLOR: "1" },
      })
      return { code: 0, out: stdout + stderr }
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
      return { code, out: stdout + stderr }
    }
  }

  async down(): Promise<void> {
    await endProcesses([...this.#agents.values()], 0)
    await clearLab(this.paths)
    await this.#lock.release()
  }
}
