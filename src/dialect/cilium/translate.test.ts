import { describe, expect, test } from "vitest"
import { ingress as kubernetesIngress, pod, policy, world } from "../../../test/suites/builders.ts"
import {
  ccnp,
  cidrGroup,
  ciliumWorld,
  cnp,
  inNamespace,
  podA,
  podB,
  ports,
} from "../../../test/suites/cilium/builders.ts"
import { clusterOf, packetOf, verdict, verdictText } from "../../../test/unit/verdicts.ts"
import { evaluate } from "../../compile/evaluate.ts"
import { manifestAt } from "../../model/manifest.ts"
import { ciliumPolicyToModel } from "./index.ts"
import { isFilteredKey, sourcedKey } from "./labels.ts"
import { icmpType, portNumber } from "./ports.ts"

/*
 * Numbers are those of the semantics. Most items have cases in test/suites/cilium; here are tables of what is read from texts, and the
 * items that a suite cannot ask about.
 */

const origin = { file: "f.yaml", line: 1, column: 1 }
const model = (value: object) => ciliumPolicyToModel(manifestAt(value, origin))
const into = (...entries: readonly object[]): object => cnp("x/p", { endpointSelector: podA, ingress: entries })
const cluster = (...objects: readonly object[]) => clusterOf([...ciliumWorld(), ...objects])
const DENIED = "deny default/CiliumNetworkPolicy x/p default-deny ingress"

describe("7: ports", () => {
  test.each<[string, number]>([
    ["80", 80],
    ["0", 0],
    ["0120", 80],
    ["0_120", 80],
    ["8_0", 80],
    ["65535", 65_535],
    ["65536", 65_536],
    ["0x50", Number.NaN],
    ["0o120", Number.NaN],
    ["0b11", Number.NaN],
    ["0X5_0", 80],
    ["web", Number.NaN],
    ["_80", Number.NaN],
    ["80_", Number.NaN],
    ["089", Number.NaN],
    ["-1", Number.NaN],
    ["", Number.NaN],
  ])("%j", (text, number) => {
    expect(portNumber(text)).toBe(number)
  })

  test("a name is one in whatever case, and its end is of no account", () => {
    const [, allows] = [
      undefined,
      ...model(into({ toPorts: [{ ports: [{ port: "WEB", endPort: 90, protocol: "TCP" }] }] })),
    ]
    expect(allows?.ingress?.rules[0]?.l4).toEqual([{ protocols: [6], ports: [{ kind: "named", name: "web" }] }])
  })
})

test.each<[string, { source: string; key: string }]>([
  ["app", { source: "any", key: "app" }],
  ["k8s:app", { source: "k8s", key: "app" }],
  ["any:app", { source: "any", key: "app" }],
  ["reserved:host", { source: "reserved", key: "host" }],
  ["k8s:io.kubernetes.pod.namespace", { source: "k8s", key: "io.kubernetes.pod.namespace" }],
])("19: the source of %j", (text, expected) => {
  expect(sourcedKey(text)).toEqual(expected)
})

test.each<[string, boolean]>([
  ["app", false],
  ["app.kubernetes.io/name", false],
  ["io.kubernetes.pod.namespace", false],
  ["io.cilium.k8s.namespace.labels.team", false],
  ["io.cilium.k8s.policy.serviceaccount", false],
  ["io.kubernetes.container.name", true],
  ["kubernetes.io/hostname", true],
  ["beta.kubernetes.io/arch", true],
  ["failure-domain.beta.kubernetes.io/zone", true],
  ["topology.kubernetes.io/zone", true],
  ["pod-template-hash", true],
  ["pod-template-generation", true],
  ["controller-revision-hash", true],
  ["statefulset.kubernetes.io/pod-name", true],
  ["apps.kubernetes.io/pod-index", true],
  ["batch.kubernetes.io/job-completion-index", true],
  ["batch.kubernetes.io/controller-uid", true],
  ["controller-uid", true],
  ["batch.kubernetes.io/job-name", false],
])("25: the label %j is left out of identities: %s", (key, filtered) => {
  expect(isFilteredKey(key)).toBe(filtered)
})

