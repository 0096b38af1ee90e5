import type { Verdict } from "../model/verdict.ts"
import { type Compiled, OutcomeAction, type PolicySet, type Row, rowOf, unpackOutcome, wholeRow } from "./compiled.ts"

/**
 * What a compilation means, without its numbers: two compilations of one state are canonically equal (deep equality) whatever
 * way they came about. Rows are texts; a column is what every endpoint answers to one class of peers.
 */
export interface Canonical {
  /** Every address, block and special slot → index of its column, and what else is known of it. */
  readonly peers: Readonly<Record<string, string>>
  /** Local endpoints with their addresses. */
  readonly endpoints: Readonly<Record<string, string>>
  /** Distinct columns, sorted: `ENDPOINT direction → index of row`, in order of endpoints. */
  readonly columns: readonly string[]
  /** Distinct rows, sorted. */
  readonly rows: readonly string[]
}

export function canonical(compiled: Compiled): Canonical {
  const texts = new Map<Row, string>()
  const textOf = (number: number): string => {
    const row = compiled.rows[number]
    if (row === undefined) return "missing"
    let text = texts.get(row)
    if (text === undefined) {
      text = rowText(compiled, wholeRow(compiled.rows, row), textOf)
      texts.set(row, text)
    }
    return text
  }
  const endpoints = [...compiled.endpoints].sort(([a], [b]) => (a < b ? -1 : 1))
  const slots = slotNames(compiled)
  const classes = new Set([...slots.values()].map(({ slot }) => compiled.classes[slot] ?? 0))
  const answers = new Map<number, string[]>()
  for (const peerClass of classes) {
    const cell = (set: PolicySet): string => textOf(rowOf(set, peerClass))
    answers.set(
      peerClass,
      endpoints.flatMap(([, endpoint]) => [cell(endpoint.ingress), cell(endpoint.egress)]),
    )
  }
  const rows = [...new Set([...answers.values()].flat())].sort()
  const rowIndex = new Map(rows.map((text, i) => [text, i]))
  const columnText = (peerClass: number): string =>
    (answers.get(peerClass) ?? []).map((row) => rowIndex.get(row)).join()
  const columns = [...new Set([...classes].map(columnText))].sort()
  const columnIndex = new Map(columns.map((text, i) => [text, i]))
  const peers = [...slots].sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    peers: Object.fromEntries(
      peers.map(([name, { slot, facts }]) => [
        name,
        `${columnIndex.get(columnText(compiled.classes[slot] ?? 0))} ${facts}`,
      ]),
    ),
    endpoints: Object.fromEntries(endpoints.map(([key, endpoint]) => [key, endpoint.addresses.join()])),
    columns,
    rows,
  }
}

function slotNames(compiled: Compiled): Map<string, { readonly slot: number; readonly facts: string }> {
  const names = new Map<string, { readonly slot: number; readonly facts: string }>()
  for (const [address, { slot, endpoint, node, kind }] of compiled.addresses) {
    names.set(address, { slot, facts: `${kind} ${node} ${endpoint ?? ""}` })
  }
  for (const [prefix, { slot, unknown }] of compiled.prefixes)
    names.set(prefix, { slot, facts: unknown ? "unknown" : "" })
  for (const family of [4, 6] as const) {
    names.set(`outside ${family}`, { slot: compiled.outsideSlot[family], facts: "" })
    names.set(`socket ${family}`, { slot: compiled.nodeSocketSlot[family], facts: "" })
  }
  return names
}

function rowText(compiled: Compiled, row: Row, textOf: (number: number) => string): string {
  const parts: string[] = []
  row.starts.forEach((start, i) => {
    const { action, log, staged, id } = unpackOutcome(row.outcomes[i] ?? 0)
    const meaning =
      action === OutcomeAction.bySourcePort
        ? `{${textOf(id)}}`
        : `${action} ${log} ${staged} ${verdictText(compiled.verdicts[id])}`
    parts.push(`${start}: ${meaning}`)
  })
  return parts.join("; ")
}

function verdictText(verdict: Verdict | undefined): string {
  return JSON.stringify(verdict) ?? "missing"
}
