import {
  calicoApiVersions,
  calicoKinds,
  calicoPolicyToModel,
  networkSetToModel,
  tierToModel,
  validateCalicoObject,
} from "../dialect/calico/index.ts"
import { cidrGroupToModel, ciliumKinds, ciliumPolicyToModel, validateCiliumObject } from "../dialect/cilium/index.ts"
import {
  endpointSliceToModel,
  groupOf,
  kubernetesKind,
  kubernetesKinds,
  namespaceToModel,
  networkPolicyToModel,
  nodeToModel,
  type PodPlace,
  placePod,
  podHostAddresses,
  type ServiceDeclaration,
  type SliceDeclaration,
  serviceAccountToModel,
  serviceToModel,
  type ValidationOptions,
  validateObject,
} from "../dialect/kubernetes/index.ts"
import { policyApiKinds, policyApiToModel, validatePolicyApiObject } from "../dialect/policy-api/index.ts"
import { textAt } from "../dialect/read.ts"
import { nearestWord } from "../dialect/suggest.ts"
import type { Namespace, NetworkSet, Node, ServiceAccount } from "../model/cluster.ts"
import { isRecord, type ManifestObject } from "../model/manifest.ts"
import type { Policy, Tier } from "../model/policy.ts"
import { fieldPathText, type Problem } from "../model/problem.ts"
import type { Address } from "../net/types.ts"

/** What an accepted object contributes to the cluster. */
export type ModelPart =
  | { readonly kind: "namespace"; readonly value: Namespace }
  | {
      readonly kind: "pod"
      readonly place: PodPlace
      readonly node: string
      readonly hostAddresses: readonly Address[]
    }
  | { readonly kind: "node"; readonly value: Node }
  | { readonly kind: "serviceAccount"; readonly value: ServiceAccount }
  | { readonly kind: "networkSet"; readonly value: NetworkSet }
  | { readonly kind: "service"; readonly value: ServiceDeclaration }
  | { readonly kind: "slice"; readonly value: SliceDeclaration }
  | { readonly kind: "tier"; readonly value: Tier }
  | { readonly kind: "policies"; readonly value: readonly Policy[] }
  /** Nothing: kept because others read it (the lab runs Deployments). */
  | { readonly kind: "none" }

/** How objects of one kind are judged and understood. */
export interface KindRules {
  readonly namespaced: boolean
  validate(object: ManifestObject, options: ValidationOptions): readonly Problem[]
  /** Of a valid object. */
  toModel(object: ManifestObject): ModelPart
}

/** The rules of the object's kind; undefined for a kind that no dialect knows. */
export function rulesOf(value: unknown): KindRules | undefined {
  const apiVersion = textAt(value, "apiVersion") ?? ""
  const kind = textAt(value, "kind") ?? ""
  const known = kubernetesKind(apiVersion, kind)
  if (known === undefined) {
    return policyApiRules(apiVersion, kind) ?? calicoRules(apiVersion, kind) ?? ciliumRules(apiVersion, kind)
  }
  const toModel = kubernetesParts[`${apiVersion}/${kind}`] ?? ((): ModelPart => ({ kind: "none" }))
  return { namespaced: known.namespaced, validate: validateObject, toModel }
}

function policyApiRules(apiVersion: string, kind: string): KindRules | undefined {
  const known = Object.hasOwn(policyApiKinds, kind) ? policyApiKinds[kind] : undefined
  if (known?.apiVersion !== apiVersion) return undefined
  const toModel = (object: ManifestObject): ModelPart => ({ kind: "policies", value: [policyApiToModel(object)] })
  return { namespaced: false, validate: validatePolicyApiObject, toModel }
}

function calicoRules(apiVersion: string, kind: string): KindRules | undefined {
  const known = Object.hasOwn(calicoKinds, kind) ? calicoKinds[kind] : undefined
  if (known === undefined || !calicoApiVersions.includes(apiVersion)) return undefined
  return { namespaced: known.namespaced, validate: validateCalicoObject, toModel: calicoPart }
}

/** Profiles and host endpoints are read and checked; no endpoint of Heddle's has them yet. */
function calicoPart(object: ManifestObject): ModelPart {
  const kind = textAt(object.value, "kind") ?? ""
  if (kind === "Tier") return { kind: "tier", value: tierToModel(object.value) }
  if (kind.endsWith("NetworkSet")) return { kind: "networkSet", value: networkSetToModel(object.value) }
  return kind.endsWith("NetworkPolicy") ? { kind: "policies", value: [calicoPolicyToModel(object)] } : { kind: "none" }
}

