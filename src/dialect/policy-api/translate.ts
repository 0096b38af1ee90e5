import { isRecord, type ManifestObject } from "../../model/manifest.ts"
import type { Action, Direction, L4Match, Match, Policy, PolicySide, PortSpec, Rule } from "../../model/policy.ts"
import { parsePrefix } from "../../net/prefix.ts"
import { Protocol } from "../../net/types.ts"
import { selectorOf } from "../kubernetes/label-selector.ts"
import { protocolNumbers } from "../kubernetes/network-policy.ts"
import { fieldAt, listAt, numberAt, recordAt, textAt, textsAt } from "../read.ts"
import { adminPortFields, protocolFields } from "./port-validation.ts"
import { POLICY_API_GROUP } from "./schema.ts"

const actions: Readonly<Record<string, Action>> = { Accept: "allow", Allow: "allow", Deny: "deny", Pass: "pass" }

/**
 * The model of a valid ClusterNetworkPolicy, AdminNetworkPolicy or BaselineAdminNetworkPolicy. None isolates: what no rule
 * matches goes on to the next tier. A BaselineAdminNetworkPolicy comes after all ClusterNetworkPolicies of the Baseline tier.
 */
export function policyApiToModel(object: ManifestObject): Policy {
  const { value } = object
  const kind = textAt(value, "kind") ?? ""
  const spec = recordAt(value, "spec")
  const baseline = kind === "BaselineAdminNetworkPolicy" || textAt(spec, "tier") === "Baseline"
  const side = (direction: Direction): PolicySide => ({
    isolates: false,
    rules: listAt(spec, direction).map((rule, index) => toRule(rule, direction, index, object)),
  })
  return {
    group: POLICY_API_GROUP,
    kind,
    namespace: "",
    name: textAt(recordAt(value, "metadata"), "name") ?? "",
    tier: baseline ? "kube-baseline" : "kube-admin",
    order: numberAt(spec, "priority") ?? Number.POSITIVE_INFINITY,
    tieBreak: "",
    subject: workloads(fieldAt(spec, "subject")) ?? { kind: "none" },
    ...(listAt(spec, "ingress").length > 0 ? { ingress: side("ingress") } : {}),
    ...(listAt(spec, "egress").length > 0 ? { egress: side("egress") } : {}),
    mode: "enforced",
    origin: object.origin,
  }
}

/**
 * A rule with a peer or port of a kind that is not known fails closed as the API's documentation says: one that accepts
 * matches no traffic, one that denies or passes denies everything.
 */
function toRule(rule: unknown, direction: Direction, index: number, object: ManifestObject): Rule {
  const action = actions[textAt(rule, "action") ?? ""]
  if (action === undefined) throw new Error("Cannot translate an unknown action: the policy must be validated first")
  const name = textAt(rule, "name") ?? ""
  const place = {
    section: direction,
    index,
    origin: object.originAt(["spec", direction, index]),
    ...(name === "" ? {} : { name }),
  }
  const peers = listAt(rule, direction === "ingress" ? "from" : "to").map((peer) => toPeer(peer, action))
  const l4 = [...listAt(rule, "protocols").map(toProtocol), ...listAt(rule, "ports").map(toAdminPort)]
  if (!peers.every((peer) => peer !== undefined) || !l4.every((match) => match !== undefined)) {
    const failed = action === "allow" ? { action, peer: none } : { action: "deny" as const, peer: any }
    return { ...failed, l4: [], ...place }
  }
  const [only] = peers
  return { action, peer: peers.length === 1 && only !== undefined ? only : { kind: "or", of: peers }, l4, ...place }
}

const none: Match = { kind: "none" }
const any: Match = { kind: "any" }

/** The peer; undefined for a kind that is not known. */
function toPeer(peer: unknown, action: Action): Match | undefined {
  if (!hasOnly(peer, ["namespaces", "pods", "nodes", "networks", "domainNames"])) return undefined
  const nodes = fieldAt(peer, "nodes")
  if (nodes !== undefined) return and({ kind: "is", what: "node" }, labels("self", nodes))
  const networks = textsAt(peer, "networks")
  if (networks.length > 0) return { kind: "cidr", prefixes: networks.map((text) => parsePrefix(text)) }
  // Names cannot be enforced yet: as an accepted peer they match nothing, else they are like an unknown kind.
  if (fieldAt(peer, "domainNames") !== undefined) return action === "allow" ? none : undefined
  return workloads(peer)
}

/** The pods of a subject or peer: of whole namespaces, or by both selectors. Host-network pods are their nodes. */
function workloads(entry: unknown): Match | undefined {
  const endpoint: Match = { kind: "is", what: "endpoint" }
  const namespaces = fieldAt(entry, "namespaces")
  if (namespaces !== undefined) return and(endpoint, labels("namespace", namespaces))
  const pods = fieldAt(entry, "pods")
  if (pods === undefined) return undefined
  return and(
    endpoint,
    labels("namespace", fieldAt(pods, "namespaceSelector")),
    labels("self", fieldAt(pods, "podSelector")),
  )
}

function labels(of: "self" | "namespace", selector: unknown): Match {
  const translated = selectorOf(selector)
  return translated.kind === "all" ? any : { kind: "labels", of, selector: translated }
}

function and(...parts: readonly Match[]): Match {
  return { kind: "and", of: parts.filter((part) => part.kind !== "any") }
}

/** An entry of `protocols` (v1alpha2); a named port matches under the protocol that the pod gives it. */
function toProtocol(entry: unknown): L4Match | undefined {
  if (!hasOnly(entry, protocolFields)) return undefined
  const name = textAt(entry, "destinationNamedPort")
  if (name !== undefined) return { ports: [{ kind: "named", name }] }
  for (const [field, protocol] of [
    ["tcp", Protocol.TCP],
    ["udp", Protocol.UDP],
    ["sctp", Protocol.SCTP],
  ] as const) {
    const match = recordAt(entry, field)
    if (match === undefined) continue
    const port = recordAt(match, "destinationPort")
    if (!hasOnly(match, ["destinationPort"]) || !hasOnly(port, ["number", "range"])) return undefined
    const number = numberAt(port, "number")
    const ports = number === undefined ? range(recordAt(port, "range")) : single(number)
    return { protocols: [protocol], ports: [ports] }
  }
  return undefined
}

/** An entry of `ports` (v1alpha1). */
function toAdminPort(entry: unknown): L4Match | undefined {
  if (!hasOnly(entry, adminPortFields)) return undefined
  const name = textAt(entry, "namedPort")
  if (name !== undefined) return { ports: [{ kind: "named", name }] }
  const number = recordAt(entry, "portNumber")
  const given = number ?? recordAt(entry, "portRange")
  const protocol = protocolNumbers[textAt(given, "protocol") ?? "TCP"]
  if (protocol === undefined) return undefined
  return { protocols: [protocol], ports: [number === undefined ? range(given) : single(numberAt(number, "port") ?? 0)] }
}

function single(port: number): PortSpec {
  return { kind: "range", first: port, last: port }
}

function range(value: unknown): PortSpec {
  return { kind: "range", first: numberAt(value, "start") ?? 0, last: numberAt(value, "end") ?? 0 }
}

/** Whether exactly one field is given, and it is one of these. */
function hasOnly(value: unknown, fields: readonly string[]): boolean {
  if (!isRecord(value)) return false
  const given = Object.keys(value).filter((field) => fieldAt(value, field) !== undefined)
  return given.length === 1 && given.every((field) => fields.includes(field))
}
