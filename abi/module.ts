import { constants, enums, flags, maps } from "./description.ts"
import { type Field, type Layout, layoutHash, layouts, mapHash, sizeOf } from "./layout.ts"

/** The TypeScript side: numbers and names, codecs of all structs, and the maps with their layout hashes. */
export function module(): string {
  return `// Made from abi/description.ts; do not change.

/** Hash of the whole layout; part of every pin's name. */
export const layout = ${JSON.stringify(layoutHash())}

export const constants = ${object(Object.entries(constants).map(([name, [value, doc]]) => [name, String(value), doc]))} as const

${Object.entries(enums)
  .map(([name, spec]) => numbers(name, spec.doc, spec.values))
  .join("\n")}
${Object.entries(flags)
  .map(([name, values]) => numbers(name, "Bits.", values))
  .join("\n")}
/** How one struct lies in memory: every number in the machine's own order unless said otherwise. */
export interface Codec<T, F extends string = string> {
  readonly name: string
  /** Bytes. */
  readonly size: number
  /** Bytes from the start, by field. */
  readonly offset: Readonly<Record<F, number>>
  read(view: DataView, at?: number): T
  write(view: DataView, value: T, at?: number): void
  /** \`value\` as bytes of their own. */
  encode(value: T): Uint8Array
  decode(bytes: Uint8Array): T
}

function codec<T, F extends string>(
  name: string,
  size: number,
  offset: Readonly<Record<F, number>>,
  read: (view: DataView, at: number) => T,
  write: (view: DataView, value: T, at: number) => void,
): Codec<T, F> {
  return {
    name,
    size,
    offset,
    read: (view, at = 0) => read(view, at),
    write: (view, value, at = 0) => write(view, value, at),
    encode(value) {
      const bytes = new Uint8Array(size)
      write(new DataView(bytes.buffer), value, 0)
      return bytes
    },
    decode: (bytes) => read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0),
  }
}

function bytesAt(view: DataView, at: number, size: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at, size).slice()
}

function putBytes(view: DataView, at: number, size: number, value: Uint8Array): void {
  if (value.length !== size) throw new RangeError(\`Cannot write bytes: found \${value.length}, wanted \${size}\`)
  new Uint8Array(view.buffer, view.byteOffset + at, size).set(value)
}

${layouts.map(struct).join("\n")}
/** One map as it is created. */
export interface MapDescription {
  readonly type: string
  readonly keySize: number
  readonly valueSize: number
  readonly entries: number
  readonly mmapable: boolean
  /** Hash of its own layout. */
  readonly layout: string
}

export const maps = ${object(
    Object.entries(maps).map(([name, spec]) => [
      name,
      JSON.stringify({
        type: spec.type,
        keySize: sizeOf(spec.key),
        valueSize: sizeOf(spec.value),
        entries: spec.entries,
        mmapable: spec.flags?.includes("mmapable") ?? false,
        layout: mapHash(name, spec),
      }),
      spec.doc,
    ]),
  )} as const satisfies Record<string, MapDescription>
`
}

function object(entries: readonly (readonly [name: string, value: string, doc: string])[]): string {
  const lines = entries.map(([name, value, doc]) => `${doc === "" ? "" : `  /** ${doc} */\n`}  ${name}: ${value},\n`)
  return `{\n${lines.join("")}}`
}

/** An enum as a constant object, its type, and the texts of its values by number (\`unknown-peer\`). */
function numbers(name: string, doc: string, values: Readonly<Record<string, readonly [number, string]>>): string {
  const entries = Object.entries(values)
  const list = `${name[0]?.toLowerCase()}${name.slice(1)}Names`
  return `/** ${doc} */
export const ${name} = ${object(entries.map(([key, [value, text]]) => [key, String(value), text]))} as const
export type ${name} = (typeof ${name})[keyof typeof ${name}]
/** Value → name as people read it. */
export const ${list}: Readonly<Record<number, string>> = ${object(entries.map(([key, [value]]) => [String(value), JSON.stringify(kebab(key)), ""]))}
`
}

/** \`unknownPeer\` → \`unknown-peer\`. */
function kebab(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, "$1-$2").toLowerCase()
}

function camel(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

function struct(layout: Layout): string {
  const constant = camel(layout.name)
  const type = `${constant[0]?.toUpperCase()}${constant.slice(1)}`
  const shown = layout.fields.filter((field) => !field.name.startsWith("padding") && field.element !== "bpf_timer")
  return `/** ${layout.doc} */
export interface ${type} {
${shown.map((field) => `${field.doc === "" ? "" : `  /** ${field.doc} */\n`}  readonly ${camel(field.name)}: ${typeOf(field)}`).join("\n")}
}
export const ${constant} = codec<${type}, ${shown.map((field) => JSON.stringify(camel(field.name))).join(" | ")}>(
  ${JSON.stringify(layout.name)},
  ${layout.size},
  { ${shown.map((field) => `${camel(field.name)}: ${field.offset}`).join(", ")} },
  (view, at) => ({ ${shown.map((field) => `${camel(field.name)}: ${reader(field)}`).join(", ")} }),
  (view, value, at) => {
${shown.map((field) => `    ${writer(field)}`).join("\n")}
  },
)
`
}

function typeOf(field: Field): string {
  if (field.element === "bytes") return "Uint8Array"
  const one = field.element === "u64" ? "bigint" : "number"
  return field.count === undefined ? one : `readonly ${one}[]`
}

const accessors: Readonly<Record<string, readonly [method: string, size: number, order: string]>> = {
  u8: ["Uint8", 1, ""],
  u16: ["Uint16", 2, ", true"],
  u32: ["Uint32", 4, ", true"],
  u64: ["BigUint64", 8, ", true"],
  be16: ["Uint16", 2, ""],
  be32: ["Uint32", 4, ""],
}

function accessor(field: Field): readonly [method: string, size: number, order: string] {
  const found = accessors[field.element]
  if (!found) throw new Error(`Cannot read ${field.name}: no accessor for ${field.element}`)
  return found
}

function reader(field: Field): string {
  if (field.element === "bytes") return `bytesAt(view, at + ${field.offset}, ${field.size})`
  const [method, size, order] = accessor(field)
  const one = (offset: number) => `view.get${method}(at + ${offset}${order})`
  if (field.count === undefined) return one(field.offset)
  return `[${Array.from({ length: field.count }, (_, i) => one(field.offset + i * size)).join(", ")}]`
}

function writer(field: Field): string {
  const value = `value.${camel(field.name)}`
  if (field.element === "bytes") return `putBytes(view, at + ${field.offset}, ${field.size}, ${value})`
  const [method, size, order] = accessor(field)
  if (field.count === undefined) return `view.set${method}(at + ${field.offset}, ${value}${order})`
  const zero = field.element === "u64" ? "0n" : "0"
  return `for (let i = 0; i < ${field.count}; i++) view.set${method}(at + ${field.offset} + i * ${size}, ${value}[i] ?? ${zero}${order})`
}
