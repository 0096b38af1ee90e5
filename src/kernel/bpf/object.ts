import { createHash } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { native } from "../native.ts"
import { BpfMap } from "./map.ts"
import { Program } from "./program.ts"
import { type Parts, ProgramPins } from "./program-pins.ts"

export interface LoadOptions {
  /** Compiled BPF object (ELF with BTF). */
  readonly file: string
  /** Directory on a bpffs where maps are pinned, and found again by the next load. Without it nothing is pinned. */
  readonly pinDirectory?: string
  /** Values of `const volatile` variables (.rodata) by name, of exactly the variable's size. */
  readonly constants?: Readonly<Record<string, Uint8Array>>
  /** Entries by map name where they differ from the object's. */
  readonly entries?: Readonly<Record<string, number>>
  /** Hash of the layout, part of each pin's name: another layout is never read. */
  readonly layout: string
  /**
   * An array of maps whose inner maps are made after its template: `count` of them, with `entries` each (default the
   * template's). Inner maps that are already there (a pin) stay.
   */
  readonly inner?: {
    readonly outer: string
    readonly template?: string
    readonly count: number
    readonly entries?: number
  }
}

export interface LoadedObject extends Parts, Disposable {
  /** Closes all descriptors; what is pinned or attached lives on. */
  close(): void
}

/** Name of the pin of a map: a different layout has a different pin. */
export function pinName(map: string, layout: string): string {
  return `${map}-${layout}`
}

/**
 * Loads all programs and maps of an object. Nothing is attached. Pins of the same layout are reused: a pinned map whose
 * shape differs (entries changed) is refused with EINVAL, never replaced; programs made from the same object, constants and maps
 * are taken over as they are. Throws `KernelError` with the verifier's log.
 */
export function loadObject(options: LoadOptions): LoadedObject {
  if (!existsSync(options.file)) {
    throw new Error(`Cannot load ${options.file}: there is no such file; build the BPF object first`)
  }
  const { pinDirectory, layout } = options
  const pins = pinDirectory === undefined ? undefined : new ProgramPins(pinDirectory, layout, madeFrom(options))
  const earlier = pins?.open()
  if (earlier !== undefined) return closable(earlier)
  const loaded = closable(load(options))
  try {
    pins?.keep(loaded)
    return loaded
  } catch (error) {
    loaded.close()
    throw error
  }
}

function load({ file, pinDirectory, layout, inner, constants = {}, entries = {} }: LoadOptions): Parts {
  const template = inner?.template
  const { programs, maps } = native().bpfLoad({
    file,
    constants: Object.entries(constants),
    entries: Object.entries(entries),
    pins: (map) =>
      pinDirectory === undefined || map === template ? undefined : join(pinDirectory, pinName(map, layout)),
    inner: inner && { outer: inner.outer, count: inner.count, entries: inner.entries ?? 0 },
  })
  return {
    programs: new Map(programs.map(({ name, fd }) => [name, new Program(fd, name)])),
    maps: new Map(maps.map(({ name, fd }) => [name, new BpfMap(fd, name)])),
  }
}

/** All that makes programs what they are, besides the maps that they hold. */
function madeFrom({ file, constants = {}, entries = {}, inner }: LoadOptions): string {
  const values = Object.entries(constants).map(([name, value]) => [name, [...value]])
  const object = createHash("sha256").update(readFileSync(file)).digest("hex")
  return JSON.stringify([object, values.sort(), Object.entries(entries).sort(), inner ?? null])
}

function closable({ programs, maps }: Parts): LoadedObject {
  const close = () => {
    for (const part of [...programs.values(), ...maps.values()]) part.close()
  }
  return { programs, maps, close, [Symbol.dispose]: close }
}
