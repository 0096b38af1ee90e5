import type { IcmpMatch, L4Match, PortSpec } from "../model/policy.ts"
import { type Family, type PortRange, Protocol, type ProtocolNumber } from "../net/types.ts"

/** Three-valued truth as numbers, for the inner loops. */
export const No = 0
export const Yes = 1
export const Maybe = 2
export type Tri = 0 | 1 | 2

/** A port that a name stands for, at a workload. */
export interface NamedValue {
  readonly protocol: ProtocolNumber
  readonly port: number
}

/** What a name stands for at one end; "maybe" at an unknown address. */
export type Resolve = (name: string) => readonly NamedValue[] | "maybe"

/** Alternatives for one end's port. `names` are those still to be resolved at the far end. */
export interface PortTerm {
  readonly ranges: readonly PortRange[]
  readonly exact: readonly NamedValue[]
  readonly names: readonly string[]
  /** A name stands for something unknown: what does not match may match. */
  readonly open: boolean
}

/** An L4Match of one family with the near end's names resolved. */
export interface L4Term {
  readonly protocols: readonly ProtocolNumber[] | undefined
  readonly notProtocols: readonly ProtocolNumber[]
  readonly ports: PortTerm | undefined
  readonly notPorts: PortTerm | undefined
  readonly sourcePorts: PortTerm | undefined
  readonly notSourcePorts: PortTerm | undefined
  readonly icmp: IcmpMatch | undefined
  readonly notIcmp: IcmpMatch | undefined
}

export const PORT_PROTOCOLS: readonly ProtocolNumber[] = [Protocol.TCP, Protocol.UDP, Protocol.SCTP]
export const ICMP_PROTOCOLS: readonly ProtocolNumber[] = [Protocol.ICMP, Protocol.ICMPv6]

/** Names that `l4` uses at the destination and at the source. */
export function portNames(l4: readonly L4Match[]): { readonly destination: string[]; readonly source: string[] } {
  const names = (pick: (m: L4Match) => readonly (readonly PortSpec[] | undefined)[]): string[] => [
    ...new Set(
      l4.flatMap((m) => pick(m).flatMap((specs) => (specs ?? []).flatMap((s) => (s.kind === "named" ? [s.name] : [])))),
    ),
  ]
  return {
    destination: names((m) => [m.ports, m.notPorts]),
    source: names((m) => [m.sourcePorts, m.notSourcePorts]),
  }
}

/** The alternatives that hold in `family`, near names resolved; undefined when none is left. */
export function nearTerms(
  l4: readonly L4Match[],
  family: Family,
  near: "source" | "destination",
  resolve: Resolve,
): readonly L4Term[] | undefined {
  if (l4.length === 0) return []
  const far: Resolve | undefined = undefined
  const source = near === "source" ? resolve : far
  const destination = near === "destination" ? resolve : far
  const terms = l4
    .filter((match) => match.family === undefined || match.family === family)
    .map((match): L4Term => {
      const negative = (specs: readonly PortSpec[] | undefined, end: Resolve | undefined): PortTerm | undefined =>
        specs === undefined || specs.length === 0 ? undefined : portTerm(specs, end)
      return {
        protocols: match.protocols === undefined || match.protocols.length === 0 ? undefined : match.protocols,
        notProtocols: match.notProtocols ?? [],
        ports: match.ports && portTerm(match.ports, destination),
        notPorts: negative(match.notPorts, destination),
        sourcePorts: match.sourcePorts && portTerm(match.sourcePorts, source),
        notSourcePorts: negative(match.notSourcePorts, source),
        icmp: match.icmp,
        notIcmp: match.notIcmp,
      }
    })
  return terms.length === 0 ? undefined : terms
}

function portTerm(specs: readonly PortSpec[], resolve: Resolve | undefined): PortTerm {
  const ranges = specs.filter((spec) => spec.kind === "range")
  const names = specs.flatMap((spec) => (spec.kind === "named" ? [spec.name] : []))
  const term = { ranges, exact: [], names, open: false }
  return resolve === undefined ? term : resolveTerm(term, resolve)
}

function resolveTerm(term: PortTerm, resolve: Resolve): PortTerm {
  if (term.names.length === 0) return term
  const exact: NamedValue[] = []
  let open = false
  for (const name of term.names) {
    const values = resolve(name)
    if (values === "maybe") open = true
    else exact.push(...values)
  }
  return { ranges: term.ranges, exact, names: [], open }
}

/** The terms with the far end's names resolved. */
export function farTerms(terms: readonly L4Term[], resolve: Resolve): readonly L4Term[] {
  const resolved = (term: PortTerm | undefined): PortTerm | undefined => term && resolveTerm(term, resolve)
  return terms.map((term) => ({
    ...term,
    ports: resolved(term.ports),
    notPorts: resolved(term.notPorts),
    sourcePorts: resolved(term.sourcePorts),
    notSourcePorts: resolved(term.notSourcePorts),
  }))
}

