import { type Case, expression, ingress, labels, namespace, policy } from "../../builders.ts"

/** What the API server takes and refuses: pkg/apis/networking/validation, label selectors, object metadata, strict fields. */
const before = [namespace("x", { "kubernetes.io/metadata.name": "x" })]
const all = {}

const accept = (name: string, manifest: object): Case => ({
  name: `admission takes ${name}`,
  tags: ["admission"],
  manifests: [...before, manifest],
  admit: "accept",
})
const reject = (name: string, manifest: object): Case => ({
  name: `admission refuses ${name}`,
  tags: ["admission"],
  manifests: [...before, manifest],
  admit: "reject",
})

const withPort = (port: object): object => ingress("x/p", all, { ports: [port] })
const withPeer = (peer: object): object => ingress("x/p", all, { from: [peer] })
const withSelector = (podSelector: object): object => policy("x/p", { podSelector })
const withBlock = (cidr: string, ...except: readonly string[]): object =>
  withPeer({ ipBlock: { cidr, ...(except.length === 0 ? {} : { except }) } })
const withTypes = (...policyTypes: readonly string[]): object => policy("x/p", { podSelector: all, policyTypes })
const withMetadata = (metadata: object): object => ({ ...policy("x/p", { podSelector: all }), metadata })

export const admission: readonly Case[] = [
  accept("the smallest policy", policy("x/p", { podSelector: all })),
  accept("every field at once", {
    ...policy("x/all", {
      podSelector: {
        matchLabels: { app: "web" },
        matchExpressions: [{ key: "tier", operator: "NotIn", values: ["db"] }],
      },
      policyTypes: ["Ingress", "Egress"],
      ingress: [
        {
          from: [
            { podSelector: all, namespaceSelector: all },
            { ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] } },
          ],
          ports: [
            { port: 80 },
            { port: "web", protocol: "TCP" },
            { port: 1000, endPort: 2000, protocol: "UDP" },
            { protocol: "SCTP" },
          ],
        },
      ],
      egress: [{ to: [{ namespaceSelector: labels({ team: "red" }) }], ports: [{ port: 53, protocol: "UDP" }] }],
    }),
  }),
  accept(
    "labels and annotations",
    withMetadata({
      name: "p",
      namespace: "x",
      labels: { "example.com/owner": "me" },
      annotations: { "example.com/note": "any text, even { this" },
    }),
  ),
  accept(
    "an empty rule in both directions",
    policy("x/p", { podSelector: all, policyTypes: ["Ingress", "Egress"], ingress: [{}], egress: [{}] }),
  ),
  accept("a range of one port", withPort({ port: 80, endPort: 80 })),
  accept("a range up to the last port", withPort({ port: 1, endPort: 65535 })),
  accept("a port name of fifteen characters", withPort({ port: "a23456789012345" })),
  accept("a port name that is a digit and a letter", withPort({ port: "9p" })),
  accept("protocol SCTP without a port", withPort({ protocol: "SCTP" })),
  accept("all of IPv4 but private addresses", withBlock("0.0.0.0/0", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),
  accept("an IPv6 block with a hole", withBlock("2001:db8::/32", "2001:db8:1::/48")),
  accept("a block of one address", withBlock("192.0.2.1/32")),
  accept("the same policy type twice", withTypes("Ingress", "Ingress")),
  accept(
    "only Egress although there are ingress rules",
    policy("x/p", { podSelector: all, policyTypes: ["Egress"], ingress: [{}] }),
  ),
  accept("In with the empty value", withSelector(expression("tier", "In", ""))),
  accept("a label value of 63 characters", withSelector(labels({ app: "a".repeat(63) }))),
  accept("a name with dots", policy("x/allow.from.shop", { podSelector: all })),
  accept(
    "lists that are empty",
    policy("x/p", { podSelector: all, policyTypes: [], ingress: [{ from: [], ports: [] }], egress: [] }),
  ),
  accept("a namespace without labels", namespace("fresh")),

  reject("a misspelt field of the spec", policy("x/p", { podSelectr: all })),
  reject("a misspelt field of a rule", policy("x/p", { podSelector: all, ingress: [{ form: [] }] })),
  reject("to in an ingress rule", policy("x/p", { podSelector: all, ingress: [{ to: [{ podSelector: all }] }] })),
  reject("from in an egress rule", policy("x/p", { podSelector: all, egress: [{ from: [{ podSelector: all }] }] })),
  reject("an unknown field of a peer", withPeer({ podSelector: all, serviceAccount: "web" })),
  reject("an unknown field of a port", withPort({ port: 80, name: "web" })),
  reject("an unknown field of a block", withPeer({ ipBlock: { cidr: "10.0.0.0/8", excepts: ["10.1.0.0/16"] } })),
  reject("an unknown field of a selector", withSelector({ matchLabel: { app: "web" } })),
  reject(
    "an unknown field of an expression",
    withSelector({ matchExpressions: [{ key: "app", op: "Exists", operator: "Exists" }] }),
  ),
  reject("an unknown field beside spec", { ...policy("x/p", { podSelector: all }), specs: {} }),
  reject("an unknown field of the metadata", withMetadata({ name: "p", namespace: "x", label: { app: "web" } })),
  reject("a field with the wrong case", policy("x/p", { podselector: all })),

  reject("port 0", withPort({ port: 0 })),
  reject("port 65536", withPort({ port: 65536 })),
  reject("a negative port", withPort({ port: -1 })),
  reject("a port with a fraction", withPort({ port: 80.5 })),
  reject("a port that is true", withPort({ port: true })),
  reject("a port name in capitals", withPort({ port: "WEB" })),
  reject("a port name of sixteen characters", withPort({ port: "a234567890123456" })),
  reject("a port name without a letter", withPort({ port: "8080" })),
  reject("a port name with two dashes in a row", withPort({ port: "web--ui" })),
  reject("a port name that begins with a dash", withPort({ port: "-web" })),
  reject("a port name that ends with a dash", withPort({ port: "web-" })),
  reject("a port name with an underscore", withPort({ port: "web_ui" })),
  reject("an empty port name", withPort({ port: "" })),
  reject("a range that ends before it begins", withPort({ port: 90, endPort: 80 })),
  reject("a range without a beginning", withPort({ endPort: 90 })),
  reject("a range that begins with a name", withPort({ port: "web", endPort: 90 })),
  reject("a range beyond the last port", withPort({ port: 80, endPort: 65536 })),
  reject("a range whose end is text", withPort({ port: 80, endPort: "90" })),
  reject("protocol ICMP", withPort({ protocol: "ICMP" })),
  reject("a protocol in small letters", withPort({ port: 80, protocol: "tcp" })),
  reject("a protocol by number", withPort({ port: 80, protocol: 6 })),

  reject("an empty peer", withPeer({})),
  reject("a block beside a podSelector", withPeer({ ipBlock: { cidr: "10.0.0.0/8" }, podSelector: all })),
  reject("a block beside a namespaceSelector", withPeer({ ipBlock: { cidr: "10.0.0.0/8" }, namespaceSelector: all })),
  reject("a block without an address", withPeer({ ipBlock: { except: ["10.0.0.0/8"] } })),
  reject("a block with an empty address", withBlock("")),
  reject("a block without a length", withBlock("10.0.0.0")),
  reject("an IPv4 block longer than 32 bits", withBlock("10.0.0.0/33")),
  reject("an IPv6 block longer than 128 bits", withBlock("fd00::/129")),
  reject("a block with a number above 255", withBlock("10.256.0.0/16")),
  reject("a block with three numbers", withBlock("10.0.0/8")),
  reject("a block that is a name", withBlock("example.com/24")),
  reject("a hole outside the block", withBlock("10.0.0.0/8", "192.168.0.0/16")),
  reject("a hole as large as the block", withBlock("10.0.0.0/8", "10.0.0.0/8")),
  reject("a hole larger than the block", withBlock("10.1.0.0/16", "10.0.0.0/8")),
  reject("a hole of the other family", withBlock("10.0.0.0/8", "fd00::/64")),
  reject("a hole that is no block", withBlock("10.0.0.0/8", "10.1.0.0")),
  reject("a second hole outside the block", withBlock("10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/16")),

  reject("a policy type in small letters", withTypes("ingress")),
  reject("an unknown policy type", withTypes("Forward")),
  reject("three policy types", withTypes("Ingress", "Egress", "Ingress")),

  reject("In without values", withSelector(expression("tier", "In"))),
  reject(
    "NotIn with an empty list of values",
    withSelector({ matchExpressions: [{ key: "tier", operator: "NotIn", values: [] }] }),
  ),
  reject("Exists with values", withSelector(expression("tier", "Exists", "db"))),
  reject("DoesNotExist with values", withSelector(expression("tier", "DoesNotExist", "db"))),
  reject("an unknown operator", withSelector(expression("tier", "Equals", "db"))),
  reject("an operator in small letters", withSelector(expression("tier", "in", "db"))),
  reject("an expression without a key", withSelector({ matchExpressions: [{ operator: "Exists" }] })),
  reject("a label key with a space", withSelector(labels({ "a b": "c" }))),
  reject("an expression's key with two slashes", withSelector(expression("a/b/c", "Exists"))),
  reject("a label key of 64 characters", withSelector(expression("k".repeat(64), "Exists"))),
  reject("a label value with a space", withSelector(labels({ app: "a b" }))),
  reject("a label value of 64 characters", withSelector(labels({ app: "a".repeat(64) }))),
  reject("an expression's value with a slash", withSelector(expression("app", "In", "a/b"))),
  reject("a label value that is a number", withSelector({ matchLabels: { version: 1 } })),
  reject("a wrong selector of a peer's pods", withPeer({ podSelector: expression("tier", "In") })),
  reject(
    "a wrong selector of a peer's namespaces",
    withPeer({ namespaceSelector: expression("tier", "Exists", "db") }),
  ),
  reject(
    "a wrong second rule behind a right first one",
    policy("x/p", { podSelector: all, ingress: [{ ports: [{ port: 80 }] }, { ports: [{ port: 0 }] }] }),
  ),
  reject(
    "a wrong egress rule behind right ingress rules",
    policy("x/p", { podSelector: all, ingress: [{}], egress: [{ to: [{}] }] }),
  ),

  reject("a name in capitals", policy("x/Deny", { podSelector: all })),
  reject("a name with an underscore", policy("x/deny_all", { podSelector: all })),
  reject("a name that ends with a dot", policy("x/deny.", { podSelector: all })),
  reject("a name of 254 characters", policy(`x/${"a".repeat(254)}`, { podSelector: all })),
  reject("a policy without a name", withMetadata({ namespace: "x" })),
  reject("a wrong label of the policy itself", withMetadata({ name: "p", namespace: "x", labels: { app: "a b" } })),
  reject("a list of rules that is an object", policy("x/p", { podSelector: all, ingress: { from: [] } })),
  reject("a selector that is a list", policy("x/p", { podSelector: [] })),
  reject("a spec that is text", { ...policy("x/p", {}), spec: "deny" }),
  reject("a namespace whose name has a dot", namespace("a.b")),
  reject("a namespace with a wrong label", namespace("fresh", { team: "a b" })),
]
