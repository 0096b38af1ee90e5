import type { Packet } from "../model/packet.ts"
import { familyOf, tryParseAddress } from "../net/address.ts"
import { type Address, type Family, Protocol } from "../net/types.ts"
import type { End, Manifest, Probe } from "./format.ts"
import { kindOf, listAt, nameOf, namespaceOf, textAt, valueAt } from "./manifest.ts"
import type { ProbeResult } from "./plane.ts"
import type { Place, ResolvedEnd, ResolvedProbe, StateNode, StatePod } from "./state.ts"

/** Everything that an end of a probe can name. */
export interface Ends {
  readonly nodes: ReadonlyMap<string, StateNode>
  readonly pods: ReadonlyMap<string, StatePod>
  /** Pods of any step, and nodes of any step: naming one that this step lacks is no mistake. */
  readonly knownPods: ReadonlySet<string>
  readonly owners: ReadonlyMap<Address, Place>
  /** Addresses of Services of any kind, and `NAMESPACE/NAME`. */
  readonly serviceAddresses: ReadonlySet<Address>
  readonly services: ReadonlySet<string>
  /** `PROTOCOL/PORT` of NodePorts. */
  readonly nodePorts: ReadonlySet<string>
}

const NO_SERVICES = "Services are not implemented yet"

export function endsOf(
  objects: readonly Manifest[],
  nodes: ReadonlyMap<string, StateNode>,
  pods: ReadonlyMap<string, StatePod>,
  knownPods: ReadonlySet<string>,
): Ends {
  const owners = new Map<Address, Place>()
  for (const [key, pod] of pods) {
    const place: Place = pod.hostNetwork ? { kind: "node", node: pod.node } : { kind: "pod", key, node: pod.node }
    for (const address of pod.addresses) owners.set(address, place)
  }
  for (const [node, { addresses }] of nodes)
    for (const address of addresses) owners.set(address, { kind: "node", node })
  const services = objects.filter((object) => kindOf(object.value) === "Service").map((object) => object.value)
  return {
    ...{ nodes, pods, knownPods, owners },
    services: new Set(services.map((object) => `${namespaceOf(object)}/${nameOf(object)}`)),
    serviceAddresses: new Set(services.flatMap(addressesOfService)),
    nodePorts: new Set(
      services.flatMap((object) =>
        listAt(object, "spec", "ports").map(
          (port) => `${textAt(port, "protocol") ?? "TCP"}/${valueAt(port, "nodePort")}`,
        ),
      ),
    ),
  }
}

function addressesOfService(object: Manifest["value"]): readonly Address[] {
  const ingress = listAt(object, "status", "loadBalancer", "ingress").map((entry) => valueAt(entry, "ip"))
  return [
    ...listAt(object, "spec", "clusterIPs"),
    ...listAt(object, "spec", "externalIPs"),
    ...[valueAt(object, "spec", "clusterIP"), valueAt(object, "spec", "loadBalancerIP"), ...ingress],
  ]
    .map((text) => (typeof text === "string" ? tryParseAddress(text) : undefined))
    .filter((address) => address !== undefined)
}

interface Placed {
  readonly place: Place
  readonly addresses: readonly Address[]
  /** Whether the suite names the address itself. */
  readonly stated: boolean
}

/** What an end is: a place with addresses, a Service, a pod that this step does not have, or a mistake of the suite. */
type Found = Placed | "service" | "absent" | { readonly mistake: string }

/** A probe as a packet between two places, or its answer where none can be sent. */
export function resolveProbe(probe: Probe, ends: Ends): ResolvedProbe {
  const from = find(probe.from, ends)
  const to = find(probe.to, ends)
  const settled = (result: ProbeResult): ResolvedProbe => ({ kind: "settled", probe, result })
  const unsupported = (reason: string): ResolvedProbe => settled({ got: "unsupported", reason })
  const mistaken = (reason: string): ResolvedProbe => {
    return { kind: "settled", probe, result: { got: "unsupported", reason }, mistake: true }
  }
  if (typeof from === "object" && "mistake" in from) return mistaken(from.mistake)
  if (typeof to === "object" && "mistake" in to) return mistaken(to.mistake)
  if (from === "service" || to === "service" || isNodePort(probe, to, ends)) return unsupported(NO_SERVICES)
  if (from === "absent") return unsupported(`${endText(probe.from)} is not there (gone or ended) and cannot ask`)
  if (to === "absent") return settled({ got: "deny", by: "no-endpoint" })
  const pair = addressPair(probe, from, to)
  if (pair === undefined) {
    const wanted = probe.family === undefined ? "no family in common" : `not both an IPv${probe.family} address`
    return unsupported(`${endText(probe.from)} and ${endText(probe.to)} have ${wanted}`)
  }
  const source: ResolvedEnd = { place: from.place, address: pair[0] }
  const target: ResolvedEnd = { place: to.place, address: pair[1] }
  const packet = packetOf(probe, source, target)
  if (packet === undefined)
    return unsupported("ICMP is IPv4's and ICMPv6 is IPv6's: the type given has no like in the other")
  return { kind: "ask", probe, source, target, packet, within: samePlace(from.place, to.place) }
}

