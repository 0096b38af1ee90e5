import {
  allow,
  type Case,
  deny,
  egress,
  ingress,
  labels,
  namespace,
  pod,
  policy,
  standardPorts,
  world,
} from "../../builders.ts"

/** Ports by number, range and name, and protocols. */
const podA = labels({ pod: "a" })

function one(name: string, policies: readonly object[], ...probes: readonly (readonly object[])[]): Case {
  return { name, tags: ["ports"], manifests: [...world(), ...policies], probes: probes.flat() }
}

const port = (number: number | string, protocol?: string): object => ({
  port: number,
  ...(protocol === undefined ? {} : { protocol }),
})
const range = (first: number, last: number, protocol = "TCP"): object => ({ port: first, endPort: last, protocol })
const into = (...ports: readonly object[]): object => ingress("x/p", podA, { ports })
const outOf = (...ports: readonly object[]): object => egress("x/p", podA, { ports })

/** Pods that give one name different numbers or protocols. */
function names(...policies: readonly object[]): readonly object[] {
  const web = (containerPort: number, protocol = "TCP") => ({ name: "web", containerPort, protocol })
  return [
    namespace("x", { team: "red" }),
    namespace("y", { team: "blue" }),
    pod("x/a", { labels: { app: "web", pod: "a" }, ips: ["10.244.1.10"], ports: [web(8080)] }),
    pod("x/b", { labels: { app: "web", pod: "b" }, ips: ["10.244.2.10"], node: "node-2", ports: [web(9090)] }),
    pod("x/c", { labels: { app: "web", pod: "c" }, ips: ["10.244.1.11"], ports: [web(8080, "UDP")] }),
    pod("x/d", { labels: { app: "web", pod: "d" }, ips: ["10.244.2.11"], node: "node-2", ports: [] }),
    pod("y/a", { labels: { pod: "a" }, ips: ["10.244.2.12"], node: "node-2", ports: [web(7070)] }),
    ...policies,
  ]
}

