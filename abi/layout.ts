import { createHash } from "node:crypto"
import { constants, enums, type FieldType, flags, type MapSpec, maps, type Struct, structs } from "./description.ts"

/** One field of a struct with its place. */
export interface Field {
  readonly name: string
  readonly type: FieldType
  readonly doc: string
  /** Bytes from the start of the struct. */
  readonly offset: number
  /** Bytes of the whole field. */
  readonly size: number
  /** Elements, when it is an array of numbers. */
  readonly count?: number
  /** Type of one element. */
  readonly element: "u8" | "u16" | "u32" | "u64" | "be16" | "be32" | "bytes" | "bpf_timer"
}

export interface Layout {
  readonly name: string
  readonly doc: string
  readonly fields: readonly Field[]
  readonly size: number
}

const scalars: Readonly<Record<string, number>> = { u8: 1, u16: 2, u32: 4, u64: 8, be16: 2, be32: 4, bpf_timer: 16 }

/** Offsets and size of a struct; throws where the C compiler would pad, since padding must be written out. */
export function layoutOf(name: string, struct: Struct): Layout {
  let offset = 0
  let alignment = 1
  const fields: Field[] = []
  for (const [field, entry] of Object.entries(struct.fields)) {
    const [type, doc] = typeof entry === "string" ? [entry, ""] : entry
    const { element, size, align, count } = shapeOf(`${name}.${field}`, type)
    if (offset % align !== 0)
      throw new Error(`Cannot lay out ${name}.${field}: offset ${offset} needs padding to ${align}`)
    fields.push({ name: field, type, doc, offset, size, element, ...(count === undefined ? {} : { count }) })
    offset += size
    alignment = Math.max(alignment, align)
  }
  if (offset % alignment !== 0) throw new Error(`Cannot lay out ${name}: size ${offset} needs padding to ${alignment}`)
  return { name, doc: struct.doc, fields, size: offset }
}

function shapeOf(place: string, type: FieldType): Pick<Field, "element" | "size" | "count"> & { align: number } {
  const bytes = /^bytes (\d+)$/.exec(type)
  if (bytes) return { element: "bytes", size: Number(bytes[1]), align: 1 }
  const array = /^(u8|u32|u64)\[(\d+)\]$/.exec(type)
  const element = (array?.[1] ?? type) as Field["element"]
  const one = scalars[element]
  if (one === undefined) throw new Error(`Cannot lay out ${place}: unknown type ${type}`)
  const align = Math.min(one, 8)
  if (!array) return { element, size: one, align }
  return { element, size: one * Number(array[2]), align, count: Number(array[2]) }
}

/** All structs in the order described. */
export const layouts: readonly Layout[] = Object.entries(structs).map(([name, struct]) => layoutOf(name, struct))

/** Bytes of a key or value as named in a `MapSpec`. */
export function sizeOf(type: string): number {
  const size = scalars[type] ?? layouts.find((layout) => layout.name === type)?.size
  if (type === "none") return 0
  if (size === undefined) throw new Error(`Cannot size ${type}: neither a number nor a struct`)
  return size
}

/** Eight hexadecimal digits over everything that decides how a map's bytes are read. */
export function mapHash(name: string, spec: MapSpec): string {
  const shape = (type: string) => layouts.find((layout) => layout.name === type)?.fields ?? type
  return hash([name, spec.type, spec.flags ?? [], shape(spec.key), shape(spec.value)])
}

/** The same over all maps, constants, flags and enums: programs and agent of one hash understand each other. */
export function layoutHash(): string {
  return hash([Object.entries(maps).map(([name, spec]) => mapHash(name, spec)), constants, enums, flags])
}

function hash(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 8)
}
