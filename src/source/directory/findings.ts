import { isDeepStrictEqual } from "node:util"
import { compareProblems, type Problem } from "../../model/problem.ts"

/** What is wrong with a directory, its files and their objects. Costs what changed: nothing is sorted as long as it is the same. */
export class Findings {
  /** By file name, by object key; "" is the directory. */
  readonly #found = new Map<string, readonly Problem[]>()
  #all: readonly Problem[] | undefined = []

  /** All problems, in the order of files and lines; the same list as long as they are the same. */
  get all(): readonly Problem[] {
    this.#all ??= [...this.#found.values()].flat().sort(compareProblems)
    return this.#all
  }

  has(id: string): boolean {
    return this.#found.has(id)
  }

  /** Puts these in the place of what was wrong with it. */
  set(id: string, problems: readonly Problem[]): void {
    const before = this.#found.get(id) ?? []
    if (before.length === problems.length && isDeepStrictEqual(before, problems)) return
    if (problems.length === 0) this.#found.delete(id)
    else this.#found.set(id, problems)
    this.#all = undefined
  }
}
