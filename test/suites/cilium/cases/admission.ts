import { type Case, namespace } from "../../builders.ts"
import { ccnp, cidrGroup, cnp, podA, podB, ports } from "../builders.ts"

/** What Cilium's admission takes and refuses (1–9). */
const before = [namespace("x", { "kubernetes.io/metadata.name": "x" })]

const judged = (admit: "accept" | "reject", number: number, name: string, manifest: object): Case => ({
  ...{
    name: `Cilium ${admit === "accept" ? "takes" : "refuses"} ${name}`,
    tags: ["cilium", "admission", `item-${number}`],
  },
  ...{ manifests: [...before, manifest], admit },
})
const accept = (number: number, name: string, manifest: object): Case => judged("accept", number, name, manifest)
const reject = (number: number, name: string, manifest: object): Case => judged("reject", number, name, manifest)

const policy = (spec: object): object => cnp("x/p", { endpointSelector: podA, ...spec })
const into = (entry: object): object => policy({ ingress: [entry] })
const outOf = (entry: object): object => policy({ egress: [entry] })
const onPort = (port: object): object => into({ toPorts: [{ ports: [port] }] })
const many = (count: number): readonly string[] => Array.from({ length: count }, (_, i) => `${1000 + i}/TCP`)
const fields = (count: number): readonly object[] =>
  Array.from({ length: count }, (_, i) => ({ type: i, family: "IPv4" }))

