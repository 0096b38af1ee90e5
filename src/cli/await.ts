import { Failure } from "../api/failure.ts"
import { askAll } from "./command.ts"
import type { Io } from "./io.ts"
import { count } from "./output/text.ts"
import { clientOf, type Target } from "./target.ts"

/**
 * Waits until every node enforces the objects with this digest and says so on standard error. Throws a `Failure` that names the
 * nodes that do not, and why.
 */
export async function awaitDigest(
  io: Io,
  targets: readonly Target[],
  digest: string,
  timeoutMs: number,
): Promise<void> {
  const answered = await askAll(targets, (target) =>
    clientOf(target).call("await", { digest, timeoutMs }, timeoutMs + 2_000),
  )
  const late = answered.flatMap((one) => {
    const name = one.target.node || one.target.socket
    if ("error" in one) return [`${name}: ${one.error instanceof Failure ? one.error.message : String(one.error)}`]
    if (one.answer.reached) return []
    return [`${name}: ${one.answer.error === "" ? "not yet in force" : one.answer.error}`]
  })
  if (late.length > 0) {
    const kind = answered.some((one) => "answer" in one && one.answer.error !== "") ? "failed" : "timeout"
    throw new Failure(
      kind,
      `Cannot say that ${late.length === targets.length ? "any node" : "every node"} enforces this`,
      late.join("\n"),
      "heddle status; what was enforced before still is",
    )
  }
  io.err(`enforced on ${count(targets.length, "node")}\n`)
}
