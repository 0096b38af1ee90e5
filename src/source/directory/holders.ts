/** Which files hold an object; hardly ever several. */
export class Holders {
  readonly #names = new Map<string, string | readonly string[]>()

  /** Names of the files, in order: of an object that stands in several the first counts. */
  of(key: string): readonly string[] {
    const names = this.#names.get(key)
    return names === undefined ? [] : typeof names === "string" ? [names] : names
  }

  has(key: string): boolean {
    return this.#names.has(key)
  }

  add(key: string, name: string): void {
    const names = this.of(key)
    if (!names.includes(name)) this.#names.set(key, names.length === 0 ? name : [...names, name].sort())
  }

  remove(key: string, name: string): void {
    const [first, ...rest] = this.of(key).filter((other) => other !== name)
    if (first === undefined) this.#names.delete(key)
    else this.#names.set(key, rest.length === 0 ? first : [first, ...rest])
  }
}
