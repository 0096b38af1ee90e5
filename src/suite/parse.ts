import type { Origin } from "../model/origin.ts"
import { type FieldPath, fieldPathText } from "../model/problem.ts"
import { Protocol } from "../net/types.ts"
import type { End, JsonObject, Manifest, Probe, SuiteCase, SuiteProblem } from "./format.ts"

/** Where the parts of one case were written: `originAt([])` is the case itself. */
export type OriginAt = (path: FieldPath) => Origin

const caseFields = ["name", "tags", "group", "step", "denial", "manifests", "probes", "admit"]
const probeFields = [
  ...["from", "to", "protocol", "port", "sourcePort", "icmpType", "icmpCode", "family", "expect", "by"],
  ...["backends", "sticky", "connection", "via"],
]
const numbersByName = new Map(Object.entries(Protocol).map(([name, number]) => [name.toLowerCase(), number]))

/**
 * One case from a parsed JSON or YAML value. All its mistakes go to `problems`; undefined when there was any. A field
 * that the format does not know is kept and given back by `-o jsonl`, unless it looks like a misspelt known one.
 */
export function parseCase(value: unknown, originAt: OriginAt, problems: SuiteProblem[]): SuiteCase | undefined {
  const before = problems.length
  const reader = new Reader(originAt, problems)
  const whole = reader.object(value, [], "a case")
  if (whole === undefined) return undefined
  const raw = withoutNulls(whole)
  reader.knownFields(raw, [], caseFields)
  const name = reader.string(raw["name"], ["name"])
  const group = raw["group"] === undefined ? undefined : reader.string(raw["group"], ["group"])
  const admit = reader.oneOf(raw["admit"], ["admit"], ["accept", "reject"] as const)
  const manifests = reader.list(raw["manifests"], ["manifests"]).flatMap((item, i): Manifest[] => {
    const path = ["manifests", i]
    const object = reader.object(item, path, "a manifest")
    if (object === undefined) return []
    return [{ value: object, origin: originAt(path), originAt: (inner) => originAt([...path, ...inner]) }]
  })
  const probes = reader.list(raw["probes"], ["probes"]).flatMap((item, i) => parseProbe(reader, item, ["probes", i]))
  if (raw["probes"] === undefined && admit === undefined) {
    reader.problem([], `Cannot read the case: it has neither "probes" nor "admit", so there is nothing to check`)
  }
  if (admit !== undefined && manifests.length === 0) {
    reader.problem(["admit"], `Cannot judge admission: the case has no manifests, and "admit" speaks of the last one`)
  }
  const step = reader.integer(raw["step"], ["step"], 0, Number.MAX_SAFE_INTEGER) ?? 0
  const tags = reader.list(raw["tags"], ["tags"]).map((tag, i) => reader.string(tag, ["tags", i]) ?? "")
  const denial = reader.oneOf(raw["denial"], ["denial"], ["any", "drop"] as const) ?? "any"
  if (problems.length > before || name === undefined) return undefined
  return {
    ...{ name, tags, step, denial, manifests, probes, raw: whole, origin: originAt([]) },
    ...(group === undefined ? {} : { group }),
    ...(admit === undefined ? {} : { admit }),
  }
}

