import {
  allow,
  type Case,
  deny,
  denyEgress,
  denyIngress,
  ingress,
  labels,
  namespace,
  namespaces,
  node,
  pod,
  policy,
  world,
  worldPods,
} from "../../builders.ts"

/** Histories of steps: what changes between two states, and only that, changes verdicts. */
const podA = labels({ pod: "a" })

interface Step {
  readonly manifests: readonly object[]
  readonly probes: readonly object[]
}

function history(group: string, ...steps: readonly Step[]): readonly Case[] {
  return steps.map(({ manifests, probes }, step) => ({
    name: `${group}, step ${step}`,
    tags: ["history"],
    group,
    step,
    manifests,
    probes,
  }))
}

const step = (manifests: readonly object[], ...probes: readonly (readonly object[])[]): Step => ({
  manifests,
  probes: probes.flat(),
})

/** The same probe with what became of the connection that it opened in the step before. */
const connection = (became: "kept" | "cut", probes: readonly object[]): readonly object[] =>
  probes.map((one) => ({ ...one, connection: became }))

const fromBlue = ingress("x/from-blue", podA, { from: [{ namespaceSelector: labels({ team: "blue" }) }] })
const fromDb = ingress("x/from-db", podA, { from: [{ podSelector: labels({ app: "db" }) }] })
const teams = (y: string): readonly object[] => [
  namespace("x", { team: "red" }),
  namespace("y", { team: y }),
  namespace("z", { team: "green" }),
]
const onPort = (port: number | string, endPort?: number): object =>
  ingress("x/p", podA, { ports: [{ port, ...(endPort === undefined ? {} : { endPort }) }] })

