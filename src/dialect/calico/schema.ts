import type { ObjectTypes } from "../schema.ts"

/** API versions under which Calico's objects are written: the aggregated API's, and the resources' that store them. */
export const calicoApiVersions: readonly string[] = ["projectcalico.org/v3", "crd.projectcalico.org/v1"]

/** Kind → whether it is namespaced. */
export const calicoKinds: Readonly<Record<string, { readonly namespaced: boolean }>> = {
  Tier: { namespaced: false },
  NetworkPolicy: { namespaced: true },
  GlobalNetworkPolicy: { namespaced: false },
  StagedNetworkPolicy: { namespaced: true },
  StagedGlobalNetworkPolicy: { namespaced: false },
  StagedKubernetesNetworkPolicy: { namespaced: true },
  NetworkSet: { namespaced: true },
  GlobalNetworkSet: { namespaced: false },
  Profile: { namespaced: false },
  HostEndpoint: { namespaced: false },
}

const object = { apiVersion: "string", kind: "string", metadata: "Metadata" }

const namespacedPolicy = {
  tier: "string",
  order: "number",
  ingress: "[]Rule",
  egress: "[]Rule",
  selector: "string",
  types: "[]string",
  serviceAccountSelector: "string",
  performanceHints: "[]string",
}

const globalPolicy = {
  ...namespacedPolicy,
  namespaceSelector: "string",
  doNotTrack: "boolean",
  preDNAT: "boolean",
  applyOnForward: "boolean",
}

/** Fields of Calico's objects (`api/pkg/apis/projectcalico/v3` of projectcalico/calico), in the notation of `checkForm`. */
export const calicoTypes: ObjectTypes = {
  Tier: { ...object, spec: "TierSpec", status: "any" },
  TierSpec: { order: "number", defaultAction: "string" },
  NetworkPolicy: { ...object, spec: "NetworkPolicySpec" },
  NetworkPolicySpec: namespacedPolicy,
  GlobalNetworkPolicy: { ...object, spec: "GlobalNetworkPolicySpec" },
  GlobalNetworkPolicySpec: globalPolicy,
  StagedNetworkPolicy: { ...object, spec: "StagedNetworkPolicySpec" },
  StagedNetworkPolicySpec: { ...namespacedPolicy, stagedAction: "string" },
  StagedGlobalNetworkPolicy: { ...object, spec: "StagedGlobalNetworkPolicySpec" },
  StagedGlobalNetworkPolicySpec: { ...globalPolicy, stagedAction: "string" },
  StagedKubernetesNetworkPolicy: { ...object, spec: "StagedKubernetesNetworkPolicySpec" },
  StagedKubernetesNetworkPolicySpec: {
    stagedAction: "string",
    podSelector: "any",
    ingress: "any",
    egress: "any",
    policyTypes: "any",
  },
  Rule: {
    action: "string",
    ipVersion: "integer",
    protocol: "intOrString",
    icmp: "Icmp",
    notProtocol: "intOrString",
    notICMP: "Icmp",
    source: "EntityRule",
    destination: "EntityRule",
    http: "Http",
    metadata: "RuleMetadata",
  },
  RuleMetadata: { annotations: "{}string" },
  Icmp: { type: "integer", code: "integer" },
  Http: { methods: "[]string", paths: "[]HttpPath" },
  HttpPath: { exact: "string", prefix: "string" },
  EntityRule: {
    nets: "[]string",
    notNets: "[]string",
    selector: "string",
    notSelector: "string",
    namespaceSelector: "string",
    ports: "[]intOrString",
    notPorts: "[]intOrString",
    serviceAccounts: "ServiceAccountMatch",
    services: "ServiceMatch",
  },
  ServiceAccountMatch: { names: "[]string", selector: "string" },
  ServiceMatch: { name: "string", namespace: "string" },
  NetworkSet: { ...object, spec: "NetworkSetSpec" },
  NetworkSetSpec: { nets: "[]string" },
  GlobalNetworkSet: { ...object, spec: "NetworkSetSpec" },
  Profile: { ...object, spec: "ProfileSpec" },
  ProfileSpec: { ingress: "[]Rule", egress: "[]Rule", labelsToApply: "{}string" },
  HostEndpoint: { ...object, spec: "HostEndpointSpec" },
  HostEndpointSpec: {
    node: "string",
    interfaceName: "string",
    expectedIPs: "[]string",
    profiles: "[]string",
    ports: "[]EndpointPort",
  },
  EndpointPort: { name: "string", protocol: "intOrString", port: "integer" },
  Metadata: {
    name: "string",
    namespace: "string",
    labels: "{}string",
    annotations: "{}string",
    uid: "string",
    resourceVersion: "string",
    generation: "integer",
    generateName: "string",
    creationTimestamp: "string",
    deletionTimestamp: "string",
    deletionGracePeriodSeconds: "integer",
    finalizers: "[]string",
    ownerReferences: "[]any",
    managedFields: "[]any",
    selfLink: "string",
  },
}
