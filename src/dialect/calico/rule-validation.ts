import { isRecord } from "../../model/manifest.ts"
import type { FieldPath } from "../../model/problem.ts"
import { tryParsePrefix } from "../../net/prefix.ts"
import { Protocol } from "../../net/types.ts"
import { fieldAt, listAt, numberAt, recordAt, textAt, textsAt } from "../read.ts"
import type { Report } from "../report.ts"
import { nearestWord } from "../suggest.ts"
import { asksPartOfServiceAccountName } from "./match.ts"
import { parseSelector, SelectorError } from "./selector.ts"
import { protocolNumber } from "./translate.ts"

const actions = ["Allow", "Deny", "Log", "Pass"]
const withPorts = new Set<number>([Protocol.TCP, Protocol.UDP, Protocol.SCTP])
const protocolNames = "TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite, or a number 1–255"

/** Limits of the resource definitions: entries of one list. */
const MAX_NETS = 256
const MAX_PORTS = 50
const MAX_SELECTOR = 1024

export interface RuleContext {
  readonly direction: "ingress" | "egress"
  /** In a namespaced policy a service match may leave out its namespace. */
  readonly namespaced: boolean
}

/** Everything that Calico's validator (`libcalico-go/lib/validator/v3`) refuses in one rule, and what no plane can enforce yet. */
export function validateRule(rule: unknown, path: FieldPath, context: RuleContext, report: Report): void {
  if (!isRecord(rule)) return
  validateAction(rule, path, report)
  const protocol = validateProtocol(rule, "protocol", path, report)
  const notProtocol = validateProtocol(rule, "notProtocol", path, report)
  const version = numberAt(rule, "ipVersion")
  if (version !== undefined && version !== 4 && version !== 6)
    report.error([...path, "ipVersion"], `must be 4 or 6, found ${version}`)
  for (const [field, number] of [
    ["protocol", protocol],
    ["notProtocol", notProtocol],
  ] as const) {
    if (number === Protocol.ICMP && version === 6)
      report.error([...path, field], "ICMP is IPv4's, ipVersion says 6", "write ICMPv6")
    if (number === Protocol.ICMPv6 && version === 4)
      report.error([...path, field], "ICMPv6 is IPv6's, ipVersion says 4", "write ICMP")
  }
  validateIcmp(rule, "icmp", path, report)
  validateIcmp(rule, "notICMP", path, report)
  if (fieldAt(rule, "icmp") !== undefined && protocol !== Protocol.ICMP && protocol !== Protocol.ICMPv6) {
    report.error([...path, "icmp"], "needs protocol ICMP or ICMPv6", "add protocol: ICMP")
  }
  for (const side of ["source", "destination"] as const) {
    const entity = recordAt(rule, side)
    if (entity !== undefined) validateEntity(entity, side, [...path, side], context, protocol, report)
  }
  validateFamilies(rule, version, path, report)
  if (fieldAt(rule, "http") !== undefined) validateHttp(rule, path, context, protocol, report)
}

function validateAction(rule: unknown, path: FieldPath, report: Report): void {
  const action = textAt(rule, "action")
  if (action !== undefined && actions.includes(action)) return
  const near = action === undefined ? undefined : nearestWord(action, actions)
  report.error(
    [...path, "action"],
    action === undefined ? "an action is required" : `unknown action ${JSON.stringify(action)}`,
    near === undefined ? `allowed: ${actions.join(", ")}` : `did you mean ${near}?`,
  )
}

function validateProtocol(
  rule: unknown,
  field: "protocol" | "notProtocol",
  path: FieldPath,
  report: Report,
): number | undefined {
  const value = fieldAt(rule, field)
  if (typeof value !== "string" && typeof value !== "number") return undefined
  const number = protocolNumber(value)
  if (Number.isInteger(number) && number >= 1 && number <= 255) return number
  report.error([...path, field], `${JSON.stringify(value)} is no protocol`, `allowed: ${protocolNames}`)
  return undefined
}