function parseProbe(reader: Reader, value: unknown, path: FieldPath): Probe[] {
  const whole = reader.object(value, path, "a probe")
  if (whole === undefined) return []
  const raw = withoutNulls(whole)
  const at = (field: string) => [...path, field]
  reader.knownFields(raw, path, probeFields)
  const from = parseEnd(reader, raw["from"], at("from"), false)
  const to = parseEnd(reader, raw["to"], at("to"), true)
  const protocol = parseProtocol(reader, raw["protocol"], at("protocol"))
  const port = reader.integer(raw["port"], at("port"), 0, 65535)
  const sourcePort = reader.integer(raw["sourcePort"], at("sourcePort"), 0, 65535)
  const icmpType = reader.integer(raw["icmpType"], at("icmpType"), 0, 255)
  const icmpCode = reader.integer(raw["icmpCode"], at("icmpCode"), 0, 255)
  const family = reader.oneOf(raw["family"], at("family"), ["ipv4", "ipv6"] as const)
  const expect = reader.oneOf(raw["expect"], at("expect"), ["allow", "deny"] as const)
  if (raw["expect"] === undefined) reader.problem(path, `Cannot read the probe: "expect" is missing; say allow or deny`)
  const by = raw["by"] === undefined ? undefined : reader.string(raw["by"], at("by"))
  const backends =
    raw["backends"] === undefined
      ? undefined
      : reader.list(raw["backends"], at("backends")).map((b, i) => reader.string(b, [...at("backends"), i]) ?? "")
  const sticky = reader.boolean(raw["sticky"], at("sticky"))
  const connection = reader.oneOf(raw["connection"], at("connection"), ["kept", "cut"] as const)
  const via = raw["via"] === undefined ? undefined : reader.string(raw["via"], at("via"))
  if (from === undefined || to === undefined || protocol === undefined || expect === undefined) return []
  const icmp = protocol === Protocol.ICMP || protocol === Protocol.ICMPv6
  const hasPorts = protocol === Protocol.TCP || protocol === Protocol.UDP || protocol === Protocol.SCTP
  if (hasPorts && port === undefined) reader.problem(path, `Cannot read the probe: TCP, UDP and SCTP need a "port"`)
  if (!hasPorts && port !== undefined && port !== 0) {
    reader.problem(at("port"), `Cannot read the probe: protocol ${protocol} has no ports`)
  }
  if (!icmp && (icmpType !== undefined || icmpCode !== undefined)) {
    reader.problem(path, `Cannot read the probe: "icmpType" and "icmpCode" are for ICMP and ICMPv6 alone`)
  }
  return [
    {
      ...{ from, to, protocol, expect, raw: whole },
      ...(port === undefined || !hasPorts ? {} : { port }),
      ...(sourcePort === undefined ? {} : { sourcePort }),
      ...(icmpType === undefined ? {} : { icmpType }),
      ...(icmpCode === undefined ? {} : { icmpCode }),
      ...(family === undefined ? {} : { family: family === "ipv4" ? 4 : 6 }),
      ...(by === undefined ? {} : { by }),
      ...(backends === undefined ? {} : { backends }),
      ...(sticky === undefined ? {} : { sticky }),
      ...(connection === undefined ? {} : { connection }),
      ...(via === undefined ? {} : { via }),
    },
  ]
}

/** A field that is null counts as absent. */
function withoutNulls(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null))
}

function parseProtocol(reader: Reader, value: unknown, path: FieldPath): number | undefined {
  if (value === undefined) return Protocol.TCP
  if (typeof value === "number") return reader.integer(value, path, 0, 255)
  if (typeof value === "string") {
    const number = numbersByName.get(value.toLowerCase())
    if (number !== undefined) return number
    if (/^\d{1,3}$/.test(value)) return reader.integer(Number(value), path, 0, 255)
  }
  const names = Object.keys(Protocol).join(", ")
  reader.problem(path, `Cannot read the probe: protocol ${JSON.stringify(value)} is none of ${names} or a number 0–255`)
  return undefined
}

function parseEnd(reader: Reader, value: unknown, path: FieldPath, target: boolean) {
  const forms = target ? `{ns, pod}, {node}, {ip} or {ns, service}` : `{ns, pod}, {node} or {ip}`
  const raw = reader.object(value, path, `an end (${forms})`)
  if (raw === undefined) return undefined
  const keys = Object.keys(raw).sort().join(",")
  const text = (field: string) => reader.string(raw[field], [...path, field]) ?? ""
  const end: End | undefined =
    keys === "ns,pod"
      ? { kind: "pod", namespace: text("ns"), pod: text("pod") }
      : keys === "node"
        ? { kind: "node", node: text("node") }
        : keys === "ip"
          ? { kind: "ip", ip: text("ip") }
          : keys === "ns,service" && target
            ? { kind: "service", namespace: text("ns"), service: text("service") }
            : undefined
  if (end === undefined) reader.problem(path, `Cannot read the end: found fields ${keys || "(none)"}, wanted ${forms}`)
  return end
}

