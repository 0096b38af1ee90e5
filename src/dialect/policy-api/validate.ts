import type { ManifestObject } from "../../model/manifest.ts"
import type { FieldPath, Problem } from "../../model/problem.ts"
import { tryParsePrefix } from "../../net/prefix.ts"
import { validateLabelSelector } from "../kubernetes/label-selector.ts"
import { validateMetadata } from "../kubernetes/metadata.ts"
import { fieldAt, listAt, numberAt, recordAt, textAt, textsAt } from "../read.ts"
import { Report, withoutConsequences } from "../report.ts"
import { checkForm } from "../schema.ts"
import { nearestWord } from "../suggest.ts"
import { exactlyOne, type Judging, oneKnown, say } from "./judging.ts"
import { validateAdminPort, validateProtocol } from "./port-validation.ts"
import { type PolicyApiKind, policyApiKinds, policyApiTypes } from "./schema.ts"

/**
 * Everything that the CRDs of the policy API refuse (their markers and CEL rules, the experimental channel's), with unknown
 * fields refused. With `create: false`, a kind of peer or port that is not known here is a warning: an API server with a newer
 * CRD accepted it, and it is evaluated as the API's documentation says (translate.ts).
 */
export function validatePolicyApiObject(object: ManifestObject, options: { create?: boolean } = {}): Problem[] {
  const create = options.create ?? true
  const { value } = object
  const kind = policyApiKinds[textAt(value, "kind") ?? ""]
  if (kind === undefined) return []
  const form = new Report(object)
  checkForm(value, kind.type, policyApiTypes, form)
  const report = new Report(object)
  validateMetadata(value, { namespaced: false }, report)
  const spec = recordAt(value, "spec")
  if (fieldAt(value, "spec") === undefined) report.error(["spec"], "a spec is required")
  else if (spec !== undefined) validateSpec(value, spec, kind, { report, create })
  return withoutConsequences(create ? form.problems : form.problems.map(tolerated), report.problems)
}

function validateSpec(value: unknown, spec: unknown, kind: PolicyApiKind, judging: Judging): void {
  const { report } = judging
  if (kind.type === "ClusterNetworkPolicy") validateChoice(spec, ["spec"], "tier", ["Admin", "Baseline"], report)
  if (kind.type !== "BaselineAdminNetworkPolicy") validatePriority(spec, report)
  else if (textAt(recordAt(value, "metadata"), "name") !== "default") {
    report.error(["metadata", "name"], 'there is one BaselineAdminNetworkPolicy only, and its name is "default"')
  }
  const subject = recordAt(spec, "subject")
  if (subject === undefined) report.error(["spec", "subject"], "a subject is required", "namespaces or pods")
  else if (exactlyOne(subject, ["namespaces", "pods"], ["spec", "subject"], report)) {
    validateWorkloads(subject, ["spec", "subject"], kind, report)
  }
  for (const section of ["ingress", "egress"] as const) {
    const rules = listAt(spec, section)
    limit(rules, 0, kind.maxRules, ["spec", section], report)
    for (const [index, rule] of rules.entries()) validateRule(rule, section, ["spec", section, index], kind, judging)
  }
}

function validatePriority(spec: unknown, report: Report): void {
  const priority = numberAt(spec, "priority")
  const path = ["spec", "priority"]
  if (fieldAt(spec, "priority") === undefined) report.error(path, "a priority is required", "0 (first) to 1000 (last)")
  else if (priority !== undefined && (priority < 0 || priority > 1000)) {
    report.error(path, `priority ${priority} must be between 0 and 1000`)
  }
}

function validateRule(
  rule: unknown,
  section: "ingress" | "egress",
  path: FieldPath,
  kind: PolicyApiKind,
  judging: Judging,
): void {
  const { report } = judging
  validateChoice(rule, path, "action", kind.actions, report)
  const name = textAt(rule, "name") ?? ""
  if ([...name].length > 100)
    report.error([...path, "name"], `the name is ${[...name].length} characters long, at most 100`)
  const side = section === "ingress" ? "from" : "to"
  const peers = listAt(rule, side)
  const peersPath = [...path, side]
  if (fieldAt(rule, side) === undefined) report.error(peersPath, `${side} is required`, "name at least one peer")
  else limit(peers, 1, kind.maxEntries, peersPath, report)
  for (const [index, peer] of peers.entries()) validatePeer(peer, [...peersPath, index], kind, section, judging)
  const ports = listAt(rule, kind.portsField)
  const portsPath = [...path, kind.portsField]
  if (fieldAt(rule, kind.portsField) !== undefined) limit(ports, 1, kind.maxEntries, portsPath, report)
  const validatePort = kind.portsField === "protocols" ? validateProtocol : validateAdminPort
  for (const [index, port] of ports.entries()) validatePort(port, [...portsPath, index], judging)
  validateNamedPorts(peers, ports, portsPath, judging)
}