test.each<[object, number | undefined]>([
  [{ type: 8 }, 8],
  [{ type: "8" }, 8],
  [{ type: "EchoRequest" }, 8],
  [{ type: "EchoRequest", family: "IPv4" }, 8],
  [{ type: "EchoRequest", family: "IPv6" }, 128],
  [{ type: "PacketTooBig", family: "IPv6" }, 2],
  [{ type: "PacketTooBig" }, undefined],
  [{ type: "constructor" }, undefined],
  [{}, undefined],
])("63: the ICMP type of %j", (field, type) => {
  expect(icmpType(field)).toBe(type)
})

test("22: a selector of another cluster selects nobody, one of this cluster its pods", () => {
  const other = cluster(
    into({ fromEndpoints: [{ matchLabels: { pod: "b", "io.cilium.k8s.policy.cluster": "other" } }] }),
  )
  expect(verdict(other, "x/b", "x/a")).toBe(DENIED)
  const here = cluster(
    into({ fromEndpoints: [{ matchLabels: { pod: "b", "k8s:io.cilium.k8s.policy.cluster": "default" } }] }),
  )
  expect(verdict(here, "x/b", "x/a")).toBe("allow")
})

describe("27, 28: default deny", () => {
  const isolates = (spec: object): (string | undefined)[] => {
    const policies = model(cnp("x/p", { endpointSelector: {}, ...spec }))
    const told = (direction: "ingress" | "egress") => {
      const sides = policies.flatMap((one) => one[direction] ?? [])
      return sides.length === 0 ? undefined : sides.some((side) => side.isolates) ? "isolates" : "adds"
    }
    return [told("ingress"), told("egress")]
  }
  test.each<[object, (string | undefined)[]]>([
    [{ ingress: [{}] }, ["isolates", undefined]],
    [{ egress: [{}] }, [undefined, "isolates"]],
    [{ ingressDeny: [{}] }, ["isolates", undefined]],
    [{ ingress: [], egress: [{}] }, [undefined, "isolates"]],
    [{ ingress: [{}], enableDefaultDeny: { ingress: false } }, ["adds", undefined]],
    [{ ingress: [{}], ingressDeny: [{}], enableDefaultDeny: { ingress: false } }, ["adds", undefined]],
    [{ ingress: [{}], enableDefaultDeny: { egress: false } }, ["isolates", undefined]],
    [{ ingress: [{}], enableDefaultDeny: { egress: true } }, ["isolates", "isolates"]],
    [{ egressDeny: [{}], enableDefaultDeny: { ingress: true, egress: false } }, ["isolates", "adds"]],
    [{ ingress: [{}], enableDefaultDeny: {} }, ["isolates", undefined]],
  ])("%j", (spec, expected) => {
    expect(isolates(spec)).toEqual(expected)
  })
})

test("30: a policy about pods that are being initialised is about none here", () => {
  const closed = cluster(ccnp("p", { endpointSelector: { matchLabels: { "reserved:init": "" } }, ingress: [{}] }))
  expect(verdict(closed, "x/b", "x/a")).toBe("allow")
})

test("32: a pod's rule never selects a node or a pod in a node's namespace", () => {
  const host = pod("x/host", { labels: { pod: "a" }, node: "node-1", ips: ["172.18.0.11"], hostNetwork: true })
  expect(verdict(cluster(host, into({})), "x/b", "172.18.0.11")).toBe("allow")
})

