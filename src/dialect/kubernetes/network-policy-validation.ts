import { isRecord } from "../../model/manifest.ts"
import type { FieldPath } from "../../model/problem.ts"
import { tryParseAddress } from "../../net/address.ts"
import { parsePrefix, prefixContainsPrefix, prefixLength, tryParsePrefix } from "../../net/prefix.ts"
import type { Prefix } from "../../net/types.ts"
import { fieldAt, listAt, numberAt, recordAt, textAt, textsAt } from "../read.ts"
import type { Report } from "../report.ts"
import { validateLabelSelector } from "./label-selector.ts"
import { portNameFault, portNumberFault } from "./names.ts"

const protocols = ["TCP", "UDP", "SCTP"]
const policyTypes = ["Ingress", "Egress"]

/**
 * ValidateNetworkPolicySpec of the API server (pkg/apis/networking/validation), with the strict addresses of Kubernetes 1.36.
 * `create`: as for a new object. Otherwise a block with host bits, which older API servers took, is a warning only.
 */
export function validateNetworkPolicySpec(value: unknown, create: boolean, report: Report): void {
  const spec = recordAt(value, "spec")
  if (spec === undefined) {
    if (fieldAt(value, "spec") === undefined) {
      report.warning([], "no spec: selects every pod of the namespace and denies all ingress", "state what you mean")
    }
    return
  }
  validateLabelSelector(fieldAt(spec, "podSelector"), ["spec", "podSelector"], report)
  for (const [section, side] of [
    ["ingress", "from"],
    ["egress", "to"],
  ] as const) {
    for (const [index, rule] of listAt(spec, section).entries()) {
      const path = ["spec", section, index]
      for (const [i, port] of listAt(rule, "ports").entries()) validatePort(port, [...path, "ports", i], report)
      for (const [i, peer] of listAt(rule, side).entries()) validatePeer(peer, [...path, side, i], create, report)
    }
  }
  validatePolicyTypes(spec, report)
}

function validatePolicyTypes(spec: unknown, report: Report): void {
  const types = listAt(spec, "policyTypes")
  const path = ["spec", "policyTypes"]
  if (types.length > policyTypes.length)
    report.error(path, "may not hold more than two entries", "Ingress and Egress, each once")
  for (const [index, type] of textsAt(spec, "policyTypes").entries()) {
    if (policyTypes.includes(type)) continue
    report.error([...path, index], `unknown policy type ${JSON.stringify(type)}`, allowed(policyTypes, type))
  }
  if (types.length === 0 || types.some((type) => !policyTypes.includes(String(type)))) return
  for (const [type, section] of [
    ["Ingress", "ingress"],
    ["Egress", "egress"],
  ] as const) {
    if (!types.includes(type) && listAt(spec, section).length > 0) {
      report.warning(
        ["spec", section],
        `these rules have no effect: policyTypes does not name ${type}`,
        `add ${type} to policyTypes`,
      )
    }
  }
}

function validatePort(port: unknown, path: FieldPath, report: Report): void {
  const protocol = textAt(port, "protocol")
  if (protocol !== undefined && !protocols.includes(protocol)) {
    report.error(
      [...path, "protocol"],
      `unsupported protocol ${JSON.stringify(protocol)}`,
      allowed(protocols, protocol),
    )
  }
  const number = fieldAt(port, "port")
  const endPort = numberAt(port, "endPort")
  const endPath = [...path, "endPort"]
  if (typeof number === "number") {
    const fault = portNumberFault(number)
    if (fault !== undefined) report.error([...path, "port"], `port ${number} ${fault}`)
    if (endPort === undefined) return
    if (endPort < number) report.error(endPath, `endPort ${endPort} must be greater than or equal to port ${number}`)
    const endFault = portNumberFault(endPort)
    if (endFault !== undefined) report.error(endPath, `endPort ${endPort} ${endFault}`)
  } else if (typeof number === "string") {
    if (endPort !== undefined)
      report.error(endPath, "may not be given when port is a name", "give the first port as a number")
    const fault = portNameFault(number)
    const hint = /^\d+$/.test(number) ? "a port number is written without quotes" : undefined
    if (fault !== undefined) report.error([...path, "port"], `the port name ${JSON.stringify(number)} ${fault}`, hint)
  } else if (endPort !== undefined) {
    report.error(endPath, "may not be given without port", "port is the first port of the range")
  }
}

