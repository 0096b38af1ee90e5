import type { ManifestObject } from "../../model/manifest.ts"
import {
  type Direction,
  KUBERNETES_ORDER,
  type L4Match,
  type Match,
  type Policy,
  type PolicySide,
  type Rule,
} from "../../model/policy.ts"
import { parsePrefix } from "../../net/prefix.ts"
import { Protocol, type ProtocolNumber } from "../../net/types.ts"
import { fieldAt, listAt, numberAt, recordAt, textAt, textsAt } from "../read.ts"
import { selectorOf } from "./label-selector.ts"
import { identityOf } from "./metadata.ts"

/** Protocols by the names that the Kubernetes API gives them; absent is TCP. */
export const protocolNumbers: Readonly<Record<string, ProtocolNumber>> = {
  TCP: Protocol.TCP,
  UDP: Protocol.UDP,
  SCTP: Protocol.SCTP,
}

/**
 * The model of a valid NetworkPolicy (networking.k8s.io/v1), with the API server's defaults: without policyTypes it isolates
 * ingress, and egress too if it has egress rules; rules of a direction that policyTypes does not name do nothing.
 */
export function networkPolicyToModel(object: ManifestObject): Policy {
  const identity = identityOf(object.value, true)
  if (identity === undefined)
    throw new Error("Cannot translate a NetworkPolicy without a name: it must be validated first")
  const spec = recordAt(object.value, "spec")
  const { namespace, name } = identity
  const types = textsAt(spec, "policyTypes")
  const isolatesIngress = types.length === 0 || types.includes("Ingress")
  const isolatesEgress = types.length === 0 ? listAt(spec, "egress").length > 0 : types.includes("Egress")
  const side = (direction: Direction): PolicySide => ({
    isolates: true,
    rules: listAt(spec, direction).map((rule, index) => toRule(rule, direction, index, namespace, object)),
  })
  return {
    group: "networking.k8s.io",
    kind: "NetworkPolicy",
    namespace,
    name,
    tier: "default",
    order: KUBERNETES_ORDER,
    // Where Calico's policies stand at the same order, Calico sorts this one among them by this text.
    tieBreak: `${name}/${namespace}/KubernetesNetworkPolicy`,
    subject: podsOf([{ kind: "namespace", names: [namespace] }, labelsAtom("self", fieldAt(spec, "podSelector"))]),
    ...(isolatesIngress ? { ingress: side("ingress") } : {}),
    ...(isolatesEgress ? { egress: side("egress") } : {}),
    mode: "enforced",
    origin: object.origin,
  }
}

function toRule(rule: unknown, direction: Direction, index: number, namespace: string, object: ManifestObject): Rule {
  const peers = listAt(rule, direction === "ingress" ? "from" : "to").map((peer) => toPeer(peer, namespace))
  return {
    action: "allow",
    peer: anyOf(peers),
    l4: listAt(rule, "ports").map(toL4),
    section: direction,
    index,
    origin: object.originAt(["spec", direction, index]),
  }
}

/** An absent or empty list of peers is everyone. */
function anyOf(peers: readonly Match[]): Match {
  const [only] = peers
  if (only === undefined) return { kind: "any" }
  return peers.length === 1 ? only : { kind: "or", of: peers }
}

function toPeer(peer: unknown, namespace: string): Match {
  const block = fieldAt(peer, "ipBlock")
  if (block !== undefined) return toBlock(block)
  const pods = fieldAt(peer, "podSelector")
  const namespaces = fieldAt(peer, "namespaceSelector")
  // Validation refuses an empty peer; should one ever come here, it matches nothing rather than every pod.
  if (pods === undefined && namespaces === undefined) return { kind: "none" }
  const where: Match =
    namespaces === undefined ? { kind: "namespace", names: [namespace] } : labelsAtom("namespace", namespaces)
  return podsOf([where, labelsAtom("self", pods)])
}

function toBlock(block: unknown): Match {
  const cidr: Match = { kind: "cidr", prefixes: [parsePrefix(textAt(block, "cidr") ?? "")] }
  const except = textsAt(block, "except").map((text) => parsePrefix(text))
  if (except.length === 0) return cidr
  return { kind: "and", of: [cidr, { kind: "not", of: { kind: "cidr", prefixes: except } }] }
}

/** Selectors select pods only; a host-network pod is its node and no pod in this sense. */
function podsOf(conditions: readonly Match[]): Match {
  return { kind: "and", of: [{ kind: "is", what: "endpoint" }, ...conditions.filter((match) => match.kind !== "any")] }
}

function labelsAtom(of: "self" | "namespace", selector: unknown): Match {
  const translated = selectorOf(selector)
  return translated.kind === "all" ? { kind: "any" } : { kind: "labels", of, selector: translated }
}

function toL4(port: unknown): L4Match {
  const protocol = protocolNumbers[textAt(port, "protocol") ?? "TCP"]
  if (protocol === undefined)
    throw new Error("Cannot translate an unknown protocol: the policy must be validated first")
  const number = fieldAt(port, "port")
  if (typeof number === "string") return { protocols: [protocol], ports: [{ kind: "named", name: number }] }
  if (typeof number !== "number") return { protocols: [protocol] }
  return { protocols: [protocol], ports: [{ kind: "range", first: number, last: numberAt(port, "endPort") ?? number }] }
}
