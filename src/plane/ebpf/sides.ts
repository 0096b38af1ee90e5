import type { Compiled, LocalEndpoint, PolicySet, Row } from "../../compile/compiled.ts"
import { changesBetween } from "../../compile/versions.ts"
import { constants } from "../../kernel/abi.generated.ts"
import { strideFor } from "./budget.ts"
import type { Side, Tables } from "./tables.ts"
import type { Turn } from "./turn.ts"

const { MAX_SLOTS, MAX_CELLS, MAX_ROWS, MAX_INTERVALS, MAX_ENDPOINTS } = constants

/** What one side of the tables holds, so that a commit writes only what differs from when this side was written last. */
export class SideShadow {
  readonly side: Side
  readonly #tables: Tables
  /** What lies there; undefined: unknown, everything is written anew. */
  #held: Compiled | undefined
  #stride = 0
  /** First cell of each set, and how many endpoints enforce it in one direction. */
  #sets = new Map<PolicySet, { base: number | undefined; users: number }>()
  #free: number[] = []
  #nextBase = 0
  #rows: readonly Row[] = []
  #nextInterval = 0
  #classes = 0

  constructor(side: Side, tables: Tables) {
    this.side = side
    this.#tables = tables
  }

  /** What lies on this side is not believed any more. */
  distrust(): void {
    this.#held = undefined
  }

  /** Brings the side up to `compiled`. Nobody may be reading it until that is done. */
  async write(compiled: Compiled, turn: Turn): Promise<void> {
    const held = this.#held
    // Not known until all is done: an error in between leaves a side that is rebuilt.
    this.#held = undefined
    if (held === undefined) this.#clear()
    this.#writeClasses(compiled.classes)
    if (turn.over) await turn.end()
    this.#writeRows(compiled.rows)
    await this.#writeSets(compiled, held, turn)
    this.#held = compiled
  }

