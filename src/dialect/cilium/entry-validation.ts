import { isRecord } from "../../model/manifest.ts"
import type { FieldPath } from "../../model/problem.ts"
import { prefixContainsPrefix } from "../../net/prefix.ts"
import { fieldAt, listAt, numberAt, recordAt, textAt, textsAt } from "../read.ts"
import type { Report } from "../report.ts"
import { nearestWord } from "../suggest.ts"
import { entityNames } from "./entities.ts"
import { ciliumProtocols, hasPorts, icmpFamily, icmpType, icmpTypes, isPortName, portNumber } from "./ports.ts"
import { validateBlock, validateEndpointSelector, validateStrictBlock } from "./selector-validation.ts"
import { blockOf } from "./translate.ts"

/** Most ports of one port rule, and most ICMP fields (resource definition). */
const MAX_PORTS = 40

export interface EntryContext {
  readonly direction: "ingress" | "egress"
  readonly deny: boolean
}

/** One entry of `ingress`, `ingressDeny`, `egress` or `egressDeny` (`rule_validation.go`). */
export function validateEntry(entry: unknown, path: FieldPath, context: EntryContext, report: Report): void {
  if (!isRecord(entry)) return
  validatePeers(entry, path, context, report)
  const ports = listAt(entry, "toPorts")
  const icmps = listAt(entry, "icmps")
  if (ports.length > 0 && icmps.length > 0)
    report.error([...path, "icmps"], "icmps and toPorts exclude each other", "write an entry for each")
  for (const [index, rule] of ports.entries()) validatePortRule(rule, [...path, "toPorts", index], report)
  for (const [index, rule] of icmps.entries()) validateIcmp(rule, [...path, "icmps", index], report)
  const mode = textAt(recordAt(entry, "authentication"), "mode")
  if (mode === undefined || mode === "disabled") return
  const at = [...path, "authentication", "mode"]
  if (mode === "required" || mode === "test-always-fail")
    report.error(at, `authentication ${mode} cannot be enforced yet`, "leave it out to allow without authentication")
  else report.error(at, `unknown mode ${JSON.stringify(mode)}`, "allowed: disabled, required, test-always-fail")
}

/** Only one kind of peer may have items; what cannot be enforced yet is refused, as half a rule would be a wrong one. */
function validatePeers(entry: unknown, path: FieldPath, context: EntryContext, report: Report): void {
  const word = context.direction === "ingress" ? "from" : "to"
  const kinds = [
    "Endpoints",
    "CIDR",
    "CIDRSet",
    "Entities",
    "Nodes",
    "Groups",
    ...(word === "to" ? ["Services", "FQDNs"] : []),
  ]
  const used = kinds.map((kind) => `${word}${kind}`).filter((field) => listAt(entry, field).length > 0)
  if (used.length > 1)
    report.error(path, `${used.join(" and ")} may not stand in one entry`, "write an entry for each: entries add up")
  if (listAt(entry, `${word}Requires`).length > 0)
    report.error(
      [...path, `${word}Requires`],
      "is no longer part of the API",
      "add its labels to the selectors of the peers",
    )
  for (const [index, selector] of listAt(entry, `${word}Endpoints`).entries()) {
    validateEndpointSelector(selector, [...path, `${word}Endpoints`, index], report)
  }
  for (const [index, text] of textsAt(entry, `${word}CIDR`).entries())
    validateBlock(text, [...path, `${word}CIDR`, index], report)
  for (const [index, rule] of listAt(entry, `${word}CIDRSet`).entries())
    validateCidrRule(rule, [...path, `${word}CIDRSet`, index], report)
  for (const [index, entity] of textsAt(entry, `${word}Entities`).entries())
    validateEntity(entity, [...path, `${word}Entities`, index], report)
  if (listAt(entry, `${word}Nodes`).length > 0)
    report.error(
      [...path, `${word}Nodes`],
      "node selectors are not enabled",
      `use ${word}Entities: [host, remote-node]`,
    )
  if (listAt(entry, `${word}Groups`).length > 0)
    report.error(
      [...path, `${word}Groups`],
      "groups of a cloud provider cannot be looked up",
      `use ${word}CIDRSet with a CiliumCIDRGroup`,
    )
  for (const [index, item] of listAt(entry, "toServices").entries())
    validateService(item, [...path, "toServices", index], report)
  if (listAt(entry, "toFQDNs").length > 0)
    report.error([...path, "toFQDNs"], "DNS names as peers cannot be enforced yet", "use toCIDRSet until they can")
}

function validateEntity(entity: string, path: FieldPath, report: Report): void {
  if (!entityNames.includes(entity)) {
    const near = nearestWord(entity, entityNames)
    report.error(
      path,
      `unknown entity ${JSON.stringify(entity)}`,
      near === undefined ? `allowed: ${entityNames.join(", ")}` : `did you mean ${near}?`,
    )
  }
}

/** One item of `toServices`: a service by name, or services by their labels. */
function validateService(item: unknown, path: FieldPath, report: Report): void {
  const reference = recordAt(item, "k8sService")
  const selection = recordAt(item, "k8sServiceSelector")
  if (reference === undefined && selection === undefined)
    report.error(path, "needs k8sService or k8sServiceSelector: without them it names no service")
  if (reference !== undefined && selection !== undefined)
    report.error(
      path,
      "k8sService and k8sServiceSelector in one item: the selector alone would count",
      "write two items",
    )
  if (reference !== undefined && !textAt(reference, "serviceName"))
    report.error([...path, "k8sService", "serviceName"], "a service name is required")
  if (selection === undefined) return
  const at = [...path, "k8sServiceSelector", "selector"]
  if (fieldAt(selection, "selector") === undefined) report.error(at, "a selector is required")
  else validateEndpointSelector(fieldAt(selection, "selector"), at, report)
}

