import { wantWords } from "../../compile/words.ts"
import { nearestWord } from "../../dialect/suggest.ts"
import { type Facts, matches } from "../../model/facts.ts"
import type { Origin } from "../../model/origin.ts"
import type { Match, Policy } from "../../model/policy.ts"
import type { Selector } from "../../model/selector.ts"
import type { LintContext } from "./context.ts"
import { directions } from "./context.ts"
import { type Finding, policyText } from "./finding.ts"
import { placeOf } from "./place.ts"

/** Selectors that find nobody, and labels that look misspelt. */
export function lintSelectors(context: LintContext): Finding[] {
  // Without pods nothing can be said of who is selected.
  if (context.pods.length === 0) return []
  const words = new Vocabulary(context)
  return context.policies.flatMap((policy) => {
    const found: Finding[] = []
    const slips = new Set<string>()
    const slipsIn = (match: Match, origin: Origin): boolean => {
      const before = found.length
      for (const slip of words.slips(match)) {
        if (slips.has(slip.found)) continue
        slips.add(slip.found)
        found.push(misspelt(context, policy, slip, origin))
      }
      return found.length > before
    }
    if (policy.subject.kind !== "none") {
      const slipped = slipsIn(policy.subject, policy.origin)
      if (!slipped && context.selected(policy).length === 0) found.push(selectsNothing(policy))
    }
    for (const rule of directions.flatMap((direction) => policy[direction]?.rules ?? [])) {
      for (const peer of alternativesOf(rule.peer)) {
        if (!speaksOfLabels(peer)) continue
        const slipped = slipsIn(peer, rule.origin)
        if (slipped || context.peers.some((facts) => matches(peer, facts) === true)) continue
        found.push({
          origin: rule.origin,
          code: "peer-selects-nothing",
          severity: "warning",
          policy: policyText(policy),
          what: `${rule.section}[${rule.index}] names peers that do not exist: ${shown(peer)}`,
          why: `the rule ${rule.action === "allow" ? "allows nobody" : "stops nobody"} until something has these labels`,
          hint: "compare with heddle get pods -o wide and the namespaces' labels",
        })
      }
    }
    return found
  })
}

function selectsNothing(policy: Policy): Finding {
  return {
    origin: policy.origin,
    code: "selects-nothing",
    severity: "warning",
    policy: policyText(policy),
    what: `it selects no pod: ${shown(policy.subject)}`,
    why: "a policy that selects nothing protects nothing, and nobody is told",
    hint: "compare with heddle get pods -o wide; remove the policy if its pods are gone",
  }
}

interface Slip {
  readonly found: string
  readonly meant: string
  /** `label key`, `value of app`, `namespace`. */
  readonly what: string
}

function misspelt(context: LintContext, policy: Policy, slip: Slip, origin: Origin): Finding {
  return {
    origin: placeOf(context, policy, slip.found, origin),
    code: "misspelt-label",
    severity: "warning",
    policy: policyText(policy),
    what: `nothing has the ${slip.what} ${JSON.stringify(slip.found)}`,
    why: "a selector that is a letter off selects nobody, or with NotIn everybody",
    hint: `did you mean ${slip.meant}?`,
  }
}

type Of = "self" | "namespace" | "serviceAccount"

/** Every label, namespace and service account that there is. */
class Vocabulary {
  readonly #values: Record<Of, Map<string, Set<string>>> = {
    self: new Map(),
    namespace: new Map(),
    serviceAccount: new Map(),
  }
  readonly #namespaces: ReadonlySet<string>
  readonly #accounts = new Set<string>()

  constructor({ cluster, peers }: LintContext) {
    this.#namespaces = new Set([
      ...cluster.namespaces.keys(),
      ...[...cluster.endpoints.values()].map((endpoint) => endpoint.namespace),
    ])
    for (const facts of peers) this.#learn(facts)
    for (const { labels } of cluster.namespaces.values()) this.#add("namespace", labels)
    for (const { labels } of cluster.networkSets.values()) this.#add("self", labels)
    for (const { labels } of cluster.serviceAccounts.values()) this.#add("serviceAccount", labels)
  }

  #learn(facts: Facts): void {
    this.#add("self", facts.labels)
    this.#add("namespace", facts.namespaceLabels)
    this.#add("serviceAccount", facts.serviceAccountLabels)
    if (facts.serviceAccount !== undefined) this.#accounts.add(facts.serviceAccount)
  }

  #add(of: Of, labels: Readonly<Record<string, string>>): void {
    for (const [key, value] of Object.entries(labels)) {
      const values = this.#values[of].get(key)
      if (values === undefined) this.#values[of].set(key, new Set([value]))
      else values.add(value)
    }
  }

  /** Words of a match that nothing has, but something has nearly. */
  slips(match: Match): Slip[] {
    switch (match.kind) {
      case "and":
      case "or":
        return match.of.flatMap((part) => this.slips(part))
      case "not":
      case "inNetworkSet":
        return this.slips(match.of)
      case "labels":
        return this.#labelSlips(match.of, match.selector)
      case "namespace":
        return slipsAmong(match.names, this.#namespaces, "namespace")
      case "serviceAccount":
        return slipsAmong(match.names, this.#accounts, "service account")
      default:
        return []
    }
  }

  #labelSlips(of: Of, selector: Selector): Slip[] {
    switch (selector.kind) {
      case "and":
      case "or":
        return selector.of.flatMap((part) => this.#labelSlips(of, part))
      case "not":
        return this.#labelSlips(of, selector.of)
      case "all":
      case "none":
        return []
      default: {
        const values = this.#values[of].get(selector.key)
        const owner = of === "self" ? "label" : of === "namespace" ? "namespace label" : "service account label"
        if (values === undefined) return slipsAmong([selector.key], this.#values[of].keys(), `${owner} key`)
        if (selector.kind !== "in" && selector.kind !== "notIn") return []
        return slipsAmong(selector.values, values, `${owner} ${selector.key} with the value`)
      }
    }
  }
}

function slipsAmong(found: readonly string[], known: Iterable<string>, what: string): Slip[] {
  const all = new Set(known)
  return found.flatMap((word) => {
    if (all.has(word)) return []
    const meant = nearestWord(word, all)
    // Names that end in different numbers are sisters, not slips.
    if (meant === undefined || meant.replace(/\d+/g, "") === word.replace(/\d+/g, "")) return []
    return [{ found: word, meant, what }]
  })
}

/** What a match asks, without what goes without saying. */
function shown(match: Match): string {
  const parts = match.kind === "and" ? match.of : [match]
  const told = parts.filter((part) => !(part.kind === "is" && part.what === "endpoint"))
  return (told.length === 0 ? parts : told).map(wantWords).join(" and ")
}

function alternativesOf(match: Match): readonly Match[] {
  return match.kind === "or" ? match.of.flatMap(alternativesOf) : [match]
}

/** Whether it asks of labels or names alone; blocks and services can be told by those who know what is outside. */
function speaksOfLabels(match: Match): boolean {
  switch (match.kind) {
    case "and":
      return match.of.some(speaksOfLabels) && match.of.every((part) => speaksOfLabels(part) || part.kind === "is")
    case "not":
      return false
    case "or":
      return match.of.every(speaksOfLabels)
    default:
      return match.kind === "labels" || match.kind === "namespace" || match.kind === "serviceAccount"
  }
}
