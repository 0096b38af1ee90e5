import { describe, expect, test } from "vitest"
import { gnp, networkSet, np, rule, staged, tier } from "../../../test/suites/calico/builders.ts"
import { manifestAt } from "../../model/manifest.ts"
import { validateCalicoObject } from "./index.ts"

/** Which objects are taken and refused is in test/suites/calico; here, where it is said and in what words. */
const origin = { file: "f.yaml", line: 1, column: 1 }
const problemsOf = (value: object): string[] =>
  validateCalicoObject(manifestAt(value, origin)).map(({ path, message, hint, severity }) => {
    return `${severity === "warning" ? "warning " : ""}${path}: ${message}${hint === undefined ? "" : ` (${hint})`}`
  })
const ingress = (...rules: readonly object[]): object => np("x/p", { types: ["Ingress"], ingress: rules })
const egress = (...rules: readonly object[]): object => np("x/p", { types: ["Egress"], egress: rules })
const host = (spec: object): object => ({
  apiVersion: "projectcalico.org/v3",
  kind: "HostEndpoint",
  metadata: { name: "h" },
  spec,
})
const profile = (spec: object): object => ({ ...host(spec), kind: "Profile" })

describe("each mistake at its field, in words that help", () => {
  test.each<[object, RegExp]>([
    [np("x/p", { selectr: "all()" }), /^spec\.selectr: unknown field \(did you mean selector\?\)$/],
    [np("x/p", { order: "10" }), /^spec\.order: must be a number/],
    [np("x/p", { types: ["ingress"] }), /^spec\.types\[0\]: unknown value "ingress" \(did you mean Ingress\?\)$/],
    [np("x/p", { types: ["Ingress", "Ingress"] }), /^spec\.types\[1\]: Ingress stands there twice$/],
    [np("x/p", { selector: "app = 'web'" }), /^spec\.selector: the selector does not parse at character 5: /],
    [np("x/p", { selector: "global()" }), /^spec\.selector: global\(\) may stand only alone/],
    [
      np("x/p", { selector: `has(${"a".repeat(509)}) || has(${"b".repeat(509)})` }),
      /^spec\.selector: 1032 characters, at most 1024/,
    ],
    [np("x/p", { performanceHints: ["Fast"] }), /^spec\.performanceHints\[0\]: unknown value "Fast"/],
    [np("x/a.b.c", {}), /^metadata\.name: .*one dot/],
    [
      ingress(rule("Allow"), { action: "Alow" }),
      /^spec\.ingress\[1\]\.action: unknown action "Alow" \(did you mean Allow\?\)$/,
    ],
    [ingress({}), /^spec\.ingress\[0\]\.action: an action is required \(allowed: Allow, Deny, Log, Pass\)$/],
    [ingress(rule("Allow", { protocol: "HTTP" })), /^spec\.ingress\[0\]\.protocol: "HTTP" is no protocol/],
    [ingress(rule("Allow", { notProtocol: 0 })), /^spec\.ingress\[0\]\.notProtocol: 0 is no protocol/],
    [ingress(rule("Allow", { ipVersion: 5 })), /^spec\.ingress\[0\]\.ipVersion: must be 4 or 6, found 5$/],
    [
      ingress(rule("Allow", { protocol: "ICMP", ipVersion: 6 })),
      /^spec\.ingress\[0\]\.protocol: ICMP is IPv4's.*\(write ICMPv6\)$/,
    ],
    [ingress(rule("Allow", { icmp: { type: 8 } })), /^spec\.ingress\[0\]\.icmp: needs protocol ICMP/],
    [
      ingress(rule("Allow", { protocol: "ICMP", icmp: { type: 255 } })),
      /^spec\.ingress\[0\]\.icmp\.type: must be 0 to 254, found 255$/,
    ],
    [ingress(rule("Allow", { notICMP: { code: 1 } })), /^spec\.ingress\[0\]\.notICMP\.code: needs a type/],
    [
      ingress(rule("Allow", { notICMP: { type: 1, code: 256 } })),
      /^spec\.ingress\[0\]\.notICMP\.code: must be 0 to 255/,
    ],
    [
      ingress(rule("Allow", { source: { nets: ["10.0.0.0/8", "10.1.2.3"] } })),
      /^spec\.ingress\[0\]\.source\.nets\[1\]: "10\.1\.2\.3" is no block \(write 10\.1\.2\.3\/32\)$/,
    ],
    [
      ingress(rule("Allow", { source: { nets: ["10.1.2.3/8"] } })),
      /^spec\.ingress\[0\]\.source\.nets\[0\]: .*bits set behind.* \(write 10\.0\.0\.0\/8\)$/,
    ],
    [
      ingress(rule("Allow", { source: { notNets: ["::/0"] } })),
      /^spec\.ingress\[0\]\.source\.notNets\[0\]: ::\/0 excludes every address/,
    ],
    [
      ingress(rule("Allow", { source: { nets: ["10.0.0.0/8"] }, destination: { nets: ["fd00::/8"] } })),
      /^spec\.ingress\[0\]\.destination\.nets\[0\]: IPv4 and IPv6 blocks in one rule/,
    ],
    [
      ingress(rule("Allow", { ipVersion: 6, source: { nets: ["10.0.0.0/8"] } })),
      /^spec\.ingress\[0\]\.source\.nets\[0\]: an IPv4 block in a rule for IPv6$/,
    ],
    [
      ingress(rule("Allow", { destination: { ports: [80] } })),
      /^spec\.ingress\[0\]\.destination\.ports: numbered ports need protocol TCP, UDP or SCTP/,
    ],
    [
      ingress(rule("Allow", { protocol: "ICMP", destination: { notPorts: ["web"] } })),
      /^spec\.ingress\[0\]\.destination\.notPorts: numbered ports need/,
    ],
    [
      ingress(rule("Allow", { protocol: "TCP", destination: { ports: ["90:80"] } })),
      /^spec\.ingress\[0\]\.destination\.ports\[0\]: the range 90:80 is upside down \(write 80:90\)$/,
    ],
    [
      ingress(rule("Allow", { protocol: "TCP", destination: { ports: [80, "a b"] } })),
      /^spec\.ingress\[0\]\.destination\.ports\[1\]: "a b" is no port name$/,
    ],
    [
      ingress(rule("Allow", { protocol: "TCP", destination: { ports: ["80:web"] } })),
      /^spec\.ingress\[0\]\.destination\.ports\[0\]: "80:web" is no port/,
    ],
    [
      ingress(rule("Allow", { source: { selector: "has(a) && global()" } })),
      /^spec\.ingress\[0\]\.source\.selector: global\(\) may stand only alone/,
    ],
    [
      ingress(rule("Allow", { source: { serviceAccounts: { selector: "a == b" } } })),
      /^spec\.ingress\[0\]\.source\.serviceAccounts\.selector: the selector does not parse/,
    ],
    [
      ingress(rule("Allow", { source: { podSelector: {} } })),
      /^spec\.ingress\[0\]\.source\.podSelector: unknown field/,
    ],
    [
      ingress(rule("Allow", { destination: { services: { name: "s" } } })),
      /^spec\.ingress\[0\]\.destination\.services: in an ingress rule services may stand in source only$/,
    ],
    [
      egress(rule("Allow", { destination: { services: { namespace: "x" } } })),
      /^spec\.egress\[0\]\.destination\.services\.name: a service name is required$/,
    ],
    [
      egress(rule("Allow", { destination: { services: { name: "s" }, notSelector: "has(a)" } })),
      /^spec\.egress\[0\]\.destination\.services: may not stand beside notSelector$/,
    ],
    [
      egress(rule("Allow", { protocol: "TCP", destination: { services: { name: "s" }, ports: [80] } })),
      /^spec\.egress\[0\]\.destination\.ports: may not stand beside services/,
    ],
    [
      gnp("p", { egress: [rule("Allow", { destination: { services: { name: "s" } } })] }),
      /^spec\.egress\[0\]\.destination\.services\.namespace: a global policy must name/,
    ],
    [
      ingress(rule("Allow", { http: { methods: ["GET"] } })),
      /^spec\.ingress\[0\]\.http: HTTP rules cannot be enforced yet/,
    ],
    [gnp("p", { doNotTrack: true }), /^spec\.doNotTrack: doNotTrack needs applyOnForward: true/],
    [
      gnp("p", { preDNAT: true, doNotTrack: true, applyOnForward: true }),
      /^spec\.preDNAT: preDNAT and doNotTrack exclude each other$/,
    ],
    [
      gnp("p", { preDNAT: true, applyOnForward: true, egress: [rule("Allow")] }),
      /^spec\.egress: a preDNAT policy may have no egress rules$/,
    ],
    [staged("NetworkPolicy", "x/p", { stagedAction: "Remove" }), /^spec\.stagedAction: unknown value "Remove"/],
    [
      staged("NetworkPolicy", "x/p", { stagedAction: "Delete", order: 5 }),
      /^spec\.order: a staged deletion states no rules/,
    ],
    [
      staged("KubernetesNetworkPolicy", "x/p", { podSelector: {}, ingress: [{ from: [{}] }] }),
      /^spec\.ingress\[0\]\.from\[0\]: /,
    ],
    [tier("default", { order: 5 }), /^spec\.order: tier default has order 1000000/],
    [tier("t", { defaultAction: "Allow" }), /^spec\.defaultAction: unknown value "Allow"/],
    [tier("a.b", {}), /^metadata\.name: /],
    [networkSet("s", ["example.com"], {}), /^spec\.nets\[0\]: "example\.com" is neither a block nor an address/],
    [
      networkSet("s", [], { "projectcalico.org/namespace": "x" }),
      /^metadata\.labels\[projectcalico\.org\/namespace\]: /,
    ],
    [host({ interfaceName: "*" }), /^spec\.node: a node is required$/],
    [host({ node: "n", expectedIPs: ["10.0.0.1", "x"] }), /^spec\.expectedIPs\[1\]: "x" is no address$/],
    [
      host({ node: "n", interfaceName: "*", ports: [{ name: "a", protocol: "TCP", port: 0 }] }),
      /^spec\.ports\[0\]\.port: must be between 1 and 65535$/,
    ],
    [profile({ ingress: [rule("Allow", { protocol: 300 })] }), /^spec\.ingress\[0\]\.protocol: 300 is no protocol/],
  ])("%j", (value, expected) => {
    const errors = problemsOf(value).filter((text) => !text.startsWith("warning "))
    expect(errors).toHaveLength(1)
    expect(errors[0]).toMatch(expected)
  })
})

