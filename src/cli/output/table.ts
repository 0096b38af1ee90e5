import { widthOf } from "./colour.ts"

export interface Column<Row> {
  readonly header: string
  readonly value: (row: Row) => string
  /** Shown by `-o wide` only. */
  readonly wide?: boolean
  readonly align?: "right"
}

/** Rows under headers, two blanks between columns, nothing at the end of a line. */
export function tableText<Row>(rows: readonly Row[], columns: readonly Column<Row>[], wide = false): string {
  const shown = columns.filter((column) => wide || column.wide !== true)
  const lines = [shown.map((column) => column.header), ...rows.map((row) => shown.map((column) => column.value(row)))]
  const widths = shown.map((_, i) => Math.max(...lines.map((line) => widthOf(line[i] ?? ""))))
  return lines
    .map((line) =>
      line
        .map((cell, i) => {
          const pad = " ".repeat(Math.max(0, (widths[i] ?? 0) - widthOf(cell)))
          return shown[i]?.align === "right" ? pad + cell : cell + pad
        })
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("")
}
