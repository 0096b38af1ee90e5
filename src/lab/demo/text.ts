import type { Cell, Matrix } from "./matrix.ts"

const codes = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39], cyan: [36, 39] } as const

/** Paints a text, or leaves it as it is. */
export type Paint = (colour: keyof typeof codes, text: string) => string

export function painter(on: boolean): Paint {
  return on ? (colour, text) => `\x1b[${codes[colour][0]}m${text}\x1b[${codes[colour][1]}m` : (_, text) => text
}

/** Rows of cells in columns as wide as their widest, two blanks between. */
export function tableText(rows: readonly (readonly string[])[], paint: Paint): string {
  const widths: number[] = []
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  return rows
    .map((row, index) => {
      const line = row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd((widths[i] ?? 0) + 2))).join("")
      return `  ${index === 0 ? paint("dim", line) : line}\n`
    })
    .join("")
}

/**
 * The matrix as text: a row for each who asks, a column for each port, in each cell what the policies say and what was
 * seen. Colour adds nothing that the signs do not say.
 */
export function matrixText(matrix: Matrix, paint: Paint): string {
  const label = Math.max(...matrix.rows.map((row) => row.name.length)) + 2
  const heads = matrix.columns.map((column) => ({ title: column.title, port: `:${column.port}` }))
  const widths = heads.map(({ title, port }) => Math.max(title.length, port.length, 3) + 2)
  const titles = heads.map(({ title }, i) => title.padEnd(widths[i] ?? 0)).join("")
  const ports = heads.map(({ port }, i) => port.padEnd(widths[i] ?? 0)).join("")
  const lines = [
    `  ${" ".repeat(label)}${paint("bold", titles.trimEnd())}`,
    `  ${" ".repeat(label)}${paint("dim", ports.trimEnd())}`,
  ]
  for (const [r, row] of matrix.rows.entries()) {
    const cells = matrix.columns.map((_, c) => cellText(matrix.cells[r]?.[c] ?? [], widths[c] ?? 0, paint))
    lines.push(`  ${row.name.padEnd(label)}${cells.join("")}`.trimEnd())
  }
  return `${lines.join("\n")}\n`
}

function cellText(cells: readonly Cell[], width: number, paint: Paint): string {
  const [first] = cells
  if (first === undefined) return " ".repeat(width)
  const wrong = cells.find((cell) => cell.failure !== undefined || cell.expected !== cell.observed)
  const mixed = cells.some((cell) => cell.expected !== first.expected)
  const shown = wrong ?? first
  const sign = (allowed: boolean): string => (allowed ? "✓" : "·")
  const text =
    mixed && wrong === undefined
      ? "± ±"
      : `${sign(shown.expected)} ${shown.failure === undefined ? sign(shown.observed) : "?"}`
  const colour = wrong !== undefined ? "red" : shown.expected ? "green" : "dim"
  return paint(colour, text) + " ".repeat(Math.max(0, width - 3))
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for
const escapes = /\x1b\[[0-9;]*m/g

/**
 * A line broken so that no part is wider than `width`: before its last column (after two blanks or more) where that is
 * enough, else between words. What follows begins with `indent` blanks.
 */
export function foldLine(line: string, width: number, indent: number): string {
  if (visible(line) <= width) return line.trimEnd()
  const [, head = "", column = ""] = /^(.*\S) {2,}(\S.*)$/.exec(line) ?? []
  if (head !== "" && visible(head) <= width && indent + visible(column) <= width) {
    return `${head}\n${" ".repeat(indent)}${column}`
  }
  const lines: string[] = []
  let current = ""
  for (const word of line.match(/\s*\S+/g) ?? []) {
    if (visible(current + word) <= width || current === "") current += word
    else {
      lines.push(current)
      current = " ".repeat(indent) + word.trimStart()
    }
  }
  return [...lines, current].join("\n")
}

function visible(text: string): number {
  return [...text.replace(escapes, "")].length
}
