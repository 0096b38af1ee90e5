import { allow, type Case, deny, expression, ingress, labels, namespace, pod } from "../../builders.ts"

/** Label selectors: every operator, on subjects, on peers and on namespaces, and how terms combine. */

/** Pods of x by what they wear; y has pods for the peers; namespaces wear labels too. */
function wardrobe(): readonly object[] {
  return [
    namespace("x", { "kubernetes.io/metadata.name": "x", team: "red" }),
    namespace("y", { "kubernetes.io/metadata.name": "y", team: "blue", env: "prod" }),
    namespace("z", { "kubernetes.io/metadata.name": "z", env: "" }),
    pod("x/target", { labels: { role: "target" }, ips: ["10.244.1.10"] }),
    pod("x/plain", { labels: {}, ips: ["10.244.2.10"], node: "node-2" }),
    pod("x/db", { labels: { tier: "db", "example.com/zone": "north" }, ips: ["10.244.2.11"], node: "node-2" }),
    pod("x/web", { labels: { tier: "web", version: "1" }, ips: ["10.244.1.11"] }),
    pod("x/empty", { labels: { tier: "" }, ips: ["10.244.2.12"], node: "node-2" }),
    pod("y/web", { labels: { tier: "web" }, ips: ["10.244.1.12"] }),
    pod("z/web", { labels: { tier: "web" }, ips: ["10.244.2.13"], node: "node-2" }),
  ]
}

const everyone = ["x/plain", "x/db", "x/web", "x/empty", "y/web", "z/web"]

/** A case in which x/target lets in exactly those named. */
function admits(name: string, peer: object, ...who: readonly string[]): Case {
  return {
    name,
    tags: ["selectors"],
    manifests: [...wardrobe(), ingress("x/p", labels({ role: "target" }), { from: [peer] })],
    probes: everyone.flatMap((from) => (who.includes(from) ? allow : deny)(`${from} > x/target 80`)),
  }
}

/** A case in which exactly those pods of x are isolated. */
function isolates(name: string, podSelector: object, ...who: readonly string[]): Case {
  const inX = ["x/target", "x/plain", "x/db", "x/web", "x/empty"]
  return {
    name,
    tags: ["selectors"],
    manifests: [...wardrobe(), ingress("x/p", podSelector, { from: [{ podSelector: labels({ tier: "nobody" }) }] })],
    probes: inX.flatMap((to) => (who.includes(to) ? deny : allow)(`y/web > ${to} 80`)),
  }
}

const podPeer = (podSelector: object): object => ({ podSelector })
const namespacePeer = (namespaceSelector: object): object => ({ namespaceSelector })
const both = (namespaceSelector: object, podSelector: object): object => ({ namespaceSelector, podSelector })

