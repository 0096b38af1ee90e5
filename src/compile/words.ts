/** Conditions of rules in people's words, for `why` and near misses. */
import type { Facts } from "../model/facts.ts"
import type { Packet } from "../model/packet.ts"
import type { L4Match, Match, PortSpec } from "../model/policy.ts"
import { keysOf, type Labels, type Selector } from "../model/selector.ts"
import { Protocol, type ProtocolNumber } from "../net/types.ts"
import { icmpOf } from "./evaluate.ts"

const protocolNames = new Map<ProtocolNumber, string>(Object.entries(Protocol).map(([name, number]) => [number, name]))

export function protocolWords(protocol: ProtocolNumber): string {
  return protocolNames.get(protocol) ?? `protocol ${protocol}`
}

/** `80/TCP`, `ICMP type 8 code 0`, `protocol 47`. */
export function packetWords(packet: Packet): string {
  const { protocol } = packet
  if (protocol === Protocol.ICMP || protocol === Protocol.ICMPv6) {
    const [type, code] = icmpOf(packet)
    return `${protocolWords(protocol)} type ${type} code ${code}`
  }
  const hasPort = protocol === Protocol.TCP || protocol === Protocol.UDP || protocol === Protocol.SCTP
  return hasPort ? `${packet.destinationPort}/${protocolWords(protocol)}` : protocolWords(protocol)
}

/** The ends of a connection, at which names of ports are looked up. */
export interface NamedEnds {
  readonly source: Facts
  readonly destination: Facts
}

/** What a rule's alternatives for protocol and ports let in: `8080/TCP, 53/UDP`, with `ends` `"http" (8080/TCP)`. */
export function l4Words(l4: readonly L4Match[], ends?: NamedEnds): string {
  return l4.length === 0 ? "every protocol and port" : l4.map((match) => matchWords(match, ends)).join(", ")
}

function matchWords(match: L4Match, ends: NamedEnds | undefined): string {
  const parts: string[] = []
  const protocols = match.protocols?.map(protocolWords).join(" or ") ?? ""
  if (match.ports !== undefined) {
    const words = portWords(match.ports, ends?.destination, match.protocols)
    const told = ends !== undefined && match.ports.every((spec) => spec.kind === "named")
    parts.push(match.ports.length === 0 ? "no port" : `${words}${protocols && !told ? `/${protocols}` : ""}`)
  } else if (protocols !== "" && match.icmp === undefined) parts.push(protocols)
  if (match.icmp !== undefined) {
    const code = match.icmp.code === undefined ? "" : ` code ${match.icmp.code}`
    parts.push(`${protocols || "ICMP"} type ${match.icmp.type}${code}`)
  }
  if (match.notProtocols?.length) parts.push(`not ${match.notProtocols.map(protocolWords).join(" or ")}`)
  if (match.notPorts?.length) parts.push(`not port ${portWords(match.notPorts, ends?.destination)}`)
  if (match.sourcePorts !== undefined) parts.push(`from port ${portWords(match.sourcePorts, ends?.source)}`)
  if (match.notSourcePorts?.length) parts.push(`not from port ${portWords(match.notSourcePorts, ends?.source)}`)
  if (match.notIcmp !== undefined) parts.push(`not type ${match.notIcmp.type}`)
  if (match.family !== undefined) parts.push(`IPv${match.family} only`)
  return parts.length === 0 ? "every protocol and port" : parts.join(" ")
}

function portWords(specs: readonly PortSpec[], end?: Facts, protocols?: readonly ProtocolNumber[]): string {
  return specs
    .map((spec) => {
      if (spec.kind === "named") return `"${spec.name}"${end === undefined ? "" : nameWords(spec.name, end, protocols)}`
      if (spec.kind === "service") return `of service ${spec.namespace}/${spec.name}`
      return spec.first === spec.last ? `${spec.first}` : `${spec.first}-${spec.last}`
    })
    .join(" or ")
}

/** What a port's name means at an end: ` (8080/TCP)`. */
function nameWords(name: string, end: Facts, protocols: readonly ProtocolNumber[] | undefined): string {
  if (end.kind === "unknown") return ""
  const meant = end.namedPorts.filter(
    (port) =>
      port.name === name && (protocols === undefined || protocols.length === 0 || protocols.includes(port.protocol)),
  )
  if (meant.length > 0)
    return ` (${meant.map(({ port, protocol }) => `${port}/${protocolWords(protocol)}`).join(" or ")})`
  const other = end.namedPorts.find((port) => port.name === name)
  if (other !== undefined) return ` (${endWords(end)} has it as ${other.port}/${protocolWords(other.protocol)})`
  return ` (${endWords(end)} has no port of that name)`
}

