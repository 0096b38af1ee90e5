import { withoutMarks } from "../compile/words.ts"
import type { L4Match, Match, PortSpec, ServiceMatch } from "../model/policy.ts"
import type { Selector } from "../model/selector.ts"

const protocols: Readonly<Record<number, string>> = { 1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP" }

const kinds = {
  endpoint: "pods",
  node: "nodes",
  localNode: "this node",
  networkSet: "network sets",
  outside: "outside addresses",
} as const

/** A match in words: `pods with app=web in namespaces with team=red`, `addresses in 10.0.0.0/8`. */
export function matchText(match: Match): string {
  switch (match.kind) {
    case "any":
      return "anyone"
    case "none":
      return "no one"
    case "is":
      return kinds[match.what]
    case "cidr":
      return `addresses in ${match.prefixes.join(", ")}`
    case "namespace":
      return `in namespace ${match.names.join(" or ")}`
    case "serviceAccount":
      return `of service account ${match.names.join(" or ")}`
    case "labels":
      return labelsText(match.of, match.selector)
    case "hasNamedPort":
      return `with a port named ${match.name}`
    case "inNetworkSet":
      return `in a network set ${matchText(withoutMarks(match.of))}`
    case "service":
      return `${match.as} of ${serviceText(match.of)}`
    case "not":
      return `not (${matchText(match.of)})`
    case "or":
      return match.of.length === 0 ? "no one" : match.of.map((part) => wrapped(part, "and")).join(" or ")
    case "and":
      return andText(match.of)
  }
}

function serviceText({ namespace, name, labels }: ServiceMatch): string {
  const selected = labels === undefined ? "" : ` with ${selectorText(labels)}`
  if (name !== undefined) return `service ${namespace === undefined ? name : `${namespace}/${name}`}${selected}`
  return `services${selected}${namespace === undefined ? "" : ` in namespace ${namespace}`}`
}

/** Parts that say nothing beside others (`anyone`, all labels) are left out. */
function andText(parts: readonly Match[]): string {
  const said = parts.filter((part) => part.kind !== "any" && !(part.kind === "labels" && part.selector.kind === "all"))
  if (said.length === 0)
    return parts.some((part) => part.kind === "labels" && part.of === "namespace") ? "all namespaces" : "anyone"
  return said.map((part) => (part.kind === "or" ? wrapped(part, "or") : matchText(part))).join(" ")
}

function wrapped(match: Match, when: "and" | "or"): string {
  return match.kind === when && match.of.length > 1 ? `(${matchText(match)})` : matchText(match)
}

function labelsText(of: "self" | "namespace" | "serviceAccount", selector: Selector): string {
  const text = selectorText(selector)
  if (of === "namespace") return selector.kind === "all" ? "in any namespace" : `in namespaces with ${text}`
  if (of === "serviceAccount") return `of service accounts with ${text}`
  return selector.kind === "all" ? "all" : `with ${text}`
}

/** A selector as kubectl writes it, as far as that language reaches. */
export function selectorText(selector: Selector): string {
  switch (selector.kind) {
    case "all":
      return "any labels"
    case "none":
      return "no labels at all"
    case "has":
      return selector.key
    case "in":
      return selector.values.length === 1
        ? `${selector.key}=${selector.values[0]}`
        : `${selector.key} in (${selector.values.join(",")})`
    case "notIn":
      return selector.values.length === 1
        ? `${selector.key}!=${selector.values[0]}`
        : `${selector.key} notin (${selector.values.join(",")})`
    case "contains":
      return `${selector.key} contains "${selector.value}"`
    case "startsWith":
      return `${selector.key} starts with "${selector.value}"`
    case "endsWith":
      return `${selector.key} ends with "${selector.value}"`
    case "and":
      return selector.of.map(selectorText).join(",")
    case "or":
      return `(${selector.of.map(selectorText).join(" or ")})`
    case "not":
      return selector.of.kind === "has" ? `!${selector.of.key}` : `not (${selectorText(selector.of)})`
  }
}

/** Protocols and ports in words: `TCP 80, 443`, `UDP dns`, `any`. */
export function l4Text(l4: readonly L4Match[]): string {
  return l4.length === 0 ? "any" : l4.map(oneL4Text).join("; ")
}

function oneL4Text(match: L4Match): string {
  const parts: string[] = []
  if (match.family !== undefined) parts.push(`IPv${match.family}`)
  if (match.protocols !== undefined && match.protocols.length > 0)
    parts.push(match.protocols.map(protocolText).join("/"))
  if (match.notProtocols !== undefined) parts.push(`not ${match.notProtocols.map(protocolText).join("/")}`)
  if (match.ports !== undefined) parts.push(portsText(match.ports))
  if (match.notPorts !== undefined) parts.push(`not port ${portsText(match.notPorts)}`)
  if (match.sourcePorts !== undefined) parts.push(`from port ${portsText(match.sourcePorts)}`)
  if (match.notSourcePorts !== undefined) parts.push(`not from port ${portsText(match.notSourcePorts)}`)
  for (const [word, icmp] of [["", match.icmp] as const, ["not ", match.notIcmp] as const]) {
    if (icmp !== undefined) parts.push(`${word}type ${icmp.type}${icmp.code === undefined ? "" : ` code ${icmp.code}`}`)
  }
  return parts.length === 0 ? "any" : parts.join(" ")
}

function protocolText(number: number): string {
  return protocols[number] ?? `protocol ${number}`
}

function portsText(ports: readonly PortSpec[]): string {
  return ports
    .map((port) => {
      if (port.kind === "named") return port.name
      if (port.kind === "service") return `of service ${port.namespace}/${port.name}`
      return port.first === port.last ? String(port.first) : `${port.first}-${port.last}`
    })
    .join(", ")
}
