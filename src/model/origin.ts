/** Where something was written, for every message that leads a person back to a line. Lines and columns start at 1. */
export interface Origin {
  /** File path, or a word for what is not a file: `api`, `stdin`. */
  readonly file: string
  readonly line: number
  readonly column: number
}
