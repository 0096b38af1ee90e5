import { allow, type Case, deny } from "../../builders.ts"
import { ccnp, cnp, item, podA, ports } from "../builders.ts"

const service = (key: string, spec: object, labels?: object): object => {
  const [namespace, name] = key.split("/")
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace, name, ...(labels === undefined ? {} : { labels }) },
    spec,
  }
}
const slice = (key: string, addresses: readonly string[], port: number): object => {
  const [namespace, name] = key.split("/")
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { namespace, name, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    endpoints: [{ addresses }],
    ports: [{ port, protocol: "TCP" }],
  }
}
const db = service("y/db", { selector: { app: "db" }, ports: [{ port: 8080, targetPort: 80 }] }, { role: "store" })
const outside = service("y/outside", { ports: [{ port: 443 }] }, { role: "store" })
const named = (serviceName: string, namespace?: string): object => ({
  k8sService: { serviceName, ...(namespace === undefined ? {} : { namespace }) },
})
const to = (toServices: readonly object[], more: object = {}): object =>
  cnp("x/p", { endpointSelector: podA, egress: [{ toServices, ...more }] })

/** Services as receivers (59), what policy sees of their traffic (60), and the API server (45). */
export const services: readonly Case[] = [
  item(
    59,
    "a service with a selector is its pods, on every port",
    [db, to([named("db", "y")])],
    allow("x/a > y/b 80", "x/a > y/b 81", "x/a > y/b ICMP"),
    deny("x/a > y/a 80", "x/a > x/b 80", "x/a > 198.51.100.7 80"),
  ),
  item(
    59,
    "whatever its endpoint slices say",
    [db, slice("y/db", ["10.244.2.11"], 80), to([named("db", "y")])],
    allow("x/a > y/b 80"),
    deny("x/a > y/a 80"),
  ),
  item(
    59,
    "a service without selector is its endpoints outside",
    [outside, slice("y/outside", ["198.51.100.7", "10.244.1.11"], 443), to([named("outside", "y")])],
    allow("x/a > 198.51.100.7 443", "x/a > 198.51.100.7 80"),
    deny("x/a > 198.51.100.8 443", "x/a > y/b 443"),
  ),
  item(
    59,
    "a service with ports of the policy's own",
    [db, to([named("db", "y")], { toPorts: ports("80/TCP") })],
    allow("x/a > y/b 80"),
    deny("x/a > y/b 81", "x/a > y/b ICMP", "x/a > x/b 80"),
  ),
  item(
    59,
    "services by their labels",
    [
      db,
      outside,
      slice("y/outside", ["198.51.100.7"], 443),
      service("y/other", { selector: { app: "web" }, ports: [{ port: 80 }] }),
      to([{ k8sServiceSelector: { selector: { matchLabels: { role: "store" } }, namespace: "y" } }]),
    ],
    allow("x/a > y/b 80", "x/a > 198.51.100.7 443"),
    deny("x/a > y/a 80"),
  ),
  item(
    59,
    "services by an expression over labels, in every namespace",
    [
      db,
      service("x/db", { selector: { app: "db" }, ports: [{ port: 80 }] }, { role: "store" }),
      service("z/cache", { selector: { app: "cache" }, ports: [{ port: 80 }] }),
      to([{ k8sServiceSelector: { selector: { matchExpressions: [{ key: "role", operator: "Exists" }] } } }]),
    ],
    allow("x/a > y/b 80", "x/a > x/b 80"),
    deny("x/a > z/a 80"),
  ),
  item(
    59,
    "a service by name of no namespace is every service of that name",
    [db, service("x/db", { selector: { app: "db" }, ports: [{ port: 80 }] }), to([named("db")])],
    allow("x/a > y/b 80", "x/a > x/b 80"),
    deny("x/a > y/a 80"),
  ),
  item(59, "a service that is not there", [to([named("db", "y")])], deny("x/a > y/b 80", "x/a > 198.51.100.7 80")),
  item(59, "a service of another namespace", [db, to([named("db", "z")])], deny("x/a > y/b 80", "x/a > z/a 80")),
  item(
    59,
    "several services add up",
    [
      db,
      service("z/cache", { selector: { app: "cache" }, ports: [{ port: 80 }] }),
      to([named("db", "y"), named("cache", "z")]),
    ],
    allow("x/a > y/b 80", "x/a > z/a 80"),
    deny("x/a > y/a 80"),
  ),
  item(
    59,
    "a service in a clusterwide policy",
    [db, ccnp("p", { endpointSelector: podA, egress: [{ toServices: [named("db", "y")] }] })],
    allow("x/a > y/b 80", "z/a > y/b 80"),
    deny("x/a > x/b 80"),
  ),
  item(
    59,
    "a denied service",
    [
      db,
      cnp("x/p", {
        endpointSelector: podA,
        egress: [{ toEntities: ["all"] }],
        egressDeny: [{ toServices: [named("db", "y")] }],
      }),
    ],
    allow("x/a > y/a 80"),
    deny("x/a > y/b 80"),
  ),
  item(
    59,
    "the API server's own service is none",
    [
      service("default/kubernetes", { ports: [{ port: 443 }] }),
      slice("default/kubernetes", ["198.51.100.7"], 6443),
      to([named("kubernetes", "default")]),
    ],
    deny("x/a > 198.51.100.7 6443"),
  ),
  item(59, "an empty list of services selects nothing", [to([])], deny("x/a > y/b 80")),
  item(
    60,
    "egress to a service's port is judged as egress to the backend's",
    [db, cnp("x/p", { endpointSelector: podA, egress: [{ toPorts: ports("8080/TCP") }] })],
    deny("x/a > y/b 80"),
    allow("x/a > y/b 8080"),
  ),
  item(
    45,
    "kube-apiserver is where the service kubernetes leads, outside the cluster",
    [
      slice("default/kubernetes", ["198.51.100.7"], 6443),
      cnp("x/p", { endpointSelector: podA, egress: [{ toEntities: ["kube-apiserver"] }] }),
    ],
    allow("x/a > 198.51.100.7 6443", "x/a > 198.51.100.7 80"),
    deny("x/a > 198.51.100.8 6443", "x/a > node:node-2 6443"),
  ),
  item(
    45,
    "kube-apiserver on a node",
    [
      slice("default/kubernetes", ["172.18.0.12"], 6443),
      cnp("x/p", { endpointSelector: podA, egress: [{ toEntities: ["kube-apiserver"] }] }),
    ],
    allow("x/a > node:node-2 6443"),
    deny("x/a > node:node-1 6443"),
  ),
  item(
    45,
    "cluster takes an API server outside",
    [
      slice("default/kubernetes", ["198.51.100.7"], 6443),
      cnp("x/p", { endpointSelector: podA, egress: [{ toEntities: ["cluster"] }] }),
    ],
    allow("x/a > 198.51.100.7 6443", "x/a > y/a 80"),
    deny("x/a > 198.51.100.8 6443"),
  ),
  item(
    27,
    "default deny asked for in a direction without entries",
    [
      cnp("x/p", {
        endpointSelector: podA,
        enableDefaultDeny: { ingress: true },
        egress: [{ toEntities: ["all"] }],
      }),
    ],
    deny("y/a > x/a 80"),
    allow("x/a > y/a 80"),
  ),
  item(
    12,
    "a port rule without a port matches nothing",
    [cnp("x/p", { endpointSelector: podA, ingress: [{ toPorts: [{ ports: [] }] }] })],
    deny("y/a > x/a 80", "198.51.100.7 > x/a 80"),
  ),
  item(
    15,
    "a protocol without a port is every port of it",
    [cnp("x/p", { endpointSelector: podA, ingress: [{ toPorts: [{ ports: [{ protocol: "TCP" }] }] }] })],
    allow("y/a > x/a 80", "y/a > x/a 81"),
    deny("y/a > x/a 53/UDP", "y/a > x/a ICMP"),
  ),
]
