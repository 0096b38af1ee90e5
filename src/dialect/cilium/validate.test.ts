import { describe, expect, test } from "vitest"
import { ccnp, cidrGroup, cnp, podA, podB, ports } from "../../../test/suites/cilium/builders.ts"
import { manifestAt } from "../../model/manifest.ts"
import { validateCiliumObject } from "./index.ts"

/** Which objects are taken and refused is in test/suites/cilium; here, where it is said and in what words. */
const origin = { file: "f.yaml", line: 1, column: 1 }
const problemsOf = (value: object): string[] =>
  validateCiliumObject(manifestAt(value, origin)).map(({ path, message, hint, severity }) => {
    return `${severity === "warning" ? "warning " : ""}${path}: ${message}${hint === undefined ? "" : ` (${hint})`}`
  })
const into = (entry: object): object => cnp("x/p", { endpointSelector: podA, ingress: [entry] })
const outOf = (entry: object): object => cnp("x/p", { endpointSelector: podA, egress: [entry] })
const onPort = (port: object): object => into({ toPorts: [{ ports: [port] }] })
const withRules = (rules: object): object => into({ toPorts: [{ ports: [{ port: "80", protocol: "TCP" }], ...rules }] })

describe("each mistake at its field, in words that help", () => {
  test.each<[object, RegExp]>([
    [
      { apiVersion: "cilium.io/v2", kind: "CiliumNetworkPolicy", metadata: { name: "p", namespace: "x" } },
      /^: needs spec or specs$/,
    ],
    [cnp("x/p", { ingress: [{}] }), /^spec: needs an endpointSelector/],
    [
      cnp("x/p", [{ endpointSelector: {}, ingress: [{}] }, { endpointSelector: {} }]),
      /^specs\[1\]: at least one of ingress, .*`ingress: \[\{\}\]`/,
    ],
    [
      cnp("x/p", { endpointSelecter: podA, endpointSelector: podA, ingress: [{}] }),
      /^spec\.endpointSelecter: unknown field \(did you mean endpointSelector\?\)$/,
    ],
    [
      cnp("x/p", { nodeSelector: {}, ingress: [{}] }),
      /^spec\.nodeSelector: is for CiliumClusterwideNetworkPolicy only$/,
    ],
    [
      ccnp("p", { nodeSelector: {}, ingress: [{}] }),
      /^spec\.nodeSelector: policies for nodes themselves cannot be enforced yet/,
    ],
    [
      cnp("x/p", { endpointSelector: {}, ingress: [{}], log: { value: "a\tb" } }),
      /^spec\.log\.value: must be at most 32 printable/,
    ],
    [
      cnp("x/p", { endpointSelector: { matchLabels: { "a b": "c" } }, ingress: [{}] }),
      /^spec\.endpointSelector\.matchLabels/,
    ],
    [
      into({ fromEndpoint: [podB] }),
      /^spec\.ingress\[0\]\.fromEndpoint: unknown field \(did you mean fromEndpoints\?\)$/,
    ],
    [
      into({ fromEndpoints: [podB], fromEntities: ["world"] }),
      /^spec\.ingress\[0\]: fromEndpoints and fromEntities may not stand in one entry/,
    ],
    [
      outOf({ toCIDR: ["10.0.0.0/8"], toServices: [{ k8sService: { serviceName: "s" } }] }),
      /^spec\.egress\[0\]: toCIDR and toServices may not/,
    ],
    [into({ fromRequires: [podB] }), /^spec\.ingress\[0\]\.fromRequires: is no longer part of the API/],
    [into({ fromNodes: [{}] }), /^spec\.ingress\[0\]\.fromNodes: node selectors are not enabled/],
    [into({ fromGroups: [{ aws: {} }] }), /^spec\.ingress\[0\]\.fromGroups: /],
    [
      outOf({ toFQDNs: [{ matchName: "example.com" }] }),
      /^spec\.egress\[0\]\.toFQDNs: DNS names as peers cannot be enforced yet/,
    ],
    [outOf({ toServices: [{}] }), /^spec\.egress\[0\]\.toServices\[0\]: needs k8sService or k8sServiceSelector/],
    [
      outOf({ toServices: [{ k8sService: { namespace: "x" } }] }),
      /^spec\.egress\[0\]\.toServices\[0\]\.k8sService\.serviceName: a service name/,
    ],
    [
      outOf({ toServices: [{ k8sServiceSelector: { namespace: "x" } }] }),
      /^spec\.egress\[0\]\.toServices\[0\]\.k8sServiceSelector\.selector: a selector/,
    ],
    [
      outOf({
        toServices: [{ k8sServiceSelector: { selector: { matchExpressions: [{ key: "a", operator: "Is" }] } } }],
      }),
      /toServices\[0\]\.k8sServiceSelector\.selector\.matchExpressions\[0\]\.operator/,
    ],
    [
      outOf({ toServices: [{ k8sService: { serviceName: "s" }, k8sServiceSelector: { selector: {} } }] }),
      /^spec\.egress\[0\]\.toServices\[0\]: k8sService and k8sServiceSelector in one item/,
    ],
    [
      into({ fromEntities: ["cluster", "wrld"] }),
      /^spec\.ingress\[0\]\.fromEntities\[1\]: unknown entity "wrld" \(did you mean world\?\)$/,
    ],
    [into({ fromEntities: ["world-ipv4"] }), /^spec\.ingress\[0\]\.fromEntities\[0\]: unknown entity "world-ipv4"/],
    [
      into({ fromCIDR: ["10.0.0.0/8", "10.0.0.0/33"] }),
      /^spec\.ingress\[0\]\.fromCIDR\[1\]: "10\.0\.0\.0\/33" is neither/,
    ],
    [
      into({ fromCIDRSet: [{ cidr: "10.0.0.1" }] }),
      /^spec\.ingress\[0\]\.fromCIDRSet\[0\]\.cidr: "10\.0\.0\.1" is no block \(write 10\.0\.0\.1\/32\)$/,
    ],
    [
      into({ fromCIDRSet: [{ cidr: "fd00::1" }] }),
      /^spec\.ingress\[0\]\.fromCIDRSet\[0\]\.cidr: "fd00::1" is no block \(write fd00::1\/128\)$/,
    ],
    [
      into({ fromCIDRSet: [{ cidr: "10.0.0.0/8", except: ["10.1.0.0/16", "11.0.0.0/8"] }] }),
      /^spec\.ingress\[0\]\.fromCIDRSet\[0\]\.except\[1\]: 11\.0\.0\.0\/8 must lie inside/,
    ],
    [
      into({ fromCIDRSet: [{ cidr: "10.0.0.0/8", cidrGroupRef: "g" }] }),
      /^spec\.ingress\[0\]\.fromCIDRSet\[0\]: needs exactly one of/,
    ],
    [
      into({ fromCIDRSet: [{ cidrGroupRef: "g", except: ["10.0.0.0/8"] }] }),
      /^spec\.ingress\[0\]\.fromCIDRSet\[0\]\.except: is not allowed with a CIDR group$/,
    ],
    [
      into({ toPorts: ports("80/TCP"), icmps: [{ fields: [{ type: 8 }] }] }),
      /^spec\.ingress\[0\]\.icmps: icmps and toPorts exclude each other/,
    ],
    [
      onPort({ port: "65536", protocol: "TCP" }),
      /^spec\.ingress\[0\]\.toPorts\[0\]\.ports\[0\]\.port: port 65536 is above 65535$/,
    ],
    [
      onPort({ port: "web_1" }),
      /^spec\.ingress\[0\]\.toPorts\[0\]\.ports\[0\]\.port: "web_1" is neither a port nor a port's name/,
    ],
    [onPort({ port: "abcdefghijklmnop" }), /ports\[0\]\.port: "abcdefghijklmnop" is neither/],
    [onPort({ port: "80", protocol: "TPC" }), /ports\[0\]\.protocol: unknown protocol "TPC" \(did you mean TCP\?\)$/],
    [onPort({ port: "80", protocol: "GRE" }), /ports\[0\]\.port: protocol GRE has no ports \(leave the port out\)$/],
    [onPort({ port: "80", endPort: 70000 }), /ports\[0\]\.endPort: must be 0 to 65535, found 70000$/],
    [onPort({ port: 80 }), /ports\[0\]\.port: must be a text, found the number 80 \(write it in quotes: "80"\)$/],
    [
      withRules({ rules: { http: [{ method: "GET" }] } }),
      /toPorts\[0\]\.rules: rules of layer 7 cannot be enforced yet/,
    ],
    [
      withRules({ rules: { dns: [{ matchPattern: "*" }] } }),
      /toPorts\[0\]\.rules: rules of layer 7 cannot be enforced yet/,
    ],
    [withRules({ serverNames: ["example.com"] }), /toPorts\[0\]\.serverNames: server names cannot be enforced yet/],
    [withRules({ listener: { envoyConfig: {}, name: "l" } }), /toPorts\[0\]\.listener: /],
    [
      into({ fromEndpoints: [podB], authentication: { mode: "required" } }),
      /^spec\.ingress\[0\]\.authentication\.mode: authentication required cannot be enforced/,
    ],
    [into({ authentication: { mode: "maybe" } }), /^spec\.ingress\[0\]\.authentication\.mode: unknown mode "maybe"/],
    [
      into({ icmps: [{ fields: [{ type: "EchoRequests" }] }] }),
      /icmps\[0\]\.fields\[0\]\.type: "EchoRequests" is no ICMP type of IPv4 \(did you mean EchoRequest\?\)$/,
    ],
    [
      into({ icmps: [{ fields: [{ type: 8, family: "v4" }] }] }),
      /icmps\[0\]\.fields\[0\]\.family: unknown family "v4"/,
    ],
    [into({ icmps: [{ fields: [{}] }] }), /icmps\[0\]\.fields\[0\]\.type: a type is required/],
    [
      cnp("x/p", { endpointSelector: {}, egressDeny: [{ toFQDNs: [{ matchName: "a" }] }] }),
      /^spec\.egressDeny\[0\]\.toFQDNs: unknown field/,
    ],
    [
      cnp("x/p", { endpointSelector: {}, ingressDeny: [{ toPorts: [{ ports: [], rules: {} }] }] }),
      /^spec\.ingressDeny\[0\]\.toPorts\[0\]\.rules: unknown field/,
    ],
    [cidrGroup("g", ["10.0.0.1"]), /^spec\.externalCIDRs\[0\]: "10\.0\.0\.1" is no block \(write 10\.0\.0\.1\/32\)$/],
  ])("%j", (value, expected) => {
    const errors = problemsOf(value).filter((text) => !text.startsWith("warning "))
    expect(errors, errors.join("\n")).toHaveLength(1)
    expect(errors[0]).toMatch(expected)
  })
})