/** One item of `fromCIDRSet` or `toCIDRSet`. */
function validateCidrRule(rule: unknown, path: FieldPath, report: Report): void {
  const used = ["cidr", "cidrGroupRef", "cidrGroupSelector"].filter((field) => fieldAt(rule, field) !== undefined)
  if (used.length !== 1) report.error(path, "needs exactly one of cidr, cidrGroupRef and cidrGroupSelector")
  const cidr = textAt(rule, "cidr")
  const except = textsAt(rule, "except")
  if (cidr === undefined) {
    if (except.length > 0) report.error([...path, "except"], "is not allowed with a CIDR group")
    return
  }
  if (!validateStrictBlock(cidr, [...path, "cidr"], report)) return
  const block = blockOf(cidr)
  for (const [index, text] of except.entries()) {
    const at = [...path, "except", index]
    if (validateStrictBlock(text, at, report) && !prefixContainsPrefix(block, blockOf(text)))
      report.error(at, `${text} must lie inside ${block}`)
  }
}

function validatePortRule(rule: unknown, path: FieldPath, report: Report): void {
  const ports = listAt(rule, "ports")
  if (ports.length > MAX_PORTS)
    report.error([...path, "ports"], `${ports.length} entries, at most ${MAX_PORTS} are allowed`)
  for (const [index, port] of ports.entries()) validatePort(port, [...path, "ports", index], report)
  if (ports.length === 0) report.warning(path, "without ports this matches nothing", "name ports, or leave toPorts out")
  for (const field of ["rules", "terminatingTLS", "originatingTLS", "listener"]) {
    if (fieldAt(rule, field) === undefined) continue
    if (field === "rules" && Object.values(recordAt(rule, "rules") ?? {}).every(isEmpty)) continue
    report.error(
      [...path, field],
      "rules of layer 7 cannot be enforced yet: they would let every request through or none",
      "allow the port without them, or keep the entry out",
    )
  }
  if (listAt(rule, "serverNames").length > 0)
    report.error(
      [...path, "serverNames"],
      "server names cannot be enforced yet",
      "allow the port without them, or keep the entry out",
    )
}

/** A list of layer 7 rules that holds none asks for nothing. */
function isEmpty(value: unknown): boolean {
  return value === null || value === "" || (Array.isArray(value) && value.length === 0)
}

function validatePort(item: unknown, path: FieldPath, report: Report): void {
  const protocol = textAt(item, "protocol") ?? ""
  if (protocol !== "" && !Object.hasOwn(ciliumProtocols, protocol.toUpperCase())) {
    const near = nearestWord(protocol, Object.keys(ciliumProtocols))
    report.error(
      [...path, "protocol"],
      `unknown protocol ${JSON.stringify(protocol)}`,
      near === undefined ? "allowed: TCP, UDP, SCTP, ANY" : `did you mean ${near}?`,
    )
    return
  }
  const text = textAt(item, "port")
  const at = [...path, "port"]
  if (!hasPorts(protocol)) {
    if (text !== undefined && text !== "" && text !== "0")
      report.error(at, `protocol ${protocol} has no ports`, "leave the port out")
    return
  }
  // Without a port: every port of the protocol, as port 0.
  if (text === undefined || text === "") return
  const number = portNumber(text)
  if (!Number.isNaN(number)) {
    if (number > 65535) report.error(at, `port ${text} is above 65535`)
  } else if (!isPortName(text)) {
    report.error(
      at,
      `${JSON.stringify(text)} is neither a port nor a port's name`,
      "1 to 65535, or at most 15 letters, digits and single hyphens",
    )
  }
  const end = numberAt(item, "endPort")
  if (end !== undefined && (end < 0 || end > 65535))
    report.error([...path, "endPort"], `must be 0 to 65535, found ${end}`)
}

function validateIcmp(rule: unknown, path: FieldPath, report: Report): void {
  const fields = listAt(rule, "fields")
  if (fields.length > MAX_PORTS)
    report.error([...path, "fields"], `${fields.length} entries, at most ${MAX_PORTS} are allowed`)
  for (const [index, field] of fields.entries()) {
    const at = [...path, "fields", index]
    const family = textAt(field, "family")
    if (family !== undefined && family !== "IPv4" && family !== "IPv6") {
      report.error([...at, "family"], `unknown family ${JSON.stringify(family)}`, "allowed: IPv4, IPv6")
      continue
    }
    const type = icmpType(field)
    if (type !== undefined && type >= 0 && type <= 255) continue
    const value = fieldAt(field, "type")
    const near = typeof value === "string" ? nearestWord(value, Object.keys(icmpTypes[icmpFamily(field)])) : undefined
    report.error(
      [...at, "type"],
      value === undefined ? "a type is required" : `${JSON.stringify(value)} is no ICMP type of ${icmpFamily(field)}`,
      near === undefined ? "0 to 255, or a name such as EchoRequest" : `did you mean ${near}?`,
    )
  }
}
