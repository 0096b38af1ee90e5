/** A cluster that cannot be compiled as a whole: a number does not fit. What was compiled before stays as it was. */
export class CompileError extends Error {
  readonly code = "compile-limit"
  readonly what: string
  readonly need: number
  readonly limit: number
  constructor(what: string, need: number, limit: number, advice: string) {
    super(`Cannot compile the policies: ${what} needs ${need}, the limit is ${limit}. ${advice}`)
    this.what = what
    this.need = need
    this.limit = limit
  }
}

/** How many classes and rows there may be: cells hold their numbers in 16 bits. A plane with smaller tables asks for less. */
export interface CompileLimits {
  readonly classes: number
  readonly rows: number
  /** From so many intervals of what everybody meets on, rows of peers whom rules name say only where they differ from it. */
  readonly layered: number
}

export const LIMITS: CompileLimits = { classes: 65_536, rows: 65_536, layered: 64 }
