import type { Origin } from "../../model/origin.ts"
import type { Policy, Rule } from "../../model/policy.ts"
import { policyText } from "../lint/finding.ts"
import { alternativesOf, type Conjunction } from "./conjunction.ts"
import { type Refusal, Unsayable } from "./refusal.ts"

/** An object of the other language, as JSON data. */
export interface Draft {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly spec?: unknown
  readonly specs?: unknown
}

/** What is converted, and where the refusals go. */
export class Source {
  /** Whether there are network sets that a selector could mean. */
  readonly networkSets: boolean
  /** All policies that are converted together. */
  readonly policies: readonly Policy[]
  readonly refusals: Refusal[] = []
  #policy = ""

  constructor(policies: readonly Policy[], networkSets: boolean) {
    this.policies = policies
    this.networkSets = networkSets
  }

  /** Converts one policy; what it throws is refused at the policy's place. */
  convert(policy: Policy, make: (policy: Policy) => Draft[]): Draft[] {
    this.#policy = policyText(policy)
    try {
      if (policy.mode !== "enforced") throw new Unsayable("a staged policy", "only Calico stages policies")
      return make(policy)
    } catch (error) {
      this.refuse(policy.origin, error)
      return []
    }
  }

  refuse(origin: Origin, error: unknown): void {
    if (!(error instanceof Unsayable)) throw error
    const refusal = { origin, policy: this.#policy, what: error.what, why: error.why }
    const known = this.refusals.some(
      (one) => one.what === refusal.what && one.origin.line === origin.line && one.origin.file === origin.file,
    )
    if (!known) this.refusals.push(refusal)
  }

  /** Converts every rule; what is thrown is refused at the rule's place. */
  rules(_policy: Policy, rules: readonly Rule[], make: (rule: Rule) => unknown[]): unknown[] {
    return rules.flatMap((rule) => {
      try {
        return make(rule)
      } catch (error) {
        this.refuse(rule.origin, error)
        return []
      }
    })
  }

  /** Alternatives of a policy's subject, pods all of them. */
  subject(policy: Policy): Conjunction[] {
    const alternatives = alternativesOf(policy.subject, this.networkSets)
    if (alternatives.length === 0) throw new Unsayable("a subject that can select nothing", "it would be lost")
    return alternatives.map((one) => {
      if (one.blocks.length + one.notBlocks.length > 0 || one.node || one.outside) {
        throw new Unsayable("a subject by addresses or of other than pods", "policies there select pods")
      }
      return { ...one, endpoint: true }
    })
  }

  name(policy: Policy, index: number, of: number): string {
    return of === 1 ? policy.name : `${policy.name}-${index + 1}`
  }
}
