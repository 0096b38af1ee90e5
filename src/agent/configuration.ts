import { readFileSync } from "node:fs"
import { hostname, totalmem } from "node:os"
import { join, resolve } from "node:path"
import { LineCounter, parseDocument } from "yaml"
import { Failure, reasonOf } from "../api/failure.ts"
import { parsePrefix } from "../net/prefix.ts"
import type { Prefix } from "../net/types.ts"
import { type BigTcpMode, bigTcpModes } from "../plane/network/big-tcp.ts"

/** Everything that can be set for an agent. Made once at start by `readConfiguration`, then passed to whoever needs a part. */
export interface Configuration {
  /** Name of the Node object that this agent is. */
  readonly node: string
  /** Sockets, pins and state of this node lie here. */
  readonly runDir: string
  /** Directory of YAML files from which objects come. */
  readonly objects: string
  /** How pods of other nodes are reached. */
  readonly routing: "vxlan" | "native"
  /** Interface to the other nodes; undefined: that of the node's own address. */
  readonly uplink: string | undefined
  /** The cluster's ranges besides the nodes' pod ranges: an address in one that is of nothing known is not outside. */
  readonly clusterPrefixes: readonly Prefix[]
  /** Destinations outside that pods reach with their own address. */
  readonly nonMasquerade: readonly Prefix[]
  /** UDP port of the overlay. */
  readonly overlayPort: number
  /** Ranges from which this node's pods get addresses; empty: those of its Node object. */
  readonly podPrefixes: readonly Prefix[]
  /** MTU of the uplink's path; undefined: the uplink's own. */
  readonly mtu: number | undefined
  /** TCP packets above 64 KiB; `auto`: where nothing on the way to other nodes would cut them (docs/design.md, 4.2). */
  readonly bigTcp: BigTcpMode
  /** Path of the network namespace that is the node; undefined: the one the agent is started in. */
  readonly netns: string | undefined
  /** The machine's own network namespace is the node: refused unless this is set. */
  readonly machineNetwork: boolean
  /** Socket for the CNI plugin. */
  readonly cniSocket: string
  /** Flows remembered for `observe`. */
  readonly flowsKept: number
  /** Records of the kernel's flow table: connections of this node at a time, and those that closed a few seconds ago. */
  readonly flowRecords: number
  /** Addresses of endpoints, nodes and services that the kernel's table has room for. */
  readonly addressEntries: number
  readonly logLevel: LogLevel
}

export const logLevels = ["trace", "debug", "info", "warn", "error", "silent"] as const
export type LogLevel = (typeof logLevels)[number]

/** Settings as a person gives them, on the command line or in the file; flags win. */
export type Settings = {
  readonly [Name in keyof Configuration]?: string | number | boolean | readonly string[] | undefined
}

/** `memory`: bytes that the machine has. */
type Reader<T> = (value: unknown, memory: number) => T