test("all mistakes of an object at once", () => {
  const value = cnp("x/p", {
    endpointSelector: podA,
    ingress: [{ fromEntities: ["wrld"] }, { toPorts: [{ ports: [{ port: "x_y" }, { port: "70000" }] }] }],
    egressDeny: [{ toCIDR: ["x"] }],
  })
  expect(problemsOf(value).map((text) => text.slice(0, text.indexOf(":")))).toEqual([
    "spec.ingress[0].fromEntities[0]",
    "spec.ingress[1].toPorts[0].ports[0].port",
    "spec.ingress[1].toPorts[0].ports[1].port",
    "spec.egressDeny[0].toCIDR[0]",
  ])
})

test("a selector over a label that no identity has is warned of", () => {
  expect(problemsOf(into({ fromEndpoints: [{ matchLabels: { "pod-template-hash": "1" } }] }))).toEqual([
    'warning spec.ingress[0].fromEndpoints[0]: the label "pod-template-hash" is no part of an identity: asking for it finds nothing',
  ])
})

test("port rules without ports are warned of", () => {
  expect(problemsOf(into({ toPorts: [{ ports: [] }] }))).toEqual([
    "warning spec.ingress[0].toPorts[0]: without ports this matches nothing (name ports, or leave toPorts out)",
  ])
})

test.each([
  onPort({ protocol: "TCP" }),
  onPort({ protocol: "VRRP" }),
  onPort({ port: "0", protocol: "ESP" }),
  onPort({ port: "0x50", protocol: "tcp" }),
  withRules({ rules: {} }),
  withRules({ rules: { http: [] } }),
  into({ fromEntities: ["kube-apiserver"] }),
  cnp("x/p", { endpointSelector: {}, egressDeny: [{ toEntities: ["kube-apiserver"] }] }),
  into({ fromCIDR: ["10.0.0.1"], authentication: { mode: "disabled" } }),
  into({ fromCIDRSet: [{ cidrGroupSelector: { matchLabels: { role: "partner" } } }] }),
  into({ fromEndpoints: [{ matchLabels: { "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name": "y" } }] }),
])("taken without a word: %j", (value) => {
  expect(problemsOf(value)).toEqual([])
})
