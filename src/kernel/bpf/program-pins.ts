import { createHash } from "node:crypto"
import { existsSync, readdirSync, unlinkSync } from "node:fs"
import { join } from "node:path"
import { BpfMap } from "./map.ts"
import { Program } from "./program.ts"

/** Programs and maps by name. */
export interface Parts {
  readonly programs: ReadonlyMap<string, Program>
  readonly maps: ReadonlyMap<string, BpfMap>
}

const PREFIX = "program"

/**
 * Loaded programs kept by pins, so that whoever starts again with the same ones need not have them verified again (a second of CPU).
 * Pins are named `program-COUNT-NAME-HASH-LAYOUT`: the hash is of all that the programs were made from, `made`, and of the maps that they
 * hold, by the kernel's numbers; COUNT tells whether all are there.
 */
export class ProgramPins {
  readonly #directory: string
  readonly #layout: string
  readonly #made: string

  constructor(directory: string, layout: string, made: string) {
    this.#directory = directory
    this.#layout = layout
    this.#made = made
  }

  /** The programs that were made from the same, with the maps that are pinned; undefined when they are not all there. */
  open(): Parts | undefined {
    const maps = new Map(this.#mapPins().map(([name, path]) => [name, BpfMap.openPinned(path, name)]))
    const hash = this.#hash(maps)
    const pins = this.#programPins().filter((pin) => pin.hash === hash)
    if (pins.length > 0 && pins.every(({ count }) => count === pins.length))
      return { maps, programs: new Map(pins.map(({ name, path }) => [name, Program.openPinned(path, name)])) }
    for (const map of maps.values()) map.close()
    return undefined
  }

  /** Pins these programs, loaded with maps that are pinned, in place of those of earlier loads. */
  keep({ programs, maps }: Parts): void {
    for (const { path } of this.#programPins()) unlinkSync(path)
    const hash = this.#hash(maps)
    for (const [name, program] of programs)
      program.pin(join(this.#directory, `${PREFIX}-${programs.size}-${name}-${hash}-${this.#layout}`))
  }

  #hash(maps: ReadonlyMap<string, BpfMap>): string {
    const ids = [...maps].map(([name, { id }]) => `${name}=${id}`).sort()
    return createHash("sha256").update(`${this.#made}\n${ids.join()}`).digest("hex").slice(0, 32)
  }

  /** Names and paths of what is pinned as NAME-LAYOUT. */
  #mapPins(): [name: string, path: string][] {
    return this.#list().flatMap((file) => {
      const [name, layout, ...more] = file.split("-")
      return name !== undefined && layout === this.#layout && more.length === 0
        ? [[name, join(this.#directory, file)]]
        : []
    })
  }

  #programPins(): { count: number; name: string; hash: string; path: string }[] {
    return this.#list().flatMap((file) => {
      const [prefix, count, name = "", hash = "", layout] = file.split("-")
      return prefix === PREFIX && layout === this.#layout
        ? [{ count: Number(count), name, hash, path: join(this.#directory, file) }]
        : []
    })
  }

  #list(): string[] {
    return existsSync(this.#directory) ? readdirSync(this.#directory) : []
  }
}
