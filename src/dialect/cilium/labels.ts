import type { Match } from "../../model/policy.ts"
import { keysOf, type Selector } from "../../model/selector.ts"
import { selectorOf } from "../kubernetes/label-selector.ts"
import { entityMatch } from "./entities.ts"

const NAMESPACE_KEY = "io.kubernetes.pod.namespace"
const NAMESPACE_LABEL_PREFIX = "io.cilium.k8s.namespace.labels."
const SERVICE_ACCOUNT_KEY = "io.cilium.k8s.policy.serviceaccount"
const CLUSTER_KEY = "io.cilium.k8s.policy.cluster"
/** Name of the cluster that this engine serves, as Cilium names one that was given no name. */
const LOCAL_CLUSTER = "default"

const IS_ENDPOINT: Match = { kind: "is", what: "endpoint" }
const ANY: Match = { kind: "any" }
const NONE: Match = { kind: "none" }

/** A label key with the source that its prefix names; without prefix any source will do. */
export interface SourcedKey {
  readonly source: string
  readonly key: string
}

/** `k8s:app` → source `k8s`, key `app`; `app` → source `any`. */
export function sourcedKey(text: string): SourcedKey {
  const colon = text.indexOf(":")
  return colon < 0 ? { source: "any", key: text } : { source: text.slice(0, colon), key: text.slice(colon + 1) }
}

/** Keys that make up no identity by Cilium's default label filter (`pkg/labelsfilter`): selectors over them find nothing. */
export function isFilteredKey(key: string): boolean {
  if (key === NAMESPACE_KEY || key.startsWith("io.cilium.k8s.") || key.startsWith("app.kubernetes.io")) return false
  return FILTERED.test(key)
}

const FILTERED =
  /^(io\.kubernetes|kubernetes\.io|.*beta\.kubernetes\.io|k8s\.io|pod-template-generation|pod-template-hash|controller-revision-hash|annotation|controller-uid|statefulset\.kubernetes\.io\/pod-name|apps\.kubernetes\.io\/pod-index|batch\.kubernetes\.io\/job-completion-index|batch\.kubernetes\.io\/controller-uid|topology\.kubernetes\.io)/

/** Keys of an EndpointSelector, with their sources. */
export function selectorKeys(selector: unknown): readonly SourcedKey[] {
  return keysOf(selectorOf(selector)).map(sourcedKey)
}

/** What an EndpointSelector without any scope says, over pods and entities. */
function labelsMatch(selector: Selector): Match {
  switch (selector.kind) {
    case "all":
      return ANY
    case "none":
      return NONE
    case "and":
    case "or":
      return { kind: selector.kind, of: selector.of.map(labelsMatch) }
    case "not":
      return { kind: "not", of: labelsMatch(selector.of) }
    default:
      return atomMatch(selector)
  }
}

type Atom = Exclude<Selector, { kind: "all" | "none" | "and" | "or" | "not" }>

function atomMatch(selector: Atom): Match {
  const { source, key } = sourcedKey(selector.key)
  if (source === "reserved") return present(selector, entityMatch(key))
  if (source !== "k8s" && source !== "any") return present(selector, NONE)
  if (key === NAMESPACE_KEY) return named(selector, (names) => ({ kind: "namespace", names }))
  if (key === SERVICE_ACCOUNT_KEY) return named(selector, (names) => ({ kind: "serviceAccount", names }))
  if (key === CLUSTER_KEY) return named(selector, (names) => (names.includes(LOCAL_CLUSTER) ? IS_ENDPOINT : NONE))
  if (key.startsWith(NAMESPACE_LABEL_PREFIX)) {
    return { kind: "labels", of: "namespace", selector: { ...selector, key: key.slice(NAMESPACE_LABEL_PREFIX.length) } }
  }
  if (isFilteredKey(key)) return present(selector, NONE)
  return { kind: "labels", of: "self", selector: { ...selector, key } }
}

/** A label without a value of interest: being there is all there is to ask. */
function present(selector: Atom, holder: Match): Match {
  if (selector.kind === "has") return holder
  if (selector.kind === "in") return selector.values.includes("") ? holder : NONE
  if (selector.kind === "notIn") return selector.values.includes("") ? { kind: "not", of: holder } : ANY
  return NONE
}

/** A label that every pod has, asked for by value. */
function named(selector: Atom, byName: (names: readonly string[]) => Match): Match {
  if (selector.kind === "has") return IS_ENDPOINT
  if (selector.kind === "in") return byName(selector.values)
  if (selector.kind === "notIn") return { kind: "not", of: byName(selector.values) }
  return NONE
}

/** Subject of a rule: pods of the policy's namespace (any, for a clusterwide policy) with these labels. */
export function subjectMatch(selector: unknown, namespace: string | undefined): Match {
  const scope: Match[] = [IS_ENDPOINT]
  if (namespace === undefined) return and([...scope, labelsMatch(selectorOf(selector))])
  // A namespace named in the subject of a namespaced policy is overwritten by the policy's own.
  return and([
    ...scope,
    { kind: "namespace", names: [namespace] },
    labelsMatch(withoutKey(selectorOf(selector), NAMESPACE_KEY)),
  ])
}

function withoutKey(selector: Selector, key: string): Selector {
  if (selector.kind === "and") return { kind: "and", of: selector.of.map((part) => withoutKey(part, key)) }
  return keysOf(selector).some((text) => sourcedKey(text).key === key) ? { kind: "all" } : selector
}

/**
 * One selector of `fromEndpoints` or `toEndpoints`: limited to the policy's namespace unless it names namespaces or a reserved
 * identity itself; in a clusterwide policy to pods, which all have a namespace.
 */
export function peerMatch(selector: unknown, namespace: string | undefined): Match {
  const keys = selectorKeys(selector)
  const match = labelsMatch(selectorOf(selector))
  if (keys.some(({ source }) => source === "reserved")) return match
  const namesNamespace = keys.some(({ key }) => key === NAMESPACE_KEY)
  const labelsNamespace = keys.some(({ key }) => key.startsWith(NAMESPACE_LABEL_PREFIX))
  if (namespace === undefined || namesNamespace || labelsNamespace) return and([IS_ENDPOINT, match])
  return and([IS_ENDPOINT, { kind: "namespace", names: [namespace] }, match])
}

function and(parts: readonly Match[]): Match {
  return { kind: "and", of: parts.filter((part) => part.kind !== "any") }
}
