import { Failure } from "../api/failure.ts"
import type { Compiled } from "../compile/compiled.ts"
import { type EndExplanation, explain } from "../compile/explain.ts"
import { judge } from "../compile/judge.ts"
import type { Cluster, Endpoint } from "../model/cluster.ts"
import type { Origin } from "../model/origin.ts"
import type { Packet } from "../model/packet.ts"
import type { Direction } from "../model/policy.ts"
import { ruleIdText, type Verdict } from "../model/verdict.ts"
import { familyOf, tryParseAddress } from "../net/address.ts"
import { type Address, type Family, Protocol } from "../net/types.ts"
import { findEndpoint } from "./lists.ts"
import type { NodeView } from "./view.ts"

/** An end as people name it; exactly one of pod, node, address is not empty. */
export interface WhyEnd {
  readonly namespace: string
  readonly pod: string
  readonly node: string
  readonly address: string
}

export interface WhyQuestion {
  readonly from: WhyEnd
  readonly to: WhyEnd
  readonly protocol: number
  readonly port: number
  /** Name of a port of the destination, in place of a number; empty: none. */
  readonly portName: string
  readonly sourcePort: number
  readonly icmpType: number
  readonly icmpCode: number
  /** 0: that of the address named, else of the source's first address. */
  readonly family: number
}

export interface WhySide {
  readonly direction: Direction
  /** `shop/web-0`, `node node-1`, `outside 203.0.113.9`. */
  readonly end: string
  readonly address: Address
  /** The node that judges this end; empty when none does. */
  readonly node: string
  readonly allowed: boolean
  readonly rule: string
  readonly origin: Origin | undefined
  /** Looked up in the tables of that node's kernel, rather than computed from objects. */
  readonly fromKernel: boolean
  readonly generation: number
  readonly steps: readonly WhyStep[]
  readonly nearMisses: readonly WhyStep[]
  /** Set when the kernel's answer is another than the computed one. */
  readonly disagreement: string
  readonly enforced: boolean
  /** What staged policies would decide; absent where that is the same by the same rule. */
  readonly staged?: { readonly allowed: boolean; readonly rule: string; readonly origin?: Origin }
}

export interface WhyStep {
  readonly text: string
  readonly origin?: Origin
}

export interface WhyAnswer {
  readonly allowed: boolean
  readonly egress: WhySide
  readonly ingress: WhySide
  readonly packet: Packet
  readonly notes: readonly string[]
}

/** The tables that a node's kernel holds, with its generation. */
export interface KernelTables {
  readonly generation: number
  readonly compiled: Compiled
}

/**
 * Why a connection may, or may not, come about. Ends that this node judges are looked up in `kernel` when it is given; the others
 * are computed from the objects of `view`. Throws a `Failure` when an end is not known.
 */
export function answerWhy(view: NodeView, question: WhyQuestion, kernel?: KernelTables): WhyAnswer {
  const { cluster } = view
  const notes: string[] = []
  const source = resolveEnd(cluster, question.from, "FROM")
  const destination = resolveEnd(cluster, question.to, "TO")
  const packet = packetOf(source, destination, question)
  const computed = explain(cluster, packet)
  const looked = kernel === undefined ? undefined : look(kernel, packet, notes)
  const side = (direction: Direction, end: ResolvedEnd, address: Address): WhySide => {
    const { verdict, steps, nearMisses }: EndExplanation = computed[direction]
    const node = verdict.by.kind === "notEnforced" ? "" : (end.endpoint?.node ?? "")
    const found = node !== "" && node === view.node ? looked?.[direction] : undefined
    const decided = found ?? verdict
    const differs =
      found !== undefined && (found.action !== verdict.action || ruleIdText(found.by) !== ruleIdText(verdict.by))
    return {
      direction,
      end: end.text,
      address,
      node,
      allowed: decided.action === "allow",
      rule: ruleIdText(decided.by),
      origin: originOf(decided),
      fromKernel: found !== undefined,
      generation: found === undefined ? view.generation : (kernel?.generation ?? 0),
      steps,
      nearMisses,
      disagreement: differs
        ? `computed from the objects: ${verdict.action} by ${ruleIdText(verdict.by)}${found.action === verdict.action ? "" : " (this should not be: please report it)"}`
        : "",
      enforced: node !== "",
      ...(decided.staged === undefined ? {} : { staged: stagedOf(decided.staged) }),
    }
  }
  const egress = side("egress", source, packet.source)
  const ingress = side("ingress", destination, packet.destination)
  return { allowed: egress.allowed && ingress.allowed, egress, ingress, packet, notes }
}

function look(kernel: KernelTables, packet: Packet, notes: string[]): Record<Direction, Verdict> | undefined {
  try {
    return judge(kernel.compiled, packet)
  } catch (error) {
    notes.push(
      `the kernel's tables gave no answer (${error instanceof Error ? error.message : String(error)}); computed instead`,
    )
    return undefined
  }
}

interface ResolvedEnd {
  readonly text: string
  readonly addresses: readonly Address[]
  readonly endpoint: Endpoint | undefined
  /** A process on this node. */
  readonly node: string | undefined
}

