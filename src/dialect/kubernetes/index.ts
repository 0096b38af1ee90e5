/** The Kubernetes dialect: core objects and networking.k8s.io/v1 NetworkPolicy. */
export { groupOf, identityOf } from "./metadata.ts"
export { implicitNamespace, namespaceToModel, serviceAccountToModel } from "./namespace.ts"
export { networkPolicyToModel } from "./network-policy.ts"
export { nodeToModel } from "./node.ts"
export { type PodPlace, placePod, podAddresses, podHostAddresses } from "./pod.ts"
export {
  backendsOfPods,
  endpointSliceToModel,
  mergedBackends,
  type SelectablePod,
  type ServiceDeclaration,
  type SliceDeclaration,
  selectsPod,
  serviceToModel,
} from "./service.ts"
export { kubernetesKind, kubernetesKinds, type ValidationOptions, validateObject } from "./validate.ts"
