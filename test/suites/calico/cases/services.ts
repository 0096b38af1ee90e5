import { allow, type Case, deny, pod } from "../../builders.ts"
import { everyone, from, gnp, into, item, outOf, rule, to } from "../builders.ts"

const service = (key: string, spec: object): object => {
  const [namespace, name] = key.split("/")
  return { apiVersion: "v1", kind: "Service", metadata: { namespace, name }, spec }
}
const slice = (key: string, addresses: readonly string[], ports: readonly object[], ready = true): object => {
  const [namespace, name = ""] = key.split("/")
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { namespace, name, labels: { "kubernetes.io/service-name": name.split(".")[0] } },
    addressType: addresses.some((address) => address.includes(":")) ? "IPv6" : "IPv4",
    endpoints: [{ addresses, conditions: { ready } }],
    ports,
  }
}
const web = { name: "web", port: 80, protocol: "TCP" }

/** Services as peers (2.5): what their EndpointSlices list. */
export const services: readonly Case[] = [
  item(
    "2.5",
    "egress to a service: its backends at its ports",
    [
      service("y/db", { ports: [{ port: 8080, targetPort: 80 }] }),
      slice("y/db", ["10.244.2.11"], [web]),
      outOf(to({ services: { name: "db", namespace: "y" } })),
    ],
    allow("x/a > y/a 80"),
    deny("x/a > y/a 81", "x/a > y/a 80/UDP", "x/a > y/a 8080", "x/a > y/b 80", "x/a > x/b 80"),
  ),
  item(
    "2.5",
    "a service of the policy's own namespace needs no namespace",
    [
      slice("x/db", ["10.244.2.10"], [web]),
      slice("y/db", ["10.244.2.11"], [web]),
      outOf(to({ services: { name: "db" } })),
    ],
    allow("x/a > x/b 80"),
    deny("x/a > y/a 80"),
  ),
  item(
    "2.5",
    "each backend at the ports of its own slice",
    [
      slice("y/db.1", ["10.244.2.11"], [web]),
      slice("y/db.2", ["10.244.1.11"], [{ name: "web", port: 81, protocol: "TCP" }]),
      outOf(to({ services: { name: "db", namespace: "y" } })),
    ],
    allow("x/a > y/a 80", "x/a > y/b 81"),
    deny("x/a > y/a 81", "x/a > y/b 80"),
  ),
  item(
    "2.5",
    "a backend of two slices at the ports of both",
    [
      slice("y/db.1", ["10.244.2.11"], [web]),
      slice("y/db.2", ["10.244.2.11"], [{ name: "dns", port: 53, protocol: "UDP" }]),
      outOf(to({ services: { name: "db", namespace: "y" } })),
    ],
    allow("x/a > y/a 80", "x/a > y/a 53/UDP"),
    deny("x/a > y/a 53", "x/a > y/a 80/UDP"),
  ),
  item(
    "2.5",
    "a slice port without protocol is TCP, one without number is none",
    [
      slice("y/db", ["10.244.2.11"], [{ port: 80 }, { name: "nothing" }]),
      outOf(to({ services: { name: "db", namespace: "y" } })),
    ],
    allow("x/a > y/a 80"),
    deny("x/a > y/a 81", "x/a > y/a ICMP"),
  ),
  item(
    "2.5",
    "a slice without ports lets nothing out",
    [slice("y/db", ["10.244.2.11"], []), outOf(to({ services: { name: "db", namespace: "y" } }))],
    deny("x/a > y/a 80", "x/a > y/a ICMP"),
  ),
  item(
    "2.5",
    "backends that are not ready count",
    [slice("y/db", ["10.244.2.11"], [web], false), outOf(to({ services: { name: "db", namespace: "y" } }))],
    allow("x/a > y/a 80"),
  ),
  item(
    "2.5",
    "backends outside the cluster",
    [slice("y/db", ["198.51.100.7"], [web]), outOf(to({ services: { name: "db", namespace: "y" } }))],
    allow("x/a > 198.51.100.7 80"),
    deny("x/a > 198.51.100.7 443", "x/a > 198.51.100.8 80"),
  ),
  item(
    "2.5",
    "backends of IPv6",
    [slice("y/db", ["fd00:10:244:2::11"], [web]), outOf(to({ services: { name: "db", namespace: "y" } }))],
    allow("x/a > y/a 80 v6"),
    deny("x/a > y/a 80 v4"),
  ),
  item(
    "2.5",
    "a service that is not there lets nothing out",
    [outOf(to({ services: { name: "db", namespace: "y" } }))],
    deny("x/a > y/a 80", "x/a > 198.51.100.7 80"),
  ),
  item(
    "2.5",
    "a denied service, everything else allowed",
    [
      slice("y/db", ["10.244.2.11"], [web]),
      outOf(rule("Deny", { destination: { services: { name: "db", namespace: "y" } } }), rule("Allow")),
    ],
    deny("x/a > y/a 80 by:default/NetworkPolicy x/p egress[0]"),
    allow("x/a > y/a 81", "x/a > y/b 80"),
  ),
  item(
    "2.5",
    "ingress from a service: its backends, from whatever port to whatever port",
    [slice("y/db", ["10.244.2.11"], [web]), into(from({ services: { name: "db", namespace: "y" } }))],
    allow("y/a > x/a 80", "y/a > x/a 81", "y/a > x/a 53/UDP", "y/a > x/a ICMP"),
    deny("y/b > x/a 80", "198.51.100.7 > x/a 80"),
  ),
  item(
    "2.5",
    "ingress from a service on some ports",
    [
      slice("y/db", ["10.244.2.11"], [web]),
      into(
        rule("Allow", {
          protocol: "TCP",
          source: { services: { name: "db", namespace: "y" } },
          destination: { ports: [81] },
        }),
      ),
    ],
    allow("y/a > x/a 81"),
    deny("y/a > x/a 80", "y/b > x/a 81"),
  ),
  item(
    "2.5",
    "a service in a global policy",
    [
      slice("y/db", ["10.244.2.11"], [web]),
      gnp("p", { selector: "all()", types: ["Egress"], egress: [to({ services: { name: "db", namespace: "y" } })] }),
    ],
    allow("x/a > y/a 80", "z/a > y/a 80"),
    deny("x/a > x/b 80"),
  ),
  item(
    "2.5",
    "a service without slices gets its backends from its pods",
    [
      service("y/db", {
        selector: { app: "web" },
        ports: [
          { port: 8080, targetPort: 80 },
          { name: "d", port: 53, protocol: "UDP" },
        ],
      }),
      outOf(to({ services: { name: "db", namespace: "y" } })),
    ],
    allow("x/a > y/a 80", "x/a > y/a 53/UDP"),
    deny("x/a > y/a 8080", "x/a > y/a 53", "x/a > y/b 80"),
  ),
  item(
    "2.5",
    "a target port by name is what each pod declares",
    [
      pod("y/c", {
        labels: { app: "web" },
        node: "node-1",
        ips: ["10.244.1.30"],
        ports: [{ containerPort: 8081, name: "web", protocol: "TCP" }],
      }),
      service("y/db", { selector: { app: "web" }, ports: [{ port: 80, targetPort: "web" }] }),
      outOf(to({ services: { name: "db", namespace: "y" } })),
    ],
    allow("x/a > y/a 80", "x/a > y/c 8081"),
    deny("x/a > y/a 8081", "x/a > y/c 80"),
  ),
  item(
    "2.5",
    "slices are the truth where there are any, whatever the selector says",
    [
      service("y/db", { selector: { app: "web" }, ports: [{ port: 80 }] }),
      slice("y/db", ["10.244.1.11"], [web]),
      outOf(to({ services: { name: "db", namespace: "y" } })),
    ],
    allow("x/a > y/b 80"),
    deny("x/a > y/a 80"),
  ),
  {
    ...item(
      "2.5",
      "a service gains a backend: before",
      [
        gnp("p", { ...everyone, ingress: [from({ services: { name: "db", namespace: "y" } })] }),
        slice("y/db", ["10.244.2.11"], [web]),
      ],
      allow("y/a > x/a 80"),
      deny("y/b > x/a 80"),
    ),
    group: "calico-service-gains",
    step: 0,
  },
  {
    ...item(
      "2.5",
      "a service gains a backend: after",
      [
        gnp("p", { ...everyone, ingress: [from({ services: { name: "db", namespace: "y" } })] }),
        slice("y/db", ["10.244.2.11", "10.244.1.11"], [web]),
      ],
      allow("y/a > x/a 80", "y/b > x/a 80"),
    ),
    group: "calico-service-gains",
    step: 1,
  },
  {
    ...item(
      "2.5",
      "a service loses its slices: after",
      [gnp("p", { ...everyone, ingress: [from({ services: { name: "db", namespace: "y" } })] })],
      deny("y/a > x/a 80", "y/b > x/a 80"),
    ),
    group: "calico-service-gains",
    step: 2,
  },
]
