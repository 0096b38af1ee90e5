import { readFileSync } from "node:fs"
import { join } from "node:path"
import { crc32 } from "node:zlib"
import { VersionedMap } from "../compile/versions.ts"
import { type Cluster, emptyCluster } from "../model/cluster.ts"
import type { Policy, Tier } from "../model/policy.ts"
import { changedKeys } from "../model/sharded-map.ts"
import type { Verdict } from "../model/verdict.ts"
import type { EndpointPort } from "../plane/plane.ts"
import type { NodeView } from "./view.ts"

/** What a node enforced when its agent last committed: what the kernel's numbers mean. Immutable. */
export interface Snapshot extends NodeView {
  /** Numbers that the kernel has for local endpoints, by `NAMESPACE/NAME`, and for other nodes, by name. */
  readonly numbers: ReadonlyMap<string, { readonly number: number }>
  readonly peers: ReadonlyMap<string, { readonly number: number }>
  /** Ms since the epoch. */
  readonly committedAt: number
  readonly version: string
  readonly plane: string
  readonly routing: string
  /** Whether TCP packets above 64 KiB are used, and why. */
  readonly bigTcp: string
  readonly addresses: readonly string[]
}

/** Before the first commit. */
export const nothingEnforced: Snapshot = {
  node: "",
  generation: 0,
  digest: "",
  cluster: emptyCluster,
  verdicts: [],
  ports: new Map(),
  numbers: new Map(),
  peers: new Map(),
  committedAt: 0,
  version: "",
  plane: "",
  routing: "",
  bigTcp: "",
  addresses: [],
}

export function snapshotPath(runDir: string): string {
  return join(runDir, "state", "enforced.jsonl")
}

/*
 * The file is a sequence of changes, the first of them from nothing, each a line of JSON per entry that it sets or (without a
 * value) deletes, one with what is no map, and a closing line:
 *
 *   ["form",2]
 *   ["endpoints","shop/web",{"namespace":"shop",…}]
 *   ["numbers","shop/web",1]
 *   ["verdicts",3,{"action":"allow",…}]
 *   ["about","",{"generation":7,…}]
 *   ["end","9ae0daaf"]
 *
 * The closing line holds the CRC-32 of every byte before it. A change without it, or with another one, is not there: a crash in
 * the middle of writing leaves what the change before says.
 */
const FORM_LINE = '["form",2]\n'
const END = '["end","'
const endLine = (crc: number): string => `${END}${crc.toString(16)}"]\n`

/** One kind of line: what changed between two snapshots, and what becomes of the value read back. */
interface Part {
  changes(before: Snapshot, after: Snapshot): Iterable<readonly [key: string | number, value: unknown]>
  decode(value: unknown): unknown
}

interface Coding<V> {
  /** Whether two values that are not the same object are written alike. */
  readonly same?: (a: V, b: V) => boolean
  readonly encode?: (value: V) => unknown
  readonly decode?: (value: never) => unknown
}

function mapPart<V>(of: (snapshot: Snapshot) => ReadonlyMap<string, V>, coding: Coding<V> = {}): Part {
  const { same, encode = (value) => value, decode = (value) => value } = coding
  return {
    *changes(before, after) {
      const [old, now] = [of(before), of(after)]
      for (const key of changed(old, now)) {
        const [was, is] = [old.get(key), now.get(key)]
        if (is === undefined) yield [key, undefined]
        else if (was === undefined || same?.(was, is) !== true) yield [key, encode(is)]
      }
    },
    decode: (value) => decode(value as never),
  }
}

function changed<V>(before: ReadonlyMap<string, V>, after: ReadonlyMap<string, V>): Iterable<string> {
  if (!(after instanceof VersionedMap)) return changedKeys(before, after)
  // The entries of such a map may move to a newer version while pieces of the change are on their way to the disk.
  return (before instanceof VersionedMap ? before.changedUntil(after) : undefined) ?? [...changedKeys(before, after)]
}

/** JSON knows no infinity, and orders may be. */
const ordered = {
  encode: (value: Policy | Tier) => ({ ...value, order: String(value.order) }),
  decode: (value: { readonly order: string }) => ({ ...value, order: Number(value.order) }),
}
const numbered: Coding<{ readonly number: number }> = {
  same: (a, b) => a.number === b.number,
  encode: ({ number }) => number,
  decode: (number: number) => ({ number }),
}
const port: Coding<EndpointPort> = {
  encode: (value) => ({ ...value, mac: Buffer.from(value.mac).toString("hex") }),
  decode: (value: { readonly mac: string }) => ({ ...value, mac: new Uint8Array(Buffer.from(value.mac, "hex")) }),
}
const verdicts: Part = {
  *changes({ verdicts: before }, { verdicts: after }) {
    if (before === after) return
    for (let id = 0; id < Math.max(before.length, after.length); id++)
      if (before[id] !== after[id]) yield [id, after[id]]
  },
  decode: (value) => value,
}
const clusterParts = {
  namespaces: mapPart(({ cluster }) => cluster.namespaces),
  serviceAccounts: mapPart(({ cluster }) => cluster.serviceAccounts),
  endpoints: mapPart(({ cluster }) => cluster.endpoints),
  nodes: mapPart(({ cluster }) => cluster.nodes),
  networkSets: mapPart(({ cluster }) => cluster.networkSets),
  services: mapPart(({ cluster }) => cluster.services),
  tiers: mapPart(({ cluster }) => cluster.tiers, ordered),
  policies: mapPart(({ cluster }) => cluster.policies, ordered),
} satisfies Partial<Record<keyof Cluster, Part>>
const parts = {
  ...clusterParts,
  ports: mapPart(({ ports }) => ports, port),
  numbers: mapPart(({ numbers }) => numbers, numbered),
  peers: mapPart(({ peers }) => peers, numbered),
  verdicts,
}
type PartName = keyof typeof parts