function validateIcmp(rule: unknown, field: "icmp" | "notICMP", path: FieldPath, report: Report): void {
  const icmp = recordAt(rule, field)
  if (icmp === undefined) return
  const type = numberAt(icmp, "type")
  const code = numberAt(icmp, "code")
  if (type !== undefined && (type < 0 || type > 254))
    report.error([...path, field, "type"], `must be 0 to 254, found ${type}`)
  if (code === undefined) return
  if (code < 0 || code > 255) report.error([...path, field, "code"], `must be 0 to 255, found ${code}`)
  if (type === undefined) report.error([...path, field, "code"], "needs a type", "add type")
}

function validateEntity(
  entity: unknown,
  side: "source" | "destination",
  path: FieldPath,
  context: RuleContext,
  protocol: number | undefined,
  report: Report,
): void {
  for (const field of ["nets", "notNets"] as const) {
    const nets = textsAt(entity, field)
    if (nets.length > MAX_NETS)
      report.error([...path, field], `${nets.length} entries, at most ${MAX_NETS} are allowed`)
    for (const [index, net] of nets.entries()) validateNet(net, field === "notNets", [...path, field, index], report)
  }
  for (const field of ["selector", "notSelector", "namespaceSelector"] as const) {
    validateSelector(entity, field, path, { globalAlone: field === "namespaceSelector" }, report)
  }
  const accounts = recordAt(entity, "serviceAccounts")
  if (accounts !== undefined) validateSelector(accounts, "selector", [...path, "serviceAccounts"], {}, report)
  for (const field of ["ports", "notPorts"] as const) validatePorts(entity, field, path, protocol, report)
  if (fieldAt(entity, "services") !== undefined) validateServices(entity, side, path, context, report)
}

function validateNet(net: string, negative: boolean, path: FieldPath, report: Report): void {
  const prefix = tryParsePrefix(net)
  if (prefix === undefined) {
    const bare = tryParsePrefix(`${net}/${net.includes(":") ? 128 : 32}`)
    report.error(
      path,
      `${JSON.stringify(net)} is no block`,
      bare === undefined ? "for example 10.0.0.0/8" : `write ${bare}`,
    )
    return
  }
  if (tryParsePrefix(net, { strict: true }) === undefined) {
    report.error(path, `${JSON.stringify(net)} has bits set behind its length`, `write ${prefix}`)
  }
  if (negative && (prefix === "0.0.0.0/0" || prefix === "::/0")) {
    report.error(path, `${prefix} excludes every address: the rule could match nothing`, "leave the rule out")
  }
}

/** A field that holds a selector: its length, its grammar, and where `global()` may stand. */
export function validateSelector(
  value: unknown,
  field: string,
  path: FieldPath,
  rules: { readonly globalAlone?: boolean },
  report: Report,
): void {
  const text = textAt(value, field)
  if (text === undefined) return
  const at = [...path, field]
  if (text.length > MAX_SELECTOR) report.error(at, `${text.length} characters, at most ${MAX_SELECTOR} are allowed`)
  try {
    const { selector, global } = parseSelector(text)
    if (global && !(rules.globalAlone === true && /^[ \t]*global\([ \t]*\)[ \t]*$/.test(text))) {
      report.error(at, "global() may stand only alone, in the namespaceSelector of a rule")
    }
    if (asksPartOfServiceAccountName(selector)) {
      report.error(
        at,
        "part of a service account's name cannot be asked for with contains, starts with or ends with",
        "name the accounts with in {…}, or label them and use serviceAccounts.selector",
      )
    }
  } catch (error) {
    if (!(error instanceof SelectorError)) throw error
    report.error(
      at,
      `the selector does not parse at character ${error.offset + 1}: ${error.message}`,
      `${text.slice(0, error.offset)}⟨here⟩${text.slice(error.offset)}`,
    )
  }
}