export const selectors: readonly Case[] = [
  admits("matchLabels with one label", podPeer(labels({ tier: "db" })), "x/db"),
  admits("matchLabels with two labels must both hold", podPeer(labels({ tier: "web", version: "1" })), "x/web"),
  admits("matchLabels with two labels of which one differs", podPeer(labels({ tier: "web", version: "2" }))),
  admits("matchLabels with an empty value matches only the empty value", podPeer(labels({ tier: "" })), "x/empty"),
  admits("matchLabels with a prefixed key", podPeer(labels({ "example.com/zone": "north" })), "x/db"),
  admits("a label's value is compared as a whole", podPeer(labels({ tier: "we" }))),
  admits("a label's value is compared with its case", podPeer(labels({ tier: "Web" }))),
  admits("In with one value", podPeer(expression("tier", "In", "db")), "x/db"),
  admits("In with several values", podPeer(expression("tier", "In", "db", "web")), "x/db", "x/web"),
  admits("In with the empty value does not match an absent key", podPeer(expression("tier", "In", "")), "x/empty"),
  admits("NotIn matches an absent key", podPeer(expression("tier", "NotIn", "db")), "x/plain", "x/web", "x/empty"),
  admits("NotIn with several values", podPeer(expression("tier", "NotIn", "db", "web")), "x/plain", "x/empty"),
  admits("NotIn with the empty value", podPeer(expression("tier", "NotIn", "")), "x/plain", "x/db", "x/web"),
  admits(
    "Exists matches whatever value, the empty one too",
    podPeer(expression("tier", "Exists")),
    "x/db",
    "x/web",
    "x/empty",
  ),
  admits("DoesNotExist matches only an absent key", podPeer(expression("tier", "DoesNotExist")), "x/plain"),
  admits(
    "several expressions must all hold",
    podPeer({
      matchExpressions: [
        { key: "tier", operator: "Exists" },
        { key: "tier", operator: "NotIn", values: ["db"] },
      ],
    }),
    ...["x/web", "x/empty"],
  ),
  admits(
    "matchLabels and matchExpressions must both hold",
    podPeer({ matchLabels: { tier: "web" }, matchExpressions: [{ key: "version", operator: "Exists" }] }),
    "x/web",
  ),
  admits(
    "expressions that contradict match nobody",
    podPeer({
      matchExpressions: [
        { key: "tier", operator: "Exists" },
        { key: "tier", operator: "DoesNotExist" },
      ],
    }),
  ),
  admits(
    "empty matchLabels and matchExpressions are the empty selector",
    podPeer({ matchLabels: {}, matchExpressions: [] }),
    "x/plain",
    "x/db",
    "x/web",
    "x/empty",
  ),
  admits("namespaces by In", namespacePeer(expression("team", "In", "blue", "green")), "y/web"),
  admits(
    "namespaces by NotIn: an absent key matches",
    namespacePeer(expression("team", "NotIn", "red")),
    "y/web",
    "z/web",
  ),
  admits("namespaces by Exists: the empty value counts", namespacePeer(expression("env", "Exists")), "y/web", "z/web"),
  admits(
    "namespaces by DoesNotExist",
    namespacePeer(expression("env", "DoesNotExist")),
    "x/plain",
    "x/db",
    "x/web",
    "x/empty",
  ),
  admits("namespaces by an empty value", namespacePeer(labels({ env: "" })), "z/web"),
  admits(
    "namespaces by labels and expression together",
    namespacePeer({
      matchLabels: { env: "prod" },
      matchExpressions: [{ key: "team", operator: "In", values: ["blue"] }],
    }),
    "y/web",
  ),
  admits(
    "namespace NotIn and pod In together",
    both(expression("team", "NotIn", "blue"), expression("tier", "In", "web")),
    "x/web",
    "z/web",
  ),
  admits(
    "namespace Exists and pod DoesNotExist together",
    both(expression("team", "Exists"), expression("tier", "DoesNotExist")),
    "x/plain",
  ),
  admits("a pod's label does not count for its namespace", namespacePeer(labels({ tier: "web" }))),
  admits("a namespace's label does not count for its pods", podPeer(labels({ team: "red" }))),
  isolates("subject by label", labels({ tier: "db" }), "x/db"),
  isolates("subject by In", expression("tier", "In", "db", "web"), "x/db", "x/web"),
  isolates("subject by NotIn", expression("tier", "NotIn", "db"), "x/target", "x/plain", "x/web", "x/empty"),
  isolates("subject by Exists", expression("tier", "Exists"), "x/db", "x/web", "x/empty"),
  isolates("subject by DoesNotExist", expression("tier", "DoesNotExist"), "x/target", "x/plain"),
  isolates("subject by everything", {}, "x/target", "x/plain", "x/db", "x/web", "x/empty"),
  isolates(
    "subject by labels and expression together",
    { matchLabels: { tier: "web" }, matchExpressions: [{ key: "version", operator: "NotIn", values: ["2"] }] },
    "x/web",
  ),
  admits("a key that objects have by themselves is no label", podPeer(expression("constructor", "Exists"))),
]
