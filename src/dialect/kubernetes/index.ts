/** The Kubernetes dialect: core objects and networking.k8s.io/v1 NetworkPolicy. */
export { groupOf, type Identity, identityOf } from "./metadata.ts"
export { implicitNamespace, NAMESPACE_NAME_LABEL, namespaceToModel, serviceAccountToModel } from "./namespace.ts"
export { networkPolicyToModel } from "./network-policy.ts"
export { nodeToModel } from "./node.ts"
export { ADDRESS_ANNOTATION, type PodPlace, placePod, podAddresses, podHostAddresses, podToEndpoint } from "./pod.ts"
export { kubernetesKind, kubernetesKinds, type ValidationOptions, validateObject } from "./validate.ts"
