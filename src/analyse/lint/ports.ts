import { protocolWords } from "../../compile/words.ts"
import { nearestWord } from "../../dialect/suggest.ts"
import { type Facts, matches } from "../../model/facts.ts"
import type { Direction, Policy, Rule } from "../../model/policy.ts"
import { familyOf } from "../../net/address.ts"
import { prefixBase, prefixLength } from "../../net/prefix.ts"
import type { Family } from "../../net/types.ts"
import { blocksOf, directions, type LintContext, rulesOf } from "./context.ts"
import { type Finding, policyText } from "./finding.ts"
import { placeOf } from "./place.ts"

/** Lengths of prefixes that the kernel's programs probe one after the other; with more they search a trie. */
export const PROBED_LENGTHS = 24

/** Names of ports that no workload at that end declares, and more lengths of blocks than are looked up fast. */
export function lintPorts(context: LintContext): Finding[] {
  const names = context.pods.length === 0 ? [] : context.policies.flatMap((policy) => namedPorts(context, policy))
  return [...names, ...prefixLengths(context)]
}

function namedPorts(context: LintContext, policy: Policy): Finding[] {
  return directions.flatMap((direction) =>
    (policy[direction]?.rules ?? []).flatMap((rule) => rulePorts(context, policy, rule, direction)),
  )
}

function rulePorts(context: LintContext, policy: Policy, rule: Rule, direction: Direction): Finding[] {
  // Ports are the destination's: the policy's own pods for ingress, the peers for egress.
  const ends =
    direction === "ingress" ? context.selected(policy) : context.pods.filter((one) => matches(rule.peer, one) === true)
  if (ends.length === 0) return []
  return rule.l4.flatMap(({ ports, protocols }) =>
    (ports ?? []).flatMap((spec): Finding[] => {
      if (spec.kind !== "named") return []
      const declared = ends.flatMap((end) => end.namedPorts).filter((port) => port.name === spec.name)
      const fits = declared.some(
        (port) => protocols === undefined || protocols.length === 0 || protocols.includes(port.protocol),
      )
      if (fits) return []
      const [other] = declared
      return [
        {
          origin: placeOf(context, policy, spec.name, rule.origin),
          code: "unknown-named-port",
          severity: "warning",
          policy: policyText(policy),
          what:
            other === undefined
              ? `no pod at that end has a port named ${JSON.stringify(spec.name)}`
              : `port ${JSON.stringify(spec.name)} is ${protocolWords(other.protocol)} there, not ${(protocols ?? []).map(protocolWords).join(" or ")}`,
          why: `a name means what the ${direction === "ingress" ? "selected" : "receiving"} pod declares; declared nowhere, it matches nothing`,
          hint: portHint(spec.name, ends, other !== undefined),
        },
      ]
    }),
  )
}

function portHint(name: string, ends: readonly Facts[], otherProtocol: boolean): string {
  if (otherProtocol) return "write the protocol that the pod declares"
  const known = [...new Set(ends.flatMap((end) => end.namedPorts).map((port) => port.name))]
  const near = nearestWord(name, known)
  if (near !== undefined) return `did you mean ${near}?`
  return known.length === 0 ? "name the port in the container, or write its number" : `names there: ${known.join(", ")}`
}

function prefixLengths({ policies, cluster }: LintContext): Finding[] {
  const lengths = { 4: new Set<number>(), 6: new Set<number>() }
  const reported = new Set<Family>()
  const found: Finding[] = []
  for (const set of cluster.networkSets.values()) {
    for (const block of set.prefixes) lengths[familyOf(prefixBase(block))].add(prefixLength(block))
  }
  for (const policy of policies) {
    for (const rule of rulesOf(policy)) {
      for (const block of blocksOf(rule.peer)) lengths[familyOf(prefixBase(block))].add(prefixLength(block))
      for (const family of [4, 6] as const) {
        if (lengths[family].size <= PROBED_LENGTHS || reported.has(family)) continue
        reported.add(family)
        found.push({
          origin: rule.origin,
          code: "many-prefix-lengths",
          severity: "warning",
          policy: policyText(policy),
          what: `with it the policies name IPv${family} blocks of more than ${PROBED_LENGTHS} different lengths`,
          why: "up to that many are probed in a hash; with more, every new connection with an outside address searches a trie, which is slower",
          hint: "round blocks to fewer lengths, e.g. split a /13 into two /14 that are there anyway",
        })
      }
    }
  }
  return found
}
