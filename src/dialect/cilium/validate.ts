import { isRecord, type ManifestObject } from "../../model/manifest.ts"
import type { FieldPath, Problem } from "../../model/problem.ts"
import { validateMetadata } from "../kubernetes/metadata.ts"
import { fieldAt, listAt, recordAt, textAt, textsAt } from "../read.ts"
import { Report, withoutConsequences } from "../report.ts"
import { checkForm } from "../schema.ts"
import { validateEntry } from "./entry-validation.ts"
import { ciliumKinds, ciliumTypes } from "./schema.ts"
import { validateEndpointSelector, validateStrictBlock } from "./selector-validation.ts"
import { rulesOf } from "./translate.ts"

const sections = ["ingress", "ingressDeny", "egress", "egressDeny"] as const

/** Everything that is wrong with a Cilium object, as its resource definition and `Rule.Sanitize` have it, and what cannot be enforced yet. */
export function validateCiliumObject(object: ManifestObject): Problem[] {
  const { value } = object
  const kind = textAt(value, "kind") ?? ""
  const known = ciliumKinds[kind]
  if (known === undefined) return []
  const form = new Report(object)
  checkForm(value, kind, ciliumTypes, form)
  const meaning = new Report(object)
  validateMetadata(value, { namespaced: known.namespaced }, meaning)
  if (kind === "CiliumCIDRGroup") validateCidrGroup(value, meaning)
  else validatePolicy(value, known.namespaced, meaning)
  return withoutConsequences(form.problems, meaning.problems)
}

function validateCidrGroup(value: unknown, report: Report): void {
  const spec = recordAt(value, "spec")
  if (spec === undefined) {
    report.error(["spec"], "a spec with externalCIDRs is required")
    return
  }
  for (const [index, text] of textsAt(spec, "externalCIDRs").entries()) {
    validateStrictBlock(text, ["spec", "externalCIDRs", index], report)
  }
}

function validatePolicy(value: unknown, namespaced: boolean, report: Report): void {
  const rules = rulesOf(value)
  if (rules.length === 0) report.error([], "needs spec or specs")
  for (const { rule, path } of rules) validateRule(rule, path, namespaced, report)
}

function validateRule(rule: unknown, path: FieldPath, namespaced: boolean, report: Report): void {
  if (!isRecord(rule)) return
  validateSubject(rule, path, namespaced, report)
  if (sections.every((section) => listAt(rule, section).length === 0)) {
    report.error(
      path,
      "at least one of ingress, ingressDeny, egress and egressDeny must hold an entry",
      "to deny all ingress write `ingress: [{}]`",
    )
  }
  for (const section of sections) {
    for (const [index, entry] of listAt(rule, section).entries()) {
      const direction = section.startsWith("ingress") ? "ingress" : "egress"
      validateEntry(entry, [...path, section, index], { direction, deny: section.endsWith("Deny") }, report)
    }
  }
  const log = textAt(recordAt(rule, "log"), "value")
  if (log !== undefined && !/^[\x20-\x7e]{0,32}$/.test(log))
    report.error([...path, "log", "value"], "must be at most 32 printable characters")
}

function validateSubject(rule: unknown, path: FieldPath, namespaced: boolean, report: Report): void {
  const endpoint = fieldAt(rule, "endpointSelector")
  const node = fieldAt(rule, "nodeSelector")
  if (endpoint !== undefined && node !== undefined)
    report.error(path, "endpointSelector and nodeSelector exclude each other")
  else if (endpoint === undefined && node === undefined) {
    report.error(path, "needs an endpointSelector", "`endpointSelector: {}` selects every pod")
  }
  if (node !== undefined) {
    const at = [...path, "nodeSelector"]
    if (namespaced) report.error(at, "is for CiliumClusterwideNetworkPolicy only")
    else
      report.error(
        at,
        "policies for nodes themselves cannot be enforced yet",
        "keep pods' policies in rules of their own",
      )
  }
  if (endpoint !== undefined) validateEndpointSelector(endpoint, [...path, "endpointSelector"], report)
}
