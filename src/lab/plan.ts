import { nodeToModel, podAddresses } from "../dialect/kubernetes/index.ts"
import { parsePrefix } from "../net/prefix.ts"
import type { Address, Family, Prefix } from "../net/types.ts"
import { AddressPlan } from "../suite/addresses.ts"
import type { JsonObject, Manifest } from "../suite/format.ts"
import { listensOf } from "../suite/listens.ts"
import { kindOf, manifestKey, nameOf, namespaceOf, objectAt, textAt, valueAt, withValue } from "../suite/manifest.ts"
import { isController, podsOf } from "../suite/workloads.ts"
import { egressPorts } from "./outside-ports.ts"
import { type LabNode, type LabPod, type LabState, podKey } from "./state.ts"

export interface PlanOptions {
  /** How many nodes there shall be, besides those that the manifests name; none given: two unless they name some. */
  readonly nodes?: number
  readonly families: readonly Family[]
  readonly outside?: readonly Address[]
}

/**
 * Plays scheduler and controllers: nodes `node-1`, `node-2`, … where the manifests name none, controllers replaced by
 * their pods, pods without a node spread over the nodes in turn, Namespaces added where they are missing.
 * The same manifests always give the same plan. Throws when two pods would have one name.
 */
export function planLab(manifests: readonly Manifest[], options: PlanOptions): LabState {
  const objects = manifests.filter((m) => !isController(m.value))
  const stated = objects.filter((m) => isPod(m.value))
  const controllers = manifests.filter((m) => isController(m.value))
  const nodes = planNodes(objects, [...stated.map((m) => m.value), ...controllers.map(templateOf)], options)
  const names = [...nodes.keys()]
  const made = controllers.flatMap((manifest) => podsOf(manifest, names))

  const pods = new Map<string, LabPod>()
  const manifestsOut = objects.filter((m) => !isPod(m.value) && kindOf(m.value) !== "Node")
  let turn = 0
  for (const manifest of [...stated, ...made]) {
    const node = textAt(manifest.value, "spec", "nodeName") ?? names[turn++ % names.length] ?? ""
    const host = nodes.get(node)
    if (host === undefined)
      throw new Error(`Cannot place a pod: there is no node ${node}. Name one of ${names.join(", ")}`)
    const pod = placedPod(manifest, host)
    if (pods.has(podKey(pod))) {
      throw new Error(`Cannot make the pod ${podKey(pod)}: two manifests make a pod of that name. Rename one of them`)
    }
    const placed = withValue(manifest, placedObject(manifest.value, pod, host))
    manifestsOut.push(placed)
    if (!hasEnded(manifest.value)) pods.set(podKey(pod), pod)
  }
  addNamespaces(manifestsOut, pods.values())
  const nodeObjects = new Map(objects.filter((m) => kindOf(m.value) === "Node").map((m) => [nameOf(m.value), m]))
  for (const node of nodes.values()) {
    const own = nodeObjects.get(node.name)
    const value = nodeObject(node, own?.value)
    manifestsOut.push(own === undefined ? madeHere(value) : withValue(own, value))
  }
  return {
    nodes,
    pods,
    objects: manifestsOut,
    outside: options.outside ?? [],
    outsideListens: egressPorts(objects.map((m) => m.value)),
  }
}

function planNodes(
  objects: readonly Manifest[],
  pods: readonly JsonObject[],
  options: PlanOptions,
): Map<string, LabNode> {
  const stated = new Map(objects.filter((m) => kindOf(m.value) === "Node").map((m) => [nameOf(m.value), m]))
  const names = new Set<string>(stated.keys())
  for (const pod of pods) {
    const node = textAt(pod, "spec", "nodeName")
    if (node !== undefined) names.add(node)
  }
  const wanted = options.nodes ?? (names.size > 0 ? names.size : 2)
  for (let number = 1; names.size < wanted; number++) names.add(`node-${number}`)
  const ordered = [...names].sort((a, b) => (a.length === b.length ? (a < b ? -1 : 1) : a.length - b.length))
  const addresses = new AddressPlan([...stated.values()].flatMap((node) => nodeToModel(node.value).addresses))
  const nodes = new Map<string, LabNode>()
  for (const [index, name] of ordered.entries()) {
    const own = stated.get(name)
    const number = index + 1
    const known = own === undefined ? undefined : nodeToModel(own.value)
    const given = known?.addresses ?? []
    const ranges = known?.podPrefixes ?? []
    nodes.set(name, {
      name,
      addresses: given.length > 0 ? given : options.families.map((family) => addresses.node(name, number, family)),
      podPrefixes: ranges.length > 0 ? ranges : options.families.map((family) => podRange(number, family)),
      listens: own === undefined ? [] : listensOf([own]),
    })
  }
  return nodes
}

