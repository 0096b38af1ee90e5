import { type Address, Protocol } from "../net/types.ts"
import type { Manifest } from "./format.ts"
import { listAt, textAt, valueAt } from "./manifest.ts"
import type { Listen, ResolvedProbe } from "./state.ts"

/** Annotation on Pods and Nodes with further ports to listen on, e.g. `8080/TCP,53/UDP` or `["80/TCP"]`; TCP where no protocol is named. */
const LISTEN_ANNOTATION = "referee/listen"

/** What the probes of a history ask of whom. */
export interface Asked {
  /** By `NAMESPACE/NAME`. */
  readonly pods: ReadonlyMap<string, readonly Listen[]>
  readonly nodes: ReadonlyMap<string, readonly Listen[]>
  /** Hosts outside the cluster, as source or target. */
  readonly outside: readonly Address[]
}

/** Collects the ports that probes ask for, per pod and node, and the outside hosts among their ends. */
export function askedOf(probes: readonly ResolvedProbe[]): Asked {
  const pods = new Map<string, Listen[]>()
  const nodes = new Map<string, Listen[]>()
  const outside = new Set<Address>()
  for (const resolved of probes) {
    if (resolved.kind === "settled") continue
    for (const end of [resolved.source, resolved.target]) if (end.place.kind === "outside") outside.add(end.address)
    const { place } = resolved.target
    const { port, protocol } = resolved.probe
    if (port === undefined || place.kind === "outside") continue
    const [map, key] = place.kind === "pod" ? [pods, place.key] : [nodes, place.node]
    const known = map.get(key)
    if (known === undefined) map.set(key, [{ protocol, port }])
    else known.push({ protocol, port })
  }
  return { pods, nodes, outside: [...outside].sort() }
}

/** All that something listens on: ports its objects declare, those of their annotations, and those asked for; each once. */
export function listensOf(
  objects: readonly (Manifest | undefined)[],
  asked: readonly Listen[] = [],
): readonly Listen[] {
  const all = [...objects.flatMap((object) => (object === undefined ? [] : declared(object.value))), ...asked]
  return [...new Map(all.map((listen) => [(listen.protocol << 16) | listen.port, listen])).values()]
}

function declared(object: Manifest["value"]): readonly Listen[] {
  const containers = [...listAt(object, "spec", "containers"), ...listAt(object, "spec", "initContainers")]
  const ports = containers.flatMap((container) => listAt(container, "ports"))
  const annotation = textAt(object, "metadata", "annotations", LISTEN_ANNOTATION) ?? ""
  const texts = annotation.split(/[\s,;"[\]]+/).filter((text) => text !== "")
  return [
    ...ports.flatMap((port) => listen(valueAt(port, "containerPort"), textAt(port, "protocol"))),
    ...texts.flatMap((text) => {
      const parts = text.split(/[/:]/)
      const number = parts.find((part) => /^\d+$/.test(part))
      return listen(
        Number(number),
        parts.find((part) => part !== number),
      )
    }),
  ]
}

function listen(port: unknown, protocolName: string | undefined): readonly Listen[] {
  const protocol = { TCP: Protocol.TCP, UDP: Protocol.UDP, SCTP: Protocol.SCTP }[(protocolName ?? "TCP").toUpperCase()]
  if (protocol === undefined || typeof port !== "number" || !(port >= 1 && port <= 65535)) return []
  return [{ protocol, port }]
}
