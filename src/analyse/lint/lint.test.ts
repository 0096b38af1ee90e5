import { expect, test } from "vitest"
import { ObjectStore } from "../../source/objects.ts"
import { readManifests } from "../../source/yaml.ts"
import { lint } from "./lint.ts"

const WORLD = `
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { team: storefront } }
---
${pod("web-0", "10.0.0.1", "web")}
---
${pod("cart-0", "10.0.0.2", "cart")}
`

function pod(name: string, address: string, app: string): string {
  return `apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { app: ${app} } }
spec:
  nodeName: n1
  containers: [{ name: c, image: i, ports: [{ name: http, containerPort: 8080 }] }]
status: { phase: Running, podIP: ${address}, podIPs: [{ ip: ${address} }] }`
}

/** Findings about a policy as `LINE:COLUMN CODE hint`; notes are left out unless asked for. */
function findings(policy: string, notes = false): string[] {
  const store = new ObjectStore({ now: () => 0 })
  const objects = [...readManifests(WORLD, "world").objects, ...readManifests(policy.trimStart(), "p").objects]
  for (const object of objects) {
    const { outcome, problems } = store.put(object)
    expect([outcome, problems.filter((one) => one.severity === "error")]).toEqual(["accepted", []])
  }
  return lint(store.cluster(), objects)
    .filter((one) => notes || one.severity !== "info")
    .map(({ origin, code, hint }) => `${origin.line}:${origin.column} ${code}: ${hint}`)
}

const kubernetes = (spec: string, name = "p"): string => `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ${name}, namespace: shop }
spec:
${spec}
`
const calico = (spec: string, name = "c"): string => `apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: ${name}, namespace: shop }
spec:
${spec}
`
const cilium = (spec: string): string => `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: x, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: web } }
${spec}
`

test("a policy that is as it should be is not talked about", () => {
  const spec = `  podSelector: { matchLabels: { app: web } }
  policyTypes: [Ingress]
  ingress: [{ from: [{ podSelector: { matchLabels: { app: cart } } }], ports: [{ port: http }] }]`
  expect(findings(kubernetes(spec), true)).toEqual([])
})

test("labels that are a letter off are found where they stand", () => {
  const spec = `  podSelector: { matchLabels: { app: wbe } }
  ingress:
    - from: [{ podSelector: { matchLabels: { ap: cart } } }]`
  expect(findings(kubernetes(spec))).toEqual([
    "5:38 misspelt-label: did you mean web?",
    "7:50 misspelt-label: did you mean app?",
  ])
})

test("selectors that find nobody", () => {
  const spec = `  podSelector: { matchLabels: { app: gateway } }
  ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: finance } } }] }]`
  expect(findings(kubernetes(spec)).map((text) => text.split(": ")[0])).toEqual([
    "1:1 selects-nothing",
    "6:13 peer-selects-nothing",
  ])
})

test("names of ports that nobody declares, or with another protocol", () => {
  const spec = `  podSelector: {}
  ingress: [{ ports: [{ port: htpp }, { port: http, protocol: UDP }] }]`
  expect(findings(kubernetes(spec))).toEqual([
    "6:31 unknown-named-port: did you mean http?",
    "6:47 unknown-named-port: write the protocol that the pod declares",
  ])
})

test("egress rules alone isolate ingress", () => {
  const spec = `  podSelector: {}
  egress: [{ ports: [{ port: 53, protocol: UDP }] }]`
  expect(findings(kubernetes(spec))[0]).toContain("6:3 isolates-ingress-unasked")
})

test("a direction is cut off by accident", () => {
  const spec = `  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress: [{ from: [{ podSelector: {} }] }]`
  expect(findings(kubernetes(spec))[0]).toContain("denies-all-egress")
})

test("default deny is what it says", () => {
  expect(findings(kubernetes("  podSelector: {}\n  policyTypes: [Ingress, Egress]"))).toEqual([])
})

test("empty rules and lists, which mean opposites in two languages", () => {
  expect(findings(cilium("  ingress: [{}]"))[0]).toContain("cilium-empty-rule")
  expect(findings(cilium("  ingress: [{ fromEndpoints: [] }]"))[0]).toContain("cilium-empty-peers")
  const spec = "  podSelector: {}\n  ingress: [{ from: [] }]"
  expect(findings(kubernetes(spec))[0]).toContain("empty-list-is-everyone")
})

test("a rule behind another that decides the other way never decides; behind one that decides alike it is a note", () => {
  const rule = (action: string): string => `    - { action: ${action}, source: { selector: app == 'cart' } }`
  const spec = (second: string): string =>
    `  selector: app == 'web'\n  types: [Ingress]\n  ingress:\n${rule("Deny")}\n${rule(second)}`
  expect(findings(calico(spec("Allow")))).toEqual([
    "9:7 shadowed-rule: give its policy a lower order (or priority), or narrow the rule that comes first",
  ])
  expect(findings(calico(spec("Deny")))).toEqual([])
  expect(findings(calico(spec("Deny")), true)[0]).toContain("redundant-rule")
})

test("policies of one order that contradict each other", () => {
  const spec = (action: string): string =>
    `  order: 7\n  selector: app == 'web'\n  types: [Ingress]\n  ingress:\n    - { action: ${action}, source: { selector: app == 'cart' } }`
  const found = findings(`${calico(spec("Allow"), "a")}---\n${calico(spec("Deny"), "b")}`)
  expect(found[0]).toContain("contradiction: give them different orders")
})

test("languages whose order surprises", () => {
  const rule = (action: string): string =>
    `  selector: app == 'web'\n  types: [Ingress]\n  ingress:\n    - { action: ${action}, source: { selector: app == 'cart' } }`
  const deny = cilium("  ingressDeny: [{ fromEndpoints: [{ matchLabels: { app: cart } }] }]")
  expect(findings(`${calico(`  order: 5\n${rule("Allow")}`)}---\n${deny}`)[0]).toContain("allow-before-cilium-deny")
  const allow = kubernetes("  podSelector: {}\n  ingress: [{ from: [{ podSelector: {} }] }]")
  expect(findings(`${calico(rule("Deny"))}---\n${allow}`)[0]).toContain("allow-before-calico-deny")
})

test("a tier that nobody made", () => {
  expect(findings(calico("  tier: ghost\n  selector: all()\n  types: [Ingress]"))[0]).toContain("unknown-tier")
})

test("more lengths of blocks than are probed", () => {
  const blocks = Array.from({ length: 25 }, (_, i) => `{ ipBlock: { cidr: 0.0.0.0/${i + 1} } }`).join(", ")
  const spec = `  podSelector: {}\n  ingress: [{ from: [${blocks}] }]`
  expect(findings(kubernetes(spec)).map((text) => text.split(": ")[0])).toEqual(["6:13 many-prefix-lengths"])
})
