import type { Origin } from "../../model/origin.ts"
import type {
  Action,
  Direction,
  IcmpMatch,
  L4Match,
  Match,
  Policy,
  PolicySide,
  PortSpec,
  Rule,
  Tier,
} from "../../model/policy.ts"
import { Protocol, type ProtocolNumber } from "../../net/types.ts"
import { numberAt, recordAt, textAt } from "../read.ts"
import { type EntityRule, entityMatch, serviceOf, subjectMatch } from "./match.ts"

/** The group under which Calico's objects are named, whichever of its two spellings the file uses. */
export const CALICO_GROUP = "projectcalico.org"

/** IANA number of UDP-Lite, which Calico names beside the common ones. */
const UDPLITE: ProtocolNumber = 136

/** A rule as written in `spec.ingress[]` or `spec.egress[]` of Calico's policies. */
export interface CalicoRule {
  readonly action: string
  readonly ipVersion?: 4 | 6
  readonly protocol?: string | number
  readonly notProtocol?: string | number
  readonly icmp?: { readonly type?: number; readonly code?: number }
  readonly notICMP?: { readonly type?: number; readonly code?: number }
  readonly source?: EntityRule
  readonly destination?: EntityRule
  readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> }
}

export interface CalicoPolicySpec {
  readonly tier?: string
  readonly order?: number
  readonly selector?: string
  readonly namespaceSelector?: string
  readonly serviceAccountSelector?: string
  readonly types?: readonly string[]
  readonly ingress?: readonly CalicoRule[]
  readonly egress?: readonly CalicoRule[]
  readonly doNotTrack?: boolean
  readonly preDNAT?: boolean
  readonly stagedAction?: string
}

export interface CalicoPolicy {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly spec?: CalicoPolicySpec
}

type OriginAt = (path: readonly (string | number)[]) => Origin

/**
 * A valid NetworkPolicy, GlobalNetworkPolicy or staged form of these → the model. A staged object keeps its own kind, so that it stands
 * beside the enforced one of its name, and takes that one's place in the order.
 */
export function policyToModel(object: CalicoPolicy, originAt: OriginAt): Policy {
  const spec = object.spec ?? {}
  const global = object.kind.endsWith("GlobalNetworkPolicy")
  const namespace = global ? undefined : (object.metadata.namespace ?? "default")
  const staged = object.kind.startsWith("Staged")
  const enforcedKind = staged ? object.kind.slice("Staged".length) : object.kind
  const directions = policyTypes(spec)
  const side = (direction: Direction, rules: readonly CalicoRule[] | undefined): PolicySide => ({
    isolates: true,
    rules: (rules ?? []).map((rule, index) =>
      ruleToModel(rule, direction, index, namespace, originAt(["spec", direction, index])),
    ),
  })
  return {
    group: CALICO_GROUP,
    kind: object.kind,
    namespace: namespace ?? "",
    name: object.metadata.name,
    tier: spec.tier === undefined || spec.tier === "" ? "default" : spec.tier,
    order: spec.order ?? Number.POSITIVE_INFINITY,
    tieBreak: `${object.metadata.name}/${namespace ?? ""}/${enforcedKind}`,
    subject: policySubject(spec, namespace),
    ...(directions.includes("Ingress") ? { ingress: side("ingress", spec.ingress) } : {}),
    ...(directions.includes("Egress") ? { egress: side("egress", spec.egress) } : {}),
    mode: staged ? (spec.stagedAction === "Delete" ? "stagedDelete" : "staged") : "enforced",
    origin: originAt([]),
  }
}

/** Untracked and pre-DNAT policies speak of host endpoints alone: they never select a workload. */
function policySubject(spec: CalicoPolicySpec, namespace: string | undefined): Match {
  if (spec.doNotTrack === true || spec.preDNAT === true) return { kind: "none" }
  return subjectMatch({
    ...(spec.selector === undefined ? {} : { selector: spec.selector }),
    ...(spec.namespaceSelector === undefined || namespace !== undefined
      ? {}
      : { namespaceSelector: spec.namespaceSelector }),
    ...(spec.serviceAccountSelector === undefined ? {} : { serviceAccountSelector: spec.serviceAccountSelector }),
    ...(namespace === undefined ? {} : { namespace }),
  })
}

/** `types` as given, else by what rules there are: egress rules alone mean Egress, both mean both, anything else Ingress. */
export function policyTypes(spec: CalicoPolicySpec): readonly string[] {
  if (spec.types !== undefined && spec.types.length > 0) return spec.types
  const ingress = (spec.ingress ?? []).length > 0
  const egress = (spec.egress ?? []).length > 0
  if (egress) return ingress ? ["Ingress", "Egress"] : ["Egress"]
  return ["Ingress"]
}

