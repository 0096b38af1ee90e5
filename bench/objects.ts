import { mkdirSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"

/** A cluster as a busy node meets it: 100 namespaces, each with policies; pods here and elsewhere. */
export interface Size {
  readonly policies: number
  readonly local: number
  readonly remote: number
}

const NAMESPACES = 100
const APPS = 20

type Manifest = Record<string, unknown>

/** A policy that lets two kinds of pods in; `port` is what a change changes. */
export function policyManifest(number: number, port: number): Manifest {
  const namespace = `ns-${number % NAMESPACES}`
  const nth = Math.floor(number / NAMESPACES)
  const from = [
    { podSelector: { matchLabels: { app: `app-${(nth + 1) % APPS}` } } },
    {
      namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": `ns-${(number + 1) % NAMESPACES}` } },
      podSelector: { matchLabels: { tier: `tier-${nth % 3}` } },
    },
  ]
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: `policy-${number}`, namespace },
    spec: {
      podSelector: { matchLabels: { app: `app-${nth % APPS}` } },
      policyTypes: ["Ingress"],
      ingress: [{ from, ports: [{ protocol: "TCP", port }] }],
    },
  }
}

/** A pod with its addresses; `app` is what a change of labels changes. */
export function podManifest(number: number, node: "a" | "b", otherApp?: string): Manifest {
  const app = Math.floor(number / NAMESPACES) % APPS
  const range = node === "a" ? 1 : 2
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: podName(number, node),
      namespace: podNamespace(number),
      labels: { app: otherApp ?? `app-${app}`, tier: `tier-${app % 3}` },
    },
    spec: { nodeName: node, containers: [{ name: "main", image: "none" }] },
    status: {
      podIPs: [
        { ip: `10.${range}.${(number >> 8) & 255}.${number & 255}` },
        { ip: `fd00:${range}::${(number + 1).toString(16)}` },
      ],
    },
  }
}

function nodeManifest(name: string, number: number): Manifest {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name },
    spec: { podCIDRs: [`10.${number}.0.0/16`, `fd00:${number}::/64`] },
    status: {
      addresses: [
        { type: "InternalIP", address: `192.0.2.${number}` },
        { type: "InternalIP", address: `2001:db8::${number}` },
      ],
    },
  }
}

function waitingPod(name: string, namespace: string, app: string, ip?: string): Manifest {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { app } },
    spec: { nodeName: "a", containers: [{ name: "main", image: "none" }] },
    ...(ip === undefined ? {} : { status: { podIPs: [{ ip }] } }),
  }
}

/** Address of the pod traffic/server. */
export const SERVER = "10.1.250.2"

/** The ports of the pod traffic/server: policy lets traffic/client reach the first, and nobody the second. */
export const ALLOWED_PORT = 7_000
export const DENIED_PORT = 7_001

const trafficPolicy: Manifest = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "server", namespace: "traffic" },
  spec: {
    podSelector: { matchLabels: { app: "server" } },
    policyTypes: ["Ingress"],
    ingress: [
      {
        from: [{ podSelector: { matchLabels: { app: "client" } } }],
        ports: ["UDP", "TCP"].map((protocol) => ({ protocol, port: ALLOWED_PORT })),
      },
    ],
  },
}

/**
 * Writes the cluster as files into `directory`: each policy, and the first `single` local pods, in files of their own, as `heddle apply`
 * writes them; the other pods 500 to a file. Besides `size`: `waiting` pods without addresses, `cni-N` in namespace ns-0, for a runtime to
 * attach, and traffic/client and traffic/server with their policy.
 */
export function writeCluster(directory: string, size: Size, waiting: number, single: number): void {
  mkdirSync(directory, { recursive: true })
  const rested = Date.now() / 1_000 - 10
  const put = (name: string, manifests: readonly Manifest[]): void => {
    const path = join(directory, name)
    writeFileSync(path, manifests.map((one) => `${JSON.stringify(one)}\n`).join("---\n"))
    utimesSync(path, rested, rested)
  }
  const list = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i))
  put("nodes.yaml", [nodeManifest("a", 1), nodeManifest("b", 2)])
  put(
    "namespaces.yaml",
    [...list(NAMESPACES, (i) => `ns-${i}`), "traffic"].map((name) => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, labels: { "kubernetes.io/metadata.name": name } },
    })),
  )
  const here = list(size.local, (i) => podManifest(i, "a"))
  for (let i = 0; i < Math.min(single, size.local); i++)
    put(`Pod_${podNamespace(i)}_${podName(i, "a")}.json`, here.slice(i, i + 1))
  const pods = [
    ...here.slice(single),
    ...list(size.remote, (i) => podManifest(i, "b")),
    ...list(waiting, (i) => waitingPod(`cni-${i}`, "ns-0", `app-${i % APPS}`)),
    waitingPod("client", "traffic", "client", "10.1.250.1"),
    waitingPod("server", "traffic", "server", SERVER),
  ]
  for (let i = 0; i < pods.length; i += 500) put(`pods-${i}.yaml`, pods.slice(i, i + 500))
  for (let i = 0; i < size.policies; i++)
    put(`networking.k8s.io_NetworkPolicy_ns-${i % NAMESPACES}_policy-${i}.json`, [policyManifest(i, 8_080)])
  put("networking.k8s.io_NetworkPolicy_traffic_server.json", [trafficPolicy])
}

export function podName(number: number, node: "a" | "b"): string {
  return `pod-${node}-${number}`
}

export function podNamespace(number: number): string {
  return `ns-${number % NAMESPACES}`
}