export const histories: readonly Case[] = [
  ...history(
    "a namespace is relabelled",
    step([...teams("green"), ...worldPods(), fromBlue], deny("y/a > x/a 80", "z/a > x/a 80")),
    step([...teams("blue"), ...worldPods(), fromBlue], allow("y/a > x/a 80", "y/b > x/a 80"), deny("z/a > x/a 80")),
    step([...teams("green"), ...worldPods(), fromBlue], deny("y/a > x/a 80", "y/b > x/a 80")),
  ),
  ...history(
    "a peer pod is relabelled",
    step([...world(), fromDb], allow("x/b > x/a 80")),
    step(
      [...namespaces(), ...worldPods((key) => (key === "x/b" ? { labels: { pod: "b", app: "other" } } : {})), fromDb],
      deny("x/b > x/a 80"),
    ),
    step([...world(), fromDb], allow("x/b > x/a 80")),
  ),
  ...history(
    "a subject pod is relabelled",
    step([...world(), fromDb], deny("y/a > x/a 80"), allow("y/a > x/b 80")),
    step(
      [
        ...namespaces(),
        ...worldPods((key) =>
          key === "x/a" ? { labels: { pod: "c" } } : key === "x/b" ? { labels: { pod: "a" } } : {},
        ),
        fromDb,
      ],
      allow("y/a > x/a 80"),
      deny("y/a > x/b 80"),
    ),
  ),
  ...history(
    "a policy comes and goes",
    step(world(), allow("y/a > x/a 80", "x/b > x/a 53/UDP", "y/a > x/a 80 v6")),
    step([...world(), denyIngress("x")], deny("y/a > x/a 80", "x/b > x/a 53/UDP", "y/a > x/a 80 v6")),
    step(world(), allow("y/a > x/a 80", "x/b > x/a 53/UDP", "y/a > x/a 80 v6")),
  ),
  ...history(
    "an allowing policy is added to a default deny and taken away",
    step([...world(), denyIngress("x")], deny("y/a > x/a 80", "z/a > x/a 80")),
    step([...world(), denyIngress("x"), fromBlue], allow("y/a > x/a 80"), deny("z/a > x/a 80", "y/a > x/b 80")),
    step([...world(), denyIngress("x")], deny("y/a > x/a 80")),
  ),
  ...history(
    "the last policy that isolates goes, the others stay",
    step([...world(), denyIngress("x"), denyEgress("x")], deny("y/a > x/a 80", "x/a > y/a 80")),
    step([...world(), denyEgress("x")], allow("y/a > x/a 80"), deny("x/a > y/a 80")),
    step(world(), allow("y/a > x/a 80", "x/a > y/a 80")),
  ),
  ...history(
    "a policy's ports change",
    step([...world(), onPort(80)], allow("y/a > x/a 80"), deny("y/a > x/a 81", "y/a > x/a 90")),
    step([...world(), onPort(81)], allow("y/a > x/a 81"), deny("y/a > x/a 80", "y/a > x/a 90")),
    step([...world(), onPort(80, 90)], allow("y/a > x/a 80", "y/a > x/a 81", "y/a > x/a 90"), deny("y/a > x/a 91")),
    step([...world(), onPort("web")], allow("y/a > x/a 80"), deny("y/a > x/a 81", "y/a > x/a 90")),
  ),
  ...history(
    "a policy's peers change",
    step(
      [...world(), ingress("x/p", podA, { from: [{ podSelector: {} }] })],
      allow("x/b > x/a 80"),
      deny("y/a > x/a 80"),
    ),
    step(
      [...world(), ingress("x/p", podA, { from: [{ namespaceSelector: labels({ team: "blue" }) }] })],
      deny("x/b > x/a 80"),
      allow("y/a > x/a 80"),
    ),
    step(
      [...world(), ingress("x/p", podA, { from: [{ ipBlock: { cidr: "10.244.2.0/24" } }] })],
      allow("x/b > x/a 80", "y/a > x/a 80"),
      deny("y/b > x/a 80"),
    ),
    step(
      [
        ...world(),
        ingress("x/p", podA, { from: [{ ipBlock: { cidr: "10.244.2.0/24", except: ["10.244.2.10/32"] } }] }),
      ],
      allow("y/a > x/a 80"),
      deny("x/b > x/a 80"),
    ),
  ),
  ...history(
    "a policy moves to the other direction",
    step(
      [...world(), policy("x/p", { podSelector: podA, policyTypes: ["Ingress"] })],
      deny("y/a > x/a 80"),
      allow("x/a > y/a 80"),
    ),
    step(
      [...world(), policy("x/p", { podSelector: podA, policyTypes: ["Egress"] })],
      allow("y/a > x/a 80"),
      deny("x/a > y/a 80"),
    ),
  ),
  ...history(
    "a named port gets another number",
    step([...world(), onPort("web")], allow("y/a > x/a 80"), deny("y/a > x/a 8080")),
    step(
      [
        ...namespaces(),
        ...worldPods((key) => (key === "x/a" ? { ports: [{ name: "web", containerPort: 8080 }] } : {})),
        onPort("web"),
      ],
      allow("y/a > x/a 8080"),
      deny("y/a > x/a 80"),
    ),
  ),
  ...history(
    "a pod goes and another gets its address",
    step([...world(), fromDb], allow("x/b > x/a 80")),
    step([...world().filter((object) => !isPod(object, "x/b")), fromDb], deny("y/b > x/a 80")),
    step(
      [
        ...world().filter((object) => !isPod(object, "x/b")),
        pod("y/c", { labels: { pod: "c" }, node: "node-2", ips: ["10.244.2.10", "fd00:10:244:2::10"] }),
        fromDb,
      ],
      deny("y/c > x/a 80"),
      allow("y/c > y/a 80"),
    ),
  ),
  ...history(
    "a pod is deleted and comes back with the same address",
    step([...world(), fromDb], allow("x/b > x/a 80"), deny("y/a > x/a 80")),
    step(
      world()
        .filter((object) => !isPod(object, "x/b"))
        .concat(fromDb),
      deny("y/a > x/a 80", "y/a > x/b 80"),
    ),
    step([...world(), fromDb], allow("x/b > x/a 80", "y/a > x/b 80"), deny("y/a > x/a 80")),
  ),
  ...history(
    "an isolated pod is deleted and comes back isolated",
    step([...world(), fromDb], deny("y/a > x/a 80")),
    step(
      world()
        .filter((object) => !isPod(object, "x/a"))
        .concat(fromDb),
      deny("y/a > x/a 80"),
    ),
    step([...world(), fromDb], deny("y/a > x/a 80"), allow("x/b > x/a 80")),
  ),
  ...history(
    "two pods exchange their addresses",
    step([...world(), fromDb], allow("x/b > x/a 80"), deny("y/a > x/a 80")),
    step(
      [
        ...namespaces(),
        ...worldPods((key) =>
          key === "x/b"
            ? { ips: ["10.244.2.11", "fd00:10:244:2::11"] }
            : key === "y/a"
              ? { ips: ["10.244.2.10", "fd00:10:244:2::10"] }
              : {},
        ),
        fromDb,
      ],
      allow("x/b > x/a 80", "x/b > x/a 80 v6"),
      deny("y/a > x/a 80", "y/a > x/a 80 v6"),
    ),
  ),
  ...history(
    "a pod moves to another node",
    step([...world(), denyIngress("x")], allow("node:node-1 > x/a 80"), deny("node:node-2 > x/a 80", "y/a > x/a 80")),
    step(
      [...namespaces(), ...worldPods((key) => (key === "x/a" ? { node: "node-2" } : {})), denyIngress("x")],
      deny("node:node-1 > x/a 80", "y/a > x/a 80"),
      allow("node:node-2 > x/a 80"),
    ),
  ),
  ...history(
    "new pods of a selected kind are isolated from their first packet",
    step([...world(), denyIngress("x")], deny("y/a > x/a 80")),
    step(
      [
        ...world(),
        pod("x/new", { ips: ["10.244.1.50"] }),
        pod("y/new", { labels: { pod: "new" }, node: "node-2", ips: ["10.244.2.50"] }),
        denyIngress("x"),
      ],
      deny("y/a > x/new 80", "y/new > x/a 80"),
      allow("x/new > y/new 80"),
    ),
  ),
  ...history(
    "a namespace comes with its pods and its policy, and goes",
    step(world(), allow("y/a > x/a 80")),
    step(
      [...world(), namespace("w", { team: "blue" }), pod("w/a", { ips: ["10.244.1.60"] }), denyIngress("w")],
      deny("x/a > w/a 80"),
      allow("w/a > x/a 80"),
    ),
    step(world(), allow("y/a > x/a 80")),
  ),
  ...history(
    "a pod ends and its labels count no more",
    step(
      [...namespaces(), ...worldPods((key) => (key === "x/b" ? { phase: "Running" } : {})), fromDb],
      allow("x/b > x/a 80"),
    ),
    step(
      [
        ...namespaces(),
        ...worldPods((key) => (key === "x/b" ? { phase: "Succeeded" } : {})),
        pod("y/heir", { labels: { pod: "heir" }, node: "node-2", ips: ["10.244.2.10"] }),
        fromDb,
      ],
      deny("y/heir > x/a 80"),
    ),
  ),
  ...history(
    "a node's address changes",
    step(
      [
        node("node-1", ["172.18.0.11"]),
        node("node-2", ["172.18.0.12"]),
        ...world(),
        ingress("x/p", podA, { from: [{ ipBlock: { cidr: "172.18.0.12/32" } }] }),
      ],
      allow("node:node-2 > x/a 80 v4"),
    ),
    step(
      [
        node("node-1", ["172.18.0.11"]),
        node("node-2", ["172.18.0.22"]),
        ...world(),
        ingress("x/p", podA, { from: [{ ipBlock: { cidr: "172.18.0.12/32" } }] }),
      ],
      deny("node:node-2 > x/a 80 v4"),
    ),
  ),
  ...history(
    "a new denial cuts connections, a new allowance keeps them",
    step(world(), allow("y/a > x/a 80", "z/a > x/a 80", "y/a > x/b 80")),
    step(
      [...world(), fromBlue],
      connection("kept", allow("y/a > x/a 80", "y/a > x/b 80")),
      connection("cut", deny("z/a > x/a 80")),
    ),
    step([...world(), denyIngress("x")], connection("cut", deny("y/a > x/a 80", "y/a > x/b 80"))),
  ),
  ...history(
    "a denial of egress cuts connections as well",
    step(world(), allow("x/a > y/a 80", "x/a > z/a 81", "y/a > x/a 80")),
    step(
      [...world(), denyEgress("x")],
      connection("cut", deny("x/a > y/a 80", "x/a > z/a 81")),
      connection("kept", allow("y/a > x/a 80")),
    ),
  ),
  ...history(
    "a policy that changes nothing for a connection keeps it",
    step([...world(), fromBlue], allow("y/a > x/a 80", "y/b > x/a 81")),
    step(
      [...world(), fromBlue, denyEgress("z"), onPort(443)],
      connection("kept", allow("y/a > x/a 80", "y/b > x/a 81")),
    ),
    step([...world(), onPort(80)], connection("kept", allow("y/a > x/a 80")), connection("cut", deny("y/b > x/a 81"))),
  ),
]

function isPod(object: object, key: string): boolean {
  const { kind, metadata } = object as { kind: string; metadata: { namespace?: string; name: string } }
  return kind === "Pod" && `${metadata.namespace}/${metadata.name}` === key
}
