import type { NamedPort, ServiceBackend, ServicePort } from "../../model/cluster.ts"
import type { Labels } from "../../model/selector.ts"
import { tryParseAddress } from "../../net/address.ts"
import type { Address, ProtocolNumber } from "../../net/types.ts"
import { fieldAt, listAt, numberAt, recordAt, textAt, textMapAt, textsAt } from "../read.ts"
import { identityOf } from "./metadata.ts"
import { protocolNumbers } from "./network-policy.ts"

/** Label by which an EndpointSlice names its Service. */
const SERVICE_NAME_LABEL = "kubernetes.io/service-name"

/** A Service as far as policies look at it. */
export interface ServiceDeclaration {
  readonly namespace: string
  readonly name: string
  readonly labels: Labels
  readonly selector?: Labels
  readonly ports: readonly TargetPort[]
}

/** Where a Service sends what comes to one of its ports: a number, or a name that each pod gives a port of its own. */
export interface TargetPort {
  readonly protocol: ProtocolNumber
  readonly target: number | string
}

/** An EndpointSlice: these addresses at these ports. */
export interface SliceDeclaration {
  readonly namespace: string
  /** Empty for one that belongs to no Service. */
  readonly service: string
  readonly backends: readonly ServiceBackend[]
}

/** A pod as a Service may select it. */
export interface SelectablePod {
  readonly namespace: string
  readonly labels: Labels
  readonly addresses: readonly Address[]
  readonly namedPorts: readonly NamedPort[]
}

/** The model of a valid Service. */
export function serviceToModel(value: unknown): ServiceDeclaration {
  const identity = identityOf(value, true)
  const spec = recordAt(value, "spec")
  const selector = textMapAt(spec, "selector")
  const external = textAt(spec, "type") === "ExternalName"
  return {
    namespace: identity?.namespace ?? "",
    name: identity?.name ?? "",
    labels: textMapAt(recordAt(value, "metadata"), "labels"),
    ...(external || Object.keys(selector).length === 0 ? {} : { selector }),
    ports: listAt(spec, "ports").flatMap((item): TargetPort[] => {
      const protocol = protocolNumbers[textAt(item, "protocol") || "TCP"]
      const stated = fieldAt(item, "targetPort")
      const target = stated === undefined || stated === 0 || stated === "" ? numberAt(item, "port") : stated
      if (protocol === undefined || (typeof target !== "number" && typeof target !== "string")) return []
      return [{ protocol, target }]
    }),
  }
}

/** The model of a valid EndpointSlice: ready or not; a port without number is none. */
export function endpointSliceToModel(value: unknown): SliceDeclaration {
  const ports = listAt(value, "ports").flatMap((item): ServicePort[] => {
    const protocol = protocolNumbers[textAt(item, "protocol") || "TCP"]
    const port = numberAt(item, "port")
    return protocol === undefined || port === undefined ? [] : [{ protocol, port }]
  })
  return {
    namespace: identityOf(value, true)?.namespace ?? "",
    service: textMapAt(recordAt(value, "metadata"), "labels")[SERVICE_NAME_LABEL] ?? "",
    backends: listAt(value, "endpoints").flatMap((item) =>
      textsAt(item, "addresses").flatMap((text): ServiceBackend[] => {
        const address = tryParseAddress(text)
        return address === undefined ? [] : [{ address, ports }]
      }),
    ),
  }
}

/** Whether a Service stands for a pod of its namespace. */
export function selectsPod({ selector }: ServiceDeclaration, { labels }: SelectablePod): boolean {
  if (selector === undefined) return false
  return Object.entries(selector).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value)
}

/** Backends of a Service that has no slices: its pods, each at the ports that it has of those the Service sends to. */
export function backendsOfPods(service: ServiceDeclaration, pods: Iterable<SelectablePod>): readonly ServiceBackend[] {
  const backends: ServiceBackend[] = []
  for (const pod of pods) {
    if (!selectsPod(service, pod)) continue
    const ports = service.ports.flatMap(({ protocol, target }): ServicePort[] => {
      if (typeof target === "number") return [{ protocol, port: target }]
      const port = pod.namedPorts.find((named) => named.name === target && named.protocol === protocol)?.port
      return port === undefined ? [] : [{ protocol, port }]
    })
    for (const address of pod.addresses) backends.push({ address, ports })
  }
  return backends
}

/** Each address once, ascending, with all ports that any of its entries has. */
export function mergedBackends(entries: Iterable<ServiceBackend>): readonly ServiceBackend[] {
  const byAddress = new Map<Address, Map<string, ServicePort>>()
  for (const { address, ports } of entries) {
    const known = byAddress.get(address) ?? new Map<string, ServicePort>()
    for (const one of ports) known.set(`${one.protocol}:${one.port}`, one)
    byAddress.set(address, known)
  }
  return [...byAddress]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([address, ports]) => ({
      address,
      ports: [...ports.values()].sort((a, b) => a.protocol - b.protocol || a.port - b.port),
    }))
}
