import { runCommand } from "./process.ts"

/** A refusal by nft, with its message and the script that it was given. */
export class NftError extends Error {
  readonly script: string
  constructor(message: string, script: string) {
    super(message)
    this.name = "NftError"
    this.script = script
  }
}

/**
 * Feeds a script to `nft -f -`: one transaction, all or nothing. Returns what nft printed (`list …` in the script).
 * `namespace` is the path of a network namespace; default: that in which this process runs.
 */
export async function runNft(
  script: string,
  options: { readonly namespace?: string; readonly json?: boolean; readonly timeoutMs?: number } = {},
): Promise<string> {
  const { json, ...rest } = options
  const result = await runCommand(["nft", ...(json ? ["-j"] : []), "-f", "-"], { ...rest, input: script })
  if (result.code === 0) return result.stdout
  const why = result.timedOut
    ? "nft took too long"
    : result.stderr.trim() || `nft ended with ${result.code ?? result.signal}`
  throw new NftError(`Cannot apply the nftables rules: ${why}; the rules before stay in force`, script)
}
