import type { Compiled } from "../compile/compiled.ts"
import type { Cluster } from "../model/cluster.ts"
import type { Verdict } from "../model/verdict.ts"
import type { Forwarding } from "../plane/plane.ts"

/** The tables that a packet is judged by, without the verdicts' texts. */
export type Tables = Omit<Compiled, "verdicts" | "classCount">

/** What one node enforces, as lists and `why` need it: from the living agent, or from its snapshot. */
export interface NodeView {
  readonly node: string
  readonly generation: number
  readonly digest: string
  readonly cluster: Cluster
  readonly verdicts: readonly (Verdict | undefined)[]
  readonly ports: Forwarding["ports"]
}
