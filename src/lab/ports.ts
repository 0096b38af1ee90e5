import { Protocol } from "../net/types.ts"
import type { JsonObject } from "../suite/format.ts"
import { listAt, textAt, valueAt } from "../suite/manifest.ts"
import type { Listen } from "../suite/state.ts"
/** Annotation on Pods and Nodes with further ports to answer on: `80/TCP,53/UDP`, or a JSON list of such texts or objects. */
export const LISTEN_ANNOTATION = "referee/listen"

/** Protocols that have ports, by the names that Kubernetes gives them. */
export const portProtocols: Readonly<Record<string, number>> = {
  TCP: Protocol.TCP,
  UDP: Protocol.UDP,
  SCTP: Protocol.SCTP,
}

/** Every port that a Pod or Node object says it listens on: its containers' and the annotation's, each once. */
export function portsOf(object: JsonObject): Listen[] {
  const found = new Map<string, Listen>()
  const add = (port: Listen | undefined): void => {
    if (port !== undefined) found.set(`${port.port}/${port.protocol}`, port)
  }
  for (const list of ["containers", "initContainers"]) {
    for (const container of listAt(object, "spec", list)) {
      for (const port of listAt(container, "ports")) {
        add(portFrom(valueAt(port, "containerPort"), textAt(port, "protocol")))
      }
    }
  }
  const annotation = valueAt(object, "metadata", "annotations", LISTEN_ANNOTATION)
  if (typeof annotation === "string") for (const port of readListen(annotation)) add(port)
  return [...found.values()]
}

/** Reads the annotation's value. What is no port is left out: an annotation is a wish, not a policy. */
export function readListen(text: string): Listen[] {
  const trimmed = text.trim()
  if (trimmed.startsWith("[")) {
    try {
      const parsed: unknown = JSON.parse(trimmed)
      return Array.isArray(parsed) ? parsed.flatMap((item) => listenItem(item) ?? []) : []
    } catch {
      return []
    }
  }
  return trimmed.split(/[,\s]+/).flatMap((item) => listenItem(item) ?? [])
}

function listenItem(item: unknown): Listen | undefined {
  if (typeof item === "number") return portFrom(item, "TCP")
  if (typeof item === "string") {
    const [port, protocol] = item.split("/")
    return portFrom(Number(port), protocol)
  }
  return portFrom(valueAt(item, "port") ?? valueAt(item, "containerPort"), textAt(item, "protocol"))
}

function portFrom(port: unknown, protocol: string | undefined): Listen | undefined {
  const known = portProtocols[(protocol ?? "TCP").trim().toUpperCase()]
  if (known === undefined || typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535)
    return undefined
  return { protocol: known, port }
}
