import { allow, type Case, deny, pod } from "../../builders.ts"
import { ccnp, cnp, inNamespace, item, podA, podB } from "../builders.ts"

/** Label sources, scoping and filtered labels (19–25). */
const from = (...selectors: readonly object[]): object =>
  cnp("x/p", { endpointSelector: podA, ingress: [{ fromEndpoints: selectors }] })
const expression = (key: string, operator: string, ...values: readonly string[]): object => ({
  matchExpressions: [{ key, operator, ...(values.length === 0 ? {} : { values }) }],
})

/** Pods with labels that Cilium's filter keeps or drops. */
const labelled = (): readonly object[] => [
  pod("x/kept", { labels: { "app.kubernetes.io/name": "kept", tier: "db" }, node: "node-2", ips: ["10.244.2.40"] }),
  pod("x/dropped", {
    labels: {
      "pod-template-hash": "abc",
      "topology.kubernetes.io/zone": "z1",
      "statefulset.kubernetes.io/pod-name": "dropped",
    },
    node: "node-2",
    ips: ["10.244.2.41"],
  }),
]

function account(name: string, ...pods: readonly string[]): readonly object[] {
  return pods.map((key, i) => {
    const base = pod(key, { node: "node-2", ips: [`10.244.2.${50 + i}`] }) as { spec: object }
    return { ...base, spec: { ...base.spec, serviceAccountName: name } }
  })
}