/** What is no map: small, so written with every change; the cluster's ranges only when they are others. */
function about(before: Snapshot, after: Snapshot): object {
  const { node, generation, digest, committedAt, version, plane, routing, bigTcp, addresses } = after
  const { clusterPrefixes } = after.cluster
  const ranges = clusterPrefixes === before.cluster.clusterPrefixes ? {} : { clusterPrefixes }
  return { node, generation, digest, committedAt, version, plane, routing, bigTcp, addresses, ...ranges }
}

/** Where a file ends: its length in bytes, and the CRC-32 of them. */
export interface FileEnd {
  readonly length: number
  readonly crc: number
}

export const emptyFile: FileEnd = { length: 0, crc: 0 }

/** Bytes in one piece of a change, as far as its entries go into it: some tenths of a ms. */
const PIECE = 32 * 1024

/**
 * The bytes that bring a file that ends at `end` and says `before` to saying `after`, in pieces that may be made one at a time, each
 * with the end that it makes. Only what comes with the last piece is believed. Takes time by what changed.
 */
export function* changePieces(
  before: Snapshot,
  after: Snapshot,
  end: FileEnd,
): Generator<{ readonly bytes: Uint8Array; readonly end: FileEnd }> {
  let { length, crc } = end
  let text = length === 0 ? FORM_LINE : ""
  const take = (): { bytes: Uint8Array; end: FileEnd } => {
    const bytes = Buffer.from(text)
    text = ""
    crc = crc32(bytes, crc)
    length += bytes.length
    return { bytes, end: { length, crc } }
  }
  for (const [name, part] of Object.entries(parts)) {
    for (const entry of part.changes(before, after)) {
      // A value that is undefined is left out, which makes the line one that deletes.
      text += `${JSON.stringify(entry[1] === undefined ? [name, entry[0]] : [name, ...entry])}\n`
      if (text.length >= PIECE) yield take()
    }
  }
  text += `${JSON.stringify(["about", "", about(before, after)])}\n`
  const entries = take()
  text = endLine(crc)
  const last = take()
  yield { bytes: Buffer.concat([entries.bytes, last.bytes]), end: last.end }
}

/** Undefined when there is none, or when it was written by a version with another form. */
export function readSnapshot(runDir: string): Snapshot | undefined {
  try {
    return decodeSnapshot(readFileSync(snapshotPath(runDir)))
  } catch {
    return undefined
  }
}

/** What the last whole change in the file left; undefined when there is no whole one. */
export function decodeSnapshot(bytes: Uint8Array): Snapshot | undefined {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const read: Read = { about: undefined, maps: emptyMaps() }
  if (file.indexOf(FORM_LINE) !== 0) return undefined
  // What follows a change that is not whole is torn, or of another time.
  for (let from = 0, crc = 0; ; ) {
    // The newline before a closing line is that of the line with what is no map.
    const end = file.indexOf(`\n${END}`, from) + 1
    if (end === 0) break
    crc = crc32(file.subarray(from, end), crc)
    const line = endLine(crc)
    if (file.toString("latin1", end, end + line.length) !== line) break
    apply(read, file.toString("utf8", from === 0 ? FORM_LINE.length : from, end))
    crc = crc32(line, crc)
    from = end + line.length
  }
  if (read.about === undefined) return undefined
  const { ports, numbers, peers, verdicts: byId, ...cluster } = read.maps
  const { clusterPrefixes, ...rest } = read.about
  const verdicts: (Verdict | undefined)[] = []
  for (const [id, verdict] of byId) verdicts[id] = verdict
  return {
    ...rest,
    cluster: { ...cluster, clusterPrefixes },
    ...{ ports, numbers, peers },
    // Ids without a verdict are there, and undefined.
    verdicts: Array.from(verdicts),
  }
}

type About = Omit<Snapshot, "cluster" | "verdicts" | "ports" | "numbers" | "peers"> & Pick<Cluster, "clusterPrefixes">
type Mutable<M> = M extends ReadonlyMap<infer K, infer V> ? Map<K, V> : never
type Maps = { readonly [K in keyof typeof clusterParts]: Mutable<Cluster[K]> } & {
  readonly [K in "ports" | "numbers" | "peers"]: Mutable<Snapshot[K]>
} & { readonly verdicts: Map<number, Verdict> }

interface Read {
  about: About | undefined
  readonly maps: Maps
}

function emptyMaps(): Maps {
  return Object.fromEntries(Object.keys(parts).map((name) => [name, new Map()])) as unknown as Maps
}

/** Takes in the lines of one change. */
function apply(read: Read, lines: string): void {
  for (let from = 0; from < lines.length; ) {
    const end = lines.indexOf("\n", from)
    const [name, key, value] = JSON.parse(lines.slice(from, end)) as [PartName | "about", string | number, unknown]
    from = end + 1
    if (name === "about") {
      read.about = { ...(read.about ?? { clusterPrefixes: [] }), ...(value as About) }
      continue
    }
    const map = read.maps[name] as Map<string | number, unknown>
    if (value === undefined) map.delete(key)
    else map.set(key, parts[name].decode(value))
  }
}
