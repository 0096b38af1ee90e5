import { l4Words } from "../../compile/words.ts"
import type { L4Match, PortSpec } from "../../model/policy.ts"
import { Protocol, type ProtocolNumber } from "../../net/types.ts"
import { Unsayable } from "./refusal.ts"

/** Destination ports of one protocol that has ports; no `port`: all of them. */
export interface PortOfProtocol {
  readonly protocol: ProtocolNumber
  readonly port?: Exclude<PortSpec, { kind: "service" }>
}

const WITH_PORTS = [Protocol.TCP, Protocol.UDP, Protocol.SCTP]

export const portProtocolNames: ReadonlyMap<ProtocolNumber, string> = new Map([
  [Protocol.TCP, "TCP"],
  [Protocol.UDP, "UDP"],
  [Protocol.SCTP, "SCTP"],
])

/** What a rule asks of ports as a list of alternatives; undefined: nothing is asked. Throws `Unsayable` for all that is not ports. */
export function portsOf(l4: readonly L4Match[]): PortOfProtocol[] | undefined {
  if (l4.length === 0) return undefined
  return l4.flatMap((match): PortOfProtocol[] => {
    const { protocols, ports, ...rest } = match
    const others = Object.entries(rest).filter(([, value]) => !(Array.isArray(value) && value.length === 0))
    const named = protocols !== undefined && protocols.length > 0 ? protocols : ports === undefined ? [] : WITH_PORTS
    if (others.length > 0 || named.length === 0 || named.some((one) => !WITH_PORTS.includes(one as 6))) {
      throw new Unsayable(`"${l4Words([match])}"`, "there rules ask for destination ports of TCP, UDP and SCTP only")
    }
    if (ports === undefined) return named.map((protocol) => ({ protocol }))
    return named.flatMap((protocol) =>
      ports.map((port): PortOfProtocol => {
        if (port.kind === "service") throw new Unsayable("ports of a service", "there ports are numbers or names")
        if (port.kind === "range" && port.first === 0) {
          if (port.last === 65_535) return { protocol }
          throw new Unsayable("port 0", "there ports begin at 1")
        }
        return { protocol, port }
      }),
    )
  })
}