/** Typed reading of a JSON value that collects problems with the place of each. */
class Reader {
  readonly #originAt: OriginAt
  readonly #problems: SuiteProblem[]

  constructor(originAt: OriginAt, problems: SuiteProblem[]) {
    this.#originAt = originAt
    this.#problems = problems
  }

  problem(path: FieldPath, message: string): void {
    const where = path.length === 0 ? "" : ` (at ${fieldPathText(path)})`
    this.#problems.push({ origin: this.#originAt(path), message: message + where })
  }

  object(value: unknown, path: FieldPath, what: string): JsonObject | undefined {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject
    this.problem(path, `Cannot read ${what}: found ${describe(value)}, wanted an object`)
    return undefined
  }

  list(value: unknown, path: FieldPath): readonly unknown[] {
    if (value === undefined) return []
    if (Array.isArray(value)) return value
    this.problem(path, `Cannot read the case: found ${describe(value)}, wanted a list`)
    return []
  }

  string(value: unknown, path: FieldPath): string | undefined {
    if (typeof value === "string" && value !== "") return value
    this.problem(path, `Cannot read the case: found ${describe(value)}, wanted a non-empty string`)
    return undefined
  }

  boolean(value: unknown, path: FieldPath): boolean | undefined {
    if (value === undefined || typeof value === "boolean") return value
    this.problem(path, `Cannot read the case: found ${describe(value)}, wanted true or false`)
    return undefined
  }

  integer(value: unknown, path: FieldPath, least: number, most: number): number | undefined {
    if (value === undefined) return undefined
    if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return value as number
    this.problem(path, `Cannot read the case: found ${describe(value)}, wanted a whole number from ${least} to ${most}`)
    return undefined
  }

  oneOf<T extends string>(value: unknown, path: FieldPath, choices: readonly T[]): T | undefined {
    if (value === undefined) return undefined
    const found = choices.find((choice) => choice === value)
    if (found === undefined) {
      this.problem(path, `Cannot read the case: found ${describe(value)}, wanted ${choices.join(" or ")}`)
    }
    return found
  }

  knownFields(object: JsonObject, path: FieldPath, known: readonly string[]): void {
    for (const key of Object.keys(object)) {
      if (known.includes(key)) continue
      const meant = known.find((name) => alike(name, key))
      if (meant === undefined) continue
      this.problem([...path, key], `Cannot read the case: unknown field "${key}"; did you mean "${meant}"?`)
    }
  }
}

function describe(value: unknown): string {
  if (value === undefined) return "nothing"
  return Array.isArray(value)
    ? "a list"
    : typeof value === "object" && value !== null
      ? "an object"
      : JSON.stringify(value)
}

/** Equal but for case, or one letter left out, put in, changed, or two neighbours swapped. */
function alike(name: string, found: string): boolean {
  const a = name.toLowerCase()
  const b = found.toLowerCase()
  if (a === b) return true
  if (Math.abs(a.length - b.length) > 1 || Math.min(a.length, b.length) < 4) return false
  let start = 0
  while (start < a.length && a[start] === b[start]) start++
  let end = 0
  while (end < Math.min(a.length, b.length) - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++
  const middleA = a.slice(start, a.length - end)
  const middleB = b.slice(start, b.length - end)
  if (middleA.length <= 1 && middleB.length <= 1) return true
  return middleA.length === 2 && middleB.length === 2 && middleA[0] === middleB[1] && middleA[1] === middleB[0]
}