function resolveEnd(cluster: Cluster, end: WhyEnd, which: string): ResolvedEnd {
  if (end.pod !== "") {
    const endpoint = findEndpoint(cluster, end.namespace, end.pod)
    if (endpoint === undefined) throw unknownPod(cluster, end, which)
    return { text: `${endpoint.namespace}/${endpoint.name}`, addresses: endpoint.addresses, endpoint, node: undefined }
  }
  if (end.node !== "") {
    const node = cluster.nodes.get(end.node)
    if (node === undefined) {
      const names = [...cluster.nodes.keys()].join(", ")
      throw new Failure(
        "notFound",
        `Cannot tell who ${which} is`,
        `there is no node ${end.node}`,
        `nodes: ${names || "none"}`,
      )
    }
    return { text: `node ${node.name}`, addresses: node.addresses, endpoint: undefined, node: node.name }
  }
  const address = tryParseAddress(end.address)
  if (address === undefined) {
    const why = `"${end.address}" is neither NAMESPACE/POD, node/NAME nor an address`
    throw new Failure("usage", `Cannot tell who ${which} is`, why, "heddle why shop/web-0 10.0.0.5 --port 80/TCP")
  }
  for (const endpoint of cluster.endpoints.values()) {
    if (endpoint.addresses.includes(address)) {
      return { text: `${endpoint.namespace}/${endpoint.name}`, addresses: [address], endpoint, node: undefined }
    }
  }
  for (const node of cluster.nodes.values()) {
    if (node.addresses.includes(address))
      return { text: `node ${node.name}`, addresses: [address], endpoint: undefined, node: node.name }
  }
  return { text: `address ${address}`, addresses: [address], endpoint: undefined, node: undefined }
}

function unknownPod(cluster: Cluster, end: WhyEnd, which: string): Failure {
  const shown = end.namespace === "" ? end.pod : `${end.namespace}/${end.pod}`
  const alike = [...cluster.endpoints.keys()].filter(
    (key) => key.endsWith(`/${end.pod}`) || key.startsWith(`${end.namespace}/${end.pod}`),
  )
  const why =
    alike.length > 1 && end.namespace === ""
      ? "several pods have that name"
      : "there is no such pod with addresses of its own"
  const hint = alike.length > 0 ? `did you mean ${alike.slice(0, 5).join(", ")}?` : "heddle endpoint list"
  return new Failure("notFound", `Cannot tell who ${which} is: ${shown}`, why, hint)
}

/** The first packet of the connection that is asked about. */
function packetOf(source: ResolvedEnd, destination: ResolvedEnd, question: WhyQuestion): Packet {
  const family = familyFor(source, destination, question)
  const from = source.addresses.find((address) => familyOf(address) === family)
  const to = destination.addresses.find((address) => familyOf(address) === family)
  if (from === undefined || to === undefined) {
    const lacking = from === undefined ? source.text : destination.text
    const why = `${lacking} has no IPv${family} address${(from === undefined ? source : destination).addresses.length === 0 ? " (no address at all yet)" : ""}`
    throw new Failure(
      "failed",
      `Cannot tell why: no connection between ${source.text} and ${destination.text}`,
      why,
      family === 4 ? "--family ipv6" : "--family ipv4",
    )
  }
  const icmp = question.protocol === Protocol.ICMP || question.protocol === Protocol.ICMPv6
  const protocol = icmp ? (family === 4 ? Protocol.ICMP : Protocol.ICMPv6) : question.protocol
  return {
    source: from,
    destination: to,
    protocol,
    sourcePort: icmp ? 0 : question.sourcePort,
    destinationPort: icmp ? 0 : portOf(destination, question),
    ...(icmp ? { icmpType: question.icmpType || (family === 4 ? 8 : 128), icmpCode: question.icmpCode } : {}),
    ...(source.node === undefined ? {} : { fromNodeSocket: true }),
  }
}

function familyFor(source: ResolvedEnd, destination: ResolvedEnd, question: WhyQuestion): Family {
  if (question.family === 4 || question.family === 6) return question.family
  if (question.protocol === Protocol.ICMPv6) return 6
  const has = (end: ResolvedEnd, family: Family): boolean =>
    end.addresses.some((address) => familyOf(address) === family)
  const [only] = [destination, source].filter((end) => end.addresses.length === 1)
  const first = (only ?? source).addresses[0]
  const preferred = first === undefined ? 4 : familyOf(first)
  if (has(source, preferred) && has(destination, preferred)) return preferred
  const other = preferred === 4 ? 6 : 4
  return has(source, other) && has(destination, other) ? other : preferred
}

function portOf(destination: ResolvedEnd, question: WhyQuestion): number {
  if (question.portName === "") return question.port
  const named = destination.endpoint?.namedPorts ?? []
  const found = named.find((port) => port.name === question.portName && port.protocol === question.protocol)
  if (found !== undefined) return found.port
  const names = named.map((port) => `${port.name} (${port.port})`).join(", ")
  throw new Failure(
    "notFound",
    `Cannot tell which port ${question.portName} is`,
    `${destination.text} has no port of that name and protocol`,
    `its ports: ${names || "none with names"}`,
  )
}

function stagedOf({ action, by }: NonNullable<Verdict["staged"]>): NonNullable<WhySide["staged"]> {
  const origin = "origin" in by ? { origin: by.origin } : {}
  return { allowed: action === "allow", rule: ruleIdText(by), ...origin }
}

function originOf(verdict: Verdict): Origin | undefined {
  return "origin" in verdict.by ? verdict.by.origin : undefined
}
