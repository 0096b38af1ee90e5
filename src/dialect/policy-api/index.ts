/** The policy-api dialect: ClusterNetworkPolicy v1alpha2, AdminNetworkPolicy and BaselineAdminNetworkPolicy v1alpha1. */
export { policyApiKinds } from "./schema.ts"
export { policyApiToModel } from "./translate.ts"
export { validatePolicyApiObject } from "./validate.ts"
