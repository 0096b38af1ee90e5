import { calicoTypes } from "../calico/schema.ts"
import type { ObjectTypes } from "../schema.ts"

/** Kind → API versions and whether it is namespaced. */
export const ciliumKinds: Readonly<
  Record<string, { readonly namespaced: boolean; readonly apiVersions: readonly string[] }>
> = {
  CiliumNetworkPolicy: { namespaced: true, apiVersions: ["cilium.io/v2"] },
  CiliumClusterwideNetworkPolicy: { namespaced: false, apiVersions: ["cilium.io/v2"] },
  CiliumCIDRGroup: { namespaced: false, apiVersions: ["cilium.io/v2", "cilium.io/v2alpha1"] },
}

const policy = {
  apiVersion: "string",
  kind: "string",
  metadata: "Metadata",
  spec: "Rule",
  specs: "[]Rule",
  status: "any",
}

const ingressPeers = {
  fromEndpoints: "[]LabelSelector",
  fromRequires: "[]LabelSelector",
  fromCIDR: "[]string",
  fromCIDRSet: "[]CIDRRule",
  fromEntities: "[]string",
  fromGroups: "[]any",
  fromNodes: "[]LabelSelector",
  icmps: "[]ICMPRule",
}

const egressPeers = {
  toEndpoints: "[]LabelSelector",
  toRequires: "[]LabelSelector",
  toCIDR: "[]string",
  toCIDRSet: "[]CIDRRule",
  toEntities: "[]string",
  toServices: "[]Service",
  toGroups: "[]any",
  toNodes: "[]LabelSelector",
  icmps: "[]ICMPRule",
}

/** Fields of Cilium's policy objects (`pkg/policy/api` of cilium/cilium), in the notation of `checkForm`. */
export const ciliumTypes: ObjectTypes = {
  CiliumNetworkPolicy: policy,
  CiliumClusterwideNetworkPolicy: policy,
  CiliumCIDRGroup: { apiVersion: "string", kind: "string", metadata: "Metadata", spec: "CIDRGroupSpec" },
  CIDRGroupSpec: { externalCIDRs: "[]string" },
  Rule: {
    endpointSelector: "LabelSelector",
    nodeSelector: "LabelSelector",
    ingress: "[]IngressRule",
    ingressDeny: "[]IngressDenyRule",
    egress: "[]EgressRule",
    egressDeny: "[]EgressDenyRule",
    labels: "[]Label",
    enableDefaultDeny: "DefaultDeny",
    description: "string",
    log: "Log",
  },
  Label: { key: "string", value: "string", source: "string", cidr: "any" },
  DefaultDeny: { ingress: "boolean", egress: "boolean" },
  Log: { value: "string" },
  IngressRule: { ...ingressPeers, toPorts: "[]PortRule", authentication: "Authentication" },
  IngressDenyRule: { ...ingressPeers, toPorts: "[]PortDenyRule" },
  EgressRule: { ...egressPeers, toFQDNs: "[]FQDN", toPorts: "[]PortRule", authentication: "Authentication" },
  EgressDenyRule: { ...egressPeers, toPorts: "[]PortDenyRule" },
  Authentication: { mode: "string" },
  FQDN: { matchName: "string", matchPattern: "string" },
  CIDRRule: { cidr: "string", cidrGroupRef: "string", cidrGroupSelector: "LabelSelector", except: "[]string" },
  Service: { k8sService: "K8sService", k8sServiceSelector: "K8sServiceSelector" },
  K8sService: { serviceName: "string", namespace: "string" },
  K8sServiceSelector: { selector: "LabelSelector", namespace: "string" },
  ICMPRule: { fields: "[]ICMPField" },
  ICMPField: { family: "string", type: "intOrString" },
  PortRule: {
    ports: "[]PortProtocol",
    terminatingTLS: "any",
    originatingTLS: "any",
    serverNames: "[]string",
    listener: "any",
    rules: "L7Rules",
  },
  PortDenyRule: { ports: "[]PortProtocol" },
  PortProtocol: { port: "string", endPort: "integer", protocol: "string" },
  L7Rules: { http: "[]any", dns: "[]any", kafka: "[]any", l7proto: "string", l7: "[]any" },
  LabelSelector: { matchLabels: "{}string", matchExpressions: "[]LabelSelectorRequirement" },
  LabelSelectorRequirement: { key: "string", operator: "string", values: "[]string" },
  Metadata: calicoTypes["Metadata"] ?? {},
}