function ciliumRules(apiVersion: string, kind: string): KindRules | undefined {
  const known = Object.hasOwn(ciliumKinds, kind) ? ciliumKinds[kind] : undefined
  if (known === undefined || !known.apiVersions.includes(apiVersion)) return undefined
  const toModel = (object: ManifestObject): ModelPart =>
    kind === "CiliumCIDRGroup"
      ? { kind: "networkSet", value: cidrGroupToModel(object.value) }
      : { kind: "policies", value: ciliumPolicyToModel(object) }
  return { namespaced: known.namespaced, validate: validateCiliumObject, toModel }
}

const kubernetesParts: Readonly<Record<string, (object: ManifestObject) => ModelPart>> = {
  "v1/Namespace": ({ value }) => ({ kind: "namespace", value: namespaceToModel(value) }),
  "v1/Node": ({ value }) => ({ kind: "node", value: nodeToModel(value) }),
  "v1/ServiceAccount": ({ value }) => ({ kind: "serviceAccount", value: serviceAccountToModel(value) }),
  "v1/Service": ({ value }) => ({ kind: "service", value: serviceToModel(value) }),
  "discovery.k8s.io/v1/EndpointSlice": ({ value }) => ({ kind: "slice", value: endpointSliceToModel(value) }),
  "v1/Pod": ({ value }) => {
    const place = placePod(value)
    const node = place.kind === "endpoint" ? place.endpoint.node : place.kind === "host" ? place.node : ""
    return { kind: "pod", place, node, hostAddresses: node === "" ? [] : podHostAddresses(value) }
  },
  "networking.k8s.io/v1/NetworkPolicy": (object) => ({ kind: "policies", value: [networkPolicyToModel(object)] }),
}

/** API groups whose objects decide about packets: one that is not understood is refused, never ignored. */
const policyGroups = /(^|\.)(networking\.k8s\.io|policy\.networking\.k8s\.io|projectcalico\.org|cilium\.io)$/

/**
 * What to say of an object whose kind no dialect knows: an error when it may be a policy or is a misspelt kind or outdated
 * version of a known one, else a warning that it is ignored.
 */
export function unknownKindProblem(object: ManifestObject): Problem {
  const { value } = object
  const problem = (
    field: string,
    message: string,
    hint?: string,
    severity: Problem["severity"] = "error",
  ): Problem => ({
    origin: object.originAt(field === "" ? [] : [field]),
    path: fieldPathText(field === "" ? [] : [field]),
    message,
    severity,
    ...(hint === undefined ? {} : { hint }),
  })
  if (!isRecord(value)) return problem("", "a manifest must be an object with apiVersion and kind")
  const apiVersion = textAt(value, "apiVersion")
  const kind = textAt(value, "kind")
  if (!apiVersion) return problem("apiVersion", "apiVersion is required, as a text", "for example networking.k8s.io/v1")
  if (!kind) return problem("kind", "kind is required, as a text", "for example NetworkPolicy")
  const group = groupOf(apiVersion)
  const policyApi = Object.entries(policyApiKinds).map(([name, { apiVersion: version }]) => `${version}/${name}`)
  const known = [...kubernetesKinds(), ...policyApi].map((name) => ({
    apiVersion: name.slice(0, name.lastIndexOf("/")),
    kind: name.slice(name.lastIndexOf("/") + 1),
  }))
  const ownGroup = known.some((candidate) => groupOf(candidate.apiVersion) === group) || group === "extensions"
  if (ownGroup) {
    const elsewhere = known.find((candidate) => candidate.kind === kind)
    if (elsewhere !== undefined) {
      return problem("apiVersion", `there is no ${kind} in ${apiVersion}`, `write apiVersion: ${elsewhere.apiVersion}`)
    }
    const near = nearestWord(
      kind,
      known.filter((candidate) => candidate.apiVersion === apiVersion).map((candidate) => candidate.kind),
    )
    if (near !== undefined) return problem("kind", `there is no kind ${kind} in ${apiVersion}`, `did you mean ${near}?`)
  }
  if (policyGroups.test(group)) {
    return problem(
      "kind",
      `${apiVersion} ${kind} is not supported, and it may decide about packets`,
      "it is refused rather than ignored",
    )
  }
  return problem("kind", `${apiVersion} ${kind} is ignored: it does not decide about packets`, undefined, "warning")
}
