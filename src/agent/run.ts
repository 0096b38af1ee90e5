import { Failure, reasonOf } from "../api/failure.ts"
import { Agent } from "./agent.ts"
import { readConfiguration, type Settings } from "./configuration.ts"
import { lockRunDirectory } from "./lock.ts"
import { makeLog } from "./log.ts"
import { lockNamespace } from "./namespace-lock.ts"
import { kernelParts } from "./plane.ts"

export interface RunOptions {
  readonly flags: Settings
  readonly file: string | undefined
  readonly version: string
  /** Aborted when the agent shall end. */
  readonly stop: AbortSignal
}

/** Runs the agent until it is told to stop; returns the exit code. Throws a `Failure` when it cannot start. */
export async function runAgent({ flags, file, version, stop }: RunOptions): Promise<number> {
  const configuration = readConfiguration(flags, file)
  if (process.geteuid?.() !== 0) {
    throw new Failure(
      "failed",
      "Cannot run the agent",
      "it makes links and loads BPF programs, which only root may",
      "sudo heddle agent",
    )
  }
  const releaseDirectory = lockRunDirectory(configuration.runDir)
  let releaseNamespace: () => void
  try {
    releaseNamespace = await lockNamespace(configuration.netns, configuration.runDir)
  } catch (error) {
    releaseDirectory()
    throw error
  }
  const log = makeLog(
    configuration.logLevel,
    configuration.node,
    (line) => process.stderr.write(line),
    process.stderr.isTTY,
  )
  try {
    // A promise that nobody awaited is a mistake of ours, and no reason to end what people rely on.
    process.on("unhandledRejection", (error) => log.error({ err: error }, `Unexpected: ${reasonOf(error)}`))
    const agent = await started(() => new Agent(configuration, kernelParts(configuration), log, version))
    if (!stop.aborted) await new Promise((resolve) => stop.addEventListener("abort", resolve, { once: true }))
    log.info("Told to stop")
    await agent.stop()
    return 0
  } finally {
    releaseNamespace()
    releaseDirectory()
  }
}

async function started(make: () => Agent): Promise<Agent> {
  try {
    const agent = make()
    await agent.start()
    return agent
  } catch (error) {
    if (error instanceof Failure) throw error
    // Errors of the network say in `details` what to try.
    const hint = error instanceof Error && "details" in error ? String(error.details) : "heddle doctor"
    throw new Failure("failed", "Cannot start the agent", reasonOf(error), hint, { cause: error })
  }
}