function validatePorts(
  entity: unknown,
  field: "ports" | "notPorts",
  path: FieldPath,
  protocol: number | undefined,
  report: Report,
): void {
  const ports = listAt(entity, field)
  if (ports.length === 0) return
  if (ports.length > MAX_PORTS)
    report.error([...path, field], `${ports.length} entries, at most ${MAX_PORTS} are allowed`)
  let numeric = false
  for (const [index, port] of ports.entries()) {
    const at = [...path, field, index]
    const range = /^(\d+)(?::(\d+))?$/.exec(String(port))
    if (range === null && typeof port === "string" && !port.includes(":")) {
      if (!/^[A-Za-z0-9_.-]{1,128}$/.test(port)) report.error(at, `${JSON.stringify(port)} is no port name`)
      continue
    }
    numeric = true
    const first = Number(range?.[1])
    const last = range?.[2] === undefined ? first : Number(range[2])
    if (range === null || first < 1 || last > 65535)
      report.error(at, `${JSON.stringify(port)} is no port`, "1 to 65535, a range 80:90, or a name")
    else if (first > last) report.error(at, `the range ${first}:${last} is upside down`, `write ${last}:${first}`)
  }
  if (protocol === undefined ? numeric : !withPorts.has(protocol)) {
    report.error([...path, field], "numbered ports need protocol TCP, UDP or SCTP", "add protocol: TCP to the rule")
  }
}

function validateServices(
  entity: unknown,
  side: "source" | "destination",
  path: FieldPath,
  context: RuleContext,
  report: Report,
): void {
  const at = [...path, "services"]
  const services = recordAt(entity, "services")
  if (!textAt(services, "name")) report.error([...at, "name"], "a service name is required")
  if (!context.namespaced && !textAt(services, "namespace"))
    report.error([...at, "namespace"], "a global policy must name the service's namespace")
  for (const field of ["selector", "notSelector", "namespaceSelector", "nets", "notNets", "serviceAccounts"]) {
    if (fieldAt(entity, field) !== undefined) report.error(at, `may not stand beside ${field}`)
  }
  const allowed = context.direction === "ingress" ? "source" : "destination"
  if (side !== allowed) report.error(at, `in an ${context.direction} rule services may stand in ${allowed} only`)
  if (side === "destination") {
    for (const field of ["ports", "notPorts"]) {
      if (listAt(entity, field).length > 0)
        report.error([...path, field], "may not stand beside services: the ports are the service's")
    }
  }
}

/** Blocks of one rule are of one family, and of the one that ipVersion names. */
function validateFamilies(rule: unknown, version: number | undefined, path: FieldPath, report: Report): void {
  const seen = new Map<4 | 6, FieldPath>()
  for (const side of ["source", "destination"]) {
    for (const field of ["nets", "notNets"]) {
      for (const [index, net] of textsAt(recordAt(rule, side), field).entries()) {
        if (tryParsePrefix(net) === undefined) continue
        const family = net.includes(":") ? 6 : 4
        const at = [...path, side, field, index]
        if (version !== undefined && version !== family)
          report.error(at, `an IPv${family} block in a rule for IPv${version}`)
        else if (seen.has(family === 4 ? 6 : 4))
          report.error(at, "IPv4 and IPv6 blocks in one rule", "write one rule a family")
        if (!seen.has(family)) seen.set(family, at)
      }
    }
  }
}

function validateHttp(
  rule: unknown,
  path: FieldPath,
  context: RuleContext,
  protocol: number | undefined,
  report: Report,
): void {
  const at = [...path, "http"]
  const http = recordAt(rule, "http")
  if (textAt(rule, "action") !== "Allow") report.error(at, "is for rules with action Allow only")
  if (context.direction === "egress") report.error(at, "is for ingress rules only")
  if (protocol !== undefined && protocol !== Protocol.TCP) report.error(at, "needs protocol TCP")
  const methods = textsAt(http, "methods")
  for (const [index, method] of methods.entries()) {
    if (methods.indexOf(method) !== index) report.error([...at, "methods", index], `${method} stands there twice`)
  }
  for (const [index, item] of listAt(http, "paths").entries()) {
    const exact = textAt(item, "exact")
    const prefix = textAt(item, "prefix")
    if (exact !== undefined && prefix !== undefined)
      report.error([...at, "paths", index], "has both exact and prefix", "write two items")
    const text = exact ?? prefix ?? ""
    if (!/^\/[^?#\s]*$/.test(text))
      report.error([...at, "paths", index], "must begin with '/' and hold no '?', '#' or blank")
  }
  report.error(
    at,
    "HTTP rules cannot be enforced yet: they would let every request through or none",
    "allow the port without http, or keep the rule out",
  )
}
