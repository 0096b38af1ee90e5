import type { ManifestObject } from "../../model/manifest.ts"
import type { Problem } from "../../model/problem.ts"
import { recordAt, textAt } from "../read.ts"
import { Report, withoutConsequences } from "../report.ts"
import { checkForm, type ObjectTypes } from "../schema.ts"
import { validateLabelSelector } from "./label-selector.ts"
import { validateLabels, validateMetadata } from "./metadata.ts"
import { labelNameFault, segmentNameFault, serviceNameFault } from "./names.ts"
import { validateNetworkPolicySpec } from "./network-policy-validation.ts"
import { validateNode } from "./node.ts"
import { validatePod, validatePodSpec } from "./pod.ts"
import generated from "./schema.generated.json" with { type: "json" }

interface KindSchema {
  /** Name of the object type in `types`. */
  readonly type: string
  readonly namespaced: boolean
}

const kinds: Readonly<Record<string, KindSchema>> = generated.kinds
export const kubernetesTypes: ObjectTypes = generated.types

/** The schema of a kind, if this dialect knows it: core Kubernetes, e.g. `("apps/v1", "Deployment")`. */
export function kubernetesKind(apiVersion: string, kind: string): KindSchema | undefined {
  const key = `${apiVersion}/${kind}`
  return Object.hasOwn(kinds, key) ? kinds[key] : undefined
}

/** All kinds known, as `apiVersion/Kind`. */
export function kubernetesKinds(): readonly string[] {
  return Object.keys(kinds)
}

export interface ValidationOptions {
  /** Judge as the API server judges a new object; otherwise what only older API servers accepted is a warning. Default true. */
  readonly create?: boolean
}

/**
 * Everything that is wrong with an object of core Kubernetes: unknown fields and types as kubectl's strict validation has them,
 * then what the API server would refuse. Kinds that Heddle does not act on are checked for form and metadata only.
 */
export function validateObject(object: ManifestObject, options: ValidationOptions = {}): Problem[] {
  const { value } = object
  const schema = kubernetesKind(textAt(value, "apiVersion") ?? "", textAt(value, "kind") ?? "")
  if (schema === undefined) return []
  const form = new Report(object)
  checkForm(value, schema.type, kubernetesTypes, form)
  const meaning = new Report(object)
  validateMetadata(value, { namespaced: schema.namespaced, ...nameRule(schema.type) }, meaning)
  validateMeaning(schema.type, value, options.create ?? true, meaning)
  return withoutConsequences(form.problems, meaning.problems)
}

function nameRule(type: string): { nameFault?: (name: string) => string | undefined } {
  if (type === "Namespace") return { nameFault: labelNameFault }
  if (type === "Service") return { nameFault: serviceNameFault }
  return /^(Cluster)?Role(Binding)?$/.test(type) ? { nameFault: segmentNameFault } : {}
}

function validateMeaning(type: string, value: unknown, create: boolean, report: Report): void {
  if (type === "NetworkPolicy") validateNetworkPolicySpec(value, create, report)
  else if (type === "Pod") validatePod(value, report)
  else if (type === "Node") validateNode(value, report)
  else if (workloads.has(type)) validateWorkload(value, report)
}

const workloads = new Set(["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"])

/** Workloads: selector and template must be well formed, as pods are made from them. */
function validateWorkload(value: unknown, report: Report): void {
  const spec = recordAt(value, "spec")
  validateLabelSelector(recordAt(spec, "selector"), ["spec", "selector"], report)
  const template = recordAt(spec, "template")
  if (template === undefined) {
    report.error(["spec", "template"], "a pod template is required")
    return
  }
  validateLabels(recordAt(recordAt(template, "metadata"), "labels"), ["spec", "template", "metadata", "labels"], report)
  validatePodSpec(recordAt(template, "spec"), ["spec", "template", "spec"], report)
}
