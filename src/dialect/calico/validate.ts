import { isRecord, type ManifestObject } from "../../model/manifest.ts"
import type { FieldPath, Problem } from "../../model/problem.ts"
import { tryParseAddress } from "../../net/address.ts"
import { tryParsePrefix } from "../../net/prefix.ts"
import { validateMetadata } from "../kubernetes/metadata.ts"
import { labelNameFault, subdomainNameFault } from "../kubernetes/names.ts"
import { validateNetworkPolicySpec } from "../kubernetes/network-policy-validation.ts"
import { fieldAt, listAt, numberAt, recordAt, textAt, textMapAt, textsAt } from "../read.ts"
import { Report, withoutConsequences } from "../report.ts"
import { checkForm } from "../schema.ts"
import { nearestWord } from "../suggest.ts"
import { validateRule, validateSelector } from "./rule-validation.ts"
import { calicoKinds, calicoTypes } from "./schema.ts"
import { NAMESPACE_KEY } from "./selector.ts"
import { policyTypes, protocolNumber } from "./translate.ts"

const MAX_RULES = 1024

/** Everything that is wrong with a Calico object, as Calico's validator and resource definitions would have it. */
export function validateCalicoObject(object: ManifestObject): Problem[] {
  const { value } = object
  const kind = textAt(value, "kind") ?? ""
  const known = calicoKinds[kind]
  if (known === undefined) return []
  const form = new Report(object)
  checkForm(value, kind, calicoTypes, form)
  const meaning = new Report(object)
  validateMetadata(value, { namespaced: known.namespaced, nameFault: nameFaultOf(kind) }, meaning)
  validators[kind]?.(value, meaning)
  return withoutConsequences(form.problems, meaning.problems)
}

const validators: Readonly<Record<string, (value: unknown, report: Report) => void>> = {
  Tier: validateTier,
  NetworkPolicy: (value, report) => validatePolicy(value, true, report),
  GlobalNetworkPolicy: (value, report) => validatePolicy(value, false, report),
  StagedNetworkPolicy: (value, report) => validateStaged(value, true, report),
  StagedGlobalNetworkPolicy: (value, report) => validateStaged(value, false, report),
  StagedKubernetesNetworkPolicy: validateStagedKubernetes,
  NetworkSet: validateNetworkSet,
  GlobalNetworkSet: validateNetworkSet,
  Profile: validateProfile,
  HostEndpoint: validateHostEndpoint,
}

function nameFaultOf(kind: string): (name: string) => string | undefined {
  if (kind === "Tier") return labelNameFault
  if (!kind.endsWith("NetworkPolicy") || kind === "StagedKubernetesNetworkPolicy") return subdomainNameFault
  return (name) => {
    // Names that Calico itself gives what it makes of Kubernetes' and OpenStack's policies.
    if (!kind.includes("Global") && /^(knp|ossg)\.default\./.test(name)) return subdomainNameFault(name)
    const parts = name.split(".")
    if (parts.length > 2) return "may hold one dot only, between tier and name"
    for (const part of parts) {
      const fault = labelNameFault(part)
      if (fault !== undefined) return fault
    }
    return undefined
  }
}

const builtin: Readonly<Record<string, { readonly order: number; readonly defaultAction: string }>> = {
  default: { order: 1_000_000, defaultAction: "Deny" },
  "kube-admin": { order: 1_000, defaultAction: "Pass" },
  "kube-baseline": { order: 10_000_000, defaultAction: "Pass" },
}

function validateTier(value: unknown, report: Report): void {
  const spec = recordAt(value, "spec")
  const name = textAt(recordAt(value, "metadata"), "name") ?? ""
  const action = textAt(spec, "defaultAction")
  oneOf(action, ["Deny", "Pass"], ["spec", "defaultAction"], report)
  const fixed = Object.hasOwn(builtin, name) ? builtin[name] : undefined
  if (fixed === undefined) return
  if (numberAt(spec, "order") !== fixed.order)
    report.error(["spec", "order"], `tier ${name} has order ${fixed.order}, which cannot be changed`)
  if ((action ?? "Deny") !== fixed.defaultAction) {
    report.error(
      ["spec", "defaultAction"],
      `tier ${name} has default action ${fixed.defaultAction}, which cannot be changed`,
    )
  }
}

function validatePolicy(value: unknown, namespaced: boolean, report: Report): void {
  const spec = recordAt(value, "spec")
  const path = ["spec"]
  validateSelector(spec, "selector", path, {}, report)
  validateSelector(spec, "serviceAccountSelector", path, {}, report)
  validateSelector(spec, "namespaceSelector", path, {}, report)
  const types = textsAt(spec, "types")
  for (const [index, type] of types.entries()) {
    oneOf(type, ["Ingress", "Egress"], [...path, "types", index], report)
    if (types.indexOf(type) !== index) report.error([...path, "types", index], `${type} stands there twice`)
  }
  for (const direction of ["ingress", "egress"] as const) {
    const rules = listAt(spec, direction)
    if (rules.length > MAX_RULES)
      report.error([...path, direction], `${rules.length} rules, at most ${MAX_RULES} are allowed`)
    for (const [index, rule] of rules.entries())
      validateRule(rule, [...path, direction, index], { direction, namespaced }, report)
    const type = direction === "ingress" ? "Ingress" : "Egress"
    if (types.length > 0 && rules.length > 0 && !types.includes(type)) {
      report.warning(
        [...path, direction],
        `these rules have no effect: types does not name ${type}`,
        `add ${type} to types`,
      )
    }
  }
  for (const [index, hint] of textsAt(spec, "performanceHints").entries()) {
    oneOf(hint, ["AssumeNeededOnEveryNode"], [...path, "performanceHints", index], report)
  }
  if (!namespaced) validateHostFlags(spec, report)
}

