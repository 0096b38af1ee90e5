import type { Settings } from "./configuration.ts"

export interface RunOptions {
  readonly flags: Settings
  readonly file: string | undefined
  readonly version: string
  /** Aborted when the agent shall end. */
  readonly stop: AbortSignal
}

export async function runAgent(_options: RunOptions): Promise<number> {
  return 1
}
