/** The Calico dialect: tiers, policies, their staged forms, network sets. */
import type { ManifestObject } from "../../model/manifest.ts"
import type { Policy } from "../../model/policy.ts"
import { networkPolicyToModel } from "../kubernetes/network-policy.ts"
import { listAt, recordAt, textAt } from "../read.ts"
import { CALICO_GROUP, type CalicoPolicy, policyToModel } from "./translate.ts"

export { networkSetToModel } from "./network-set.ts"
export { calicoApiVersions, calicoKinds } from "./schema.ts"
export { tierToModel } from "./translate.ts"
export { validateCalicoObject } from "./validate.ts"

/** The model of a valid policy of any of Calico's kinds. */
export function calicoPolicyToModel(object: ManifestObject): Policy {
  if (textAt(object.value, "kind") === "StagedKubernetesNetworkPolicy") return stagedKubernetesToModel(object)
  return policyToModel(object.value as CalicoPolicy, (path) => object.originAt(path))
}

/** A staged Kubernetes policy has NetworkPolicy's own fields; with egress rules alone it is of both types, as Calico has it. */
function stagedKubernetesToModel(object: ManifestObject): Policy {
  const policy = networkPolicyToModel(object)
  const spec = recordAt(object.value, "spec")
  const onlyEgress = listAt(spec, "policyTypes").length === 0 && listAt(spec, "egress").length > 0
  return {
    ...policy,
    group: CALICO_GROUP,
    kind: "StagedKubernetesNetworkPolicy",
    ...(onlyEgress && policy.ingress === undefined ? { ingress: { isolates: true, rules: [] } } : {}),
    mode: textAt(spec, "stagedAction") === "Delete" ? "stagedDelete" : "staged",
  }
}