function find(end: End, ends: Ends): Found {
  switch (end.kind) {
    case "pod": {
      const key = `${end.namespace}/${end.pod}`
      const pod = ends.pods.get(key)
      if (pod === undefined) return ends.knownPods.has(key) ? "absent" : { mistake: `the case has no pod ${key}` }
      const place: Place = pod.hostNetwork ? { kind: "node", node: pod.node } : { kind: "pod", key, node: pod.node }
      return { place, addresses: pod.addresses, stated: false }
    }
    case "node": {
      const node = ends.nodes.get(end.node)
      if (node === undefined) return { mistake: `the case has no node ${end.node}` }
      return { place: { kind: "node", node: end.node }, addresses: node.addresses, stated: false }
    }
    case "ip": {
      const address = tryParseAddress(end.ip)
      if (address === undefined) return { mistake: `${JSON.stringify(end.ip)} is no address` }
      const place = ends.owners.get(address)
      if (place === undefined && ends.serviceAddresses.has(address)) return "service"
      return { place: place ?? { kind: "outside" }, addresses: [address], stated: true }
    }
    case "service": {
      const key = `${end.namespace}/${end.service}`
      return ends.services.has(key) ? "service" : { mistake: `the case has no Service ${key}` }
    }
  }
}

function isNodePort(probe: Probe, to: Found, ends: Ends): boolean {
  if (typeof to === "string" || !("place" in to) || to.place.kind !== "node" || probe.port === undefined) return false
  const protocol = { [Protocol.TCP]: "TCP", [Protocol.UDP]: "UDP", [Protocol.SCTP]: "SCTP" }[probe.protocol]
  return protocol !== undefined && ends.nodePorts.has(`${protocol}/${probe.port}`)
}

function addressPair(probe: Probe, from: Placed, to: Placed): readonly [Address, Address] | undefined {
  const inFamily = (found: Placed, family: Family) => found.addresses.find((a) => familyOf(a) === family)
  for (const family of familiesOf(probe, from, to)) {
    const pair = [inFamily(from, family), inFamily(to, family)] as const
    if (pair[0] !== undefined && pair[1] !== undefined) return [pair[0], pair[1]]
  }
  return undefined
}

/** The families to try: the one asked for; else that of an address named; else ICMP's own; else those of the pods, in their order. */
function familiesOf(probe: Probe, from: Placed, to: Placed): readonly Family[] {
  if (probe.family !== undefined) return [probe.family]
  const named = [to, from].find((found) => found.stated)?.addresses[0]
  if (named !== undefined) return [familyOf(named)]
  const own: readonly Family[] =
    probe.protocol === Protocol.ICMPv6 ? [6, 4] : probe.protocol === Protocol.ICMP ? [4, 6] : []
  // A pod's order of addresses says more about the case than that of a node, whose addresses may have been filled in.
  const ordered = [from, to].toSorted((a, b) => Number(a.place.kind === "node") - Number(b.place.kind === "node"))
  return [...own, ...ordered.flatMap((found) => found.addresses.map(familyOf))]
}

/** Echo requests: type 8 of ICMP, 128 of ICMPv6. */
const ECHO_REQUEST = { 4: 8, 6: 128 } as const

function packetOf(probe: Probe, source: ResolvedEnd, target: ResolvedEnd): Packet | undefined {
  const family = familyOf(target.address)
  const icmp = probe.protocol === Protocol.ICMP || probe.protocol === Protocol.ICMPv6
  const protocol = icmp ? (family === 4 ? Protocol.ICMP : Protocol.ICMPv6) : probe.protocol
  if (protocol !== probe.protocol && probe.icmpType !== undefined) return undefined
  const own = source.place.kind === "node" && target.place.kind === "pod" && source.place.node === target.place.node
  return {
    source: source.address,
    destination: target.address,
    protocol,
    sourcePort: probe.port === undefined ? 0 : (probe.sourcePort ?? DEFAULT_SOURCE_PORT),
    destinationPort: probe.port ?? 0,
    ...(icmp ? { icmpType: probe.icmpType ?? ECHO_REQUEST[family], icmpCode: probe.icmpCode ?? 0 } : {}),
    ...(own ? { fromNodeSocket: true } : {}),
  }
}

/** Source port of a probe that states none: one from the range that kernels hand out. */
const DEFAULT_SOURCE_PORT = 40_000

function samePlace(a: Place, b: Place): boolean {
  if (a.kind === "pod") return b.kind === "pod" && a.key === b.key
  return a.kind === "node" && b.kind === "node" && a.node === b.node
}

function endText(end: End): string {
  switch (end.kind) {
    case "pod":
      return `pod ${end.namespace}/${end.pod}`
    case "node":
      return `node ${end.node}`
    case "ip":
      return end.ip
    case "service":
      return `Service ${end.namespace}/${end.service}`
  }
}
