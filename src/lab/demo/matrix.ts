import { evaluate } from "../../compile/evaluate.ts"
import type { Cluster } from "../../model/cluster.ts"
import type { Packet } from "../../model/packet.ts"
import { familyOf } from "../../net/address.ts"
import type { Address, ProtocolNumber } from "../../net/types.ts"
import type { Prober } from "../probe/prober.ts"
import type { ProbeTask } from "../probe/task.ts"

/** Somebody who asks, or is asked. */
export interface Party {
  readonly name: string
  readonly netns: string
  readonly address: Address
  /** What it answers when asked who it is. */
  readonly identity: string
}

/** A column: one port of one or several pods that do the same. */
export interface Service {
  readonly title: string
  readonly port: number
  readonly protocol: ProtocolNumber
  readonly parties: readonly Party[]
}

/** One connection: what the evaluator says of it, and what became of it. */
export interface Cell {
  readonly from: Party
  readonly to: Party
  readonly port: number
  readonly expected: boolean
  readonly observed: boolean
  /** Why it could not be tried. */
  readonly failure?: string
}

export interface Matrix {
  readonly rows: readonly Party[]
  readonly columns: readonly Service[]
  /** By row, then column; several where several pods serve; none where only the asker itself does. */
  readonly cells: readonly (readonly (readonly Cell[])[])[]
  readonly connections: number
  /** Connections that did not go as the evaluator says. */
  readonly wrong: readonly Cell[]
}

/** Who may talk to whom: asks the evaluator, and then everybody in earnest, all at once. */
export async function reachability(
  cluster: Cluster,
  prober: Prober,
  rows: readonly Party[],
  columns: readonly Service[],
): Promise<Matrix> {
  const wanted = rows.map((from) =>
    columns.map((column) =>
      column.parties
        .filter((to) => to.netns !== from.netns && familyOf(to.address) === familyOf(from.address))
        .map((to) => ({ from, to, port: column.port, ...plan(cluster, from, to, column) })),
    ),
  )
  const flat = wanted.flat(2)
  const outcomes = await prober.run(flat.map((each) => each.task))
  const cells = new Map(
    flat.map((each, i): [unknown, Cell] => {
      const outcome = outcomes[i]
      const { from, to, port, expected } = each
      const failed = outcome === undefined || outcome.got === "failed"
      const failure = failed ? { failure: outcome?.reason ?? "it gave no answer" } : {}
      return [each, { from, to, port, expected, observed: outcome?.got === "allow", ...failure }]
    }),
  )
  const all = [...cells.values()]
  return {
    rows,
    columns,
    cells: wanted.map((row) => row.map((column) => column.flatMap((each) => cells.get(each) ?? []))),
    connections: all.length,
    wrong: all.filter((cell) => cell.failure !== undefined || cell.expected !== cell.observed),
  }
}

function plan(cluster: Cluster, from: Party, to: Party, column: Service): { expected: boolean; task: ProbeTask } {
  const packet: Packet = {
    source: from.address,
    destination: to.address,
    protocol: column.protocol,
    sourcePort: 40_000,
    destinationPort: column.port,
  }
  const expected = evaluate(cluster, packet).allowed
  const task: ProbeTask = {
    from: { netns: from.netns, address: from.address },
    to: { netns: to.netns, address: to.address, identities: [to.identity] },
    protocol: column.protocol,
    port: column.port,
    expect: expected ? "allow" : "deny",
  }
  return { expected, task }
}
