import { selectorWords, wantWords } from "../../compile/words.ts"
import type { Match } from "../../model/policy.ts"
import type { Selector } from "../../model/selector.ts"
import type { Prefix } from "../../net/types.ts"
import { Unsayable } from "./refusal.ts"

/** A condition on one label, as every language has it. */
export type LabelAtom =
  | { readonly kind: "has" | "hasNot"; readonly key: string }
  | { readonly kind: "in" | "notIn"; readonly key: string; readonly values: readonly string[] }
  | {
      readonly kind: "contains" | "startsWith" | "endsWith"
      readonly key: string
      readonly value: string
      readonly negated: boolean
    }

/** Conditions that must all hold of an address; none: any address. */
export interface Conjunction {
  /** It must be a pod. */
  endpoint: boolean
  /** It must be a node. */
  node: boolean
  /** It must lie outside the cluster. */
  outside: boolean
  readonly self: LabelAtom[]
  readonly namespaceLabels: LabelAtom[]
  readonly accountLabels: LabelAtom[]
  /** Undefined: of any name. */
  namespaces: readonly string[] | undefined
  readonly notNamespaces: string[]
  accounts: readonly string[] | undefined
  readonly notAccounts: string[]
  /** Each list's blocks are alternatives. */
  readonly blocks: (readonly Prefix[])[]
  readonly notBlocks: Prefix[]
}

/** Alternatives beyond which a condition is not taken apart. */
const MOST = 64

type Literal = (conjunction: Conjunction) => boolean

/**
 * A condition as alternatives of conditions that must all hold. `sets`: whether there are network sets that labels could select.
 * Throws `Unsayable` for what has no counterpart in any other language.
 */
export function alternativesOf(match: Match, sets: boolean): Conjunction[] {
  return expand(match, false, sets).flatMap((literals) => {
    const conjunction: Conjunction = {
      endpoint: false,
      node: false,
      outside: false,
      self: [],
      namespaceLabels: [],
      accountLabels: [],
      namespaces: undefined,
      notNamespaces: [],
      accounts: undefined,
      notAccounts: [],
      blocks: [],
      notBlocks: [],
    }
    const possible = literals.every((literal) => literal(conjunction))
    return possible ? [conjunction] : []
  })
}

function expand(match: Match, negated: boolean, sets: boolean): Literal[][] {
  switch (match.kind) {
    case "any":
      return negated ? [] : [[]]
    case "none":
      return negated ? [[]] : []
    case "and":
    case "or": {
      const parts = match.of.map((part) => expand(part, negated, sets))
      return (match.kind === "and") === negated ? parts.flat() : product(parts)
    }
    case "not":
      return expand(match.of, !negated, sets)
    case "labels":
      return expandLabels(match.of, match.selector, negated)
    case "namespace":
      return [[(c) => (negated ? c.notNamespaces.push(...match.names) > 0 : narrow(c, "namespaces", match.names))]]
    case "serviceAccount":
      return [[(c) => (negated ? c.notAccounts.push(...match.names) > 0 : narrow(c, "accounts", match.names))]]
    case "cidr":
      return [[(c) => (negated ? c.notBlocks.push(...match.prefixes) : c.blocks.push(match.prefixes)) > 0]]
    case "is":
      if (!negated && (match.what === "endpoint" || match.what === "node" || match.what === "outside")) {
        const { what } = match
        return [
          [
            (c) => {
              c[what] = true
              return Number(c.endpoint) + Number(c.node) + Number(c.outside) === 1
            },
          ],
        ]
      }
      throw new Unsayable(negated ? `"not ${wantWords(match)}"` : wantWords(match), "no other language can say it")
    case "inNetworkSet":
      // Without network sets nothing is in one.
      if (!sets) return negated ? [[]] : []
      throw new Unsayable("network sets", "other languages have none, and these labels may select some")
    case "service":
      throw new Unsayable(
        wantWords(match),
        "which addresses are behind a service changes; write their labels or blocks",
      )
    case "hasNamedPort":
      throw new Unsayable(wantWords(match), "other languages cannot select by it")
  }
}

function product(parts: readonly Literal[][][]): Literal[][] {
  let result: Literal[][] = [[]]
  for (const part of parts) {
    result = result.flatMap((literals) => part.map((more) => [...literals, ...more]))
    if (result.length > MOST)
      throw new Unsayable("a condition of so many alternatives", `there would be more than ${MOST}`)
  }
  return result
}

