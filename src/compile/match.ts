import type { NamedPort } from "../model/cluster.ts"
import type { Facts } from "../model/facts.ts"
import { matches } from "../model/facts.ts"
import type { Match } from "../model/policy.ts"
import { type Labels, type Selector, selects } from "../model/selector.ts"
import type { Prefix } from "../net/types.ts"
import { Maybe, No, type Tri, Yes } from "./l4.ts"

/** What a rule can see of an address besides the blocks it lies in. Interned: equal ones are one object. */
export interface Workload {
  readonly id: number
  readonly kind: "endpoint" | "node" | "outside" | "unknown"
  /** The judging node itself. */
  readonly localNode: boolean
  /** Stands for the judging node's own sockets. */
  readonly socket: boolean
  readonly namespace: string | undefined
  readonly labels: Labels
  readonly namespaceLabels: Labels
  readonly serviceAccount: string | undefined
  readonly serviceAccountLabels: Labels
  readonly namedPorts: readonly NamedPort[]
}

/** A Match with network sets turned into their blocks, constants folded, and a text by which equal ones are recognised. */
export type Resolved = { readonly key: string } & (
  | { readonly kind: "constant"; readonly value: boolean }
  | { readonly kind: "and" | "or"; readonly of: readonly Resolved[] }
  | { readonly kind: "not"; readonly of: Resolved }
  | { readonly kind: "cidr"; readonly prefixes: ReadonlySet<Prefix> }
  | { readonly kind: "atom"; readonly match: Atom }
)
type Atom = Extract<Match, { kind: "is" | "labels" | "namespace" | "serviceAccount" | "hasNamedPort" }>

/** A network set as `inNetworkSet` sees it. */
export interface SetBlocks {
  readonly facts: Facts
  readonly prefixes: readonly Prefix[]
}

export const constant = (value: boolean): Resolved => ({ kind: "constant", value, key: value ? "1" : "0" })

/** Whether the meaning of a Match depends on which network sets there are. */
export function usesNetworkSets(match: Match): boolean {
  switch (match.kind) {
    case "and":
    case "or":
      return match.of.some(usesNetworkSets)
    case "not":
      return usesNetworkSets(match.of)
    case "inNetworkSet":
      return true
    case "is":
      return match.what === "networkSet"
    default:
      return false
  }
}

export function resolve(match: Match, sets: readonly SetBlocks[]): Resolved {
  switch (match.kind) {
    case "any":
      return constant(true)
    case "none":
      return constant(false)
    case "and":
    case "or":
      return join(
        match.kind,
        match.of.map((part) => resolve(part, sets)),
      )
    case "not": {
      const of = resolve(match.of, sets)
      return of.kind === "constant" ? constant(!of.value) : { kind: "not", of, key: `!${of.key}` }
    }
    case "cidr":
      return cidr(match.prefixes)
    case "inNetworkSet":
      return cidr(sets.filter((set) => matches(match.of, set.facts) === true).flatMap((set) => set.prefixes))
    case "is":
      if (match.what !== "networkSet") return atom(match)
      return join("and", [atom({ kind: "is", what: "outside" }), cidr(sets.flatMap((set) => set.prefixes))])
    case "labels":
      if (match.selector.kind === "all") return constant(true)
      if (match.selector.kind === "none") return constant(false)
      return atom(match)
    case "service":
      throw new Error("A rule that names a service came unexpanded to the compiler (compile/services.ts)")
    default:
      return atom(match)
  }
}

function atom(match: Atom): Resolved {
  return { kind: "atom", match, key: JSON.stringify(match) }
}

function cidr(prefixes: readonly Prefix[]): Resolved {
  const sorted = [...new Set(prefixes)].sort()
  return sorted.length === 0 ? constant(false) : { kind: "cidr", prefixes: new Set(sorted), key: `[${sorted.join()}]` }
}

function join(kind: "and" | "or", all: readonly Resolved[]): Resolved {
  const ending = kind === "or"
  const parts: Resolved[] = []
  for (const part of all) {
    if (part.kind === "constant") {
      if (part.value === ending) return part
    } else if (part.kind === kind) parts.push(...part.of)
    else parts.push(part)
  }
  const only = parts[0]
  if (only === undefined) return constant(!ending)
  if (parts.length === 1) return only
  // Cheap and telling parts first: a namespace decides faster than labels, labels faster than blocks.
  parts.sort((a, b) => cost(a) - cost(b))
  return { kind, of: parts, key: `${kind === "or" ? "|" : "&"}(${parts.map((part) => part.key).join(" ")})` }
}

function cost(part: Resolved): number {
  if (part.kind === "atom") return part.match.kind === "is" ? 0 : part.match.kind === "namespace" ? 1 : 2
  return part.kind === "cidr" ? 3 : 4
}

