import { Failure } from "../../api/failure.ts"
import type { Io } from "../io.ts"
import { type Column, tableText } from "./table.ts"

export const formats = ["table", "wide", "json", "yaml", "name"] as const
export type Format = (typeof formats)[number]

/** The format that was asked for; a `Failure` of kind usage names those that there are. */
export function formatOf<T extends string>(text: string | undefined, allowed: readonly T[], otherwise: T): T {
  if (text === undefined) return otherwise
  const found = allowed.find((one) => one === text)
  if (found !== undefined) return found
  throw new Failure("usage", `Cannot print as "${text}"`, "no such format", `-o ${allowed.join("|")}`)
}

export interface Listing<Row> {
  readonly rows: readonly Row[]
  readonly columns: readonly Column<Row>[]
  /** What `-o name` prints of a row. */
  readonly name: (row: Row) => string
  /** What `-o json` and `-o yaml` print; the rows when absent. */
  readonly data?: unknown
  /** Said on standard error when a table has no rows. */
  readonly empty: string
}

/** Prints a list in the format asked for. */
export async function printListing<Row>(io: Io, format: Format, listing: Listing<Row>): Promise<void> {
  switch (format) {
    case "json":
      io.out(jsonText(listing.data ?? listing.rows))
      return
    case "yaml":
      io.out(await yamlText(listing.data ?? listing.rows))
      return
    case "name":
      io.out(listing.rows.map((row) => `${listing.name(row)}\n`).join(""))
      return
    default:
      if (listing.rows.length === 0) io.err(`${listing.empty}\n`)
      else io.out(tableText(listing.rows, listing.columns, format === "wide"))
  }
}

export function jsonText(value: unknown): string {
  return `${JSON.stringify(plain(value), undefined, 2)}\n`
}

export async function yamlText(value: unknown): Promise<string> {
  const { stringify } = await import("yaml")
  // Kubernetes reads YAML 1.1, in which a bare y, on or 1_000 is no text.
  return stringify(plain(value), { lineWidth: 0, compat: "yaml-1.1" })
}

/** Messages as plain data: no type names, counters as numbers, maps and nested messages taken along, empty origins left out. */
export function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value)
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, one]) => [String(key), plain(one)]))
  if (typeof value !== "object" || value === null) return value
  const entries = Object.entries(value)
    .filter(([key, one]) => !key.startsWith("$") && one !== undefined)
    .map(([key, one]) => [key, plain(one)] as const)
  return Object.fromEntries(entries)
}
