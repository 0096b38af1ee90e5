/** The Cilium dialect: CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, CiliumCIDRGroup. */
export { ciliumKinds } from "./schema.ts"
export { cidrGroupToModel, ciliumPolicyToModel } from "./translate.ts"
export { validateCiliumObject } from "./validate.ts"
