import { isRecord, type ManifestObject } from "../../model/manifest.ts"
import { KUBERNETES_ORDER, type Policy, type Tier } from "../../model/policy.ts"
import { identify, ObjectStore } from "../../source/objects.ts"
import { rulesOf } from "../lint/context.ts"
import { calicoTiers, toCalico } from "./calico.ts"
import { toCilium } from "./cilium.ts"
import { toKubernetes } from "./kubernetes.ts"
import { toPolicyApi } from "./policy-api.ts"
import { type Refusal, Unsayable } from "./refusal.ts"
import { type Draft, Source } from "./source.ts"

export const languages = ["kubernetes", "calico", "cilium", "policy-api"] as const
export type Language = (typeof languages)[number]

export interface Conversion {
  /** Objects of the other language, as JSON data; together they mean what all policies given mean. */
  readonly objects: readonly unknown[]
  /** What could not be kept; with any of them the objects mean less than what was given. */
  readonly refusals: readonly Refusal[]
}

const makers: Readonly<Record<Language, (policy: Policy, source: Source) => Draft[]>> = {
  kubernetes: toKubernetes,
  calico: toCalico,
  cilium: toCilium,
  "policy-api": toPolicyApi,
}

const groups: Readonly<Record<Language, string>> = {
  kubernetes: "networking.k8s.io",
  calico: "projectcalico.org",
  cilium: "cilium.io",
  "policy-api": "policy.networking.k8s.io",
}

/**
 * All policies of valid objects in another language, so that every packet gets the verdict that it got before, in any cluster
 * whose namespaces carry their name as a label, as API servers see to. What is in that language already stays as it is.
 */
export function convert(objects: readonly ManifestObject[], to: Language): Conversion {
  const store = new ObjectStore({ now: () => 0 })
  const kept: unknown[] = []
  let networkSets = false
  for (const object of objects) {
    store.put(object)
    const ref = identify(object)
    if (ref === undefined) continue
    networkSets ||= ["NetworkSet", "GlobalNetworkSet", "CiliumCIDRGroup"].includes(ref.kind)
    const own = to === "policy-api" ? ref.kind === "ClusterNetworkPolicy" : ref.apiVersion.includes(groups[to])
    if (own || (ref.kind === "Tier" && to === "calico")) kept.push(object.value)
  }
  const cluster = store.cluster()
  // As they were written, for those who compare.
  const places = new Map(objects.map((object, i) => [`${object.origin.file}:${object.origin.line}`, i]))
  const place = ({ origin }: Policy): number => places.get(`${origin.file}:${origin.line}`) ?? objects.length
  const policies = [...cluster.policies.values()].sort((a, b) => place(a) - place(b))
  const source = new Source(policies, networkSets)
  const isKept = (policy: Policy): boolean =>
    policy.group === groups[to] && (to !== "policy-api" || policy.kind === "ClusterNetworkPolicy")
  const converted = policies.filter((policy) => !isKept(policy))
  if (converted.length < policies.length) refuseNeighbours(source, policies.filter(isKept), converted)
  if (to === "calico") refuseTiers(source, cluster.tiers, converted)
  const drafts = converted.flatMap((policy) => source.convert(policy, (one) => makers[to](one, source)))
  const tiers = to === "calico" ? calicoTiers(converted) : []
  return {
    objects: [...tiers, ...kept, ...unique(drafts.filter((draft) => !isEmpty(draft)))],
    refusals: source.refusals,
  }
}

/** Refuses what would come to stand in another order beside policies that stay as they are. */
function refuseNeighbours(source: Source, kept: readonly Policy[], converted: readonly Policy[]): void {
  const inDefault = kept.filter((policy) => policy.tier === "default")
  const near = inDefault.find(
    (policy) => policy.group === "projectcalico.org" && policy.order > 999 && policy.order <= 1_000,
  )
  const denies = inDefault.some(
    (policy) => policy.group === "cilium.io" && rulesOf(policy).some((rule) => rule.action === "deny"),
  )
  for (const policy of converted) {
    source.convert(policy, () => {
      if (near !== undefined) {
        const what = `its place beside Calico's ${near.name} of order ${near.order}`
        throw new Unsayable(what, "names would decide between them; give that one another order first")
      }
      if (denies && policy.tier === "default" && policy.order < KUBERNETES_ORDER) {
        throw new Unsayable(
          `order ${policy.order}, before Cilium's denies`,
          "as a policy of Cilium it would come after them",
        )
      }
      return []
    })
  }
}

/** Tiers of policy-api become tiers of Calico, which must not meet others of their order or name. */
function refuseTiers(source: Source, tiers: ReadonlyMap<string, Tier>, converted: readonly Policy[]): void {
  for (const made of calicoTiers(converted)) {
    const order = isRecord(made.spec) ? made.spec["order"] : undefined
    const other = [...tiers.values()].find((tier) => tier.order === order || tier.name === made.metadata.name)
    if (other === undefined) continue
    for (const policy of converted.filter((one) => one.tier !== "default")) {
      source.convert(policy, () => {
        const what = `its place beside tier ${other.name} of order ${other.order}`
        throw new Unsayable(what, "names would decide between them; give that one another order first")
      })
    }
  }
}

/** A policy object of another language can name nobody but itself. */
function isEmpty(draft: Draft): boolean {
  return isRecord(draft.spec) && Array.isArray(draft.spec["types"]) && draft.spec["types"].length === 0
}

/** Objects of one kind and name, of which there can be but one, get names of their own. */
function unique(drafts: readonly Draft[]): Draft[] {
  const taken = new Set<string>()
  const key = (draft: Draft, name: string): string => [draft.kind, draft.metadata.namespace ?? "", name].join("/")
  return drafts.map((draft) => {
    let { name } = draft.metadata
    for (let i = 2; taken.has(key(draft, name)); i++) name = `${draft.metadata.name}-${i}`
    taken.add(key(draft, name))
    return name === draft.metadata.name ? draft : { ...draft, metadata: { ...draft.metadata, name } }
  })
}
