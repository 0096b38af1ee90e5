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

function podManifest(number: number, node: string, here: boolean): Manifest {
  const app = Math.floor(number / NAMESPACES) % APPS
  const range = here ? 1 : 2
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `pod-${node}-${number}`,
      namespace: `ns-${number % NAMESPACES}`,
      labels: { app: `app-${app}`, tier: `tier-${app % 3}` },
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

/** Pods that a runtime will attach; their names are `cni-N` in namespace ns-0. */
function waitingPod(number: number): Manifest {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `cni-${number}`, namespace: "ns-0", labels: { app: `app-${number % APPS}` } },
    spec: { nodeName: "a", containers: [{ name: "main", image: "none" }] },
  }
}

/** Writes the cluster as files into `directory`: each policy in one of its own, as `heddle apply` writes them. */
export function writeCluster(directory: string, size: Size, waiting: number): void {
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
    list(NAMESPACES, (i) => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: `ns-${i}`, labels: { "kubernetes.io/metadata.name": `ns-${i}` } },
    })),
  )
  const pods = [
    ...list(size.local, (i) => podManifest(i, "a", true)),
    ...list(size.remote, (i) => podManifest(i, "b", false)),
    ...list(waiting, waitingPod),
  ]
  for (let i = 0; i < pods.length; i += 500) put(`pods-${i}.yaml`, pods.slice(i, i + 500))
  for (let i = 0; i < size.policies; i++) {
    const policy = policyManifest(i, 8_080)
    put(`networking.k8s.io_NetworkPolicy_ns-${i % NAMESPACES}_policy-${i}.json`, [policy])
  }
}
