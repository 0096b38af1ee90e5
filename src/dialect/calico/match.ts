import type { Match } from "../../model/policy.ts"
import type { Selector } from "../../model/selector.ts"
import { parsePrefix } from "../../net/prefix.ts"
import { foreignSetMark } from "../network-set-mark.ts"
import { NAMESPACE_KEY, parseSelector } from "./selector.ts"

/** Name label that the Kubernetes API server puts on every namespace; stands for Calico's `projectcalico.org/name` of it. */
const NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
const ORCHESTRATOR_KEY = "projectcalico.org/orchestrator"
const SERVICE_ACCOUNT_KEY = "projectcalico.org/serviceaccount"
const PROFILE_NAME_KEY = "projectcalico.org/name"
const NAMESPACE_LABEL_PREFIX = "pcns."
const SERVICE_ACCOUNT_LABEL_PREFIX = "pcsa."

const ANY: Match = { kind: "any" }
const IS_ENDPOINT: Match = { kind: "is", what: "endpoint" }

/** One side of a Calico rule (EntityRule), as written; its ports are translated elsewhere. */
export interface EntityRule {
  readonly nets?: readonly string[]
  readonly notNets?: readonly string[]
  readonly selector?: string
  readonly notSelector?: string
  readonly namespaceSelector?: string
  readonly ports?: readonly (number | string)[]
  readonly notPorts?: readonly (number | string)[]
  readonly serviceAccounts?: { readonly names?: readonly string[]; readonly selector?: string }
  readonly services?: { readonly name?: string; readonly namespace?: string }
}

/** What the labels of a selector are of: the workload's own, its namespace's, or its service account's. */
type Of = "self" | "namespace" | "serviceAccount"

/**
 * A selector as a predicate over what a rule can see. Keys that Calico adds to every workload (namespace, orchestrator,
 * service account, inherited labels) are read where Heddle keeps them.
 */
export function selectorMatch(selector: Selector, of: Of = "self"): Match {
  switch (selector.kind) {
    case "all":
      return ANY
    case "none":
      return { kind: "none" }
    case "and":
    case "or":
      return { kind: selector.kind, of: selector.of.map((part) => selectorMatch(part, of)) }
    case "not":
      return { kind: "not", of: selectorMatch(selector.of, of) }
    default:
      return atom(selector, of)
  }
}

type Atom = Exclude<Selector, { kind: "all" | "none" | "and" | "or" | "not" }>

function atom(selector: Atom, of: Of): Match {
  const { key } = selector
  if (of === "namespace") {
    return {
      kind: "labels",
      of,
      selector: key === PROFILE_NAME_KEY ? { ...selector, key: NAMESPACE_NAME_LABEL } : selector,
    }
  }
  if (of === "serviceAccount")
    return key === PROFILE_NAME_KEY ? serviceAccountName(selector) : { kind: "labels", of, selector }
  if (key === NAMESPACE_KEY)
    return { kind: "labels", of: "namespace", selector: { ...selector, key: NAMESPACE_NAME_LABEL } }
  if (key === ORCHESTRATOR_KEY) return constant(selector, "k8s")
  if (key === SERVICE_ACCOUNT_KEY) return serviceAccountName(selector)
  if (key.startsWith(NAMESPACE_LABEL_PREFIX))
    return atom({ ...selector, key: key.slice(NAMESPACE_LABEL_PREFIX.length) }, "namespace")
  if (key.startsWith(SERVICE_ACCOUNT_LABEL_PREFIX)) {
    return atom({ ...selector, key: key.slice(SERVICE_ACCOUNT_LABEL_PREFIX.length) }, "serviceAccount")
  }
  return { kind: "labels", of: "self", selector }
}

/** A label that every workload has with one value, and nothing else has. */
function constant(selector: Atom, value: string): Match {
  const forWorkload = atomHolds(selector, value)
  const forOthers = selector.kind === "notIn"
  if (forWorkload === forOthers) return forWorkload ? ANY : { kind: "none" }
  return forWorkload ? IS_ENDPOINT : { kind: "not", of: IS_ENDPOINT }
}

function atomHolds(selector: Atom, value: string): boolean {
  switch (selector.kind) {
    case "has":
      return true
    case "in":
      return selector.values.includes(value)
    case "notIn":
      return !selector.values.includes(value)
    case "contains":
      return value.includes(selector.value)
    case "startsWith":
      return value.startsWith(selector.value)
    case "endsWith":
      return value.endsWith(selector.value)
  }
}

function serviceAccountName(selector: Atom): Match {
  switch (selector.kind) {
    case "has":
      return IS_ENDPOINT
    case "in":
      return { kind: "serviceAccount", names: selector.values }
    case "notIn":
      return { kind: "not", of: { kind: "serviceAccount", names: selector.values } }
    default:
      // The validator refuses partial matches on the service account's name before this is reached.
      return { kind: "none" }
  }
}

