import { isRecord } from "../../model/manifest.ts"
import type { FieldPath } from "../../model/problem.ts"
import { fieldAt, listAt, numberAt, recordAt, textAt } from "../read.ts"
import type { Report } from "../report.ts"
import { labelKeyFault, labelNameFault, labelValueFault, subdomainNameFault } from "./names.ts"

/** Group, kind, namespace (empty for a cluster-wide object) and name, as far as an object states them. */
export interface Identity {
  readonly apiVersion: string
  /** API group; empty for the core group. */
  readonly group: string
  readonly kind: string
  readonly namespace: string
  readonly name: string
}

/** Reads who an object is; a namespaced object without namespace is in `default`. Undefined when kind, apiVersion or name is missing. */
export function identityOf(value: unknown, namespaced: boolean): Identity | undefined {
  const apiVersion = textAt(value, "apiVersion")
  const kind = textAt(value, "kind")
  const name = textAt(recordAt(value, "metadata"), "name")
  if (!apiVersion || !kind || !name) return undefined
  const namespace = namespaced ? textAt(recordAt(value, "metadata"), "namespace") || "default" : ""
  return { apiVersion, group: groupOf(apiVersion), kind, namespace, name }
}

/** `networking.k8s.io/v1` → `networking.k8s.io`; `v1` → the core group, empty. */
export function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf("/")
  return slash < 0 ? "" : apiVersion.slice(0, slash)
}

export interface MetadataRules {
  readonly namespaced: boolean
  /** What is wrong with a name; default: RFC 1123 subdomain. */
  readonly nameFault?: (name: string) => string | undefined
}

/** ValidateObjectMeta of the API server: name, namespace, labels, annotations, owners. */
export function validateMetadata(value: unknown, rules: MetadataRules, report: Report): void {
  const metadata = recordAt(value, "metadata")
  const name = textAt(metadata, "name")
  if (name === undefined || name === "") {
    const generated = textAt(metadata, "generateName")
    const hint = generated === undefined ? undefined : "generateName makes a new object each time: give it a name"
    report.error(metadata === undefined ? ["metadata"] : ["metadata", "name"], "a name is required", hint)
  } else {
    const fault = (rules.nameFault ?? subdomainNameFault)(name)
    if (fault !== undefined) report.error(["metadata", "name"], `${JSON.stringify(name)} ${fault}`, lowerHint(name))
  }
  const namespace = textAt(metadata, "namespace")
  if (namespace !== undefined && namespace !== "") {
    if (!rules.namespaced) report.warning(["metadata", "namespace"], "this kind has no namespace, it is ignored")
    else {
      const fault = labelNameFault(namespace)
      if (fault !== undefined)
        report.error(["metadata", "namespace"], `${JSON.stringify(namespace)} ${fault}`, lowerHint(namespace))
    }
  }
  if ((numberAt(metadata, "generation") ?? 0) < 0) report.error(["metadata", "generation"], "must not be negative")
  validateLabels(fieldAt(metadata, "labels"), ["metadata", "labels"], report)
  validateAnnotations(fieldAt(metadata, "annotations"), report)
  validateOwners(listAt(metadata, "ownerReferences"), report)
}

function lowerHint(name: string): string | undefined {
  const lower = name.toLowerCase().replace(/_/g, "-")
  return lower !== name && subdomainNameFault(lower) === undefined ? `for example ${lower}` : undefined
}

/** Keys and values of a label map (also `matchLabels`). Other types than texts are the schema's to report. */
export function validateLabels(labels: unknown, path: FieldPath, report: Report): void {
  if (!isRecord(labels)) return
  for (const [key, value] of Object.entries(labels)) {
    const keyFault = labelKeyFault(key)
    if (keyFault !== undefined) report.error([...path, key], `the label key ${JSON.stringify(key)} ${keyFault}`)
    const valueFault = typeof value === "string" ? labelValueFault(value) : undefined
    if (valueFault !== undefined) report.error([...path, key], `the label value ${JSON.stringify(value)} ${valueFault}`)
  }
}

function validateAnnotations(annotations: unknown, report: Report): void {
  if (!isRecord(annotations)) return
  let size = 0
  for (const [key, value] of Object.entries(annotations)) {
    const fault = labelKeyFault(key.toLowerCase())
    if (fault !== undefined)
      report.error(["metadata", "annotations", key], `the annotation key ${JSON.stringify(key)} ${fault}`)
    size += key.length + (typeof value === "string" ? value.length : 0)
  }
  const most = 256 * 1024
  if (size > most)
    report.error(
      ["metadata", "annotations"],
      `all annotations together have ${size} bytes, at most ${most} are allowed`,
    )
}

function validateOwners(owners: readonly unknown[], report: Report): void {
  let controllers = 0
  for (const [index, owner] of owners.entries()) {
    for (const field of ["apiVersion", "kind", "name", "uid"]) {
      if (!textAt(owner, field)) report.error(["metadata", "ownerReferences", index, field], "must not be empty")
    }
    if (fieldAt(owner, "controller") === true) controllers++
  }
  if (controllers > 1) report.error(["metadata", "ownerReferences"], "only one owner can be the controller")
}
