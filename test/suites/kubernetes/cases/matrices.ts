import {
  type Case,
  egress,
  everyPair,
  expression,
  ingress,
  judged,
  labels,
  namespace,
  pod,
  policy,
} from "../../builders.ts"

/** Nine pods in three namespaces, two ports, three protocols, every pair: 486 probes a case. The independent evaluator judges. */
const names = ["a", "b", "c"]
const spaces = ["x", "y", "z"]
const keys = spaces.flatMap((ns) => names.map((name) => `${ns}/${name}`))
const ports = [80, 81].flatMap((port) => ["TCP", "UDP", "SCTP"].map((protocol) => `${port}/${protocol}`))
const texts = everyPair(keys, ports)

const servePorts = [80, 81].flatMap((containerPort) =>
  ["TCP", "UDP", "SCTP"].map((protocol) => ({
    containerPort,
    protocol,
    name: `serve-${containerPort}-${protocol.toLowerCase()}`,
  })),
)

function nine(relabelled: Readonly<Record<string, string>> = {}): readonly object[] {
  return [
    ...spaces.map((ns) => namespace(ns, { "kubernetes.io/metadata.name": ns, ns })),
    ...keys.map((key, i) => {
      const number = (i % 2) + 1
      const name = key.split("/")[1] ?? ""
      const ips = [`10.244.${number}.${20 + i}`, `fd00:10:244:${number}::${20 + i}`]
      return pod(key, { labels: { pod: relabelled[key] ?? name }, node: `node-${number}`, ips, ports: servePorts })
    }),
  ]
}

function matrix(name: string, policies: readonly object[], manifests = nine()): Case {
  const all = [...manifests, ...policies]
  return { name: `matrix: ${name}`, tags: ["matrix"], manifests: all, probes: judged(all, texts) }
}

const inNamespaces = (...values: readonly string[]): object => ({
  namespaceSelector: expression("ns", "In", ...values),
})
const deny = (ns: string, ...policyTypes: readonly string[]): object =>
  policy(`${ns}/deny`, { podSelector: {}, policyTypes })
const everything = spaces.map((ns) => deny(ns, "Ingress", "Egress"))
const six = texts.map((text) => `${text} v6`)

const steps: readonly (readonly object[])[] = [
  [],
  [deny("x", "Ingress")],
  [
    deny("x", "Ingress"),
    ingress("x/allow-y", labels({ pod: "a" }), { from: [inNamespaces("y")], ports: [{ port: 80 }] }),
  ],
  [
    ingress("x/allow-y", labels({ pod: "a" }), { from: [inNamespaces("y")], ports: [{ port: 81, protocol: "UDP" }] }),
    deny("y", "Egress"),
  ],
  [
    ...everything,
    egress("x/out", {}, { to: [inNamespaces("x", "y", "z")] }),
    ingress("z/in", {}, { from: [{ namespaceSelector: {}, podSelector: labels({ pod: "b" }) }] }),
  ],
  [],
]

export const matrices: readonly Case[] = [
  matrix("default deny ingress in one namespace", [deny("x", "Ingress")]),
  matrix("default deny egress in one namespace", [deny("y", "Egress")]),
  matrix("default deny of all in all three", everything),
  matrix("pods by label, one port", [
    deny("x", "Ingress"),
    ingress("x/a-from-b", labels({ pod: "a" }), {
      from: [{ podSelector: labels({ pod: "b" }) }],
      ports: [{ port: 80 }, { port: 81, protocol: "UDP" }],
    }),
  ]),
  matrix("both directions, several policies", [
    ...everything,
    egress("x/out", {}, { to: [inNamespaces("y", "z")], ports: [{ port: 80 }, { port: 80, protocol: "UDP" }] }),
    ingress("y/in", expression("pod", "NotIn", "c"), {
      from: [{ ...inNamespaces("x"), podSelector: expression("pod", "In", "a", "b") }],
    }),
    ingress(
      "z/in",
      {},
      {
        from: [{ namespaceSelector: {} }],
        ports: [
          { port: 80, endPort: 81, protocol: "SCTP" },
          { port: 80, endPort: 81 },
        ],
      },
    ),
    egress("y/out", labels({ pod: "a" }), { to: [{ podSelector: {} }, inNamespaces("x")] }),
    ingress("x/in", labels({ pod: "a" }), { ports: [{ protocol: "TCP" }] }),
  ]),
  matrix("named ports", [
    deny("x", "Ingress"),
    ingress(
      "x/named",
      {},
      {
        from: [inNamespaces("y")],
        ports: [
          { port: "serve-80-tcp" },
          { port: "serve-81-udp", protocol: "UDP" },
          { port: "serve-80-sctp", protocol: "SCTP" },
        ],
      },
    ),
    egress("z/named", labels({ pod: "c" }), { ports: [{ port: "serve-81-tcp" }] }),
  ]),
  matrix("blocks with holes", [
    ingress("x/block", {}, { from: [{ ipBlock: { cidr: "10.244.1.0/24", except: ["10.244.1.24/32"] } }] }),
    egress(
      "y/block",
      {},
      { to: [{ ipBlock: { cidr: "10.244.0.0/16", except: ["10.244.2.0/24"] } }], ports: [{ port: 80 }] },
    ),
    ingress("z/block", labels({ pod: "b" }), { from: [{ ipBlock: { cidr: "10.244.2.20/30" } }, { podSelector: {} }] }),
  ]),
  matrix("policies in a chain x to y to z", [
    ...everything,
    ...["xy", "yz"].flatMap(([from = "", to = ""]) => [
      egress(`${from}/to-${to}`, {}, { to: [inNamespaces(to)] }),
      ingress(`${to}/from-${from}`, {}, { from: [inNamespaces(from)] }),
    ]),
  ]),
  matrix(
    "each pod its own policy",
    keys.map((key, i) => {
      const [ns = "", name = ""] = key.split("/")
      const [otherNs = "", otherName = ""] = (keys[(i + 4) % keys.length] ?? "").split("/")
      return ingress(`${ns}/for-${name}`, labels({ pod: name }), {
        from: [{ ...inNamespaces(otherNs), podSelector: labels({ pod: otherName }) }],
        ports: [{ port: i % 2 === 0 ? 80 : 81 }],
      })
    }),
  ),
  (() => {
    const all = [
      ...nine(),
      ...everything,
      ingress(
        "x/in",
        {},
        { from: [{ ipBlock: { cidr: "fd00:10:244:1::/64" } }, { podSelector: labels({ pod: "c" }) }] },
      ),
      egress("y/out", {}, { to: [{ namespaceSelector: {} }], ports: [{ port: 80 }, { protocol: "SCTP" }] }),
      egress("z/out", {}, { to: [{ ipBlock: { cidr: "fd00:10:244::/48", except: ["fd00:10:244:2::/64"] } }] }),
    ]
    return { name: "matrix: IPv6", tags: ["matrix"], manifests: all, probes: judged(all, six) }
  })(),
  ...steps.map((policies, step) => {
    const manifests = nine(step === 4 ? { "x/a": "b", "y/b": "a" } : {})
    return { ...matrix(`history of nine pods, step ${step}`, policies, manifests), group: "matrix history", step }
  }),
]