describe("35, 36, 37, 41, 42: who decides", () => {
  test("a broad deny over every narrower allow, whatever the order of the objects", () => {
    const allow = cnp("x/a", { endpointSelector: podA, ingress: [{ fromEndpoints: [podB], toPorts: ports("80/TCP") }] })
    const deny = ccnp("z", { endpointSelector: {}, ingressDeny: [{ fromEntities: ["cluster"] }] })
    for (const objects of [
      [allow, deny],
      [deny, allow],
    ]) {
      expect(verdict(cluster(...objects), "x/b", "x/a")).toBe(
        "deny default/CiliumClusterwideNetworkPolicy z ingressDeny[0]",
      )
    }
  })

  test("a deny of everybody on one port leaves the others", () => {
    const both = cluster(
      cnp("x/p", {
        endpointSelector: podA,
        ingress: [{ fromEntities: ["all"] }],
        ingressDeny: [{ toPorts: ports("80/TCP") }],
      }),
    )
    expect(verdict(both, "x/b", "x/a")).toBe("deny default/CiliumNetworkPolicy x/p ingressDeny[0]")
    expect(verdict(both, "x/b", "x/a", "81/TCP")).toBe("allow")
  })

  test("a narrow allow beside a broad one takes nothing away", () => {
    const both = cluster(
      into({ fromEndpoints: [podB], toPorts: ports("80/TCP") }, { fromEntities: ["all"], toPorts: ports("0/TCP") }),
    )
    for (const from of ["x/b", "y/a", "198.51.100.7"]) {
      expect(verdict(both, from, "x/a")).toBe("allow")
      expect(verdict(both, from, "x/a", "81/TCP")).toBe("allow")
    }
  })
})

test("38: allows of one selector and port from two policies are a union", () => {
  const both = cluster(
    cnp("x/p", { endpointSelector: podA, ingress: [{ fromEndpoints: [podB], toPorts: ports("80/TCP") }] }),
    cnp("x/q", { endpointSelector: podA, ingress: [{ fromEndpoints: [podB], toPorts: ports("80-81/TCP") }] }),
  )
  expect(verdict(both, "x/b", "x/a")).toBe("allow")
  expect(verdict(both, "x/b", "x/a", "81/TCP")).toBe("allow")
})

describe("43, 45: reserved identities in selectors", () => {
  test.each<[string, string, boolean]>([
    ["reserved:host", "172.18.0.11", true],
    ["reserved:host", "172.18.0.12", false],
    ["reserved:remote-node", "172.18.0.12", true],
    ["reserved:remote-node", "172.18.0.11", false],
    ["reserved:world", "198.51.100.7", true],
    ["reserved:world", "x/b", false],
    ["reserved:world-ipv4", "198.51.100.7", true],
    ["reserved:world-ipv6", "198.51.100.7", false],
    ["reserved:init", "x/b", false],
    ["reserved:health", "x/b", false],
    ["reserved:ingress", "198.51.100.7", false],
    ["reserved:nobody", "198.51.100.7", false],
  ])("%s takes %s: %s", (key, from, taken) => {
    const made = cluster(into({ fromEndpoints: [{ matchLabels: { [key]: "" } }] }))
    expect(evaluate(made, packetOf(made, from, "x/a")).ingress.action).toBe(taken ? "allow" : "deny")
  })

  test("24, 47: an absent label counts as different for every identity that a reserved selector leaves in", () => {
    const made = cluster(
      into({ fromEndpoints: [{ matchExpressions: [{ key: "reserved:host", operator: "DoesNotExist" }] }] }),
    )
    for (const from of ["x/b", "y/a", "198.51.100.7"]) expect(verdict(made, from, "x/a")).toBe("allow")
  })
})

describe("an address of the cluster that nothing known has", () => {
  test.each<[string, object, string]>([
    ["is not of the world (48)", { fromEntities: ["world"] }, DENIED],
    ["is in no block (48)", { fromCIDR: ["0.0.0.0/0"] }, DENIED],
    ["may be of the cluster (45)", { fromEntities: ["cluster"] }, "deny unknown-peer ingress"],
    ["may have any label", { fromEndpoints: [{}] }, "deny unknown-peer ingress"],
    ["is anybody (12, 17)", { fromEntities: ["all"] }, "allow"],
  ])("%s", (_name, entry, expected) => {
    expect(verdict(cluster(into(entry)), "10.244.9.9", "x/a")).toBe(expected)
  })
})