/** doNotTrack, preDNAT and applyOnForward exclude and need one another. */
function validateHostFlags(spec: unknown, report: Report): void {
  const untracked = fieldAt(spec, "doNotTrack") === true
  const preDnat = fieldAt(spec, "preDNAT") === true
  const forward = fieldAt(spec, "applyOnForward") === true
  if (untracked && preDnat) report.error(["spec", "preDNAT"], "preDNAT and doNotTrack exclude each other")
  for (const [flag, field] of [
    [untracked, "doNotTrack"],
    [preDnat, "preDNAT"],
  ] as const) {
    if (flag && !forward)
      report.error(["spec", field], `${field} needs applyOnForward: true`, "add applyOnForward: true")
  }
  if (!preDnat) return
  if (listAt(spec, "egress").length > 0) report.error(["spec", "egress"], "a preDNAT policy may have no egress rules")
  if (policyTypes({ types: textsAt(spec, "types") }).includes("Egress"))
    report.error(["spec", "types"], "a preDNAT policy may not have type Egress")
}

function validateStaged(value: unknown, namespaced: boolean, report: Report): void {
  const spec = recordAt(value, "spec")
  if (validateStagedAction(spec, ["tier"], report)) validatePolicy(value, namespaced, report)
}

function validateStagedKubernetes(value: unknown, report: Report): void {
  if (validateStagedAction(recordAt(value, "spec"), [], report)) validateNetworkPolicySpec(value, true, report)
}

/** Whether the object sets something, and so the rest of it counts. A deletion may state nothing else. */
function validateStagedAction(spec: unknown, besides: readonly string[], report: Report): boolean {
  const action = textAt(spec, "stagedAction") ?? "Set"
  oneOf(action, ["Set", "Delete"], ["spec", "stagedAction"], report)
  if (action !== "Delete") return true
  for (const field of Object.keys(recordAt({ spec }, "spec") ?? {})) {
    if (field !== "stagedAction" && !besides.includes(field) && !isUnset(fieldAt(spec, field)))
      report.error(["spec", field], "a staged deletion states no rules", "leave it out")
  }
  return false
}

/** What a field holds that nobody set: a field that must be written may say nothing. */
function isUnset(value: unknown): boolean {
  if (value === undefined || value === "" || value === false) return true
  return isRecord(value) && Object.keys(value).length === 0
}

function validateNetworkSet(value: unknown, report: Report): void {
  for (const [index, net] of textsAt(recordAt(value, "spec"), "nets").entries()) {
    if (tryParsePrefix(net) === undefined && tryParseAddress(net) === undefined) {
      report.error(
        ["spec", "nets", index],
        `${JSON.stringify(net)} is neither a block nor an address`,
        "for example 10.0.0.0/8",
      )
    }
  }
  if (Object.hasOwn(textMapAt(recordAt(value, "metadata"), "labels"), NAMESPACE_KEY)) {
    report.error(["metadata", "labels", NAMESPACE_KEY], "this label is given by the system and may not be set")
  }
}

function validateProfile(value: unknown, report: Report): void {
  const spec = recordAt(value, "spec")
  for (const direction of ["ingress", "egress"] as const) {
    for (const [index, rule] of listAt(spec, direction).entries()) {
      validateRule(rule, ["spec", direction, index], { direction, namespaced: false }, report)
    }
  }
}

function validateHostEndpoint(value: unknown, report: Report): void {
  const spec = recordAt(value, "spec")
  const path: FieldPath = ["spec"]
  if (!textAt(spec, "node")) report.error([...path, "node"], "a node is required")
  const name = textAt(spec, "interfaceName")
  if (!name && listAt(spec, "expectedIPs").length === 0) report.error(path, "needs interfaceName or expectedIPs")
  if (name !== undefined && name !== "*" && !/^[A-Za-z0-9_.-]{1,15}$/.test(name)) {
    report.error(
      [...path, "interfaceName"],
      `${JSON.stringify(name)} is no interface name`,
      "at most 15 letters, digits, '_', '.' and '-', or '*'",
    )
  }
  for (const [index, ip] of textsAt(spec, "expectedIPs").entries()) {
    if (tryParseAddress(ip) === undefined)
      report.error([...path, "expectedIPs", index], `${JSON.stringify(ip)} is no address`)
  }
  for (const [index, port] of listAt(spec, "ports").entries()) {
    const at = [...path, "ports", index]
    const number = numberAt(port, "port")
    if (!textAt(port, "name")) report.error([...at, "name"], "a name is required")
    if (number === undefined || number < 1 || number > 65535)
      report.error([...at, "port"], "must be between 1 and 65535")
    const protocol = fieldAt(port, "protocol")
    const known = typeof protocol === "string" || typeof protocol === "number" ? protocolNumber(protocol) : Number.NaN
    if (![6, 17, 132].includes(known)) report.error([...at, "protocol"], "must be TCP, UDP or SCTP")
  }
}

function oneOf(value: string | undefined, words: readonly string[], path: FieldPath, report: Report): void {
  if (value === undefined || words.includes(value)) return
  const near = nearestWord(value, words)
  report.error(
    path,
    `unknown value ${JSON.stringify(value)}`,
    near === undefined ? `allowed: ${words.join(", ")}` : `did you mean ${near}?`,
  )
}