function validatePeer(peer: unknown, path: FieldPath, create: boolean, report: Report): void {
  const selectors = ["podSelector", "namespaceSelector"].filter((name) => fieldAt(peer, name) !== undefined)
  for (const name of selectors) validateLabelSelector(fieldAt(peer, name), [...path, name], report)
  const ipBlock = fieldAt(peer, "ipBlock")
  if (ipBlock !== undefined) validateIpBlock(ipBlock, [...path, "ipBlock"], create, report)
  if (selectors.length === 0 && ipBlock === undefined) {
    const hint = "give podSelector, namespaceSelector or ipBlock; leave out the whole list to allow everyone"
    report.error(path, "an empty peer", hint)
  } else if (selectors.length > 0 && ipBlock !== undefined) {
    report.error(
      path,
      `ipBlock may not stand beside ${selectors.join(" and ")}`,
      "make it an item of its own: `- ipBlock:`",
    )
  }
}

function validateIpBlock(block: unknown, path: FieldPath, create: boolean, report: Report): void {
  if (!isRecord(block)) return
  const text = fieldAt(block, "cidr")
  if (text === undefined || text === "") {
    report.error([...path, "cidr"], "a block is required", "for example 10.0.0.0/8")
    return
  }
  const cidr = typeof text === "string" ? validateCidr(text, [...path, "cidr"], create, report) : undefined
  for (const [index, item] of listAt(block, "except").entries()) {
    const itemPath = [...path, "except", index]
    const except =
      typeof item === "string" || item === null ? validateCidr(item ?? "", itemPath, create, report) : undefined
    if (cidr === undefined || except === undefined) continue
    if (!prefixContainsPrefix(cidr, except) || prefixLength(cidr) >= prefixLength(except)) {
      report.error(itemPath, `${except} must lie strictly inside the block ${cidr}`)
    }
  }
}

/** The block, if it can be read. IPv4-mapped blocks are refused: Kubernetes 1.36 does, and older ones disagreed about them. */
function validateCidr(text: string, path: FieldPath, create: boolean, report: Report): Prefix | undefined {
  if (/^::ffff:/i.test(text) && text.includes(".")) {
    report.error(path, `${JSON.stringify(text)} is an IPv4-mapped block`, "write it as an IPv4 block")
    return undefined
  }
  const prefix = tryParsePrefix(text)
  if (prefix === undefined) {
    report.error(path, `${JSON.stringify(text)} is no block: ${reasonOf(text)}`, cidrHint(text))
    return undefined
  }
  if (tryParsePrefix(text, { strict: true }) === undefined) {
    const message = `${JSON.stringify(text)} has bits set behind its length`
    const length = text.includes(":") ? 128 : 32
    const hint = `write ${prefix}, or ${text.slice(0, text.indexOf("/"))}/${length} for the one address`
    if (create) report.error(path, message, hint)
    else report.warning(path, `${message}, taken as ${prefix}`, hint)
  }
  return prefix
}

function cidrHint(text: string): string | undefined {
  if (tryParseAddress(text) === undefined) return "for example 10.0.0.0/8 or fd00::/64"
  return `for one address write ${text}/${text.includes(":") ? 128 : 32}`
}

function reasonOf(text: string): string {
  try {
    parsePrefix(text)
    return ""
  } catch (error) {
    return error instanceof Error && "reason" in error ? String(error.reason) : String(error)
  }
}

function allowed(words: readonly string[], found: string): string {
  const sameLetters = words.find((word) => word.toLowerCase() === found.toLowerCase())
  return sameLetters === undefined ? `allowed: ${words.join(", ")}` : `write ${sameLetters}`
}
