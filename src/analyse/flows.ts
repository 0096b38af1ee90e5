import { evaluate } from "../compile/evaluate.ts"
import type { Cluster } from "../model/cluster.ts"
import type { Origin } from "../model/origin.ts"
import type { Packet } from "../model/packet.ts"
import { ruleIdText, type Verdict } from "../model/verdict.ts"

/** A connection that was seen, and how often. */
export interface SeenFlow {
  readonly packet: Packet
  readonly count: number
}

export interface FlowVerdict {
  readonly allowed: boolean
  /** Of both ends, or of those that deny. */
  readonly by: readonly { readonly rule: string; readonly origin?: Origin }[]
}

/** A connection that was seen and would be decided otherwise. */
export interface FlowChange extends SeenFlow {
  readonly before: FlowVerdict
  readonly after: FlowVerdict
}

/** Those of the connections seen whose verdict differs between two states of a cluster; the most frequent first. */
export function changedFlows(before: Cluster, after: Cluster, flows: readonly SeenFlow[]): FlowChange[] {
  const distinct = new Map<string, SeenFlow>()
  for (const { packet, count } of flows) {
    // Source ports of clients are all alike unless a rule asks for them, and then any of them is as good an example.
    const key = JSON.stringify({ ...packet, sourcePort: 0 })
    distinct.set(key, { packet, count: (distinct.get(key)?.count ?? 0) + count })
  }
  return [...distinct.values()]
    .map((flow) => ({ ...flow, before: judged(before, flow.packet), after: judged(after, flow.packet) }))
    .filter((flow) => flow.before.allowed !== flow.after.allowed)
    .sort((a, b) => b.count - a.count)
}

function judged(cluster: Cluster, packet: Packet): FlowVerdict {
  const { allowed, egress, ingress } = evaluate(cluster, packet)
  const telling = [egress, ingress].filter((verdict) => verdict.by.kind !== "notEnforced")
  const by = allowed ? telling : telling.filter((verdict) => verdict.action === "deny")
  return { allowed, by: by.map(reason) }
}

function reason({ by }: Verdict): { readonly rule: string; readonly origin?: Origin } {
  return "origin" in by ? { rule: ruleIdText(by), origin: by.origin } : { rule: ruleIdText(by) }
}