export const selectors: readonly Case[] = [
  item(
    19,
    "a key without source matches a pod's label",
    [from({ matchLabels: { app: "db" } })],
    allow("x/b > x/a 80"),
    deny("y/b > x/a 80"),
  ),
  item(
    19,
    "a key with source k8s matches a pod's label",
    [from({ matchLabels: { "k8s:app": "db" } })],
    allow("x/b > x/a 80"),
    deny("y/b > x/a 80"),
  ),
  item(
    19,
    "a key with source any matches a pod's label",
    [from({ matchLabels: { "any:app": "db" } })],
    allow("x/b > x/a 80"),
    deny("y/b > x/a 80"),
  ),
  item(
    19,
    "a subject's keys may name their source",
    [cnp("x/p", { endpointSelector: { matchLabels: { "k8s:pod": "a" } }, ingress: [{}] })],
    deny("y/a > x/a 80"),
    allow("y/a > x/b 80"),
  ),
  item(
    20,
    "a subject is forced into the policy's namespace",
    [cnp("x/p", { endpointSelector: inNamespace("y"), ingress: [{}] })],
    deny("z/a > x/a 80", "z/a > x/b 80"),
    allow("z/a > y/a 80", "z/a > y/b 80"),
  ),
  item(
    21,
    "a peer without namespace is one of the policy's",
    [from({ matchLabels: { pod: "b" } })],
    allow("x/b > x/a 80"),
    deny("y/b > x/a 80"),
  ),
  item(
    21,
    "a peer with a namespace",
    [from({ matchLabels: { "k8s:io.kubernetes.pod.namespace": "y" } })],
    allow("y/a > x/a 80", "y/b > x/a 80"),
    deny("x/b > x/a 80", "z/a > x/a 80"),
  ),
  item(
    21,
    "a peer with a namespace, without the source",
    [from({ matchLabels: { "io.kubernetes.pod.namespace": "y", pod: "b" } })],
    allow("y/b > x/a 80"),
    deny("y/a > x/a 80", "x/b > x/a 80"),
  ),
  item(
    21,
    "a peer by an expression over namespaces",
    [from(expression("k8s:io.kubernetes.pod.namespace", "In", "y", "z"))],
    allow("y/a > x/a 80", "z/a > x/a 80"),
    deny("x/b > x/a 80"),
  ),
  item(
    21,
    "a peer in any namespace",
    [from(expression("k8s:io.kubernetes.pod.namespace", "Exists"))],
    allow("y/a > x/a 80", "x/b > x/a 80", "z/a > x/a 80"),
    deny("198.51.100.7 > x/a 80", "node:node-2 > x/a 80"),
  ),
  item(
    21,
    "a peer by its namespace's labels",
    [from({ matchLabels: { "k8s:io.cilium.k8s.namespace.labels.team": "blue" } })],
    allow("y/a > x/a 80", "y/b > x/a 80"),
    deny("x/b > x/a 80", "z/a > x/a 80"),
  ),
  item(
    21,
    "a peer by its namespace's labels, without the source",
    [from({ matchLabels: { "io.cilium.k8s.namespace.labels.env": "prod" } })],
    allow("z/a > x/a 80"),
    deny("y/a > x/a 80", "x/b > x/a 80"),
  ),
  item(
    21,
    "a peer by its namespace's labels and its own",
    [from({ matchLabels: { "io.cilium.k8s.namespace.labels.team": "blue", pod: "b" } })],
    allow("y/b > x/a 80"),
    deny("y/a > x/a 80", "x/b > x/a 80"),
  ),
  item(
    21,
    "a receiver without namespace is one of the policy's",
    [cnp("x/p", { endpointSelector: podA, egress: [{ toEndpoints: [podB] }] })],
    allow("x/a > x/b 80"),
    deny("x/a > y/b 80"),
  ),
  item(
    21,
    "a receiver with a namespace",
    [cnp("x/p", { endpointSelector: podA, egress: [{ toEndpoints: [inNamespace("y", { pod: "b" })] }] })],
    allow("x/a > y/b 80"),
    deny("x/a > x/b 80", "x/a > y/a 80"),
  ),
  item(
    21,
    "a peer of a clusterwide policy is one of any namespace",
    [ccnp("p", { endpointSelector: podA, ingress: [{ fromEndpoints: [podB] }] })],
    allow("x/b > x/a 80", "y/b > x/a 80", "x/b > z/a 80"),
    deny("y/a > x/a 80", "198.51.100.7 > x/a 80"),
  ),
  item(
    [20, 21],
    "a clusterwide subject by namespace",
    [ccnp("p", { endpointSelector: inNamespace("y"), ingress: [{ fromEndpoints: [inNamespace("x")] }] })],
    allow("x/a > y/a 80", "x/b > y/b 80", "z/a > x/a 80"),
    deny("z/a > y/a 80", "y/a > y/b 80"),
  ),
  item(
    [20, 21],
    "a clusterwide subject by its namespace's labels",
    [
      ccnp("p", {
        endpointSelector: { matchLabels: { "io.cilium.k8s.namespace.labels.team": "blue" } },
        ingress: [{}],
      }),
    ],
    deny("z/a > y/a 80", "x/a > y/b 80"),
    allow("y/a > x/a 80"),
  ),
  item(24, "In", [from(expression("app", "In", "db", "cache"))], allow("x/b > x/a 80"), deny("y/b > x/a 80")),
  item(
    24,
    "NotIn matches an absent key",
    [from(expression("tier", "NotIn", "front"))],
    allow("x/b > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    24,
    "Exists",
    [
      ccnp("p", {
        endpointSelector: { matchLabels: { pod: "b" } },
        ingress: [{ fromEndpoints: [expression("tier", "Exists")] }],
      }),
    ],
    allow("x/a > x/b 80", "y/a > x/b 80", "y/b > x/b 80"),
    deny("z/a > x/b 80", "x/b > y/b 80"),
  ),
  item(
    24,
    "DoesNotExist",
    [
      ccnp("p", {
        endpointSelector: { matchLabels: { pod: "b" } },
        ingress: [{ fromEndpoints: [expression("tier", "DoesNotExist")] }],
      }),
    ],
    allow("z/a > x/b 80", "x/b > y/b 80"),
    deny("x/a > x/b 80", "y/a > x/b 80"),
  ),
  item(
    24,
    "all requirements must hold",
    [
      from({
        matchLabels: { pod: "b", "k8s:io.kubernetes.pod.namespace": "y" },
        matchExpressions: [{ key: "tier", operator: "In", values: ["front"] }],
      }),
    ],
    allow("y/b > x/a 80"),
    deny("x/b > x/a 80", "y/a > x/a 80"),
  ),
  item(
    25,
    "a label under app.kubernetes.io is kept",
    [...labelled(), from({ matchLabels: { "app.kubernetes.io/name": "kept" } })],
    allow("x/kept > x/a 80"),
    deny("x/dropped > x/a 80", "x/b > x/a 80"),
  ),
  item(
    25,
    "a pod-template-hash is dropped and matches nothing",
    [...labelled(), from({ matchLabels: { "pod-template-hash": "abc" } })],
    deny("x/dropped > x/a 80"),
  ),
  item(
    25,
    "a topology label is dropped and matches nothing",
    [...labelled(), from(expression("topology.kubernetes.io/zone", "Exists"))],
    deny("x/dropped > x/a 80"),
  ),
  item(
    25,
    "a stateful set's pod name is dropped and matches nothing",
    [...labelled(), from({ matchLabels: { "statefulset.kubernetes.io/pod-name": "dropped" } })],
    deny("x/dropped > x/a 80"),
  ),
  item(
    [24, 25],
    "a dropped key counts as absent",
    [...labelled(), from(expression("pod-template-hash", "DoesNotExist"))],
    allow("x/dropped > x/a 80", "x/kept > x/a 80"),
    deny("y/a > x/a 80"),
  ),
  item(
    25,
    "a peer by its service account",
    [...account("shop", "x/one", "y/one"), from({ matchLabels: { "io.cilium.k8s.policy.serviceaccount": "shop" } })],
    allow("x/one > x/a 80"),
    deny("y/one > x/a 80", "x/b > x/a 80"),
  ),
  item(
    25,
    "pods without a service account have the default one",
    [...account("shop", "x/one"), from({ matchLabels: { "io.cilium.k8s.policy.serviceaccount": "default" } })],
    allow("x/b > x/a 80"),
    deny("x/one > x/a 80"),
  ),
]
