import type { AgentService } from "../../api/server.ts"
import type { RunningNode } from "../node.ts"
import { problemMessage, refMessage } from "./message.ts"

/** How the node is. */
export function statusMethod(node: RunningNode): AgentService["status"] {
  return () => {
    const { configuration, committer, store, tables, capabilities } = node
    const { enforced, failure, statistics } = committer
    const compiled = enforced?.state.compiled
    const refused = store.refusals()
    const problems = node.source.problems().filter((problem) => problem.severity === "error")
    let [endpoints, endpointsReady] = [0, 0]
    const ports = enforced?.state.forwarding.ports
    for (const [key, endpoint] of enforced?.cluster.endpoints ?? []) {
      if (endpoint.node !== configuration.node) continue
      endpoints++
      if (compiled?.endpoints.has(key) === true && ports?.has(key) === true) endpointsReady++
    }
    const warnings: string[] = []
    if (enforced === undefined) warnings.push("nothing is enforced yet: pods on this node get nothing through")
    const pickUp = tables?.pickUpSeconds ?? 0
    if (pickUp > 0) {
      warnings.push(
        `connections from before the tables were made anew are picked up in their middle for ${Math.ceil(pickUp)} s more`,
      )
    }
    if (store.settled.nodes.get(configuration.node) === undefined) {
      warnings.push(`no Node object named ${configuration.node} is among the objects`)
    }
    return {
      node: configuration.node,
      version: node.version,
      alive: true,
      processId: process.pid,
      startedMs: BigInt(node.startedAt),
      generation: enforced?.generation ?? 0,
      digest: enforced?.digest ?? "",
      wantedDigest: node.source.ready ? store.digest : "",
      lastCommitMs: BigInt(statistics.lastAt),
      lastCommitDurationUs: Math.round(statistics.lastDurationMs * 1_000),
      commits: statistics.commits,
      commitError: failure?.message ?? "",
      commitErrorSinceMs: BigInt(failure?.since ?? 0),
      plane: capabilities?.plane ?? "none yet",
      features: Object.fromEntries(
        Object.entries(capabilities?.features ?? {}).map(([name, there]) => [name, there === true ? "" : there]),
      ),
      sources: [
        {
          name: "directory",
          place: configuration.objects,
          ready: node.source.ready,
          objects: store.size,
          refused: refused.length,
          error:
            problems[0] === undefined
              ? ""
              : `${problems[0].origin.file}:${problems[0].origin.line}: ${problems[0].message}`,
        },
      ],
      refused: refused.map(({ ref, refusal, kept }) => ({
        ref: refMessage(ref),
        json: kept === undefined ? "" : JSON.stringify(store.get(ref)?.value ?? null),
        problems: refusal.problems.map(problemMessage),
      })),
      endpoints,
      endpointsReady,
      flowsLive: tables?.flowsLive ?? 0n,
      drops: tables?.drops() ?? [],
      lost: tables?.lost() ?? [],
      policies: enforced?.cluster.policies.size ?? 0,
      slots: compiled === undefined ? 0 : compiled.classes.length - 1,
      classes: compiled?.classCount ?? 0,
      sets: compiled?.sets.length ?? 0,
      rows: compiled?.rows.length ?? 0,
      routing: configuration.routing,
      bigTcp: node.bigTcp ?? "",
      addresses: [...(enforced?.state.forwarding.self.addresses ?? [])],
      warnings,
    }
  }
}