test("49: a narrower block of another policy changes nothing for the wider one", () => {
  const made = cluster(
    into({ fromCIDR: ["198.51.100.0/24"] }),
    cnp("y/p", { endpointSelector: {}, ingressDeny: [{ fromCIDR: ["198.51.100.7/32"] }] }),
  )
  expect(verdict(made, "198.51.100.7", "x/a")).toBe("allow")
  expect(verdict(made, "198.51.100.7", "y/a")).toBe("deny default/CiliumNetworkPolicy y/p ingressDeny[0]")
})

test("52: a group that is not there, and one that comes", () => {
  const by = into({ fromCIDRSet: [{ cidrGroupRef: "office" }] })
  expect(verdict(cluster(by), "198.51.100.7", "x/a")).toBe(DENIED)
  expect(verdict(cluster(by, cidrGroup("office", ["198.51.100.0/24"])), "198.51.100.7", "x/a")).toBe("allow")
})

test("68, 70: every verdict names what decided: the entry, or the policy that isolates", () => {
  const made = cluster(
    cnp("x/p", [
      { endpointSelector: podA, ingress: [{ fromEndpoints: [podB] }] },
      { endpointSelector: podA, ingressDeny: [{}, { fromEndpoints: [inNamespace("z")] }] },
    ]),
  )
  const ingress = (from: string) => verdictText(evaluate(made, packetOf(made, from, "x/a")).ingress)
  expect(ingress("x/b")).toBe("allow default/CiliumNetworkPolicy x/p specs[0].ingress[0]")
  expect(ingress("z/a")).toBe("deny default/CiliumNetworkPolicy x/p specs[1].ingressDeny[1]")
  expect(ingress("y/a")).toBe(DENIED)
})

test("71: an entry that says authentication is not needed is as one that says nothing", () => {
  expect(verdict(cluster(into({ fromEndpoints: [podB], authentication: { mode: "disabled" } })), "x/b", "x/a")).toBe(
    "allow",
  )
})

test("73: Kubernetes policies beside Cilium's: absent protocol is TCP, an absent list of peers anybody, types isolate", () => {
  const made = cluster(
    kubernetesIngress("x/k", podA, { ports: [{ port: 80 }] }),
    policy("x/closed", { podSelector: podB, policyTypes: ["Egress"] }),
    cnp("x/c", { endpointSelector: podA, ingress: [{ toPorts: ports("53/UDP") }] }),
  )
  expect(verdict(made, "198.51.100.7", "x/a")).toBe("allow")
  expect(verdict(made, "198.51.100.7", "x/a", "80/UDP")).toMatch(/^deny default\/\w+ x\/\w default-deny ingress$/)
  expect(verdict(made, "198.51.100.7", "x/a", "53/UDP")).toBe("allow")
  expect(verdict(made, "x/b", "x/a")).toBe("deny default/NetworkPolicy x/closed default-deny egress")
})

test("a rule of several entries keeps their numbers, sections and lines", () => {
  const at = (path: readonly (string | number)[]) => ({ file: path.join("."), line: 1, column: 1 })
  const value = cnp("x/p", {
    endpointSelector: {},
    egress: [{}, { toEntities: ["world"] }],
    egressDeny: [{ toCIDR: ["10.0.0.0/8"] }],
  })
  const policies = ciliumPolicyToModel({ value, origin, originAt: at })
  const places = policies.flatMap(
    (one) => one.egress?.rules.map((rule) => `${rule.section}[${rule.index}] ${rule.origin.file}`) ?? [],
  )
  expect(places).toEqual(["egressDeny[0] spec.egressDeny.0", "egress[0] spec.egress.0", "egress[1] spec.egress.1"])
})

test("20: a policy's subject is in its own namespace, whatever it says", () => {
  const made = clusterOf([...world(), cnp("x/p", { endpointSelector: inNamespace("y", { pod: "a" }), ingress: [{}] })])
  expect(verdict(made, "y/b", "x/a")).toBe(DENIED)
  expect(verdict(made, "x/b", "y/a")).toBe("allow")
})