export const ports: readonly Case[] = [
  one(
    "a port without protocol is TCP",
    [into(port(80))],
    allow("y/a > x/a 80"),
    deny("y/a > x/a 80/UDP", "y/a > x/a 80/SCTP", "y/a > x/a 81"),
  ),
  one("a UDP port", [into(port(53, "UDP"))], allow("y/a > x/a 53/UDP"), deny("y/a > x/a 53", "y/a > x/a 54/UDP")),
  one(
    "an SCTP port",
    [into(port(3868, "SCTP"))],
    allow("y/a > x/a 3868/SCTP"),
    deny("y/a > x/a 3868", "y/a > x/a 3869/SCTP"),
  ),
  one(
    "the same number in every protocol",
    [into(port(80, "TCP"), port(80, "UDP"), port(80, "SCTP"))],
    allow("y/a > x/a 80", "y/a > x/a 80/UDP", "y/a > x/a 80/SCTP"),
    deny("y/a > x/a 81", "y/a > x/a 81/UDP", "y/a > x/a 81/SCTP"),
  ),
  one(
    "a protocol without port means all its ports",
    [into({ protocol: "UDP" })],
    allow("y/a > x/a 53/UDP", "y/a > x/a 1/UDP", "y/a > x/a 65535/UDP"),
    deny("y/a > x/a 80", "y/a > x/a 80/SCTP"),
  ),
  one(
    "an empty port means all of TCP",
    [into({})],
    allow("y/a > x/a 80", "y/a > x/a 65535"),
    deny("y/a > x/a 53/UDP", "y/a > x/a 80/SCTP"),
  ),
  one(
    "the lowest and the highest port",
    [into(port(1), port(65535))],
    allow("y/a > x/a 1", "y/a > x/a 65535"),
    deny("y/a > x/a 2", "y/a > x/a 65534"),
  ),
  one(
    "a range holds both its ends",
    [into(range(8000, 8010))],
    allow("y/a > x/a 8000", "y/a > x/a 8005", "y/a > x/a 8010"),
    deny("y/a > x/a 7999", "y/a > x/a 8011", "y/a > x/a 8005/UDP"),
  ),
  one(
    "a range of one port",
    [into(range(8000, 8000))],
    allow("y/a > x/a 8000"),
    deny("y/a > x/a 7999", "y/a > x/a 8001"),
  ),
  one(
    "a range of all ports",
    [into(range(1, 65535))],
    allow("y/a > x/a 1", "y/a > x/a 65535"),
    deny("y/a > x/a 1/UDP"),
  ),
  one(
    "a range of UDP ports",
    [into(range(5000, 5100, "UDP"))],
    allow("y/a > x/a 5000/UDP", "y/a > x/a 5100/UDP"),
    deny("y/a > x/a 5050", "y/a > x/a 5101/UDP"),
  ),
  one(
    "a range of SCTP ports",
    [into(range(3000, 4000, "SCTP"))],
    allow("y/a > x/a 3868/SCTP"),
    deny("y/a > x/a 3868", "y/a > x/a 2999/SCTP"),
  ),
  one(
    "ranges that overlap and touch",
    [into(range(100, 200), range(150, 250), range(251, 260))],
    allow("y/a > x/a 100", "y/a > x/a 200", "y/a > x/a 250", "y/a > x/a 251", "y/a > x/a 260"),
    deny("y/a > x/a 99", "y/a > x/a 261"),
  ),
  one(
    "ranges at the borders of powers of two",
    [into(range(1023, 1025), range(32767, 32769))],
    allow("y/a > x/a 1023", "y/a > x/a 1024", "y/a > x/a 1025", "y/a > x/a 32768"),
    deny("y/a > x/a 1022", "y/a > x/a 1026", "y/a > x/a 32766", "y/a > x/a 32770"),
  ),
  one(
    "egress by port number",
    [outOf(port(80))],
    allow("x/a > y/a 80", "x/a > z/a 80 v6"),
    deny("x/a > y/a 81", "x/a > y/a 80/UDP"),
  ),
  one(
    "egress by range",
    [outOf(range(80, 81))],
    allow("x/a > y/a 80", "x/a > y/a 81"),
    deny("x/a > y/a 79", "x/a > y/a 82"),
  ),
  one("egress by protocol alone", [outOf({ protocol: "SCTP" })], allow("x/a > y/a 3868/SCTP"), deny("x/a > y/a 80")),
  one(
    "ports of several rules and policies add up for the same peers",
    [into(port(80)), ingress("x/q", podA, { ports: [range(90, 92)] })],
    allow("y/a > x/a 80", "y/a > x/a 90", "y/a > x/a 92"),
    deny("y/a > x/a 89", "y/a > x/a 93"),
  ),
  one("a port by name", [into(port("web"))], allow("y/a > x/a 80"), deny("y/a > x/a 81", "y/a > x/a 80/UDP")),
  one(
    "a UDP port by name",
    [into(port("dns", "UDP"))],
    allow("y/a > x/a 53/UDP"),
    deny("y/a > x/a 53", "y/a > x/a 80/UDP"),
  ),
  one("an SCTP port by name", [into(port("diameter", "SCTP"))], allow("y/a > x/a 3868/SCTP"), deny("y/a > x/a 3868")),
  one(
    "a name under another protocol does not count",
    [into(port("dns", "TCP"))],
    deny("y/a > x/a 53/UDP", "y/a > x/a 53"),
  ),
  one("a name without protocol is a TCP port's", [into(port("dns"))], deny("y/a > x/a 53/UDP", "y/a > x/a 53")),
  one("a name that no pod defines allows nothing", [into(port("nobody"))], deny("y/a > x/a 80", "y/a > x/a 53/UDP")),
  one(
    "a name and a number together",
    [into(port("web"), port(81))],
    allow("y/a > x/a 80", "y/a > x/a 81"),
    deny("y/a > x/a 82"),
  ),
  one(
    "egress by name means the receiver's",
    [outOf(port("web"))],
    allow("x/a > y/a 80", "x/a > x/b 80"),
    deny("x/a > y/a 81"),
  ),
  one("egress by name never means a host outside", [outOf(port("web"))], deny("x/a > 198.51.100.7 80")),
  {
    name: "one name, different numbers: each receiver's own",
    tags: ["ports", "named"],
    manifests: names(ingress("x/p", labels({ app: "web" }), { ports: [port("web")] })),
    probes: [
      ...allow("y/a > x/a 8080", "y/a > x/b 9090"),
      ...deny(
        "y/a > x/a 9090",
        "y/a > x/b 8080",
        "y/a > x/c 8080",
        "y/a > x/c 8080/UDP",
        "y/a > x/d 8080",
        "y/a > x/a 7070",
      ),
    ],
  },
  {
    name: "one name, different protocols: each receiver's own",
    tags: ["ports", "named"],
    manifests: names(ingress("x/p", labels({ app: "web" }), { ports: [port("web", "UDP")] })),
    probes: [
      ...allow("y/a > x/c 8080/UDP"),
      ...deny("y/a > x/a 8080", "y/a > x/a 8080/UDP", "y/a > x/b 9090/UDP", "y/a > x/d 8080/UDP"),
    ],
  },
  {
    name: "egress by name, different numbers: each receiver's own",
    tags: ["ports", "named"],
    manifests: names(egress("y/p", {}, { ports: [port("web"), port("web", "UDP")] })),
    probes: [
      ...allow("y/a > x/a 8080", "y/a > x/b 9090", "y/a > x/c 8080/UDP"),
      ...deny("y/a > x/a 7070", "y/a > x/b 8080", "y/a > x/c 8080", "y/a > x/d 8080"),
    ],
  },
  {
    name: "egress by name at the sender and by number at the receiver must both hold",
    tags: ["ports", "named"],
    manifests: names(
      egress("y/p", {}, { ports: [port("web")] }),
      ingress("x/q", labels({ app: "web" }), { ports: [port(8080)] }),
    ),
    probes: [...allow("y/a > x/a 8080"), ...deny("y/a > x/b 9090", "y/a > x/b 8080", "y/a > x/c 8080")],
  },
  {
    name: "two containers of a pod, two names",
    tags: ["ports", "named"],
    manifests: [
      namespace("x"),
      twoContainers(),
      pod("x/b", { ips: ["10.244.2.10"], node: "node-2" }),
      ingress("x/p", podA, { ports: [port("admin"), port("web")] }),
    ],
    probes: [...allow("x/b > x/a 80", "x/b > x/a 9000"), ...deny("x/b > x/a 81", "x/b > x/a 9001")],
  },
  one(
    "a named port with a peer",
    [ingress("x/p", podA, { from: [{ namespaceSelector: labels({ team: "blue" }) }], ports: [port("web")] })],
    allow("y/a > x/a 80"),
    deny("z/a > x/a 80", "y/a > x/a 81", "x/b > x/a 80"),
  ),
  one(
    "ICMP passes a rule without ports and no rule with ports",
    [
      ingress("x/open", podA, { from: [{ namespaceSelector: labels({ team: "blue" }) }] }),
      ingress("x/web", podA, { ports: [port(80), { protocol: "TCP" }] }),
    ],
    allow("y/a > x/a ICMP", "y/a > x/a ICMPv6 v6"),
    deny("z/a > x/a ICMP", "z/a > x/a ICMPv6 v6"),
  ),
  one(
    "ICMP to an isolated pod is denied",
    [into(port(80))],
    allow("y/a > x/b ICMP"),
    deny("y/a > x/a ICMP", "y/a > x/a ICMPv6"),
  ),
  one(
    "ICMP from a pod isolated for egress is denied",
    [outOf(port(80))],
    deny("x/a > y/a ICMP", "x/a > y/a ICMPv6"),
    allow("x/b > y/a ICMP"),
  ),
  one(
    "ICMP passes an egress rule without ports",
    [egress("x/p", podA, { to: [{ namespaceSelector: labels({ team: "blue" }) }] })],
    allow("x/a > y/a ICMP", "x/a > y/b ICMPv6"),
    deny("x/a > z/a ICMP"),
  ),
  one(
    "a protocol by number passes a rule without ports and no rule with ports",
    [
      ingress("x/open", podA, { from: [{ namespaceSelector: labels({ team: "blue" }) }] }),
      ingress("x/web", podA, { ports: [port(80)] }),
    ],
    allow("y/a > x/a /253", "y/a > x/a /253 v6"),
    deny("z/a > x/a /253"),
  ),
  one(
    "a protocol by number to an open pod",
    [policy("x/web", { podSelector: podA, ingress: [{ ports: [port(80)] }] })],
    allow("y/a > x/b /253"),
    deny("y/a > x/a /253"),
  ),
  one(
    "protocol numbers of TCP, UDP and SCTP",
    [into(port(80), port(53, "UDP"))],
    [
      { from: { ns: "y", pod: "a" }, to: { ns: "x", pod: "a" }, port: 80, protocol: 6, expect: "allow" },
      { from: { ns: "y", pod: "a" }, to: { ns: "x", pod: "a" }, port: 53, protocol: 17, expect: "allow" },
      { from: { ns: "y", pod: "a" }, to: { ns: "x", pod: "a" }, port: 80, protocol: 132, expect: "deny" },
    ],
  ),
  one(
    "the source port does not matter",
    [into(port(8443))],
    [
      {
        from: { ns: "y", pod: "a" },
        to: { ns: "x", pod: "a" },
        port: 8443,
        sourcePort: 5081,
        protocol: "TCP",
        expect: "allow",
      },
      {
        from: { ns: "y", pod: "a" },
        to: { ns: "x", pod: "a" },
        port: 81,
        sourcePort: 8443,
        protocol: "TCP",
        expect: "deny",
      },
    ],
  ),
  one(
    "forty ports in one rule",
    [into(...Array.from({ length: 40 }, (_, i) => port(1000 + 2 * i)))],
    allow("y/a > x/a 1000", "y/a > x/a 1040", "y/a > x/a 1078"),
    deny("y/a > x/a 999", "y/a > x/a 1001", "y/a > x/a 1080"),
  ),
  one(
    "a hundred single ports: a row longer than sixty-four intervals",
    [into(...Array.from({ length: 100 }, (_, i) => port(2000 + 3 * i, i % 2 === 0 ? "TCP" : "UDP")))],
    allow("y/a > x/a 2000", "y/a > x/a 2003/UDP", "y/a > x/a 2294", "y/a > x/a 2297/UDP"),
    deny("y/a > x/a 2003", "y/a > x/a 2000/UDP", "y/a > x/a 2295", "y/a > x/a 2300"),
  ),
]

function twoContainers(): object {
  const base = pod("x/a", { ips: ["10.244.1.10"] }) as { spec: object }
  const containers = [
    { name: "one", image: "echo", ports: standardPorts },
    { name: "two", image: "echo", ports: [{ name: "admin", containerPort: 9000 }] },
  ]
  return { ...base, spec: { ...base.spec, containers } }
}
