import { Protocol } from "../net/types.ts"
import type { JsonObject } from "../suite/format.ts"
import { kindOf, listAt, textAt, valueAt } from "../suite/manifest.ts"
import type { Listen } from "../suite/state.ts"

const protocols: Readonly<Record<string, number>> = { TCP: Protocol.TCP, UDP: Protocol.UDP, SCTP: Protocol.SCTP }
/** Of a long range the first so many ports are enough to try it. */
const MOST_OF_A_RANGE = 16

/** On what the hosts outside answer: HTTP, HTTPS and DNS, and every port that an egress rule names (of a long range the first). */
export function egressPorts(objects: readonly JsonObject[]): Listen[] {
  const found = new Map<string, Listen>()
  const add = (name: string, first: number, last: number): void => {
    const protocol = protocols[name]
    if (protocol === undefined) return
    for (let port = first; port <= Math.min(last, first + MOST_OF_A_RANGE - 1); port++)
      found.set(`${port}/${protocol}`, { protocol, port })
  }
  for (const port of [53, 80, 443]) add("TCP", port, port)
  add("UDP", 53, 53)
  for (const rule of objects.filter((o) => kindOf(o) === "NetworkPolicy").flatMap((o) => listAt(o, "spec", "egress"))) {
    for (const entry of listAt(rule, "ports")) {
      const port = valueAt(entry, "port")
      const last = valueAt(entry, "endPort")
      if (typeof port === "number")
        add(textAt(entry, "protocol") ?? "TCP", port, typeof last === "number" ? last : port)
    }
  }
  return [...found.values()]
}
