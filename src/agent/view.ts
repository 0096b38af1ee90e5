import type { Cluster } from "../model/cluster.ts"
import type { Verdict } from "../model/verdict.ts"
import type { Forwarding } from "../plane/plane.ts"
import type { Enforced } from "./commit.ts"

/** What one node enforces, as lists and `why` need it: from the living agent, or from its snapshot. */
export interface NodeView {
  readonly node: string
  readonly generation: number
  readonly digest: string
  readonly cluster: Cluster
  readonly verdicts: readonly (Verdict | undefined)[]
  readonly ports: Forwarding["ports"]
}

export function viewOf(node: string, enforced: Enforced): NodeView {
  const { generation, digest, cluster, state } = enforced
  return { node, generation, digest, cluster, verdicts: state.compiled.verdicts, ports: state.forwarding.ports }
}
