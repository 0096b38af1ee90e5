import { constants, type Enum, enums, flags, type MapSpec, maps } from "./description.ts"
import { type Field, type Layout, layoutHash, layouts } from "./layout.ts"

const kernelTypes: Readonly<Record<MapSpec["type"], string>> = {
  array: "BPF_MAP_TYPE_ARRAY",
  "percpu-array": "BPF_MAP_TYPE_PERCPU_ARRAY",
  hash: "BPF_MAP_TYPE_HASH",
  "lru-hash": "BPF_MAP_TYPE_LRU_HASH",
  "lpm-trie": "BPF_MAP_TYPE_LPM_TRIE",
  ringbuf: "BPF_MAP_TYPE_RINGBUF",
  queue: "BPF_MAP_TYPE_QUEUE",
}
const kernelFlags = { mmapable: "BPF_F_MMAPABLE", "no-prealloc": "BPF_F_NO_PREALLOC" } as const
const cTypes: Readonly<Record<Field["element"], string>> = {
  u8: "__u8",
  u16: "__u16",
  u32: "__u32",
  u64: "__u64",
  be16: "__be16",
  be32: "__be32",
  bytes: "__u8",
  bpf_timer: "struct bpf_timer",
}

/** The C side: constants, structs with their sizes and offsets asserted, and the maps. */
export function header(): string {
  return [
    "/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */",
    "/* Made from abi/description.ts; do not change. */",
    "#pragma once",
    "#include <linux/bpf.h>",
    "#include <linux/types.h>",
    "#include <bpf/bpf_helpers.h>",
    "",
    `#define ABI_LAYOUT "${layoutHash()}"`,
    ...Object.entries(constants).map(([name, [value, doc]]) => `#define ${name} ${hex(value)} /* ${doc} */`),
    "",
    ...Object.entries(enums).flatMap(([name, spec]) => enumeration(name, spec)),
    ...Object.entries(flags).flatMap(([name, values]) => [
      ...Object.entries(values).map(
        ([key, [value, doc]]) => `#define ${upper(name)}_${upper(key)} ${hex(value)} /* ${doc} */`,
      ),
      "",
    ]),
    ...layouts.flatMap(struct),
    ...Object.entries(maps).flatMap(([name, spec]) => map(name, spec)),
  ].join("\n")
}

function hex(value: number): string {
  return value < 65_536 ? `${value}u` : `0x${value.toString(16)}u`
}

/** `unknownPeer` → `UNKNOWN_PEER`. */
function upper(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toUpperCase()
}

function enumeration(name: string, spec: Enum): string[] {
  const lower = upper(name).toLowerCase()
  const values = Object.entries(spec.values).map(
    ([key, [value, doc]]) => `\t${upper(name)}_${upper(key)} = ${value}, /* ${doc} */`,
  )
  return [`/* ${spec.doc} */`, `enum ${lower} {`, ...values, "};", ""]
}

function struct(layout: Layout): string[] {
  const fields = layout.fields.map((field) => {
    const count = field.count ?? (field.element === "bytes" ? field.size : undefined)
    const doc = field.doc === "" ? "" : ` /* ${field.doc} */`
    return `\t${cTypes[field.element]} ${field.name}${count === undefined ? "" : `[${count}]`};${doc}`
  })
  // Addresses are compared and copied by u64.
  const align = layout.size % 8 === 0 ? " __attribute__((aligned(8)))" : ""
  return [
    `/* ${layout.doc} */`,
    `struct ${layout.name} {`,
    ...fields,
    `}${align};`,
    `_Static_assert(sizeof(struct ${layout.name}) == ${layout.size}, "size of ${layout.name}");`,
    ...layout.fields.map(
      (field) =>
        `_Static_assert(__builtin_offsetof(struct ${layout.name}, ${field.name}) == ${field.offset}, "${layout.name}.${field.name}");`,
    ),
    "",
  ]
}

function typed(type: string): string {
  return type in cTypes ? (cTypes[type as Field["element"]] as string) : `struct ${type}`
}

function map(name: string, spec: MapSpec): string[] {
  const bits = (spec.flags ?? []).map((flag) => kernelFlags[flag])
  return [
    `/* ${spec.doc} */`,
    "struct {",
    `\t__uint(type, ${kernelTypes[spec.type]});`,
    ...(spec.key === "none" ? [] : [`\t__type(key, ${typed(spec.key)});`]),
    ...(spec.type === "ringbuf" ? [] : [`\t__type(value, ${typed(spec.value)});`]),
    `\t__uint(max_entries, ${spec.entries});`,
    ...(bits.length === 0 ? [] : [`\t__uint(map_flags, ${bits.join(" | ")});`]),
    `} ${name} SEC(".maps");`,
    "",
  ]
}