/** 10.244.N.0/24 (from 256 nodes on 10.245.0.0/24 and so on) and fd00:10:244:N::/64. */
function podRange(number: number, family: Family): Prefix {
  if (family === 6) return parsePrefix(`fd00:10:244:${number.toString(16)}::/64`)
  return parsePrefix(`10.${244 + (number >> 8)}.${number & 255}.0/24`)
}

function placedPod(manifest: Manifest, node: LabNode): LabPod {
  const { value } = manifest
  const hostNetwork = valueAt(value, "spec", "hostNetwork") === true
  return {
    namespace: namespaceOf(value),
    name: nameOf(value),
    node: node.name,
    addresses: hostNetwork ? node.addresses : podAddresses(value),
    hostNetwork,
    listens: listensOf([manifest]),
  }
}

function placedObject(value: JsonObject, pod: LabPod, node: LabNode): JsonObject {
  return withAddresses(
    {
      ...value,
      metadata: { ...objectAt(value, "metadata"), namespace: pod.namespace },
      spec: { ...objectAt(value, "spec"), nodeName: pod.node },
      status: {
        phase: "Running",
        ...objectAt(value, "status"),
        ...(node.addresses[0] === undefined ? {} : { hostIP: node.addresses[0] }),
      },
    },
    pod.addresses,
  )
}

/** The pod object with these addresses in its status; unchanged when there are none. */
export function withAddresses(value: JsonObject, addresses: readonly Address[]): JsonObject {
  if (addresses.length === 0) return value
  const status = { ...objectAt(value, "status"), podIP: addresses[0], podIPs: addresses.map((ip) => ({ ip })) }
  return { ...value, status }
}

function nodeObject(node: LabNode, own: JsonObject | undefined): JsonObject {
  const metadata = objectAt(own, "metadata")
  return {
    ...(own ?? { apiVersion: "v1", kind: "Node" }),
    metadata: {
      ...metadata,
      name: node.name,
      labels: { "kubernetes.io/hostname": node.name, ...objectAt(metadata, "labels") },
    },
    spec: { ...objectAt(own, "spec"), podCIDR: node.podPrefixes[0], podCIDRs: node.podPrefixes },
    status: {
      ...objectAt(own, "status"),
      addresses: [
        ...node.addresses.map((address) => ({ type: "InternalIP", address })),
        { type: "Hostname", address: node.name },
      ],
    },
  }
}

function addNamespaces(manifests: Manifest[], pods: Iterable<LabPod>): void {
  const known = new Set(manifests.map((m) => manifestKey(m.value)))
  for (const { namespace } of pods) {
    const value = {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: namespace, labels: { "kubernetes.io/metadata.name": namespace } },
    }
    if (known.has(manifestKey(value))) continue
    known.add(manifestKey(value))
    manifests.push(madeHere(value))
  }
}

function madeHere(value: JsonObject): Manifest {
  const origin = { file: "lab", line: 1, column: 1 }
  return { value, origin, originAt: () => origin }
}

function templateOf(manifest: Manifest): JsonObject {
  return objectAt(manifest.value, "spec", "template")
}

function isPod(value: JsonObject): boolean {
  return kindOf(value) === "Pod" && textAt(value, "apiVersion") === "v1"
}

/** Kubernetes gives an ended pod's address to others; it is no endpoint any more. */
function hasEnded(value: JsonObject): boolean {
  const phase = textAt(value, "status", "phase")
  return phase === "Succeeded" || phase === "Failed"
}
