import { matches } from "../../model/facts.ts"
import { isRecord, type ManifestObject } from "../../model/manifest.ts"
import type { Direction, Policy } from "../../model/policy.ts"
import { builtinTiers } from "../../model/policy.ts"
import type { FieldPath } from "../../model/problem.ts"
import { identify, refText } from "../../source/objects.ts"
import { directions, type LintContext } from "./context.ts"
import { type Finding, policyText } from "./finding.ts"

/** Policies that deny, or allow, everything where that was probably not meant; tiers that nobody made. */
export function lintAccidents(context: LintContext): Finding[] {
  return [
    ...context.objects.flatMap(writtenAccidents),
    ...context.policies.flatMap((policy) => deniesAll(context, policy)),
    ...unknownTiers(context),
  ]
}

function writtenAccidents(object: ManifestObject): Finding[] {
  const ref = identify(object)
  if (ref === undefined || !isRecord(object.value)) return []
  const spec = object.value["spec"]
  const policy = refText(ref)
  const at = (path: FieldPath) => ({ origin: object.originAt(path), policy })
  if (ref.kind === "NetworkPolicy" && ref.apiVersion.startsWith("networking.k8s.io/")) {
    return kubernetesAccidents(spec, at)
  }
  if (!ref.apiVersion.startsWith("cilium.io/") || ref.kind === "CiliumCIDRGroup") return []
  const specs = listOf(isRecord(object.value) ? object.value["specs"] : undefined)
  return [
    ...ciliumAccidents(spec, ["spec"], at),
    ...specs.flatMap((one, index) => ciliumAccidents(one, ["specs", index], at)),
  ]
}

type At = (path: FieldPath) => Pick<Finding, "origin" | "policy">

function kubernetesAccidents(spec: unknown, at: At): Finding[] {
  if (!isRecord(spec)) return []
  const found: Finding[] = []
  const types = listOf(spec["policyTypes"])
  if (types.length === 0 && listOf(spec["egress"]).length > 0 && listOf(spec["ingress"]).length === 0) {
    found.push({
      ...at(["spec", "egress"]),
      code: "isolates-ingress-unasked",
      severity: "warning",
      what: "it has egress rules only, yet it isolates ingress too",
      why: "without policyTypes a NetworkPolicy always isolates ingress; nothing reaches its pods unless another policy allows it",
      hint: "add policyTypes: [Egress], or [Ingress, Egress] if that is meant",
    })
  }
  for (const [direction, field] of [
    ["ingress", "from"],
    ["egress", "to"],
  ] as const) {
    for (const [index, rule] of listOf(spec[direction]).entries()) {
      const peers = isRecord(rule) ? rule[field] : undefined
      if (Array.isArray(peers) && peers.length === 0) {
        found.push({
          ...at(["spec", direction, index, field]),
          code: "empty-list-is-everyone",
          severity: "warning",
          what: `${direction}[${index}].${field} is an empty list: it means everyone`,
          why: "in a NetworkPolicy no peers are all peers, addresses outside the cluster included",
          hint: `leave ${field} out if everyone is meant, else name the peers; to allow nobody remove the rule`,
        })
      }
    }
  }
  return found
}

function ciliumAccidents(spec: unknown, path: FieldPath, at: At): Finding[] {
  if (!isRecord(spec)) return []
  return directions.flatMap((direction) =>
    listOf(spec[direction]).flatMap((entry, index): Finding[] => {
      if (!isRecord(entry)) return []
      const word = direction === "ingress" ? "from" : "to"
      const peers = Object.keys(entry).filter((key) => key.startsWith(word) && key !== "toPorts")
      const asksPorts = listOf(entry["toPorts"]).length > 0 || listOf(entry["icmps"]).length > 0
      const place = at([...path, direction, index])
      if (peers.length === 0 && !asksPorts) {
        return [
          {
            ...place,
            code: "cilium-empty-rule",
            severity: "warning",
            what: `${direction}[${index}] is empty: it allows nobody, and it isolates`,
            why: `in Cilium an empty rule selects no peer, so its pods are cut off; in a Kubernetes NetworkPolicy the same words allow everyone`,
            hint: `${word}Entities: [all] allows everyone; enableDefaultDeny says whether the policy isolates`,
          },
        ]
      }
      if (peers.length > 0 && peers.every((peer) => listOf(entry[peer]).length === 0)) {
        return [
          {
            ...place,
            code: "cilium-empty-peers",
            severity: "warning",
            what: `${direction}[${index}].${peers[0]} is an empty list: it allows nobody`,
            why: "in Cilium a list of peers that is there but empty selects nothing",
            hint: `leave ${peers[0]} out for everyone (with ports), or name the peers`,
          },
        ]
      }
      return []
    }),
  )
}

/** Isolated in a direction of which its rules say nothing, and no other policy lets anything through. */
function deniesAll(context: LintContext, policy: Policy): Finding[] {
  if (policy.mode !== "enforced") return []
  return directions.flatMap((direction): Finding[] => {
    const side = policy[direction]
    const other = policy[opposite(direction)]
    // Without any rule it is a default deny, which is what it says.
    if (side?.isolates !== true || side.rules.length > 0 || (other?.rules.length ?? 0) === 0) return []
    // Said above, better.
    if (policy.group === "networking.k8s.io" && direction === "ingress" && isImplied(context, policy)) return []
    const allowing = context.policies.filter(
      (one) => one.mode === "enforced" && (one[direction]?.rules ?? []).some((rule) => rule.action !== "deny"),
    )
    const cut = context.selected(policy).find((facts) => !allowing.some((one) => matches(one.subject, facts) === true))
    if (cut === undefined) return []
    return [
      {
        origin: policy.origin,
        code: `denies-all-${direction}`,
        severity: "warning",
        policy: policyText(policy),
        what: `it isolates ${direction} and has no ${direction} rule; no other policy allows any for ${cut.namespace}/${cut.name}`,
        why:
          direction === "egress"
            ? "these pods can begin no connection, name lookups by DNS included"
            : "nobody can begin a connection to these pods",
        hint: `add ${direction} rules, or leave ${direction === "egress" ? "Egress" : "Ingress"} out of its types`,
      },
    ]
  })
}

function isImplied(context: LintContext, policy: Policy): boolean {
  return context.objects.some((object) => {
    const ref = identify(object)
    const spec = isRecord(object.value) ? object.value["spec"] : undefined
    return (
      ref?.kind === policy.kind &&
      ref.name === policy.name &&
      ref.namespace === policy.namespace &&
      isRecord(spec) &&
      listOf(spec["policyTypes"]).length === 0
    )
  })
}

function unknownTiers({ cluster, policies }: LintContext): Finding[] {
  const known = new Set([...builtinTiers.map((tier) => tier.name), ...cluster.tiers.keys()])
  return policies
    .filter((policy) => !known.has(policy.tier))
    .map((policy) => ({
      origin: policy.origin,
      code: "unknown-tier",
      severity: "error",
      policy: policyText(policy),
      what: `there is no tier ${policy.tier}`,
      why: "a policy whose tier does not exist comes after all others, and what it selects and does not allow is denied there",
      hint: `make the Tier object, or use one of: ${[...known].join(", ")}`,
    }))
}

function opposite(direction: Direction): Direction {
  return direction === "ingress" ? "egress" : "ingress"
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