function narrow(c: Conjunction, field: "namespaces" | "accounts", names: readonly string[]): boolean {
  const before = c[field]
  const next = before === undefined ? names : before.filter((name) => names.includes(name))
  c[field] = next
  return next.length > 0
}

function expandLabels(of: "self" | "namespace" | "serviceAccount", selector: Selector, negated: boolean): Literal[][] {
  switch (selector.kind) {
    case "all":
      return negated ? [] : [[]]
    case "none":
      return negated ? [[]] : []
    case "and":
    case "or": {
      const parts = selector.of.map((part) => expandLabels(of, part, negated))
      return (selector.kind === "and") === negated ? parts.flat() : product(parts)
    }
    case "not":
      return expandLabels(of, selector.of, !negated)
    default: {
      const field = ({ self: "self", namespace: "namespaceLabels", serviceAccount: "accountLabels" } as const)[of]
      return [[(c) => c[field].push(atomOf(selector, negated)) > 0]]
    }
  }
}

type SelectorAtom = Exclude<Selector, { kind: "all" | "none" | "and" | "or" | "not" }>

function atomOf(selector: SelectorAtom, negated: boolean): LabelAtom {
  switch (selector.kind) {
    case "has":
      return { kind: negated ? "hasNot" : "has", key: selector.key }
    case "in":
      return { ...selector, kind: negated ? "notIn" : "in" }
    case "notIn":
      return { ...selector, kind: negated ? "in" : "notIn" }
    default:
      return { ...selector, negated }
  }
}

/** A Kubernetes label selector of these conditions; keys as `key` writes them. Throws `Unsayable`. */
export function labelSelector(
  atoms: readonly LabelAtom[],
  key: (key: string) => string = (same) => same,
): Record<string, unknown> {
  const expressions = atoms.map((atom) => {
    switch (atom.kind) {
      case "has":
        return { key: key(atom.key), operator: "Exists" }
      case "hasNot":
        return { key: key(atom.key), operator: "DoesNotExist" }
      case "in":
      case "notIn":
        return { key: key(atom.key), operator: atom.kind === "in" ? "In" : "NotIn", values: [...atom.values] }
      default: {
        const { negated, ...selector } = atom
        const text = `${negated ? "not " : ""}${selectorWords(selector)}`
        throw new Unsayable(`the selector "${text}"`, "label selectors there compare whole values only")
      }
    }
  })
  const simple = new Map<string, string>()
  const rest: unknown[] = []
  for (const expression of expressions) {
    const [only] = "values" in expression ? expression.values : []
    const isPlain = expression.operator === "In" && "values" in expression && expression.values.length === 1
    if (isPlain && only !== undefined && !simple.has(expression.key)) simple.set(expression.key, only)
    else rest.push(expression)
  }
  return {
    ...(simple.size === 0 ? {} : { matchLabels: Object.fromEntries(simple) }),
    ...(rest.length === 0 ? {} : { matchExpressions: rest }),
  }
}

/** Whether it asks nothing. */
export function isAny(c: Conjunction): boolean {
  return !c.endpoint && !c.node && !c.outside && !asksLabels(c) && c.blocks.length === 0 && c.notBlocks.length === 0
}

/** Whether it asks of labels or names, which only pods have in every language. */
export function asksLabels(c: Conjunction): boolean {
  return (
    c.self.length + c.namespaceLabels.length + c.accountLabels.length + c.notNamespaces.length + c.notAccounts.length >
      0 ||
    c.namespaces !== undefined ||
    c.accounts !== undefined
  )
}

/** Throws `Unsayable` unless it is any address, pods by labels, or blocks, each alone. */
export function requirePlain(c: Conjunction): void {
  if (asksLabels(c) && !c.endpoint && !c.node) {
    throw new Unsayable("labels asked of any address", "there labels are asked of pods only")
  }
  const hasBlocks = c.blocks.length + c.notBlocks.length > 0
  if (hasBlocks && (c.endpoint || c.node)) {
    throw new Unsayable("labels and blocks in one peer", "there a peer is either of the two")
  }
  if (c.blocks.length > 1)
    throw new Unsayable("blocks that must all contain the address", "there blocks are alternatives")
}
