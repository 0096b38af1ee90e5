import { nodeToModel, podAddresses, podHostAddresses } from "../dialect/kubernetes/index.ts"
import { familyOf, tryParseAddress } from "../net/address.ts"
import type { Address, Family } from "../net/types.ts"
import { AddressPlan } from "./addresses.ts"
import { endsOf, resolveProbe } from "./ends.ts"
import { type Manifest, type SuiteCase, SuiteError, type SuiteProblem } from "./format.ts"
import { type Asked, askedOf, listensOf } from "./listens.ts"
import { kindOf, listAt, manifestKey, nameOf, namespaceOf, objectAt, textAt, valueAt, withValue } from "./manifest.ts"
import type { CaseState, StateNode, StatePod } from "./state.ts"
import { isController, itemsOf, podsOf } from "./workloads.ts"

/**
 * The histories of a suite, each a list of states in the order of its steps; a case without a group is a history of one.
 * A group that several files name is one history, unless they number the same step; one that numbers no step has the order of
 * the text. Throws `SuiteError` for a step that comes twice.
 */
export function planSuite(cases: readonly SuiteCase[]): readonly (readonly CaseState[])[] {
  const problems: SuiteProblem[] = []
  const histories = groupCases(cases, problems).map(planHistory)
  if (problems.length > 0) throw new SuiteError(problems)
  return histories
}

function groupCases(cases: readonly SuiteCase[], problems: SuiteProblem[]): readonly (readonly SuiteCase[])[] {
  const groups = new Map<string, SuiteCase[]>()
  cases.forEach((one, i) => {
    const key = one.group === undefined ? `${i}` : `group ${one.group}`
    const steps = groups.get(key)
    if (steps === undefined) groups.set(key, [one])
    else steps.push(one)
  })
  return [...groups.values()].flatMap((steps) => {
    if (steps.every((one) => (one.raw["step"] ?? undefined) === undefined)) return [steps]
    if (new Set(steps.map((one) => one.step)).size === steps.length) return [inOrder(steps)]
    const byFile = [...Map.groupBy(steps, (one) => one.origin.file).values()]
    for (const own of byFile) {
      const twice = own.find((one, i) => own.findIndex((other) => other.step === one.step) < i)
      if (twice === undefined) continue
      const message = `Cannot order the steps: group ${JSON.stringify(twice.group)} has step ${twice.step} twice`
      problems.push({ origin: twice.origin, message })
    }
    return byFile.map(inOrder)
  })
}

function inOrder(steps: readonly SuiteCase[]): readonly SuiteCase[] {
  return steps.toSorted((a, b) => a.step - b.step)
}

/** What all steps of a history share, so that a name keeps its address and a listener stays. */
interface History {
  readonly nodeNumbers: ReadonlyMap<string, number>
  /** Families that the history uses; both when nothing states an address. */
  readonly families: readonly Family[]
  readonly plan: AddressPlan
  /** Addresses of nodes as host-network pods or pod statuses of any step state them. */
  readonly hostAddresses: ReadonlyMap<string, readonly Address[]>
}

function planHistory(steps: readonly SuiteCase[]): readonly CaseState[] {
  const manifests = steps.map((one) => expand(one))
  const history = historyOf(steps, manifests.flat())
  const drafts = steps.map((one, i) => complete(one, manifests[i] ?? [], history))
  const knownPods = new Set(
    manifests
      .flat()
      .filter(isPod)
      .map((manifest) => podKey(manifest)),
  )
  const ends = drafts.map((draft) => endsOf(draft.objects, draft.nodes, draft.pods, knownPods))
  const resolved = steps.map((one, i) => {
    const known = ends[i]
    return known === undefined ? [] : one.probes.map((probe) => resolveProbe(probe, known))
  })
  const asked = askedOf(resolved.flat())
  return steps.map((one, i): CaseState => {
    const draft = drafts[i] ?? { objects: [], nodes: new Map(), pods: new Map() }
    return {
      case: one,
      fresh: i === 0,
      ...draft,
      ...withListens(draft, asked),
      outside: asked.outside,
      probes: resolved[i] ?? [],
    }
  })
}

interface Draft {
  readonly objects: readonly Manifest[]
  readonly candidate?: Manifest
  readonly nodes: ReadonlyMap<string, StateNode>
  readonly pods: ReadonlyMap<string, StatePod>
}