function ruleToModel(
  rule: CalicoRule,
  direction: Direction,
  index: number,
  namespace: string | undefined,
  origin: Origin,
): Rule {
  const [near, far] = direction === "ingress" ? [rule.destination, rule.source] : [rule.source, rule.destination]
  const local = entityMatch(near, namespace)
  const name = rule.metadata?.annotations?.["name"]
  return {
    action: rule.action.toLowerCase() as Action,
    peer: entityMatch(far, namespace),
    ...(local.kind === "any" ? {} : { local }),
    l4: l4Match(rule, direction === "egress" ? serviceOf(rule.destination, namespace) : undefined),
    section: direction,
    index,
    ...(name === undefined ? {} : { name }),
    origin,
  }
}

/** With a service as destination its ports are the rule's. */
function l4Match(rule: CalicoRule, service: ReturnType<typeof serviceOf>): readonly L4Match[] {
  const protocol = rule.protocol === undefined ? undefined : protocolNumber(rule.protocol)
  const family = rule.ipVersion ?? impliedFamily(protocol)
  const match: L4Match = {
    ...(protocol === undefined ? {} : { protocols: [protocol] }),
    ...(rule.notProtocol === undefined ? {} : { notProtocols: [protocolNumber(rule.notProtocol)] }),
    ...(service === undefined ? ports("ports", rule.destination?.ports) : { ports: [{ kind: "service", ...service }] }),
    ...ports("notPorts", rule.destination?.notPorts),
    ...ports("sourcePorts", rule.source?.ports),
    ...ports("notSourcePorts", rule.source?.notPorts),
    ...icmp("icmp", rule.icmp),
    ...icmp("notIcmp", rule.notICMP),
    ...(family === undefined ? {} : { family }),
  }
  return Object.keys(match).length === 0 ? [] : [match]
}

type PortKey = "ports" | "notPorts" | "sourcePorts" | "notSourcePorts"

function ports(key: PortKey, list: readonly (number | string)[] | undefined): Partial<L4Match> {
  return list === undefined || list.length === 0 ? {} : { [key]: list.map(portSpec) }
}

function icmp(
  key: "icmp" | "notIcmp",
  match: { readonly type?: number; readonly code?: number } | undefined,
): Partial<L4Match> {
  if (match?.type === undefined) return {}
  const value: IcmpMatch = match.code === undefined ? { type: match.type } : { type: match.type, code: match.code }
  return { [key]: value }
}

function impliedFamily(protocol: ProtocolNumber | undefined): 4 | 6 | undefined {
  if (protocol === Protocol.ICMP) return 4
  return protocol === Protocol.ICMPv6 ? 6 : undefined
}

const PROTOCOLS: Readonly<Record<string, ProtocolNumber>> = {
  tcp: Protocol.TCP,
  udp: Protocol.UDP,
  icmp: Protocol.ICMP,
  icmpv6: Protocol.ICMPv6,
  sctp: Protocol.SCTP,
  udplite: UDPLITE,
}

/** The number of a protocol by name in any case, by number, or by number in a string; NaN for anything else. */
export function protocolNumber(protocol: string | number): ProtocolNumber {
  if (typeof protocol === "number") return protocol
  const name = protocol.toLowerCase()
  const named = Object.hasOwn(PROTOCOLS, name) ? PROTOCOLS[name] : undefined
  return named ?? (/^[0-9]+$/.test(protocol) ? Number(protocol) : Number.NaN)
}

/** A port: a number, `first:last`, or a name. */
export function portSpec(port: number | string): PortSpec {
  if (typeof port === "number") return { kind: "range", first: port, last: port }
  const range = /^(\d+)(?::(\d+))?$/.exec(port)
  if (range === null) return { kind: "named", name: port }
  const first = Number(range[1])
  return { kind: "range", first, last: range[2] === undefined ? first : Number(range[2]) }
}

/** A valid Tier → the model: without order it stands last, without action it denies what its policies leave over. */
export function tierToModel(value: unknown): Tier {
  const spec = recordAt(value, "spec")
  return {
    name: textAt(recordAt(value, "metadata"), "name") ?? "",
    order: numberAt(spec, "order") ?? Number.POSITIVE_INFINITY,
    defaultAction: textAt(spec, "defaultAction") === "Pass" ? "pass" : "deny",
  }
}