/** Who the facts are of: `shop/web-0`, `node n1`, `192.0.2.1`. */
export function endWords(facts: Facts): string {
  if (facts.kind === "endpoint") return `${facts.namespace}/${facts.name}`
  return facts.kind === "node" ? `node ${facts.node}` : facts.address
}

/** What a condition asks of an address: `label app=web`, `namespace shop`. */
export function wantWords(match: Match): string {
  switch (match.kind) {
    case "any":
      return "any address"
    case "none":
      return "nothing"
    case "and":
      return match.of.map(wantWords).join(" and ")
    case "or":
      return match.of.map(wantWords).join(" or ")
    case "not":
      return `not (${wantWords(match.of)})`
    case "is":
      return {
        endpoint: "a pod",
        node: "a node",
        localNode: "its own node",
        networkSet: "an address of a network set",
        outside: "an address outside the cluster",
      }[match.what]
    case "labels":
      return `${labelOwner(match.of)} ${selectorWords(match.selector)}`
    case "namespace":
      return `namespace ${match.names.join(" or ")}`
    case "serviceAccount":
      return `service account ${match.names.join(" or ")}`
    case "cidr":
      return `an address in ${match.prefixes.join(" or ")}`
    case "inNetworkSet":
      return `an address in a network set with ${wantWords(withoutMarks(match.of))}`
    case "service": {
      const { namespace, name, labels } = match.of
      const named = [namespace, name].filter((part) => part !== undefined).join("/")
      return `an address behind service ${named}${labels === undefined ? "" : ` with labels ${selectorWords(labels)}`}`
    }
    case "hasNamedPort":
      return `a port named "${match.name}"`
  }
}

/** A condition on network sets without the marks that tell languages' sets apart: keys of two slashes, which nobody can write. */
export function withoutMarks(match: Match): Match {
  if (match.kind !== "and") return match
  const told = match.of.map(withoutMarks).filter((part) => {
    const asked = part.kind === "not" ? part.of : part
    return asked.kind !== "labels" || !keysOf(asked.selector).some((key) => key.split("/").length > 2)
  })
  const [only] = told
  return told.length === 1 && only !== undefined ? only : { kind: "and", of: told }
}

function labelOwner(of: "self" | "namespace" | "serviceAccount"): string {
  return { self: "labels", namespace: "namespace labels", serviceAccount: "service account labels" }[of]
}

export function selectorWords(selector: Selector): string {
  switch (selector.kind) {
    case "all":
      return "of any kind"
    case "none":
      return "of no kind"
    case "has":
      return `with ${selector.key}`
    case "in":
      return selector.values.length === 1
        ? `${selector.key}=${selector.values[0]}`
        : `${selector.key} in (${selector.values.join(", ")})`
    case "notIn":
      return selector.values.length === 1
        ? `${selector.key}!=${selector.values[0]}`
        : `${selector.key} not in (${selector.values.join(", ")})`
    case "contains":
    case "startsWith":
    case "endsWith":
      return `${selector.key} ${selector.kind} ${selector.value}`
    case "and":
      return selector.of.map(selectorWords).join(",")
    case "or":
      return `(${selector.of.map(selectorWords).join(" or ")})`
    case "not":
      return `not (${selectorWords(selector.of)})`
  }
}

/** What there is instead of what a condition asks: `app=db`, `namespace x`. */
export function foundWords(match: Match, facts: Facts): string {
  const end = endWords(facts)
  switch (match.kind) {
    case "labels": {
      const labels = {
        self: facts.labels,
        namespace: facts.namespaceLabels,
        serviceAccount: facts.serviceAccountLabels,
      }
      const shown = shownLabels(labels[match.of], keysOf(match.selector))
      const owner = match.of === "namespace" ? `namespace ${facts.namespace ?? "(none)"}` : end
      return `${owner} has ${shown}`
    }
    case "namespace":
      return facts.namespace === undefined ? `${end} is in no namespace` : `${end} is in namespace ${facts.namespace}`
    case "serviceAccount":
      return `${end} runs as ${facts.serviceAccount ?? "no service account"}`
    case "not":
      return foundWords(match.of, facts)
    case "cidr":
      return `${end} has ${facts.address}`
    default:
      return `it is ${kindWords(facts)}`
  }
}

function kindWords(facts: Facts): string {
  switch (facts.kind) {
    case "endpoint":
      return `pod ${endWords(facts)}`
    case "node":
      return endWords(facts)
    case "unknown":
      return `${facts.address}, of the cluster but of nothing known`
    default:
      return `${facts.address}, outside the cluster`
  }
}

function shownLabels(labels: Labels, keys: readonly string[]): string {
  return [...new Set(keys)]
    .map((key) => (Object.hasOwn(labels, key) ? `${key}=${labels[key]}` : `no label ${key}`))
    .join(", ")
}
