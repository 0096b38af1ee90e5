import { expect, test } from "vitest"
import { manifestAt } from "../../model/manifest.ts"
import { validateObject } from "./validate.ts"

const origin = { file: "f.yaml", line: 1, column: 1 }

function problemsOf(spec: unknown, metadata: unknown = { name: "web", namespace: "shop" }, create = true): string[] {
  const value = {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata,
    ...(spec === undefined ? {} : { spec }),
  }
  return validateObject(manifestAt(value, origin), { create })
    .filter((problem) => problem.severity === "error")
    .map((problem) => `${problem.path}: ${problem.message}${problem.hint === undefined ? "" : ` (${problem.hint})`}`)
}
const port = (item: unknown) => ({ podSelector: {}, ingress: [{ ports: [item] }] })
const from = (item: unknown) => ({ podSelector: {}, ingress: [{ from: [item] }] })
const to = (item: unknown) => ({ podSelector: {}, egress: [{ to: [item] }] })
const block = (cidr: unknown, ...except: unknown[]) =>
  from({ ipBlock: { cidr, ...(except.length > 0 ? { except } : {}) } })
const where = (expression: unknown) => ({ podSelector: { matchExpressions: [expression] } })

const accepted: [string, unknown][] = [
  ["no spec", undefined],
  ["empty spec", {}],
  ["null everywhere", { podSelector: null, ingress: null, egress: null, policyTypes: null }],
  ["empty lists", { podSelector: {}, ingress: [], egress: [], policyTypes: [] }],
  ["a rule without anything", { podSelector: {}, ingress: [{}] }],
  ["empty peers and ports", { podSelector: {}, ingress: [{ from: [], ports: [] }] }],
  ["both types", { podSelector: {}, policyTypes: ["Ingress", "Egress"] }],
  ["a type twice", { podSelector: {}, policyTypes: ["Egress", "Egress"] }],
  ["port 1", port({ port: 1 })],
  ["port 65535", port({ port: 65535 })],
  ["protocol alone", port({ protocol: "SCTP" })],
  ["empty port", port({})],
  ["named port", port({ port: "http-alt-2", protocol: "UDP" })],
  ["port of 15 letters", port({ port: "abcdefghijklmno" })],
  ["range", port({ port: 8000, endPort: 9000 })],
  ["range of one", port({ port: 8000, endPort: 8000 })],
  ["pods", from({ podSelector: {} })],
  ["namespaces", to({ namespaceSelector: {} })],
  ["both selectors", to({ namespaceSelector: {}, podSelector: { matchLabels: { a: "b" } } })],
  ["IPv4 block", block("10.0.0.0/8")],
  ["IPv6 block with a hole", block("fd00::/8", "fd00:1::/32", "fdff::1/128")],
  ["everything", block("0.0.0.0/0", "169.254.169.254/32")],
  ["one address", block("10.0.0.1/32")],
  ["IPv6 not canonical", block("FD00:0:0::/64")],
  ["In", where({ key: "a", operator: "In", values: ["b", ""] })],
  ["NotIn", where({ key: "example.com/a", operator: "NotIn", values: ["b"] })],
  ["Exists", where({ key: "a.b-c_d", operator: "Exists" })],
  ["DoesNotExist with empty values", where({ key: "a", operator: "DoesNotExist", values: [] })],
  ["empty label value", { podSelector: { matchLabels: { a: "" } } }],
]
test.each(accepted)("accepted: %s", (_name, spec) => {
  expect(problemsOf(spec)).toEqual([])
})