/** Names of ports belong to pods. */
function validateNamedPorts(
  peers: readonly unknown[],
  ports: readonly unknown[],
  path: FieldPath,
  judging: Judging,
): void {
  const outside = ["networks", "nodes", "domainNames"]
  const found = outside.find((field) => peers.some((peer) => fieldAt(peer, field) !== undefined))
  if (found === undefined) return
  for (const [index, port] of ports.entries()) {
    const field = ["destinationNamedPort", "namedPort"].find((name) => fieldAt(port, name) !== undefined)
    if (field === undefined) continue
    const message = `a named port may not stand in a rule with ${found}, which have no named ports`
    say(judging, [...path, index, field], message, "use numbers, or a rule of its own")
  }
}

function validatePeer(
  peer: unknown,
  path: FieldPath,
  kind: PolicyApiKind,
  section: "ingress" | "egress",
  judging: Judging,
): void {
  const { report } = judging
  const inside = ["namespaces", "pods"]
  const outside = ["nodes", "networks", ...(kind.type === "BaselineAdminNetworkPolicy" ? [] : ["domainNames"])]
  const known = section === "ingress" ? inside : [...inside, ...outside]
  if (!oneKnown(peer, known, "peer", path, judging)) return
  validateWorkloads(peer, path, kind, report)
  validateLabelSelector(fieldAt(peer, "nodes"), [...path, "nodes"], report)
  const networks = fieldAt(peer, "networks")
  if (networks !== undefined) validateNetworks(textsAt(peer, "networks"), [...path, "networks"], report)
  if (fieldAt(peer, "domainNames") !== undefined) validateDomains(peer, [...path, "domainNames"], judging)
}

function validateNetworks(networks: readonly string[], path: FieldPath, report: Report): void {
  limit(networks, 1, 25, path, report)
  validateSet(networks, path, report)
  for (const [index, text] of networks.entries()) {
    const mapped = /^::ffff:[0-9.]+\//i.test(text)
    if (text.length > 43 || mapped || tryParsePrefix(text) === undefined) {
      report.error([...path, index], `${JSON.stringify(text)} is no block`, "for example 10.0.0.0/8 or fd00::/8")
    }
  }
}

const domain = /^(\*\.)?([a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$/

function validateDomains(peer: unknown, path: FieldPath, judging: Judging): void {
  const names = textsAt(peer, "domainNames")
  limit(names, 1, 25, path, judging.report)
  validateSet(names, path, judging.report)
  for (const [index, name] of names.entries()) {
    if (domain.test(name)) continue
    const message = `${JSON.stringify(name)} is no domain name`
    judging.report.error([...path, index], message, "for example kubernetes.io or *.kubernetes.io")
  }
  const message =
    "domain names cannot be enforced yet: in a rule that accepts they match nothing, in another everything"
  say(judging, path, message, "use networks")
}

/** The selectors of a subject or peer. */
function validateWorkloads(entry: unknown, path: FieldPath, kind: PolicyApiKind, report: Report): void {
  validateLabelSelector(fieldAt(entry, "namespaces"), [...path, "namespaces"], report)
  const pods = recordAt(entry, "pods")
  if (pods === undefined) return
  // v1alpha2 takes an absent namespaceSelector for an empty one.
  const required = kind.type === "ClusterNetworkPolicy" ? ["podSelector"] : ["namespaceSelector", "podSelector"]
  for (const field of ["namespaceSelector", "podSelector"]) {
    const selector = fieldAt(pods, field)
    const fieldPath = [...path, "pods", field]
    if (selector === undefined && required.includes(field))
      report.error(fieldPath, `${field} is required`, "{} selects all")
    validateLabelSelector(selector, fieldPath, report)
  }
}

function validateChoice(
  value: unknown,
  path: FieldPath,
  field: string,
  allowed: readonly string[],
  report: Report,
): void {
  const found = fieldAt(value, field)
  if (found === undefined) report.error([...path, field], `${field} is required`, `allowed: ${allowed.join(", ")}`)
  else if (typeof found === "string" && !allowed.includes(found)) {
    const near = nearestWord(found, allowed)
    const hint = near === undefined ? `allowed: ${allowed.join(", ")}` : `did you mean ${near}?`
    report.error([...path, field], `unknown ${field} ${JSON.stringify(found)}`, hint)
  }
}

/** listType=set. */
function validateSet(texts: readonly string[], path: FieldPath, report: Report): void {
  for (const [index, text] of texts.entries()) {
    if (texts.indexOf(text) < index) report.error([...path, index], `${JSON.stringify(text)} stands twice`)
  }
}

function limit(list: readonly unknown[], least: number, most: number, path: FieldPath, report: Report): void {
  if (list.length < least) report.error(path, `at least ${least} item is required`)
  if (list.length > most) report.error(path, `${list.length} items, at most ${most} are allowed`)
}

/** An unknown field of a peer or port that is no misspelling may be of a newer API: translate.ts evaluates it fail closed. */
function tolerated(problem: Problem): Problem {
  const unknown = problem.message === "unknown field" && problem.hint?.startsWith("did you mean") !== true
  const entry = /^spec\.(ingress|egress)\[\d+\]\.(from|to|protocols|ports)\[\d+\]\.[^.[]+$/.test(problem.path)
  return unknown && entry ? { ...problem, severity: "warning" } : problem
}
