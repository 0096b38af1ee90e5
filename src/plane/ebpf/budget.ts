import type { Compiled, PolicySet } from "../../compile/compiled.ts"
import { constants, maps } from "../../kernel/abi.generated.ts"
import { type Need, type NodeState, OverBudget } from "../plane.ts"

/** Classes that a set's range of cells has room for: some more than now, so that a new class does not move all sets. */
export function strideFor(classCount: number): number {
  return Math.max(64, 2 ** Math.ceil(Math.log2(Math.max(1, classCount))))
}

/** The sets that endpoints here enforce, each once. */
export function setsOf(compiled: Pick<Compiled, "endpoints">): Set<PolicySet> {
  const sets = new Set<PolicySet>()
  for (const endpoint of compiled.endpoints.values()) sets.add(endpoint.ingress).add(endpoint.egress)
  return sets
}

/** What is there beside the new state while the change runs: entries go away only after the flip. */
export interface Leaving {
  readonly addresses: number
  readonly prefixes: number
}

/** Need and budget of every table. `leaving`: entries that will be gone, but only after the change. */
export function needsOf(next: NodeState, leaving: Leaving, entries: Readonly<Record<string, number>>): Need[] {
  const { compiled, forwarding } = next
  let intervals = 0
  let longest = 0
  for (const row of compiled.rows) {
    intervals += row.starts.length
    longest = Math.max(longest, row.starts.length)
  }
  let highest = 0
  for (const endpoint of compiled.endpoints.values()) highest = Math.max(highest, endpoint.number)
  let node = 0
  for (const peer of forwarding.peers.values()) node = Math.max(node, peer.number)
  return [
    { table: "slots", need: compiled.classes.length, budget: constants.MAX_SLOTS },
    {
      table: "cells",
      // A power of two per set is comfort; what counts is whether the classes in use fit.
      need: setsOf(compiled).size * Math.max(1, compiled.classCount),
      budget: constants.MAX_CELLS,
    },
    { table: "rows", need: compiled.rows.length, budget: constants.MAX_ROWS },
    { table: "intervals", need: intervals, budget: constants.MAX_INTERVALS },
    { table: "intervals of one row", need: longest, budget: 2 ** constants.ROW_STEPS - 1 },
    { table: "endpoints", need: highest, budget: constants.MAX_ENDPOINTS - 1 },
    {
      table: "addresses",
      need: compiled.addresses.size + leaving.addresses,
      budget: entries["addrs"] ?? maps.addrs.entries,
    },
    {
      table: "prefixes",
      need: compiled.prefixes.size + leaving.prefixes,
      budget: entries["prefixes"] ?? maps.prefixes.entries,
    },
    { table: "nodes", need: node, budget: constants.MAX_NODES - 1 },
  ]
}

/** Throws `OverBudget` with every table that is too small. */
export function checkBudget(needs: readonly Need[]): void {
  const over = needs.filter((need) => need.need > need.budget)
  if (over.length > 0) throw new OverBudget(over)
}
