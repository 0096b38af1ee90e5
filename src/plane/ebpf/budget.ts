import type { Compiled, Row } from "../../compile/compiled.ts"
import { changesBetween } from "../../compile/versions.ts"
import { constants, maps } from "../../kernel/abi.generated.ts"
import { type Need, type NodeState, OverBudget } from "../plane.ts"

/** Classes that a set's range of cells has room for: some more than now, so that a new class does not move all sets. */
export function strideFor(classCount: number): number {
  return Math.max(64, 2 ** Math.ceil(Math.log2(Math.max(1, classCount))))
}

/** What is there beside the new state while the change runs: entries go away only after the flip. */
interface Leaving {
  readonly addresses: readonly unknown[]
  readonly prefixes: readonly unknown[]
}

/** Counts what states need, each by how it differs from the one before. */
export class Budget {
  readonly #entries: Readonly<Record<string, number>>
  #rows: readonly Row[] = []
  #intervals = 0
  #longest = 0
  #endpoints: Compiled["endpoints"] = new Map()
  #highest = 0

  /** `entries`: of maps whose size differs from `abi/`. */
  constructor(entries: Readonly<Record<string, number>>) {
    this.#entries = entries
  }

  /** Need and budget of every table. `leaving`: entries that will be gone, but only after the change. */
  needs({ compiled, forwarding }: NodeState, leaving: Leaving): Need[] {
    this.#countRows(compiled.rows)
    this.#countEndpoints(compiled.endpoints)
    let node = 0
    for (const peer of forwarding.peers.values()) node = Math.max(node, peer.number)
    return [
      { table: "slots", need: compiled.classes.length, budget: constants.MAX_SLOTS },
      {
        table: "cells",
        // A power of two per set is comfort; what counts is whether the classes in use fit.
        need: compiled.sets.length * Math.max(1, compiled.classCount),
        budget: constants.MAX_CELLS,
      },
      { table: "rows", need: compiled.rows.length, budget: constants.MAX_ROWS },
      { table: "intervals", need: this.#intervals, budget: constants.MAX_INTERVALS },
      { table: "intervals of one row", need: this.#longest, budget: 2 ** constants.ROW_STEPS - 1 },
      { table: "endpoints", need: this.#highest, budget: constants.MAX_ENDPOINTS - 1 },
      {
        table: "addresses",
        need: compiled.addresses.size + leaving.addresses.length,
        budget: this.#entries["addrs"] ?? maps.addrs.entries,
      },
      {
        table: "prefixes",
        need: compiled.prefixes.size + leaving.prefixes.length,
        budget: this.#entries["prefixes"] ?? maps.prefixes.entries,
      },
      { table: "nodes", need: node, budget: constants.MAX_NODES - 1 },
    ]
  }

  #countRows(rows: readonly Row[]): void {
    const before = this.#rows
    if (rows === before) return
    let shrunk = false
    for (let i = 0; i < Math.max(rows.length, before.length); i++) {
      if (rows[i] === before[i]) continue
      const [was, is] = [before[i]?.starts.length ?? 0, rows[i]?.starts.length ?? 0]
      this.#intervals += is - was
      if (was === this.#longest && is < was) shrunk = true
      this.#longest = Math.max(this.#longest, is)
    }
    if (shrunk) this.#longest = rows.reduce((longest, { starts }) => Math.max(longest, starts.length), 0)
    this.#rows = rows
  }

  #countEndpoints(endpoints: Compiled["endpoints"]): void {
    const before = this.#endpoints
    const touched = changesBetween(before, endpoints)
    this.#endpoints = endpoints
    let shrunk = touched === undefined
    for (const name of touched ?? []) {
      const [was, is] = [before.get(name)?.number, endpoints.get(name)?.number ?? 0]
      if (was === this.#highest && is < was) shrunk = true
      this.#highest = Math.max(this.#highest, is)
    }
    if (!shrunk) return
    this.#highest = 0
    for (const { number } of endpoints.values()) this.#highest = Math.max(this.#highest, number)
  }
}

/** Throws `OverBudget` with every table that is too small. */
export function checkBudget(needs: readonly Need[]): void {
  const over = needs.filter((need) => need.need > need.budget)
  if (over.length > 0) throw new OverBudget(over)
}