test("all mistakes of an object at once", () => {
  const value = gnp("p", {
    selector: "a = 'b'",
    types: ["Both"],
    ingress: [rule("Allow", { protocol: "HTTP", source: { nets: ["x"], ports: [0] } })],
  })
  expect(problemsOf(value).map((text) => text.slice(0, text.indexOf(":")))).toEqual([
    "spec.selector",
    "spec.types[0]",
    "spec.ingress[0].protocol",
    "spec.ingress[0].source.nets[0]",
    "spec.ingress[0].source.ports[0]",
    "spec.ingress[0].source.ports",
    "warning spec.ingress",
  ])
})

test("rules of a direction that types leave out are warned of", () => {
  expect(problemsOf(np("x/p", { types: ["Egress"], ingress: [rule("Deny")] }))).toEqual([
    "warning spec.ingress: these rules have no effect: types does not name Ingress (add Ingress to types)",
  ])
})

test.each([
  staged("NetworkPolicy", "x/p", { stagedAction: "Delete", selector: "", tier: "default" }),
  staged("KubernetesNetworkPolicy", "x/p", { stagedAction: "Delete", podSelector: {} }),
  profile({ labelsToApply: { a: "b" }, ingress: [rule("Allow")], egress: [rule("Deny")] }),
  host({ node: "n", interfaceName: "eth0", profiles: ["p"], ports: [{ name: "a", protocol: "UDP", port: 53 }] }),
  ingress(rule("Allow", { metadata: { annotations: { name: "any text at all, even: this" } } })),
  np("x/p", { selector: `${"(".repeat(200)}has(a)${")".repeat(200)}` }),
])("taken without a word: %j", (value) => {
  expect(problemsOf(value)).toEqual([])
})
