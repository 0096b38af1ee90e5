import type { NetworkSet } from "../../model/cluster.ts"
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
import type { FieldPath } from "../../model/problem.ts"
import type { Selector } from "../../model/selector.ts"
import { tryParseAddress } from "../../net/address.ts"
import { parsePrefix, prefixOf } from "../../net/prefix.ts"
import type { Prefix } from "../../net/types.ts"
import { selectorOf } from "../kubernetes/label-selector.ts"
import { foreignSetMark } from "../network-set-mark.ts"
import { fieldAt, listAt, recordAt, textAt, textMapAt, textsAt } from "../read.ts"
import { entityMatch } from "./entities.ts"
import { peerMatch, sourcedKey, subjectMatch } from "./labels.ts"
import { icmpsMatch, toPortsMatch } from "./ports.ts"

/** Cilium's API group. */
export const CILIUM_GROUP = "cilium.io"

/** Kind of the network sets that CiliumCIDRGroups become. */
const CIDR_GROUP_KIND = "CiliumCIDRGroup"
/** Label by which a CIDRGroup is referred to by name (cilium.md 2.7). */
const CIDR_GROUP_NAME_PREFIX = "io.cilium.policy.cidrgroupname/"

const ANY: Match = { kind: "any" }
const NONE: Match = { kind: "none" }

/** Rules of a policy object: `spec`, then each of `specs`. */
export function rulesOf(value: unknown): readonly { readonly rule: unknown; readonly path: FieldPath }[] {
  const spec = fieldAt(value, "spec")
  const specs = listAt(value, "specs").map((rule, index) => ({ rule, path: ["specs", index] as FieldPath }))
  return spec === undefined ? specs : [{ rule: spec, path: ["spec"] }, ...specs]
}

/**
 * A valid CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy → the model: for each rule one policy of what it denies, which stands
 * before all else of its order, and one of what it allows.
 */
export function ciliumPolicyToModel(object: ManifestObject): readonly Policy[] {
  const kind = textAt(object.value, "kind") ?? ""
  const metadata = recordAt(object.value, "metadata")
  const namespace = kind === "CiliumNetworkPolicy" ? (textAt(metadata, "namespace") ?? "default") : undefined
  const name = textAt(metadata, "name") ?? ""
  return rulesOf(object.value).flatMap(({ rule, path }) => {
    const common = {
      group: CILIUM_GROUP,
      kind,
      namespace: namespace ?? "",
      name,
      tier: "default",
      order: KUBERNETES_ORDER,
      subject: subjectMatch(fieldAt(rule, "endpointSelector"), namespace),
      mode: "enforced" as const,
      origin: object.originAt(path),
    }
    const denies = sides(rule, "Deny", path, namespace, object)
    const allows = sides(rule, "", path, namespace, object)
    // An empty tie-break stands before every other: deny beats allow, whatever the specificity (cilium.md 35).
    const policies: Policy[] = [{ ...common, ...denies, tieBreak: "" }]
    policies.push({ ...common, ...allows, tieBreak: `${name}/${namespace ?? ""}/${kind}/${path.join("/")}` })
    return policies.filter((policy) => policy.ingress !== undefined || policy.egress !== undefined)
  })
}

/** The sides of a rule that has entries of this sort, or that isolates. */
function sides(
  rule: unknown,
  sort: "Deny" | "",
  path: FieldPath,
  namespace: string | undefined,
  object: ManifestObject,
): { ingress?: PolicySide; egress?: PolicySide } {
  const result: { ingress?: PolicySide; egress?: PolicySide } = {}
  for (const direction of ["ingress", "egress"] as const) {
    const entries = listAt(rule, `${direction}${sort}`)
    const isolating = isolates(rule, direction)
    // A rule may ask for default deny in a direction of which it says nothing else.
    if (entries.length === 0 && (sort === "Deny" || !isolating)) continue
    result[direction] = {
      isolates: isolating,
      rules: entries.map((entry, index) => {
        const section = `${direction}${sort}`
        const entryPath = [...path, section, index]
        return entryToRule(entry, direction, sort === "Deny", namespace, {
          section: path[0] === "specs" ? `specs[${path[1]}].${section}` : section,
          index,
          origin: object.originAt(entryPath),
        })
      }),
    }
  }
  return result
}

/** Default deny follows from having entries in that direction, deny entries included, unless the rule says otherwise (27). */
function isolates(rule: unknown, direction: Direction): boolean {
  const stated = fieldAt(recordAt(rule, "enableDefaultDeny"), direction)
  if (typeof stated === "boolean") return stated
  return listAt(rule, direction).length > 0 || listAt(rule, `${direction}Deny`).length > 0
}

function entryToRule(
  entry: unknown,
  direction: Direction,
  deny: boolean,
  namespace: string | undefined,
  place: Pick<Rule, "section" | "index" | "origin">,
): Rule {
  const l4: readonly L4Match[] = [...toPortsMatch(entry), ...icmpsMatch(entry)]
  const action = deny ? "deny" : "allow"
  // Port rules without a single port match nothing, whoever the peer is.
  const peer = asksPorts(entry) && l4.length === 0 ? NONE : peersMatch(entry, direction, l4.length > 0, namespace)
  return { action, peer, l4, ...place }
}

