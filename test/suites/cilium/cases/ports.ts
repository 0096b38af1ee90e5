import { allow, type Case, deny, namespace, pod } from "../../builders.ts"
import { cnp, item, podA, podB, ports } from "../builders.ts"

/** Ports by number, range and name, and ICMP (7, 61–63). */
const into = (...entries: readonly object[]): object => cnp("x/p", { endpointSelector: podA, ingress: entries })
const onPorts = (...texts: readonly string[]): object => into({ toPorts: ports(...texts) })
const icmp = (...fields: readonly object[]): object => into({ icmps: [{ fields }] })

/** Receivers that give the name `web` different numbers. */
const named = (...policies: readonly object[]): readonly object[] => {
  const web = (containerPort: number): readonly object[] => [{ name: "web", containerPort, protocol: "TCP" }]
  return [
    namespace("x", { team: "red" }),
    pod("x/a", { ips: ["10.244.1.10"], ports: web(8080) }),
    pod("x/b", { ips: ["10.244.2.10"], node: "node-2", ports: web(9090) }),
    pod("x/c", { ips: ["10.244.2.11"], node: "node-2", ports: [] }),
    pod("x/d", { ips: ["10.244.1.11"], ports: [] }),
    ...policies,
  ]
}

export const l4: readonly Case[] = [
  item(7, "a port by number", [onPorts("80/TCP")], allow("y/a > x/a 80"), deny("y/a > x/a 81", "y/a > x/a 80/UDP")),
  item(7, "a port in octal", [onPorts("0120/TCP")], allow("y/a > x/a 80"), deny("y/a > x/a 81", "y/a > x/a 120")),
  item(
    7,
    "what looks like a hexadecimal number has the form of a name, and is one",
    [onPorts("0x50/TCP")],
    deny("y/a > x/a 80", "y/a > x/a 81"),
  ),
  item(
    [7, 62],
    "a range of ports",
    [onPorts("8000-8010/TCP")],
    allow("y/a > x/a 8000", "y/a > x/a 8005", "y/a > x/a 8010"),
    deny("y/a > x/a 7999", "y/a > x/a 8011", "y/a > x/a 8005/UDP"),
  ),
  item(
    [7, 62],
    "a range that is no power of two",
    [onPorts("1023-1537/UDP")],
    allow("y/a > x/a 1023/UDP", "y/a > x/a 1024/UDP", "y/a > x/a 1536/UDP", "y/a > x/a 1537/UDP"),
    deny("y/a > x/a 1022/UDP", "y/a > x/a 1538/UDP"),
  ),
  item(
    [7, 62],
    "a range of protocol ANY",
    [onPorts("8000-8010/ANY")],
    allow("y/a > x/a 8000", "y/a > x/a 8010/UDP", "y/a > x/a 8005/SCTP"),
    deny("y/a > x/a 8011/SCTP", "y/a > x/a ICMP"),
  ),
  item(
    7,
    "an end below the port means the single port",
    [onPorts("8000-7000/TCP")],
    allow("y/a > x/a 8000"),
    deny("y/a > x/a 7000", "y/a > x/a 7500", "y/a > x/a 8001"),
  ),
  item(
    7,
    "an end of 0 means the single port",
    [onPorts("8000-0/TCP")],
    allow("y/a > x/a 8000"),
    deny("y/a > x/a 7999", "y/a > x/a 8001"),
  ),
  item(
    7,
    "SCTP ports",
    [onPorts("3868/SCTP")],
    allow("y/a > x/a 3868/SCTP"),
    deny("y/a > x/a 3868", "y/a > x/a 3869/SCTP"),
  ),
  {
    name: "a named port is the subject's own",
    tags: ["cilium", "item-61"],
    manifests: named(cnp("x/p", { endpointSelector: {}, ingress: [{ toPorts: ports("web/TCP") }] })),
    probes: [
      ...allow("x/d > x/a 8080", "x/d > x/b 9090"),
      ...deny("x/d > x/a 9090", "x/d > x/b 8080", "x/d > x/c 8080"),
    ],
  },
  {
    name: "a named port that the subject lacks allows nothing and isolates",
    tags: ["cilium", "item-61"],
    manifests: named(
      cnp("x/p", { endpointSelector: { matchLabels: { pod: "c" } }, ingress: [{ toPorts: ports("web/TCP") }] }),
    ),
    probes: [...deny("x/d > x/c 8080", "x/d > x/c 9090"), ...allow("x/d > x/a 80")],
  },
  {
    name: "a named port of receivers is each one's own",
    tags: ["cilium", "item-61"],
    manifests: named(
      cnp("x/p", { endpointSelector: { matchLabels: { pod: "d" } }, egress: [{ toPorts: ports("web/TCP") }] }),
    ),
    probes: [
      ...allow("x/d > x/a 8080", "x/d > x/b 9090"),
      ...deny("x/d > x/a 9090", "x/d > x/b 8080", "x/d > x/c 8080"),
    ],
  },
  {
    name: "a named port in capitals is taken in small letters",
    tags: ["cilium", "item-7", "item-61"],
    manifests: named(cnp("x/p", { endpointSelector: podA, ingress: [{ toPorts: ports("WEB/TCP") }] })),
    probes: [...allow("x/d > x/a 8080"), ...deny("x/d > x/a 80")],
  },
  {
    name: "a named port in a denial",
    tags: ["cilium", "item-35", "item-61"],
    manifests: named(
      cnp("x/p", {
        endpointSelector: {},
        ingress: [{ fromEntities: ["all"] }],
        ingressDeny: [{ toPorts: ports("web/TCP") }],
      }),
    ),
    probes: [...deny("x/d > x/a 8080", "x/d > x/b 9090"), ...allow("x/d > x/a 9090", "x/d > x/c 8080")],
  },
  item(
    63,
    "ICMP echo requests by type",
    [icmp({ type: 8, family: "IPv4" })],
    allow("y/a > x/a ICMP"),
    deny("y/a > x/a ICMPv6", "y/a > x/a 80"),
  ),
  item(
    63,
    "ICMPv6 echo requests by type",
    [icmp({ type: 128, family: "IPv6" })],
    allow("y/a > x/a ICMPv6"),
    deny("y/a > x/a ICMP", "y/a > x/a 80"),
  ),
  item(
    63,
    "the family of an ICMP type is IPv4 by default",
    [icmp({ type: 8 })],
    allow("y/a > x/a ICMP"),
    deny("y/a > x/a ICMPv6"),
  ),
  item(63, "an ICMP type by name", [icmp({ type: "EchoRequest" })], allow("y/a > x/a ICMP"), deny("y/a > x/a ICMPv6")),
  item(
    63,
    "an ICMPv6 type by name",
    [icmp({ type: "EchoRequest", family: "IPv6" })],
    allow("y/a > x/a ICMPv6"),
    deny("y/a > x/a ICMP"),
  ),
  item(63, "another ICMP type lets no echo request in", [icmp({ type: 13, family: "IPv4" })], deny("y/a > x/a ICMP")),
  item(
    63,
    "rules with ports alone block echo requests",
    [onPorts("80/TCP")],
    deny("y/a > x/a ICMP", "y/a > x/a ICMPv6"),
    allow("y/a > x/a 80"),
  ),
  item(
    63,
    "ICMP with a peer",
    [into({ fromEndpoints: [podB], icmps: [{ fields: [{ type: 8, family: "IPv4" }] }] })],
    allow("x/b > x/a ICMP"),
    deny("y/a > x/a ICMP", "x/b > x/a 80"),
  ),
  item(
    [35, 63],
    "ICMP denied",
    [
      cnp("x/p", {
        endpointSelector: podA,
        ingress: [{ fromEntities: ["all"] }],
        ingressDeny: [{ icmps: [{ fields: [{ type: 8, family: "IPv4" }] }] }],
      }),
    ],
    deny("y/a > x/a ICMP"),
    allow("y/a > x/a 80", "y/a > x/a ICMPv6"),
  ),
  item(
    63,
    "ICMP of egress",
    [
      cnp("x/p", {
        endpointSelector: podA,
        egress: [
          {
            icmps: [
              {
                fields: [
                  { type: 8, family: "IPv4" },
                  { type: 128, family: "IPv6" },
                ],
              },
            ],
          },
        ],
      }),
    ],
    allow("x/a > y/a ICMP", "x/a > 198.51.100.7 ICMP", "x/a > y/a ICMPv6"),
    deny("x/a > y/a 80"),
  ),
]