/** One reader a setting: it says what it wants by what it throws. */
const readers: { readonly [Name in keyof Configuration]: Reader<Configuration[Name]> } = {
  node: (value) =>
    matching(value, /^[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?$/, "a node's name (lower case letters, digits, - and .)"),
  runDir: path,
  objects: path,
  routing: (value) => oneOf(value, ["vxlan", "native"] as const),
  uplink: (value) => matching(value, /^[^\s/]{1,15}$/, "an interface's name"),
  clusterPrefixes: prefixes,
  nonMasquerade: prefixes,
  overlayPort: (value) => integer(value, 1, 65_535),
  podPrefixes: prefixes,
  mtu: (value) => integer(value, 1_280, 65_535),
  bigTcp: (value) => oneOf(value, bigTcpModes),
  netns: path,
  machineNetwork: boolean,
  cniSocket: path,
  flowsKept: (value) => integer(value, 1_024, 16_777_216),
  flowRecords: (value, memory) => affordable(integer(value, 1_024, 16_777_216), FLOW_RECORD_BYTES, memory),
  addressEntries: (value, memory) => affordable(integer(value, 1_024, 4_194_304), ADDRESS_BYTES, memory),
  logLevel: (value) => oneOf(value, logLevels),
}

/** What each setting is for, for `heddle agent --help` and the documentation. */
export const settingNames = Object.keys(readers) as readonly (keyof Configuration)[]

/**
 * Reads the file (YAML, the names above as keys) and the flags. Throws a `Failure` of kind usage that names file and line, or the
 * flag, for an unknown name or a value that cannot be.
 */
export function readConfiguration(flags: Settings, file?: string, memory = totalmem()): Configuration {
  const given = new Map<keyof Configuration, unknown>()
  if (file !== undefined) readFile(file, given, memory)
  for (const name of settingNames) {
    const value = flags[name]
    if (value !== undefined) given.set(name, read(name, value, `--${flagOf(name)}`, memory))
  }
  const node = (given.get("node") as string | undefined) ?? hostname().toLowerCase()
  const runDir = (given.get("runDir") as string | undefined) ?? join("/run/heddle", node)
  const defaults: Configuration = {
    node,
    runDir,
    objects: "/etc/heddle/objects",
    routing: "vxlan",
    uplink: undefined,
    clusterPrefixes: [],
    nonMasquerade: [],
    overlayPort: 4_789,
    podPrefixes: [],
    mtu: undefined,
    bigTcp: "auto",
    netns: undefined,
    machineNetwork: false,
    cniSocket: join(runDir, "cni.sock"),
    flowsKept: 262_144,
    flowRecords: 131_072,
    addressEntries: 131_072,
    logLevel: "info",
  }
  // Every value in `given` came through the reader of its own name.
  return { ...defaults, ...(Object.fromEntries(given) as Partial<Configuration>) }
}

/** `runDir` → `run-dir`. */
export function flagOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

function readFile(file: string, given: Map<keyof Configuration, unknown>, memory: number): void {
  let text: string
  try {
    text = readFileSync(file, "utf8")
  } catch (error) {
    throw new Failure(
      "usage",
      `Cannot read the configuration ${file}`,
      reasonOf(error),
      "name another file by --config",
    )
  }
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  const broken = document.errors[0]
  if (broken !== undefined) {
    const at = lines.linePos(broken.pos[0])
    throw new Failure("usage", `Cannot read the configuration ${file}`, `${file}:${at.line}:${at.col}: ${broken.code}`)
  }
  const value: unknown = document.toJS()
  if (value === null) return
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new Failure(
      "usage",
      `Cannot read the configuration ${file}`,
      "wanted a mapping of settings",
      `settings: ${settingNames.join(", ")}`,
    )
  }
  for (const [name, setting] of Object.entries(value)) {
    const node: unknown = document.get(name, true)
    const range =
      typeof node === "object" && node !== null && "range" in node && Array.isArray(node.range) ? node.range : [0]
    const at = lines.linePos(Number(range[0]))
    const place = `${file}:${at.line}:${at.col}`
    if (!isSetting(name)) {
      throw new Failure(
        "usage",
        `Cannot use the configuration ${file}`,
        `${place}: unknown setting ${name}`,
        `settings: ${settingNames.join(", ")}`,
      )
    }
    given.set(name, read(name, setting, place, memory))
  }
}

function isSetting(name: string): name is keyof Configuration {
  return Object.hasOwn(readers, name)
}

function read(name: keyof Configuration, value: unknown, place: string, memory: number): unknown {
  try {
    return readers[name](value, memory)
  } catch (error) {
    throw new Failure(
      "usage",
      `Cannot use setting ${name}`,
      `${place}: ${reasonOf(error)}`,
      "heddle agent --help lists the settings",
    )
  }
}

function matching(value: unknown, pattern: RegExp, wanted: string): string {
  if (typeof value === "string" && pattern.test(value)) return value
  throw new Error(`found ${JSON.stringify(value)}, wanted ${wanted}`)
}

function path(value: unknown): string {
  if (typeof value === "string" && value !== "" && !value.includes("\0")) return resolve(value)
  throw new Error(`found ${JSON.stringify(value)}, wanted a path`)
}

function boolean(value: unknown): boolean {
  if (typeof value === "boolean") return value
  throw new Error(`found ${JSON.stringify(value)}, wanted true or false`)
}

function oneOf<T extends string>(value: unknown, all: readonly T[]): T {
  const found = all.find((one) => one === value)
  if (found === undefined)
    throw new Error(`found ${JSON.stringify(value)}, wanted ${all.slice(0, -1).join(", ")} or ${all.at(-1)}`)
  return found
}

function integer(value: unknown, least: number, most: number): number {
  const number = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value
  if (typeof number === "number" && Number.isInteger(number) && number >= least && number <= most) return number
  throw new Error(`found ${JSON.stringify(value)}, wanted a whole number from ${least} to ${most}`)
}

/** What one entry takes in the kernel, in bytes: a record of the flow table, used or not, with its place in the queue of ageing; an address. */
const FLOW_RECORD_BYTES = 224
const ADDRESS_BYTES = 128

/** One table may take a quarter of the machine's memory, which the kernel does not give back. */
function affordable(entries: number, bytes: number, memory: number): number {
  const most = Math.floor(memory / 4 / bytes)
  if (entries <= most) return entries
  const why = `each takes ${bytes} bytes, and the table may take a quarter of this machine's memory`
  throw new Error(`found ${entries}, wanted at most ${most}: ${why}`)
}

/** A list, or one text with commas. */
function prefixes(value: unknown): readonly Prefix[] {
  const list: unknown = typeof value === "string" ? value.split(",").filter((part) => part.trim() !== "") : value
  if (!Array.isArray(list))
    throw new Error(`found ${JSON.stringify(value)}, wanted a list of blocks such as 10.244.0.0/16`)
  return list.map((one: unknown) => {
    if (typeof one !== "string") throw new Error(`found ${JSON.stringify(one)}, wanted a block such as 10.244.0.0/16`)
    return parsePrefix(one.trim())
  })
}
