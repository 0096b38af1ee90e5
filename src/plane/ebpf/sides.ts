import type { Compiled, LocalEndpoint, PolicySet, Row } from "../../compile/compiled.ts"
import { constants } from "../../kernel/abi.generated.ts"
import { setsOf, strideFor } from "./budget.ts"
import type { Side, Tables } from "./tables.ts"

const { MAX_SLOTS, MAX_CELLS, MAX_ROWS, MAX_INTERVALS, MAX_ENDPOINTS } = constants

/** What one side of the tables holds, so that a commit writes only what differs. Compares by identity first. */
export class SideShadow {
  readonly side: Side
  readonly #tables: Tables
  /** False: what lies there is unknown, everything is written anew. */
  #known = false
  #stride = 0
  #bases = new Map<PolicySet, number>()
  #free: number[] = []
  #nextBase = 0
  #rows: (Row | undefined)[] = []
  #nextInterval = 0
  #endpoints = new Map<number, Pick<LocalEndpoint, "ingress" | "egress">>()
  #classes = 0

  constructor(side: Side, tables: Tables) {
    this.side = side
    this.#tables = tables
  }

  /** What lies on this side is not believed any more. */
  distrust(): void {
    this.#known = false
  }

  /** Brings the side up to `compiled`. Nobody may be reading it. */
  write(compiled: Compiled): void {
    if (!this.#known) this.#clear()
    // Not known until all is done: an error in between leaves a side that is rebuilt.
    const whole = !this.#known
    this.#known = false
    this.#writeClasses(compiled.classes)
    this.#writeRows(compiled.rows, whole)
    this.#writeSets(compiled, whole)
    this.#known = true
  }

  #clear(): void {
    const { classes, sets, rows } = this.#tables
    classes.fill(0, this.side * MAX_SLOTS, (this.side + 1) * MAX_SLOTS)
    sets.fill(0, this.side * 4 * MAX_ENDPOINTS, (this.side + 1) * 4 * MAX_ENDPOINTS)
    rows.fill(0, this.side * 2 * MAX_ROWS, (this.side + 1) * 2 * MAX_ROWS)
    this.#classes = 0
    this.#rows = []
    this.#nextInterval = 0
    this.#endpoints = new Map()
    this.#forgetSets(0)
  }

  /** The whole array: half a megabyte at most, cheaper than finding what differs. */
  #writeClasses(classes: Uint16Array): void {
    const base = this.side * MAX_SLOTS
    this.#tables.classes.set(classes, base)
    if (classes.length < this.#classes) this.#tables.classes.fill(0, base + classes.length, base + this.#classes)
    this.#classes = classes.length
  }

  #writeRows(rows: readonly Row[], whole: boolean): void {
    let need = 0
    for (let i = 0; i < rows.length; i++) if (rows[i] !== this.#rows[i]) need += rows[i]?.starts.length ?? 0
    // The heap is used up from below; when it ends, all rows are laid out anew.
    if (whole || this.#nextInterval + need > MAX_INTERVALS) {
      this.#nextInterval = 0
      this.#rows = []
      this.#tables.rows.fill(0, this.side * 2 * MAX_ROWS, (this.side + 1) * 2 * MAX_ROWS)
    }
    for (let i = 0; i < Math.max(rows.length, this.#rows.length); i++) {
      const row = rows[i]
      if (row === this.#rows[i]) continue
      this.#writeRow(i, row)
    }
    this.#rows = [...rows]
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

  #forgetSets(stride: number): void {
    this.#stride = stride
    this.#bases = new Map()
    this.#free = []
    this.#nextBase = 0
  }

  #writeSets(compiled: Compiled, whole: boolean): void {
    const used = setsOf(compiled)
    for (const [set, base] of this.#bases) {
      if (used.has(set)) continue
      this.#bases.delete(set)
      this.#free.push(base)
    }
    let stride = strideFor(compiled.classCount)
    if (used.size * stride > MAX_CELLS) stride = Math.floor(MAX_CELLS / Math.max(1, used.size))
    const full = (used.size - this.#bases.size - this.#free.length) * this.#stride + this.#nextBase > MAX_CELLS
    if (whole || compiled.classCount > this.#stride || full) this.#forgetSets(stride)
    for (const set of used) if (!this.#bases.has(set)) this.#bases.set(set, this.#writeCells(set))
    this.#writeEntries(compiled)
  }

  #writeCells(set: PolicySet): number {
    let base = this.#free.pop()
    if (base === undefined) {
      base = this.#nextBase
      this.#nextBase += this.#stride
    }
    const at = this.side * MAX_CELLS + base
    // Cells beyond the set's length are never looked up, nor those beyond the classes in use.
    this.#tables.cells.set(set.cells.subarray(0, this.#stride), at)
    return base
  }

  #writeEntries(compiled: Compiled): void {
    const gone = new Set(this.#endpoints.keys())
    for (const { number, ingress, egress } of compiled.endpoints.values()) {
      gone.delete(number)
      this.#writeEntry(number, [ingress, egress])
      this.#endpoints.set(number, { ingress, egress })
    }
    for (const number of gone) {
      this.#writeEntry(number, [undefined, undefined])
      this.#endpoints.delete(number)
    }
  }

  #writeEntry(endpoint: number, sets: readonly (PolicySet | undefined)[]): void {
    const at = (this.side * 2 * MAX_ENDPOINTS + endpoint * 2) * 2
    sets.forEach((set, direction) => {
      const base = set && this.#bases.get(set)
      this.#tables.sets[at + direction * 2] = base ?? 0
      this.#tables.sets[at + direction * 2 + 1] =
        base === undefined ? 0 : Math.min(set?.cells.length ?? 0, this.#stride)
    })
  }
}