/** Whether `resolved` holds of a workload at an address; `inside` answers for the blocks. */
export function holds(resolved: Resolved, workload: Workload, inside: (prefixes: ReadonlySet<Prefix>) => boolean): Tri {
  switch (resolved.kind) {
    case "constant":
      return resolved.value ? Yes : No
    case "not": {
      const truth = holds(resolved.of, workload, inside)
      return truth === Maybe ? Maybe : truth === Yes ? No : Yes
    }
    case "and": {
      let result: Tri = Yes
      for (const part of resolved.of) {
        const truth = holds(part, workload, inside)
        if (truth === No) return No
        if (truth === Maybe) result = Maybe
      }
      return result
    }
    case "or": {
      let result: Tri = No
      for (const part of resolved.of) {
        const truth = holds(part, workload, inside)
        if (truth === Yes) return Yes
        if (truth === Maybe) result = Maybe
      }
      return result
    }
    case "cidr":
      return inside(resolved.prefixes) ? Yes : No
    case "atom":
      return atomHolds(resolved.match, workload)
  }
}

function atomHolds(match: Atom, workload: Workload): Tri {
  const unknown = workload.kind === "unknown"
  if (match.kind === "is" && match.what === "outside") return workload.kind === "outside" ? Yes : No
  if (unknown) return Maybe
  return knownAtomHolds(match, workload) ? Yes : No
}

function knownAtomHolds(match: Atom, workload: Workload): boolean {
  switch (match.kind) {
    case "is":
      return match.what === "localNode" ? workload.localNode : match.what === workload.kind
    case "labels":
      if (match.of === "self") return selects(match.selector, workload.labels)
      return selects(
        match.selector,
        match.of === "namespace" ? workload.namespaceLabels : workload.serviceAccountLabels,
      )
    case "namespace":
      return workload.namespace !== undefined && match.names.includes(workload.namespace)
    case "serviceAccount":
      return workload.serviceAccount !== undefined && match.names.includes(workload.serviceAccount)
    case "hasNamedPort":
      return workload.namedPorts.some(
        (port) => port.name === match.name && (match.protocol === undefined || match.protocol === port.protocol),
      )
  }
}

/** All blocks that `resolved` names. */
export function blocksOf(resolved: Resolved, into: Set<Prefix> = new Set()): Set<Prefix> {
  if (resolved.kind === "cidr") for (const prefix of resolved.prefixes) into.add(prefix)
  else if (resolved.kind === "not") blocksOf(resolved.of, into)
  else if (resolved.kind === "and" || resolved.kind === "or") for (const part of resolved.of) blocksOf(part, into)
  return into
}

/**
 * Index keys of which a workload (or its block) must have one for `resolved` to hold of it, unknown ones aside; undefined
 * when it may hold of anything. `N` namespace, `L` label, `M` label of the namespace, `B` block, and pairs of them.
 */
export function indexKeys(resolved: Resolved): string[] | undefined {
  switch (resolved.kind) {
    case "constant":
      return resolved.value ? undefined : []
    case "cidr":
      return [...resolved.prefixes].map((prefix) => `B${prefix}`)
    case "atom":
      return atomKeys(resolved.match)
    case "not":
      return undefined
    case "or": {
      const keys: string[] = []
      for (const part of resolved.of) {
        const own = indexKeys(part)
        if (own === undefined) return undefined
        keys.push(...own)
      }
      return keys
    }
    case "and": {
      let best: string[] | undefined
      let namespaces: string[] | undefined
      let labels: string[] | undefined
      for (const part of resolved.of) {
        const own = indexKeys(part)
        if (own === undefined) continue
        if (own.every((key) => /^[NM]/.test(key) && !key.includes("\0"))) namespaces ??= own
        else if (own.every((key) => key.startsWith("L"))) labels ??= own
        best ??= own
      }
      if (namespaces !== undefined && labels !== undefined && namespaces.length * labels.length <= 16) {
        return namespaces.flatMap((namespace) => (labels ?? []).map((label) => `${namespace}\0${label}`))
      }
      return labels ?? namespaces ?? best
    }
  }
}

function atomKeys(match: Atom): string[] | undefined {
  if (match.kind === "namespace") return match.names.map((name) => `N${name}`)
  if (match.kind !== "labels" || match.of === "serviceAccount") return undefined
  return selectorKeys(match.selector, match.of === "self" ? "L" : "M")
}

function selectorKeys(selector: Selector, letter: string): string[] | undefined {
  if (selector.kind === "in") return selector.values.map((value) => `${letter}${selector.key}=${value}`)
  if (selector.kind !== "and") return undefined
  for (const part of selector.of) {
    const keys = selectorKeys(part, letter)
    if (keys !== undefined) return keys
  }
  return undefined
}

/** Every index key that a workload has, pairs included. */
export function keysOfWorkload(workload: Workload): string[] {
  const labels = Object.entries(workload.labels).map(([key, value]) => `L${key}=${value}`)
  const places = Object.entries(workload.namespaceLabels).map(([key, value]) => `M${key}=${value}`)
  if (workload.namespace !== undefined) places.push(`N${workload.namespace}`)
  return [...labels, ...places, ...places.flatMap((place) => labels.map((label) => `${place}\0${label}`))]
}
