const codes = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39], cyan: [36, 39] } as const

export type Colour = keyof typeof codes

/** Paints texts, or leaves them as they are. */
export type Paint = (colour: Colour, text: string) => string

export function painter(on: boolean): Paint {
  return on ? (colour, text) => `\x1b[${codes[colour][0]}m${text}\x1b[${codes[colour][1]}m` : (_colour, text) => text
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for
const ESCAPES = /\x1b\[[0-9;]*m/g

/** Columns that a text takes on a terminal: without colour, wide characters counted as one. */
export function widthOf(text: string): number {
  return text.includes("\x1b") ? [...text.replace(ESCAPES, "")].length : [...text].length
}