function asksPorts(entry: unknown): boolean {
  return listAt(entry, "toPorts").length > 0 || listAt(entry, "icmps").length > 0
}

/**
 * The far end of an entry. Peers given but empty select nothing (11); none given mean anyone if there are ports (12), and nobody
 * if there are none (13).
 */
function peersMatch(entry: unknown, direction: Direction, hasL4: boolean, namespace: string | undefined): Match {
  const word = direction === "ingress" ? "from" : "to"
  const given = PEERS.map((peer) => `${word}${peer}`).filter((field) => Array.isArray(fieldAt(entry, field)))
  if (given.length === 0) return hasL4 ? ANY : NONE
  const of: Match[] = []
  for (const selector of listAt(entry, `${word}Endpoints`)) of.push(peerMatch(selector, namespace))
  for (const entity of textsAt(entry, `${word}Entities`)) of.push(entityMatch(entity))
  const prefixes = textsAt(entry, `${word}CIDR`).map(blockOf)
  if (prefixes.length > 0) of.push(outside({ kind: "cidr", prefixes }))
  for (const rule of listAt(entry, `${word}CIDRSet`)) of.push(cidrRuleMatch(rule))
  for (const item of listAt(entry, `${word}Services`)) of.push(serviceMatch(item))
  if (listEmpty(entry, given)) return NONE
  const [only] = of
  return of.length === 1 && only !== undefined ? only : { kind: "or", of }
}

const PEERS = ["Endpoints", "Entities", "CIDR", "CIDRSet", "Nodes", "Groups", "Services", "FQDNs", "Requires"]

function listEmpty(entry: unknown, fields: readonly string[]): boolean {
  return fields.every((field) => listAt(entry, field).length === 0)
}

/** An item of `toServices` (59); a namespace left out means any. */
function serviceMatch(item: unknown): Match {
  const selection = recordAt(item, "k8sServiceSelector")
  const named = selection ?? recordAt(item, "k8sService")
  const name = textAt(named, "serviceName")
  const namespace = textAt(named, "namespace")
  if (selection === undefined && name === undefined) return NONE
  return {
    kind: "service",
    as: "target",
    of: {
      ...(namespace ? { namespace } : {}),
      ...(selection === undefined
        ? { name: name ?? "" }
        : { labels: withoutSources(selectorOf(fieldAt(selection, "selector"))) }),
    },
  }
}

/** Labels of services have no sources: those that the keys name are of no account. */
function withoutSources(selector: Selector): Selector {
  switch (selector.kind) {
    case "and":
    case "or":
      return { kind: selector.kind, of: selector.of.map(withoutSources) }
    case "not":
      return { kind: "not", of: withoutSources(selector.of) }
    case "all":
    case "none":
      return selector
    default:
      return { ...selector, key: sourcedKey(selector.key).key }
  }
}

/** A CIDR speaks of addresses outside the cluster only: not of pods, not of nodes (48). */
function outside(match: Match): Match {
  return { kind: "and", of: [{ kind: "is", what: "outside" }, match] }
}

function cidrRuleMatch(rule: unknown): Match {
  const cidr = textAt(rule, "cidr")
  const group = textAt(rule, "cidrGroupRef")
  const except = textsAt(rule, "except").map(blockOf)
  const without: Match[] = except.length === 0 ? [] : [{ kind: "not", of: { kind: "cidr", prefixes: except } }]
  if (cidr !== undefined) return outside({ kind: "and", of: [{ kind: "cidr", prefixes: [blockOf(cidr)] }, ...without] })
  const named: Match =
    group === undefined
      ? { kind: "labels", of: "self", selector: selectorOf(fieldAt(rule, "cidrGroupSelector")) }
      : { kind: "labels", of: "self", selector: { kind: "has", key: `${CIDR_GROUP_NAME_PREFIX}${group}` } }
  const isGroup: Match = { kind: "labels", of: "self", selector: { kind: "has", key: foreignSetMark } }
  return outside({ kind: "and", of: [{ kind: "inNetworkSet", of: { kind: "and", of: [isGroup, named] } }, ...without] })
}

/** A block, or a bare address as a block of one. */
export function blockOf(text: string): Prefix {
  const address = tryParseAddress(text)
  return address === undefined ? parsePrefix(text) : prefixOf(address, text.includes(":") ? 128 : 32)
}

/** A valid CiliumCIDRGroup → a network set with the labels by which rules refer to it. */
export function cidrGroupToModel(value: unknown): NetworkSet {
  const metadata = recordAt(value, "metadata")
  const name = textAt(metadata, "name") ?? ""
  return {
    kind: CIDR_GROUP_KIND,
    namespace: "",
    name,
    labels: { ...textMapAt(metadata, "labels"), [`${CIDR_GROUP_NAME_PREFIX}${name}`]: "", [foreignSetMark]: "" },
    prefixes: textsAt(recordAt(value, "spec"), "externalCIDRs").map(blockOf),
  }
}