function withListens(draft: Draft, asked: Asked): Pick<CaseState, "nodes" | "pods"> {
  const nodeObjects = new Map(draft.objects.filter(isNode).map((manifest) => [nameOf(manifest.value), manifest]))
  const hosted = Map.groupBy(
    [...draft.pods.values()].filter((pod) => pod.hostNetwork),
    (pod) => pod.node,
  )
  const nodes = [...draft.nodes].map(([name, node]): [string, StateNode] => {
    const own = [nodeObjects.get(name), ...(hosted.get(name) ?? []).map((pod) => pod.manifest)]
    return [name, { ...node, listens: listensOf(own, asked.nodes.get(name)) }]
  })
  const pods = [...draft.pods].map(([key, pod]): [string, StatePod] => [
    key,
    { ...pod, listens: listensOf([pod.manifest], asked.pods.get(key)) },
  ])
  return { nodes: new Map(nodes), pods: new Map(pods) }
}

/** The case's objects, the last of each name, with controllers as pods; an admission's candidate is not among them. */
function expand(one: SuiteCase): readonly Manifest[] {
  const stated = one.admit === undefined ? one.manifests : one.manifests.slice(0, -1)
  const byKey = new Map(stated.flatMap(itemsOf).map((manifest) => [manifestKey(manifest.value), manifest]))
  const nodes = nodeNamesOf([...byKey.values()])
  return [...byKey.values()].flatMap((manifest) =>
    isController(manifest.value) ? podsOf(manifest, nodes) : [manifest],
  )
}

function nodeNamesOf(manifests: readonly Manifest[]): readonly string[] {
  const names = manifests.map(({ value }) =>
    kindOf(value) === "Node" ? nameOf(value) : kindOf(value) === "Pod" ? (textAt(value, "spec", "nodeName") ?? "") : "",
  )
  const known = [...new Set(names)].filter((name) => name !== "").sort()
  return known.length > 0 ? known : ["node-1", "node-2"]
}

function historyOf(steps: readonly SuiteCase[], manifests: readonly Manifest[]): History {
  const taken = new Set<Address>()
  const families = new Set<Family>()
  const hosts = new Map<string, readonly Address[]>()
  for (const { value } of manifests) {
    const own =
      kindOf(value) === "Pod" ? podAddresses(value) : kindOf(value) === "Node" ? nodeToModel(value).addresses : []
    const host = podHostAddresses(value)
    for (const address of [...own, ...host]) taken.add(address)
    if (kindOf(value) === "Pod") for (const address of own) families.add(familyOf(address))
    const node = textAt(value, "spec", "nodeName")
    const stated = isHostNetwork(value) && own.length > 0 ? own : host
    if (node !== undefined && stated.length > 0 && !hosts.has(node)) hosts.set(node, stated)
    for (const address of serviceAddresses(value)) taken.add(address)
  }
  for (const probe of steps.flatMap((one) => one.probes)) {
    for (const end of [probe.from, probe.to]) {
      const address = end.kind === "ip" ? tryParseAddress(end.ip) : undefined
      if (address !== undefined) taken.add(address)
    }
  }
  const names = nodeNamesOf(manifests)
  return {
    nodeNumbers: new Map(names.map((name, i) => [name, i + 1])),
    families: families.size === 0 ? [4, 6] : [...families].sort(),
    plan: new AddressPlan(taken),
    hostAddresses: hosts,
  }
}

function serviceAddresses(object: Manifest["value"]): readonly Address[] {
  if (kindOf(object) !== "Service") return []
  return [...listAt(object, "spec", "clusterIPs"), valueAt(object, "spec", "clusterIP")]
    .map((text) => (typeof text === "string" ? tryParseAddress(text) : undefined))
    .filter((address) => address !== undefined)
}