  #clear(): void {
    const { classes, sets, rows } = this.#tables
    classes.fill(0, this.side * MAX_SLOTS, (this.side + 1) * MAX_SLOTS)
    sets.fill(0, this.side * 4 * MAX_ENDPOINTS, (this.side + 1) * 4 * MAX_ENDPOINTS)
    rows.fill(0, this.side * 2 * MAX_ROWS, (this.side + 1) * 2 * MAX_ROWS)
    this.#classes = 0
    this.#rows = []
    this.#nextInterval = 0
    this.#sets = new Map()
    this.#moveSets(0)
  }

  /** The whole array: half a megabyte at most, cheaper than finding what differs. */
  #writeClasses(classes: Uint16Array): void {
    const base = this.side * MAX_SLOTS
    this.#tables.classes.set(classes, base)
    if (classes.length < this.#classes) this.#tables.classes.fill(0, base + classes.length, base + this.#classes)
    this.#classes = classes.length
  }

  #writeRows(rows: readonly Row[]): void {
    if (rows === this.#rows) return
    const differing: number[] = []
    let need = 0
    for (let i = 0; i < Math.max(rows.length, this.#rows.length); i++) {
      if (rows[i] === this.#rows[i]) continue
      differing.push(i)
      need += rows[i]?.starts.length ?? 0
    }
    // The heap is used up from below; when it ends, all rows are laid out anew.
    if (this.#nextInterval + need > MAX_INTERVALS) {
      this.#nextInterval = 0
      this.#tables.rows.fill(0, this.side * 2 * MAX_ROWS, (this.side + 1) * 2 * MAX_ROWS)
      for (const [i, row] of rows.entries()) this.#writeRow(i, row)
    } else {
      for (const i of differing) this.#writeRow(i, rows[i])
    }
    this.#rows = rows
  }

  #writeRow(number: number, row: Row | undefined): void {
    const at = (this.side * MAX_ROWS + number) * 2
    const count = row?.starts.length ?? 0
    this.#tables.rows[at] = this.#nextInterval
    this.#tables.rows[at + 1] = count
    if (row === undefined || count === 0) return
    const { intervals } = this.#tables
    let to = (this.side * MAX_INTERVALS + this.#nextInterval) * 2
    for (let i = 0; i < count; i++) {
      intervals[to++] = row.starts[i] ?? 0
      intervals[to++] = row.outcomes[i] ?? 0
    }
    this.#nextInterval += count
  }

  /** All sets get other places. */
  #moveSets(stride: number): void {
    this.#stride = stride
    this.#free = []
    this.#nextBase = 0
    for (const place of this.#sets.values()) place.base = undefined
  }

  async #writeSets(compiled: Compiled, held: Compiled | undefined, turn: Turn): Promise<void> {
    const touched = held && changesBetween(held.endpoints, compiled.endpoints)
    const names = touched ?? new Set([...compiled.endpoints.keys(), ...(held?.endpoints.keys() ?? [])])
    const fresh = this.#countUsers(names, compiled, held)
    const used = this.#sets.size
    let stride = strideFor(compiled.classCount)
    if (used * stride > MAX_CELLS) stride = Math.floor(MAX_CELLS / Math.max(1, used))
    const full = (fresh.size - this.#free.length) * this.#stride + this.#nextBase > MAX_CELLS
    const moves = held === undefined || compiled.classCount > this.#stride || full
    if (moves) this.#moveSets(stride)
    for (const [set, place] of moves ? this.#sets : fresh) {
      place.base ??= this.#writeCells(set)
      if (turn.over) await turn.end()
    }
    // First what goes: its number may be another's already.
    for (const name of names) {
      const before = held?.endpoints.get(name)?.number
      if (before !== undefined && compiled.endpoints.get(name)?.number !== before) this.#writeEntry(before, undefined)
    }
    for (const name of moves ? compiled.endpoints.keys() : names) {
      const endpoint = compiled.endpoints.get(name)
      if (endpoint !== undefined) this.#writeEntry(endpoint.number, endpoint)
    }
  }

  /** Counts who uses which set, forgets those that nobody does, and returns those that have no place yet. */
  #countUsers(
    names: Iterable<string>,
    compiled: Compiled,
    held: Compiled | undefined,
  ): Map<PolicySet, { base: number | undefined; users: number }> {
    const fresh = new Map<PolicySet, { base: number | undefined; users: number }>()
    const left = new Set<PolicySet>()
    for (const name of names) {
      const [before, after] = [held?.endpoints.get(name), compiled.endpoints.get(name)]
      for (const set of after === undefined ? [] : [after.ingress, after.egress]) {
        let place = this.#sets.get(set)
        if (place === undefined) {
          place = { base: undefined, users: 0 }
          this.#sets.set(set, place)
          fresh.set(set, place)
        }
        place.users++
      }
      for (const set of before === undefined ? [] : [before.ingress, before.egress]) {
        const place = this.#sets.get(set)
        if (place !== undefined && --place.users === 0) left.add(set)
      }
    }
    for (const set of left) {
      const place = this.#sets.get(set)
      if (place === undefined || place.users > 0) continue
      this.#sets.delete(set)
      fresh.delete(set)
      if (place.base !== undefined) this.#free.push(place.base)
    }
    return fresh
  }

  #writeCells(set: PolicySet): number {
    let base = this.#free.pop()
    if (base === undefined) {
      base = this.#nextBase
      this.#nextBase += this.#stride
    }
    const at = this.side * MAX_CELLS + base
    const { cells } = this.#tables
    // Also beyond the classes in use: whatever class comes next has what the others have.
    cells.fill(set.rest, at, at + this.#stride)
    for (const [number, row] of set.special) cells[at + number] = row
    return base
  }

  #writeEntry(number: number, sets: Pick<LocalEndpoint, "ingress" | "egress"> | undefined): void {
    const at = (this.side * 2 * MAX_ENDPOINTS + number * 2) * 2
    for (const [direction, set] of [sets?.ingress, sets?.egress].entries()) {
      const base = set && this.#sets.get(set)?.base
      this.#tables.sets[at + direction * 2] = base ?? 0
      this.#tables.sets[at + direction * 2 + 1] = base === undefined ? 0 : this.#stride
    }
  }
}
