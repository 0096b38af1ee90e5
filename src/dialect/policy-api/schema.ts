import { kubernetesTypes } from "../kubernetes/validate.ts"
import type { ObjectTypes } from "../schema.ts"

/** API group of SIG network's policy API. */
export const POLICY_API_GROUP = "policy.networking.k8s.io"

/** What a kind of the policy API allows; limits are those of its CRD. */
export interface PolicyApiKind {
  readonly apiVersion: string
  /** Object type in `policyApiTypes`. */
  readonly type: string
  readonly actions: readonly string[]
  /** Most entries of a list of rules, and of peers and ports in a rule. */
  readonly maxRules: number
  readonly maxEntries: number
  /** Field of a rule that lists ports. */
  readonly portsField: "protocols" | "ports"
}

const alpha1 = `${POLICY_API_GROUP}/v1alpha1`
const alpha2 = `${POLICY_API_GROUP}/v1alpha2`

/** The kinds by name. All are cluster-wide. */
export const policyApiKinds: Readonly<Record<string, PolicyApiKind>> = {
  ClusterNetworkPolicy: {
    apiVersion: alpha2,
    type: "ClusterNetworkPolicy",
    actions: ["Accept", "Deny", "Pass"],
    maxRules: 25,
    maxEntries: 25,
    portsField: "protocols",
  },
  AdminNetworkPolicy: {
    apiVersion: alpha1,
    type: "AdminNetworkPolicy",
    actions: ["Allow", "Deny", "Pass"],
    maxRules: 100,
    maxEntries: 100,
    portsField: "ports",
  },
  BaselineAdminNetworkPolicy: {
    apiVersion: alpha1,
    type: "BaselineAdminNetworkPolicy",
    actions: ["Allow", "Deny"],
    maxRules: 100,
    maxEntries: 100,
    portsField: "ports",
  },
}

const object = { apiVersion: "string", kind: "string", metadata: "ObjectMeta", status: "PolicyStatus" }
const insidePeer = { namespaces: "LabelSelector", pods: "NamespacedPod" }
const outsidePeer = { ...insidePeer, nodes: "LabelSelector", networks: "[]string" }
const rule = { name: "string", action: "string" }
const spec = { subject: "Subject" }
const protocolPort = { destinationPort: "Port" }

/** Fields of the objects (`apis/v1alpha1` and `apis/v1alpha2` of kubernetes-sigs/network-policy-api), experimental ones included. */
export const policyApiTypes: ObjectTypes = {
  ...kubernetesTypes,
  PolicyStatus: { conditions: "[]Condition" },
  Subject: insidePeer,
  NamespacedPod: { namespaceSelector: "LabelSelector", podSelector: "LabelSelector" },
  InsidePeer: insidePeer,

  ClusterNetworkPolicy: { ...object, spec: "ClusterNetworkPolicySpec" },
  ClusterNetworkPolicySpec: {
    ...spec,
    tier: "string",
    priority: "integer",
    ingress: "[]IngressRule",
    egress: "[]EgressRule",
  },
  IngressRule: { ...rule, from: "[]InsidePeer", protocols: "[]Protocol" },
  EgressRule: { ...rule, to: "[]EgressPeer", protocols: "[]Protocol" },
  EgressPeer: { ...outsidePeer, domainNames: "[]string" },
  Protocol: { tcp: "ProtocolPort", udp: "ProtocolPort", sctp: "ProtocolPort", destinationNamedPort: "string" },
  ProtocolPort: protocolPort,
  Port: { number: "integer", range: "PortRange" },
  PortRange: { start: "integer", end: "integer" },

  AdminNetworkPolicy: { ...object, spec: "AdminNetworkPolicySpec" },
  AdminNetworkPolicySpec: { ...spec, priority: "integer", ingress: "[]AdminIngressRule", egress: "[]AdminEgressRule" },
  AdminIngressRule: { ...rule, from: "[]InsidePeer", ports: "[]AdminPort" },
  AdminEgressRule: { ...rule, to: "[]EgressPeer", ports: "[]AdminPort" },
  AdminPort: { portNumber: "AdminPortNumber", namedPort: "string", portRange: "AdminPortRange" },
  AdminPortNumber: { protocol: "string", port: "integer" },
  AdminPortRange: { protocol: "string", start: "integer", end: "integer" },

  BaselineAdminNetworkPolicy: { ...object, spec: "BaselineAdminNetworkPolicySpec" },
  BaselineAdminNetworkPolicySpec: { ...spec, ingress: "[]AdminIngressRule", egress: "[]BaselineEgressRule" },
  BaselineEgressRule: { ...rule, to: "[]BaselineEgressPeer", ports: "[]AdminPort" },
  BaselineEgressPeer: outsidePeer,
}