export const admission: readonly Case[] = [
  accept(1, "a policy with one spec", into({ fromEndpoints: [podB] })),
  accept(
    1,
    "a policy with several specs",
    cnp("x/p", [
      { endpointSelector: podA, ingress: [{}] },
      { endpointSelector: podB, egress: [{}] },
    ]),
  ),
  accept(1, "a clusterwide policy", ccnp("p", { endpointSelector: {}, ingress: [{ fromEntities: ["cluster"] }] })),
  accept(1, "a description and labels", policy({ description: "why", ingress: [{}] })),
  reject(1, "a rule without a subject", cnp("x/p", { ingress: [{}] })),
  reject(1, "a rule with both subjects", ccnp("p", { endpointSelector: {}, nodeSelector: {}, ingress: [{}] })),
  reject(1, "a namespaced policy for nodes", cnp("x/p", { nodeSelector: {}, ingress: [{}] })),
  reject(1, "a policy without spec and specs", {
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name: "p", namespace: "x" },
  }),
  reject(1, "a log value of 33 characters", policy({ ingress: [{}], log: { value: "v".repeat(33) } })),
  reject(1, "an unknown field of a rule", policy({ ingres: [{}], ingress: [{}] })),
  reject(1, "an unknown field of an entry", into({ fromEndpoint: [podB] })),
  reject(2, "a rule with no section", policy({})),
  reject(2, "a rule whose only section is empty", policy({ ingress: [] })),
  reject(2, "a rule whose sections are all empty", policy({ ingress: [], egress: [], ingressDeny: [] })),
  accept(2, "a rule with one section of two that is not empty", policy({ ingress: [], egress: [{}] })),
  reject(3, "endpoints and blocks in one entry", into({ fromEndpoints: [podB], fromCIDR: ["198.51.100.0/24"] })),
  reject(3, "endpoints and entities in one entry", into({ fromEndpoints: [podB], fromEntities: ["world"] })),
  reject(
    3,
    "blocks and block sets in one entry",
    into({ fromCIDR: ["198.51.100.0/24"], fromCIDRSet: [{ cidr: "203.0.113.0/24" }] }),
  ),
  reject(
    3,
    "entities and block sets in one egress entry",
    outOf({ toEntities: ["world"], toCIDRSet: [{ cidr: "203.0.113.0/24" }] }),
  ),
  reject(
    3,
    "endpoints and Services in one egress entry",
    outOf({ toEndpoints: [podB], toServices: [{ k8sService: { serviceName: "s", namespace: "x" } }] }),
  ),
  reject(3, "names in a denial of egress", policy({ egressDeny: [{ toFQDNs: [{ matchName: "example.com" }] }] })),
  reject(3, "receivers in an ingress entry", into({ toEndpoints: [podB] })),
  reject(4, "fromRequires", into({ fromRequires: [podB] })),
  reject(4, "toRequires", outOf({ toRequires: [podB] })),
  accept(6, "forty ports in one port rule", into({ toPorts: ports(...many(40)) })),
  reject(6, "forty-one ports in one port rule", into({ toPorts: ports(...many(41)) })),
  reject(6, "forty-one ICMP fields", into({ icmps: [{ fields: fields(41) }] })),
  reject(6, "ICMP and ports in one entry", into({ icmps: [{ fields: fields(1) }], toPorts: ports("80/TCP") })),
  accept(7, "a port without protocol", onPort({ port: "80" })),
  accept(7, "a port by name", onPort({ port: "web", protocol: "TCP" })),
  accept(7, "an end below the port", onPort({ port: "80", endPort: 70, protocol: "TCP" })),
  reject(7, "a port above 65535", onPort({ port: "65536", protocol: "TCP" })),
  reject(7, "a port that is a number, not text", onPort({ port: 80, protocol: "TCP" })),
  reject(7, "a negative port", onPort({ port: "-1", protocol: "TCP" })),
  reject(7, "an unknown protocol", onPort({ port: "80", protocol: "QUIC" })),
  reject(7, "protocol ICMP for a port", onPort({ port: "80", protocol: "ICMP" })),
  reject(7, "an end above 65535", onPort({ port: "80", endPort: 65536, protocol: "TCP" })),
  reject(
    8,
    "HTTP rules on UDP",
    into({ toPorts: [{ ports: [{ port: "80", protocol: "UDP" }], rules: { http: [{}] } }] }),
  ),
  reject(
    8,
    "HTTP rules on port 0",
    into({ toPorts: [{ ports: [{ port: "0", protocol: "TCP" }], rules: { http: [{}] } }] }),
  ),
  reject(
    8,
    "DNS rules on ingress",
    into({ toPorts: [{ ports: [{ port: "53", protocol: "UDP" }], rules: { dns: [{ matchPattern: "*" }] } }] }),
  ),
  reject(
    8,
    "two layer-7 families in one port rule",
    outOf({
      toPorts: [{ ports: [{ port: "80", protocol: "TCP" }], rules: { http: [{}], dns: [{ matchPattern: "*" }] } }],
    }),
  ),
  reject(
    8,
    "layer-7 rules in a denial",
    policy({ ingressDeny: [{ toPorts: [{ ports: [{ port: "80", protocol: "TCP" }], rules: { http: [{}] } }] }] }),
  ),
  accept(
    9,
    "an exception inside its block",
    into({ fromCIDRSet: [{ cidr: "198.51.0.0/16", except: ["198.51.100.0/24"] }] }),
  ),
  reject(
    9,
    "an exception outside its block",
    into({ fromCIDRSet: [{ cidr: "198.51.0.0/16", except: ["203.0.113.0/24"] }] }),
  ),
  reject(
    9,
    "a block and a group in one item",
    into({ fromCIDRSet: [{ cidr: "198.51.0.0/16", cidrGroupRef: "office" }] }),
  ),
  reject(
    9,
    "a group by name and by labels in one item",
    into({ fromCIDRSet: [{ cidrGroupRef: "office", cidrGroupSelector: podA }] }),
  ),
  reject(9, "a block set item that says nothing", into({ fromCIDRSet: [{}] })),
  reject(9, "a block that cannot be read", into({ fromCIDR: ["198.51.100.0/33"] })),
  reject(
    9,
    "an exception that cannot be read",
    into({ fromCIDRSet: [{ cidr: "198.51.0.0/16", except: ["198.51.100"] }] }),
  ),
  accept(9, "a CIDR group", cidrGroup("office", ["198.51.100.0/24", "2001:db8::/32"])),
  reject(9, "a CIDR group with a block that cannot be read", cidrGroup("office", ["198.51.100.0/40"])),
  reject(45, "an unknown entity", into({ fromEntities: ["everyone"] })),
  accept(
    45,
    "every entity that there is",
    into({
      fromEntities: [
        "all",
        "world",
        "cluster",
        "host",
        "init",
        "ingress",
        "unmanaged",
        "remote-node",
        "health",
        "none",
        "kube-apiserver",
      ],
    }),
  ),
  reject(
    24,
    "In without values",
    cnp("x/p", { endpointSelector: { matchExpressions: [{ key: "app", operator: "In" }] }, ingress: [{}] }),
  ),
  reject(
    24,
    "an unknown operator",
    into({ fromEndpoints: [{ matchExpressions: [{ key: "app", operator: "Equals", values: ["a"] }] }] }),
  ),
  reject(63, "an unknown ICMP type by name", into({ icmps: [{ fields: [{ type: "EchoRequests", family: "IPv4" }] }] })),
  reject(63, "an ICMP type above 255", into({ icmps: [{ fields: [{ type: 256, family: "IPv4" }] }] })),
  reject(63, "an unknown family of ICMP", into({ icmps: [{ fields: [{ type: 8, family: "IPv5" }] }] })),
]