function complete(one: SuiteCase, manifests: readonly Manifest[], history: History): Draft {
  const nodeObjects = new Map(manifests.filter(isNode).map((manifest) => [nameOf(manifest.value), manifest]))
  const nodes = new Map<string, StateNode>()
  for (const [name, number] of history.nodeNumbers) {
    const own = nodeObjects.get(name)?.value ?? {}
    const { addresses: stated, podPrefixes } = nodeToModel(own)
    const known = stated.length > 0 ? stated : (history.hostAddresses.get(name) ?? [])
    const missing = history.families.filter((family) => !known.some((address) => familyOf(address) === family))
    const addresses = [...known, ...missing.map((family) => history.plan.node(name, number, family))]
    nodes.set(name, { name, number, addresses, podPrefixes, listens: [] })
  }
  const names = [...nodes.keys()]
  const pods = new Map<string, StatePod>()
  let unscheduled = 0
  const completed = manifests.map((manifest): Manifest => {
    if (isNode(manifest)) return completeNode(manifest, nodes)
    if (!isPod(manifest) || nameOf(manifest.value) === "") return manifest
    if (hasEnded(manifest.value)) return manifest
    const nodeName = textAt(manifest.value, "spec", "nodeName") ?? names[unscheduled++ % names.length] ?? ""
    const node = nodes.get(nodeName)
    if (node === undefined) return manifest
    const pod = completePod(manifest, node, history)
    pods.set(podKey(manifest), pod)
    return pod.manifest
  })
  const candidate = one.admit === undefined ? undefined : one.manifests.at(-1)
  const objects = [...missingObjects(one, manifests, nodes, nodeObjects), ...completed]
  return { objects, nodes, pods, ...(candidate === undefined ? {} : { candidate }) }
}

function completeNode(manifest: Manifest, nodes: ReadonlyMap<string, StateNode>): Manifest {
  const node = nodes.get(nameOf(manifest.value))
  const stated = nodeToModel(manifest.value).addresses
  const added = node?.addresses.filter((address) => !stated.includes(address)) ?? []
  if (added.length === 0) return manifest
  const addresses = [...listAt(manifest.value, "status", "addresses"), ...added.map(internalAddress)]
  return withValue(manifest, { ...manifest.value, status: { ...objectAt(manifest.value, "status"), addresses } })
}

function completePod(manifest: Manifest, node: StateNode, history: History): StatePod {
  const object = manifest.value
  const hostNetwork = isHostNetwork(object)
  const key = podKey(manifest)
  const stated = podAddresses(object)
  const given = hostNetwork
    ? node.addresses
    : history.families.map((family) => history.plan.pod(key, node.number, node.podPrefixes, family))
  const addresses = hostNetwork || stated.length === 0 ? given : stated
  const status =
    stated.length > 0
      ? objectAt(object, "status")
      : { ...objectAt(object, "status"), podIP: addresses[0], podIPs: addresses.map((ip) => ({ ip })) }
  const value = { ...object, spec: { ...objectAt(object, "spec"), nodeName: node.name }, status }
  const { name: nodeName } = node
  const [namespace, name] = [namespaceOf(object), nameOf(object)]
  return { namespace, name, node: nodeName, addresses, hostNetwork, listens: [], manifest: withValue(manifest, value) }
}

function missingObjects(
  one: SuiteCase,
  manifests: readonly Manifest[],
  nodes: ReadonlyMap<string, StateNode>,
  nodeObjects: ReadonlyMap<string, Manifest>,
): readonly Manifest[] {
  const added = (value: Manifest["value"]): Manifest => ({ value, origin: one.origin, originAt: () => one.origin })
  const namespaces = new Set(manifests.filter(isPod).map((manifest) => namespaceOf(manifest.value)))
  for (const { value } of manifests) if (kindOf(value) === "Namespace") namespaces.delete(nameOf(value))
  return [
    ...[...nodes.values()]
      .filter((node) => !nodeObjects.has(node.name))
      .map(({ name, addresses }) =>
        added({
          apiVersion: "v1",
          kind: "Node",
          metadata: { name, labels: { "kubernetes.io/hostname": name } },
          status: { addresses: addresses.map(internalAddress) },
        }),
      ),
    ...[...namespaces].map((name) =>
      added({
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name, labels: { "kubernetes.io/metadata.name": name } },
      }),
    ),
  ]
}

function internalAddress(address: Address): { readonly type: string; readonly address: Address } {
  return { type: "InternalIP", address }
}

function isNode(manifest: Manifest): boolean {
  return kindOf(manifest.value) === "Node"
}

function isPod(manifest: Manifest): boolean {
  return kindOf(manifest.value) === "Pod"
}

function isHostNetwork(pod: Manifest["value"]): boolean {
  return valueAt(pod, "spec", "hostNetwork") === true
}

function hasEnded(pod: Manifest["value"]): boolean {
  const phase = textAt(pod, "status", "phase")
  return phase === "Succeeded" || phase === "Failed"
}

function podKey(pod: Manifest): string {
  return `${namespaceOf(pod.value)}/${nameOf(pod.value)}`
}