/** Whether the selector asks for part of a service account's name, which no plane can tell. */
export function asksPartOfServiceAccountName(selector: Selector): boolean {
  switch (selector.kind) {
    case "and":
    case "or":
      return selector.of.some(asksPartOfServiceAccountName)
    case "not":
      return asksPartOfServiceAccountName(selector.of)
    case "contains":
    case "startsWith":
    case "endsWith":
      return selector.key === SERVICE_ACCOUNT_KEY
    default:
      return false
  }
}

/** Subject of a policy: workloads only; `namespace` is set for namespaced policies. */
export function subjectMatch(spec: {
  readonly selector?: string
  readonly namespaceSelector?: string
  readonly serviceAccountSelector?: string
  readonly namespace?: string
}): Match {
  const parts: Match[] = [IS_ENDPOINT]
  if (spec.namespace !== undefined) parts.push({ kind: "namespace", names: [spec.namespace] })
  parts.push(selectorMatch(parseSelector(spec.selector ?? "").selector))
  if (spec.namespaceSelector !== undefined && spec.namespaceSelector.trim() !== "")
    parts.push(namespaceMatch(spec.namespaceSelector))
  if (spec.serviceAccountSelector !== undefined && spec.serviceAccountSelector.trim() !== "") {
    parts.push(selectorMatch(parseSelector(spec.serviceAccountSelector).selector, "serviceAccount"))
  }
  return and(parts)
}

/** A namespaceSelector: `all()` asks for some namespace, `global()` for none. */
function namespaceMatch(text: string): Match {
  const { selector, global } = parseSelector(text)
  const inNamespace: Match = { kind: "labels", of: "namespace", selector: { kind: "has", key: NAMESPACE_NAME_LABEL } }
  if (global) return { kind: "not", of: inNamespace }
  return and([inNamespace, selectorMatch(selector, "namespace")])
}

/**
 * One side of a rule as a predicate over an address. `namespace` is the policy's, absent for global policies. Labels are
 * those of workloads and of network sets; a side without any selector matches any address, in or out of the cluster.
 */
export function entityMatch(entity: EntityRule | undefined, namespace: string | undefined): Match {
  if (entity === undefined) return ANY
  const parts: Match[] = []
  if (entity.nets !== undefined && entity.nets.length > 0) parts.push(cidr(entity.nets))
  if (entity.notNets !== undefined && entity.notNets.length > 0) parts.push({ kind: "not", of: cidr(entity.notNets) })
  const service = serviceOf(entity, namespace)
  if (service !== undefined) parts.push({ kind: "service", as: "backends", of: service })
  const labelled = labelledMatch(entity, namespace)
  if (labelled !== undefined) parts.push(labelled)
  return and(parts)
}

/** The service that a side of a rule names; without a namespace it is in the policy's. */
export function serviceOf(
  entity: EntityRule | undefined,
  namespace: string | undefined,
): { readonly namespace: string; readonly name: string } | undefined {
  const services = entity?.services
  if (services?.name === undefined) return undefined
  return { namespace: services.namespace || namespace || "", name: services.name }
}

function labelledMatch(entity: EntityRule, namespace: string | undefined): Match | undefined {
  const has = (text: string | undefined): text is string => text !== undefined && text.trim() !== ""
  const accounts = entity.serviceAccounts
  const names = accounts?.names ?? []
  const hasAccounts = names.length > 0 || has(accounts?.selector)
  const positive: Match[] = []
  if (has(entity.selector)) positive.push(selectorMatch(parseSelector(entity.selector).selector))
  if (names.length > 0) positive.push({ kind: "serviceAccount", names })
  if (has(accounts?.selector)) positive.push(selectorMatch(parseSelector(accounts.selector).selector, "serviceAccount"))
  if (hasAccounts) positive.push(IS_ENDPOINT)
  if (has(entity.namespaceSelector)) positive.push(namespaceMatch(entity.namespaceSelector))
  else if (namespace !== undefined && (has(entity.selector) || hasAccounts || has(entity.notSelector))) {
    positive.push({ kind: "namespace", names: [namespace] })
  }
  const negative = has(entity.notSelector) ? selectorMatch(parseSelector(entity.notSelector).selector) : undefined
  if (positive.length === 0) return negative === undefined ? undefined : { kind: "not", of: ofLabelled(negative) }
  return ofLabelled(and(negative === undefined ? positive : [...positive, { kind: "not", of: negative }]))
}

/** Workloads with these labels, and addresses in Calico's network sets with these labels: what Calico keeps in one IP set. */
function ofLabelled(match: Match): Match {
  return { kind: "or", of: [and([IS_ENDPOINT, match]), { kind: "inNetworkSet", of: and([OWN_NETWORK_SET, match]) }] }
}

/** Not a network set of another language, which carries the mark of its kind as a label. */
const OWN_NETWORK_SET: Match = {
  kind: "not",
  of: { kind: "labels", of: "self", selector: { kind: "has", key: foreignSetMark } },
}

function cidr(nets: readonly string[]): Match {
  return { kind: "cidr", prefixes: nets.map((net) => parsePrefix(net)) }
}

function and(parts: readonly Match[]): Match {
  const told = parts.filter((part) => part.kind !== "any")
  const [only] = told
  if (only === undefined) return ANY
  return told.length === 1 ? only : { kind: "and", of: told }
}
