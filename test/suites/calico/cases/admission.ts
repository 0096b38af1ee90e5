import type { Case } from "../../builders.ts"
import { everyone, gnp, networkSet, np, rule, staged, tier } from "../builders.ts"

function admit(verdict: "accept" | "reject", name: string, value: object): Case {
  return {
    name: `${verdict}: ${name}`,
    tags: ["calico", "calico-2.6", "admission"],
    manifests: [value],
    admit: verdict,
  }
}
const accept = (name: string, value: object): Case => admit("accept", name, value)
const reject = (name: string, value: object): Case => admit("reject", name, value)
/** A policy with one ingress (or egress) rule. */
const ingress = (one: object): object => np("x/p", { types: ["Ingress"], ingress: [one] })
const egress = (one: object): object => np("x/p", { types: ["Egress"], egress: [one] })
const tcp = (match: object): object => ingress(rule("Allow", { protocol: "TCP", ...match }))
const selector = (text: string): object => np("x/p", { selector: text })
const host = (spec: object): object => ({
  apiVersion: "projectcalico.org/v3",
  kind: "HostEndpoint",
  metadata: { name: "h" },
  spec,
})

/** What Calico's validation takes and refuses (2.6), and fields that it does not know. */
export const admission: readonly Case[] = [
  accept("an empty policy", np("x/p", {})),
  accept("a policy of two name parts", np("x/security.p", { tier: "security" })),
  accept("a policy with the name of a translated Kubernetes policy", np("x/knp.default.a.b", {})),
  reject("a policy of three name parts", np("x/a.b.c", {})),
  reject("a global policy of three name parts", gnp("a.b.c", everyone)),
  reject("a global policy with the name of a translated Kubernetes policy", gnp("knp.default.a.b", everyone)),
  reject("a policy with capitals in its name", np("x/Web", {})),
  reject("an unknown field", np("x/p", { selectr: "all()" })),
  reject("an unknown field of a rule", ingress({ action: "Allow", form: {} })),
  reject("an unknown field of a side", ingress(rule("Allow", { source: { podSelector: {} } }))),
  reject("namespaceSelector of a namespaced policy", np("x/p", { namespaceSelector: "all()" })),
  reject("applyOnForward of a namespaced policy", np("x/p", { applyOnForward: true })),
  reject("a rule without action", ingress({ protocol: "TCP" })),
  reject("an unknown action", ingress({ action: "allow" })),
  accept("all four actions", np("x/p", { ingress: [rule("Log"), rule("Pass"), rule("Deny"), rule("Allow")] })),
  reject("a type twice", np("x/p", { types: ["Ingress", "Ingress"] })),
  reject("an unknown type", np("x/p", { types: ["ingress"] })),
  reject("a selector with a single =", selector("app = 'web'")),
  reject("a selector with a newline", selector("has(a) &&\nhas(b)")),
  reject("a selector with an unclosed string", selector("app == 'web")),
  reject("global() as subject", gnp("p", { selector: "global()" })),
  reject("global() in a serviceAccountSelector", np("x/p", { serviceAccountSelector: "global()" })),
  reject("global() in the namespaceSelector of a subject", gnp("p", { namespaceSelector: "global()" })),
  accept(
    "global() alone as namespaceSelector of a side",
    ingress(rule("Allow", { source: { namespaceSelector: "global()" } })),
  ),
  reject(
    "global() beside another condition",
    ingress(rule("Allow", { source: { namespaceSelector: "global() || has(a)" } })),
  ),
  reject("global() as selector of a side", ingress(rule("Allow", { source: { selector: "global()" } }))),
  accept("a selector of 1024 characters", selector(`has(${"a".repeat(512)}) || has(${"b".repeat(498)})`)),
  reject("a selector of 1025 characters", selector(`has(${"a".repeat(512)}) || has(${"b".repeat(499)})`)),
  accept("ports with TCP", tcp({ destination: { ports: [80, "90:99", "web"] } })),
  reject("a port number without protocol", ingress(rule("Allow", { destination: { ports: [80] } }))),
  accept("a port name without protocol", ingress(rule("Allow", { destination: { ports: ["web"] } }))),
  accept("a port name that begins with a digit", tcp({ destination: { ports: ["8080-alt"] } })),
  reject("a port name with ICMP", ingress(rule("Allow", { protocol: "ICMP", destination: { ports: ["web"] } }))),
  reject("ports with UDPLite", ingress(rule("Allow", { protocol: "UDPLite", destination: { ports: [80] } }))),
  accept("ports with SCTP", ingress(rule("Allow", { protocol: "SCTP", destination: { ports: [80] } }))),
  reject("port 0", tcp({ destination: { ports: [0] } })),
  reject("port 65536", tcp({ destination: { ports: [65_536] } })),
  reject("a range upside down", tcp({ destination: { ports: ["99:90"] } })),
  reject("a port name with a blank", tcp({ destination: { ports: ["my port"] } })),
  reject("51 ports", tcp({ destination: { ports: Array.from({ length: 51 }, (_, i) => i + 1) } })),
  accept("50 ports", tcp({ destination: { ports: Array.from({ length: 50 }, (_, i) => i + 1) } })),
  reject("protocol 0", ingress(rule("Allow", { protocol: 0 }))),
  reject("protocol 256", ingress(rule("Allow", { protocol: 256 }))),
  accept("protocol 255", ingress(rule("Allow", { protocol: 255 }))),
  reject("a protocol nobody knows", ingress(rule("Allow", { protocol: "HTTP" }))),
  reject("ipVersion 5", ingress(rule("Allow", { ipVersion: 5 }))),
  reject("ICMP with ipVersion 6", ingress(rule("Allow", { protocol: "ICMP", ipVersion: 6 }))),
  reject("ICMPv6 with ipVersion 4", ingress(rule("Allow", { protocol: "ICMPv6", ipVersion: 4 }))),
  reject("notProtocol ICMP with ipVersion 6", ingress(rule("Allow", { notProtocol: "ICMP", ipVersion: 6 }))),
  reject("icmp with protocol TCP", tcp({ icmp: { type: 8 } })),
  reject("icmp without protocol", ingress(rule("Allow", { icmp: { type: 8 } }))),
  accept("icmp with protocol 1", ingress(rule("Allow", { protocol: 1, icmp: { type: 8 } }))),
  accept("notICMP without protocol", ingress(rule("Allow", { notICMP: { type: 8 } }))),
  reject("an ICMP code without type", ingress(rule("Allow", { protocol: "ICMP", icmp: { code: 0 } }))),
  accept("ICMP type 254", ingress(rule("Allow", { protocol: "ICMP", icmp: { type: 254, code: 255 } }))),
  reject("ICMP type 255", ingress(rule("Allow", { protocol: "ICMP", icmp: { type: 255 } }))),
  reject("a net with host bits", ingress(rule("Allow", { source: { nets: ["10.0.0.1/8"] } }))),
  reject("a net without length", ingress(rule("Allow", { source: { nets: ["10.0.0.1"] } }))),
  reject("a net that is none", ingress(rule("Allow", { source: { nets: ["10.0.0.0/33"] } }))),
  reject("notNets of every address", ingress(rule("Allow", { source: { notNets: ["0.0.0.0/0"] } }))),
  reject("notNets of every IPv6 address", ingress(rule("Allow", { source: { notNets: ["::/0"] } }))),
  accept("nets of every address", ingress(rule("Allow", { source: { nets: ["0.0.0.0/0"] } }))),
  reject("nets of both families", ingress(rule("Allow", { source: { nets: ["10.0.0.0/8", "fd00::/8"] } }))),
  reject(
    "nets of one family at each end",
    ingress(rule("Allow", { source: { nets: ["10.0.0.0/8"] }, destination: { notNets: ["fd00::/8"] } })),
  ),
  reject("IPv4 nets with ipVersion 6", ingress(rule("Allow", { ipVersion: 6, source: { nets: ["10.0.0.0/8"] } }))),
  reject(
    "257 nets",
    ingress(rule("Allow", { source: { nets: Array.from({ length: 257 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`) } })),
  ),
  reject("1025 rules", np("x/p", { ingress: Array.from({ length: 1025 }, () => rule("Allow")) })),
  accept("services as source of an ingress rule", ingress(rule("Allow", { source: { services: { name: "db" } } }))),
  reject(
    "services as destination of an ingress rule",
    ingress(rule("Allow", { destination: { services: { name: "db" } } })),
  ),
  accept(
    "services as destination of an egress rule",
    egress(rule("Allow", { destination: { services: { name: "db" } } })),
  ),
  reject("services as source of an egress rule", egress(rule("Allow", { source: { services: { name: "db" } } }))),
  reject("services without a name", egress(rule("Allow", { destination: { services: { namespace: "x" } } }))),
  reject(
    "services without namespace in a global policy",
    gnp("p", { egress: [rule("Allow", { destination: { services: { name: "db" } } })] }),
  ),
  reject(
    "services beside a selector",
    egress(rule("Allow", { destination: { services: { name: "db" }, selector: "all()" } })),
  ),
  reject(
    "services beside nets",
    egress(rule("Allow", { destination: { services: { name: "db" }, nets: ["10.0.0.0/8"] } })),
  ),
  reject(
    "services beside ports",
    egress(rule("Allow", { protocol: "TCP", destination: { services: { name: "db" }, ports: [80] } })),
  ),
  reject("HTTP in a denying rule", ingress(rule("Deny", { http: { methods: ["GET"] } }))),
  reject("HTTP in an egress rule", egress(rule("Allow", { http: { methods: ["GET"] } }))),
  reject("doNotTrack without applyOnForward", gnp("p", { doNotTrack: true })),
  accept("doNotTrack with applyOnForward", gnp("p", { doNotTrack: true, applyOnForward: true })),
  reject("preDNAT without applyOnForward", gnp("p", { preDNAT: true, types: ["Ingress"] })),
  reject(
    "preDNAT and doNotTrack",
    gnp("p", { preDNAT: true, doNotTrack: true, applyOnForward: true, types: ["Ingress"] }),
  ),
  reject("preDNAT with type Egress", gnp("p", { preDNAT: true, applyOnForward: true, types: ["Egress"] })),
  reject("preDNAT with egress rules", gnp("p", { preDNAT: true, applyOnForward: true, egress: [rule("Allow")] })),
  reject("an unknown performance hint", np("x/p", { performanceHints: ["Fast"] })),
  accept("the performance hint there is", np("x/p", { performanceHints: ["AssumeNeededOnEveryNode"] })),
  accept("a tier", tier("security", { order: 100, defaultAction: "Pass" })),
  reject("a tier with a dot in its name", tier("my.tier", { order: 100 })),
  reject("a tier with another default action", tier("security", { defaultAction: "Allow" })),
  accept("tier default as it is", tier("default", { order: 1_000_000, defaultAction: "Deny" })),
  reject("tier default of another order", tier("default", { order: 10, defaultAction: "Deny" })),
  reject("tier kube-admin that denies", tier("kube-admin", { order: 1_000, defaultAction: "Deny" })),
  reject("tier kube-baseline of another order", tier("kube-baseline", { order: 1_000, defaultAction: "Pass" })),
  accept(
    "a network set with blocks and addresses",
    networkSet("x/s", ["10.0.0.0/8", "10.0.0.1/8", "192.0.2.1", "fd00::/8"], { a: "b" }),
  ),
  reject("a network set with something else", networkSet("x/s", ["example.com"], { a: "b" })),
  reject(
    "a network set with the namespace's label",
    networkSet("s", ["10.0.0.0/8"], { "projectcalico.org/namespace": "x" }),
  ),
  accept("a staged policy", staged("NetworkPolicy", "x/p", { stagedAction: "Set", selector: "all()" })),
  accept("a staged deletion", staged("NetworkPolicy", "x/p", { stagedAction: "Delete", tier: "default" })),
  reject(
    "a staged deletion with rules",
    staged("NetworkPolicy", "x/p", { stagedAction: "Delete", ingress: [rule("Allow")] }),
  ),
  reject(
    "a staged deletion with a selector",
    staged("GlobalNetworkPolicy", "p", { stagedAction: "Delete", selector: "all()" }),
  ),
  reject(
    "a staged deletion of a Kubernetes policy with types",
    staged("KubernetesNetworkPolicy", "x/p", { stagedAction: "Delete", policyTypes: ["Ingress"] }),
  ),
  reject("a staged policy that would be refused enforced", staged("NetworkPolicy", "x/p", { types: ["Both"] })),
  accept("a host endpoint by interface", host({ node: "node-1", interfaceName: "eth0" })),
  accept("a host endpoint of all interfaces", host({ node: "node-1", interfaceName: "*" })),
  accept("a host endpoint by address", host({ node: "node-1", expectedIPs: ["172.18.0.11"] })),
  reject("a host endpoint without node", host({ interfaceName: "eth0" })),
  reject("a host endpoint without interface and address", host({ node: "node-1" })),
  reject("a host endpoint with a long interface name", host({ node: "node-1", interfaceName: "abcdefghijklmnop" })),
  reject(
    "a host endpoint's port without name",
    host({ node: "node-1", interfaceName: "*", ports: [{ protocol: "TCP", port: 80 }] }),
  ),
  reject(
    "a host endpoint's port of ICMP",
    host({ node: "node-1", interfaceName: "*", ports: [{ name: "a", protocol: "ICMP", port: 80 }] }),
  ),
]