export function usesSourcePorts(term: L4Term): boolean {
  return term.sourcePorts !== undefined || term.notSourcePorts !== undefined
}

function hasPorts(protocol: ProtocolNumber): boolean {
  return protocol === Protocol.TCP || protocol === Protocol.UDP || protocol === Protocol.SCTP
}

/** Whether any alternative holds for a key of a row (`low`: port, or ICMP type and code) and a source port. */
export function termsHold(terms: readonly L4Term[], protocol: ProtocolNumber, low: number, sourcePort: number): Tri {
  if (terms.length === 0) return Yes
  let result: Tri = No
  for (const term of terms) {
    const truth = termHolds(term, protocol, low, sourcePort)
    if (truth === Yes) return Yes
    if (truth === Maybe) result = Maybe
  }
  return result
}

function termHolds(term: L4Term, protocol: ProtocolNumber, low: number, sourcePort: number): Tri {
  if (term.protocols !== undefined && !term.protocols.includes(protocol)) return No
  if (term.notProtocols.includes(protocol)) return No
  if (term.icmp !== undefined && !(isIcmp(protocol) && icmpHolds(term.icmp, low))) return No
  if (term.notIcmp !== undefined && (!isIcmp(protocol) || icmpHolds(term.notIcmp, low))) return No
  const { ports, notPorts, sourcePorts, notSourcePorts } = term
  if (ports === undefined && notPorts === undefined && sourcePorts === undefined && notSourcePorts === undefined)
    return Yes
  if (!hasPorts(protocol)) return No
  let result: Tri = Yes
  if (ports !== undefined) {
    const truth = portHolds(ports, protocol, low)
    if (truth === No) return No
    if (truth === Maybe) result = Maybe
  }
  if (notPorts !== undefined) {
    const truth = portHolds(notPorts, protocol, low)
    if (truth === Yes) return No
    if (truth === Maybe) result = Maybe
  }
  if (sourcePorts !== undefined) {
    const truth = portHolds(sourcePorts, protocol, sourcePort)
    if (truth === No) return No
    if (truth === Maybe) result = Maybe
  }
  if (notSourcePorts !== undefined) {
    const truth = portHolds(notSourcePorts, protocol, sourcePort)
    if (truth === Yes) return No
    if (truth === Maybe) result = Maybe
  }
  return result
}

function isIcmp(protocol: ProtocolNumber): boolean {
  return protocol === Protocol.ICMP || protocol === Protocol.ICMPv6
}

function icmpHolds(match: IcmpMatch, low: number): boolean {
  return low >> 8 === match.type && (match.code === undefined || (low & 0xff) === match.code)
}

function portHolds(term: PortTerm, protocol: ProtocolNumber, port: number): Tri {
  for (const range of term.ranges) if (range.first <= port && port <= range.last) return Yes
  for (const value of term.exact) if (value.protocol === protocol && value.port === port) return Yes
  return term.open ? Maybe : No
}

/** Adds every key at which the truth of a term can change. */
export function addCuts(term: L4Term, cuts: Set<number>): void {
  const whole = (protocol: number): void => {
    cuts.add(protocol << 16)
    cuts.add((protocol + 1) << 16)
  }
  for (const protocol of term.protocols ?? []) whole(protocol)
  for (const protocol of term.notProtocols) whole(protocol)
  const among = (protocols: readonly number[]): readonly number[] =>
    term.protocols === undefined ? protocols : protocols.filter((protocol) => term.protocols?.includes(protocol))
  if (term.ports ?? term.notPorts ?? term.sourcePorts ?? term.notSourcePorts) {
    for (const protocol of among(PORT_PROTOCOLS)) {
      whole(protocol)
      for (const ports of [term.ports, term.notPorts]) {
        if (ports !== undefined) addPortCuts(ports, protocol, cuts)
      }
    }
  }
  for (const icmp of [term.icmp, term.notIcmp]) {
    if (icmp === undefined) continue
    for (const protocol of among(ICMP_PROTOCOLS)) {
      whole(protocol)
      const first = (protocol << 16) + (icmp.type << 8) + (icmp.code ?? 0)
      cuts.add(first)
      cuts.add(first + (icmp.code === undefined ? 256 : 1))
    }
  }
}

/** Adds every `protocol << 16 | source port` at which the truth of a term can change. */
export function addSourceCuts(term: L4Term, protocol: ProtocolNumber, cuts: Set<number>): void {
  for (const ports of [term.sourcePorts, term.notSourcePorts]) {
    if (ports !== undefined) addPortCuts(ports, protocol, cuts)
  }
}

function addPortCuts(ports: PortTerm, protocol: ProtocolNumber, cuts: Set<number>): void {
  const base = protocol << 16
  for (const range of ports.ranges) {
    cuts.add(base + range.first)
    cuts.add(base + range.last + 1)
  }
  for (const value of ports.exact) {
    if (value.protocol !== protocol) continue
    cuts.add(base + value.port)
    cuts.add(base + value.port + 1)
  }
}