const rejected: [string, unknown, RegExp][] = [
  ["unknown field in spec", { podSelectr: {} }, /^spec\.podSelectr: unknown field \(did you mean podSelector\?\)$/],
  ["wrong case", { podselector: {} }, /^spec\.podselector: unknown field \(did you mean podSelector\?\)$/],
  [
    "unknown field in a rule",
    { ingress: [{ form: [] }] },
    /^spec\.ingress\[0\]\.form: unknown field \(did you mean from\?\)$/,
  ],
  ["to in ingress", { ingress: [{ to: [] }] }, /^spec\.ingress\[0\]\.to: unknown field/],
  [
    "ports inside a peer",
    from({ podSelector: {}, ports: [] }),
    /^spec\.ingress\[0\]\.from\[0\]\.ports: unknown field \(it belongs one level/,
  ],
  ["labels without matchLabels", { podSelector: { app: "a" } }, /^spec\.podSelector\.app: unknown field/],
  [
    "matchLabels outside a selector",
    { matchLabels: {} },
    /^spec\.matchLabels: unknown field \(it belongs inside podSelector\)$/,
  ],
  ["ingress is an object", { ingress: {} }, /^spec\.ingress: must be a list, found a map \(begin each item/],
  ["a peer is a list", from([]), /^spec\.ingress\[0\]\.from\[0\]: must be an object, found a list/],
  ["spec is a text", "x", /^spec: must be an object, found the text "x"$/],
  [
    "label value is a number",
    { podSelector: { matchLabels: { a: 1 } } },
    /^spec\.podSelector\.matchLabels\.a: must be a text, found the number 1 \(write it in quotes: "1"\)$/,
  ],
  ["label value is a boolean", { podSelector: { matchLabels: { a: true } } }, /matchLabels\.a: must be a text.*quotes/],
  [
    "endPort is a text",
    port({ port: 1, endPort: "2" }),
    /ports\[0\]\.endPort: must be a whole number, found the text "2" \(leave out the quotes\)$/,
  ],
  [
    "port is a fraction",
    port({ port: 80.5 }),
    /ports\[0\]\.port: must be a whole number or a text, found the number 80.5$/,
  ],
  ["port is a boolean", port({ port: true }), /ports\[0\]\.port: must be a whole number or a text/],
  [
    "protocol ICMP",
    port({ protocol: "ICMP" }),
    /^spec\.ingress\[0\]\.ports\[0\]\.protocol: unsupported protocol "ICMP" \(allowed: TCP, UDP, SCTP\)$/,
  ],
  ["protocol in lower case", port({ protocol: "tcp" }), /protocol: unsupported protocol "tcp" \(write TCP\)$/],
  ["protocol empty", port({ protocol: "" }), /protocol: unsupported protocol ""/],
  ["port 0", port({ port: 0 }), /^spec\.ingress\[0\]\.ports\[0\]\.port: port 0 must be between 1 and 65535$/],
  ["port 65536", port({ port: 65536 }), /port 65536 must be between/],
  ["port negative", port({ port: -1 }), /port -1 must be between/],
  [
    "port as a text",
    port({ port: "80" }),
    /ports\[0\]\.port: the port name "80" must contain at least one letter \(a port number is written without quotes\)$/,
  ],
  ["port name too long", port({ port: "abcdefghijklmnop" }), /is 16 characters long/],
  ["port name upper case", port({ port: "HTTP" }), /must be lower-case/],
  ["port name with two hyphens", port({ port: "a--b" }), /two hyphens/],
  ["port name ending in a hyphen", port({ port: "a-" }), /begin or end with a hyphen/],
  ["port name with an underscore", port({ port: "a_b" }), /must be lower-case/],
  ["port name empty", port({ port: "" }), /port: the port name ""/],
  ["endPort without port", port({ endPort: 90 }), /ports\[0\]\.endPort: may not be given without port/],
  [
    "endPort with a name",
    port({ port: "http", endPort: 90 }),
    /ports\[0\]\.endPort: may not be given when port is a name/,
  ],
  ["endPort below port", port({ port: 91, endPort: 90 }), /endPort 90 must be greater than or equal to port 91$/],
  ["endPort beyond the last", port({ port: 91, endPort: 65536 }), /endPort 65536 must be between 1 and 65535$/],
  ["empty peer", from({}), /^spec\.ingress\[0\]\.from\[0\]: an empty peer/],
  ["null peer", to(null), /^spec\.egress\[0\]\.to\[0\]: an empty peer/],
  ["peer of nulls", to({ podSelector: null }), /to\[0\]: an empty peer/],
  [
    "block and pods",
    from({ ipBlock: { cidr: "10.0.0.0/8" }, podSelector: {} }),
    /^spec\.ingress\[0\]\.from\[0\]: ipBlock may not stand beside podSelector/,
  ],
  [
    "block and namespaces",
    to({ ipBlock: { cidr: "10.0.0.0/8" }, namespaceSelector: {} }),
    /to\[0\]: ipBlock may not stand beside namespaceSelector/,
  ],
  ["block without cidr", from({ ipBlock: {} }), /^spec\.ingress\[0\]\.from\[0\]\.ipBlock\.cidr: a block is required/],
  ["cidr empty", block(""), /ipBlock\.cidr: a block is required/],
  ["cidr is an address", block("10.0.0.1"), /ipBlock\.cidr: .*is no block.*\(for one address write 10\.0\.0\.1\/32\)$/],
  ["cidr is a name", block("example.com/24"), /ipBlock\.cidr: "example.com\/24" is no block/],
  ["cidr too long", block("10.0.0.0/33"), /the length is at most 32/],
  [
    "cidr with host bits",
    block("10.0.0.1/8"),
    /ipBlock\.cidr: .*bits set behind its length \(write 10\.0\.0\.0\/8, or 10\.0\.0\.1\/32/,
  ],
  ["cidr with leading zeros", block("010.0.0.0/8"), /ipBlock\.cidr: .*leading zero/],
  ["cidr with zeros in the length", block("10.0.0.0/08"), /ipBlock\.cidr: .*is not a length/],
  ["cidr mapped", block("::ffff:10.0.0.0/104"), /ipBlock\.cidr: .*IPv4-mapped/],
  [
    "except outside",
    block("10.0.0.0/8", "11.0.0.0/16"),
    /^spec\.ingress\[0\]\.from\[0\]\.ipBlock\.except\[0\]: 11\.0\.0\.0\/16 must lie strictly inside the block 10\.0\.0\.0\/8$/,
  ],
  ["except equal", block("10.0.0.0/8", "10.0.0.0/8"), /except\[0\]: .*strictly inside/],
  ["except wider", block("10.0.0.0/8", "10.0.0.0/7"), /except\[0\]/],
  ["except of the other family", block("0.0.0.0/0", "fd00::/8"), /except\[0\]: .*strictly inside/],
  ["second except wrong", block("10.0.0.0/8", "10.1.0.0/16", "x"), /except\[1\]: "x" is no block/],
  ["three types", { policyTypes: ["Ingress", "Egress", "Ingress"] }, /^spec\.policyTypes: may not hold more than two/],
  [
    "unknown type",
    { policyTypes: ["Both"] },
    /^spec\.policyTypes\[0\]: unknown policy type "Both" \(allowed: Ingress, Egress\)$/,
  ],
  ["type in lower case", { policyTypes: ["egress"] }, /^spec\.policyTypes\[0\]: .*\(write Egress\)$/],
  [
    "In without values",
    where({ key: "a", operator: "In" }),
    /^spec\.podSelector\.matchExpressions\[0\]\.values: operator In needs at least one value$/,
  ],
  ["NotIn without values", where({ key: "a", operator: "NotIn", values: [] }), /values: operator NotIn needs/],
  [
    "Exists with values",
    where({ key: "a", operator: "Exists", values: ["b"] }),
    /values: operator Exists takes no values/,
  ],
  ["DoesNotExist with values", where({ key: "a", operator: "DoesNotExist", values: ["b"] }), /takes no values/],
  [
    "unknown operator",
    where({ key: "a", operator: "NotExists" }),
    /operator: unknown operator "NotExists" \(did you mean/,
  ],
  ["operator in lower case", where({ key: "a", operator: "in", values: ["b"] }), /did you mean In\?/],
  ["no operator", where({ key: "a" }), /operator: an operator is required/],
  ["no key", where({ operator: "Exists" }), /matchExpressions\[0\]\.key: a label key is required$/],
  ["bad key", where({ key: "a b", operator: "Exists" }), /matchExpressions\[0\]\.key: the label key "a b"/],
  ["bad value in In", where({ key: "a", operator: "In", values: ["b", "c d"] }), /values\[1\]: the label value "c d"/],
  [
    "bad label key",
    { podSelector: { matchLabels: { "/a": "b" } } },
    /^spec\.podSelector\.matchLabels\[\/a\]: the label key "\/a" has an empty prefix/,
  ],
  ["label key with two slashes", { podSelector: { matchLabels: { "a/b/c": "d" } } }, /one '\/' only/],
  ["label key prefix in upper case", { podSelector: { matchLabels: { "A/b": "d" } } }, /has the prefix "A"/],
  ["bad label value", { podSelector: { matchLabels: { a: "-b" } } }, /the label value "-b" must be empty, or/],
  ["label value too long", { podSelector: { matchLabels: { a: "a".repeat(64) } } }, /is 64 characters long/],
  [
    "namespaceSelector in a peer",
    from({ namespaceSelector: { matchLabels: { a: "b c" } } }),
    /^spec\.ingress\[0\]\.from\[0\]\.namespaceSelector\.matchLabels\.a: /,
  ],
  [
    "second rule, second port",
    { egress: [{}, { ports: [{ port: 1 }, { port: 0 }] }] },
    /^spec\.egress\[1\]\.ports\[1\]\.port: /,
  ],
]
test.each(rejected)("rejected: %s", (_name, spec, expected) => {
  const problems = problemsOf(spec)
  expect(problems).toHaveLength(1)
  expect(problems[0]).toMatch(expected)
})

test.each([
  ["no name", {}, /^metadata\.name: a name is required$/],
  ["no metadata", null, /^metadata: a name is required$/],
  ["upper case", { name: "Web" }, /^metadata\.name: "Web" must be lower-case.*\(for example web\)$/],
  ["underscore", { name: "a_b" }, /for example a-b/],
  ["too long", { name: "a".repeat(254) }, /is 254 characters long/],
  ["bad namespace", { name: "a", namespace: "a.b" }, /^metadata\.namespace: "a\.b" must not contain dots/],
  ["long namespace", { name: "a", namespace: "a".repeat(64) }, /^metadata\.namespace: .* is 64 characters long/],
  ["bad label", { name: "a", labels: { a: "b/c" } }, /^metadata\.labels\.a: the label value/],
  ["bad annotation", { name: "a", annotations: { "a b": "c" } }, /^metadata\.annotations\[a b\]: the annotation key/],
  ["misspelt", { name: "a", label: {} }, /^metadata\.label: unknown field \(did you mean labels\?\)$/],
  ["name is a number", { name: 7 }, /^metadata\.name: must be a text/],
  [
    "owner without uid",
    { name: "a", ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "b" }] },
    /ownerReferences\[0\]\.uid: must not be empty/,
  ],
])("rejected metadata: %s", (_name, metadata, expected) => {
  const problems = problemsOf({}, metadata)
  expect(problems).toHaveLength(1)
  expect(problems[0]).toMatch(expected)
})

test("names with dots and without namespace are fine", () => {
  expect(problemsOf({}, { name: "a.b-c.d", annotations: { "UPPER.case/Key": "x" } })).toEqual([])
})

test("host bits, which API servers before 1.36 took, are a warning for what is already in a cluster", () => {
  expect(problemsOf(block("10.0.0.1/8"), { name: "a" }, false)).toEqual([])
  expect(problemsOf(block("010.0.0.0/8"), { name: "a" }, false)).toHaveLength(1)
})

test("all mistakes of an object at once", () => {
  const spec = {
    podSelectr: {},
    ingress: [{ from: [{}], ports: [{ port: 0 }, { protocol: "tcp" }] }],
    policyTypes: ["x"],
  }
  expect(problemsOf(spec, { name: "X" })).toHaveLength(6)
})

test("rules without effect are warned of", () => {
  const value = {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "a" },
    spec: { policyTypes: ["Ingress"], egress: [{}] },
  }
  expect(validateObject(manifestAt(value, origin))).toMatchObject([{ severity: "warning", path: "spec.egress" }])
})
