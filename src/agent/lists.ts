import type { Compiled } from "../compile/compiled.ts"
import type { Cluster, Endpoint } from "../model/cluster.ts"
import { type Facts, factsOf, matches } from "../model/facts.ts"
import type { Policy } from "../model/policy.ts"
import type { Labels } from "../model/selector.ts"
import type { Address } from "../net/types.ts"
import { Turn } from "../plane/ebpf/turn.ts"
import { policiesOf } from "./effective.ts"
import type { NodeView } from "./view.ts"

export interface EndpointRow {
  readonly namespace: string
  readonly name: string
  readonly node: string
  readonly addresses: readonly Address[]
  readonly number: number
  readonly ifindex: number
  readonly mac: string
  readonly sandbox: string
  readonly state: "ready" | "waiting"
  readonly labels: Labels
  /** Names of the policies that isolate it. */
  readonly ingress: readonly string[]
  readonly egress: readonly string[]
}

/** The endpoints of a node: those that policy is enforced for here. Among thousands of policies this takes several turns. */
export async function endpointRows(
  view: NodeView,
  numbers: ReadonlyMap<string, { readonly number: number }>,
): Promise<EndpointRow[]> {
  const rows: EndpointRow[] = []
  const turn = new Turn()
  for (const [key, endpoint] of view.cluster.endpoints) {
    if (endpoint.node !== view.node) continue
    if (turn.over) await turn.end()
    const port = view.ports.get(key)
    const policies = policiesOf(view.cluster, endpoint).flatMap((tier) => tier.policies)
    const isolating = (direction: "ingress" | "egress"): string[] =>
      policies
        .filter((policy) => policy.mode === "enforced" && policy[direction]?.isolates === true)
        .map((policy) => policy.name)
    rows.push({
      namespace: endpoint.namespace,
      name: endpoint.name,
      node: endpoint.node,
      addresses: endpoint.addresses,
      number: numbers.get(key)?.number ?? 0,
      ifindex: port?.ifindex ?? 0,
      mac: port === undefined ? "" : macText(port.mac),
      sandbox: port?.sandbox ?? "",
      state: port === undefined || !numbers.has(key) ? "waiting" : "ready",
      labels: endpoint.labels,
      ingress: isolating("ingress"),
      egress: isolating("egress"),
    })
  }
  return rows
}

export interface IdentityRow {
  readonly class: number
  readonly kind: string
  readonly slots: readonly string[]
  readonly addresses: readonly string[]
  readonly names: readonly string[]
  /** Labels that all named members have in common. */
  readonly labels: Labels
}

/** Slots grouped by class: what the rules in force tell apart on this node. */
export function identityRows(
  cluster: Cluster,
  compiled: Pick<Compiled, "addresses" | "prefixes" | "outsideSlot" | "nodeSocketSlot" | "classes">,
): IdentityRow[] {
  const groups = new Map<
    number,
    { kinds: Set<string>; slots: Set<number>; addresses: string[]; names: Set<string>; labels: Labels[] }
  >()
  const add = (slot: number, kind: string, address: string, name?: string, labels?: Labels): void => {
    const number = compiled.classes[slot] ?? 0
    let group = groups.get(number)
    if (group === undefined) {
      group = { kinds: new Set(), slots: new Set(), addresses: [], names: new Set(), labels: [] }
      groups.set(number, group)
    }
    group.kinds.add(kind)
    group.slots.add(slot)
    group.addresses.push(address)
    if (name !== undefined) group.names.add(name)
    if (labels !== undefined) group.labels.push(labels)
  }
  for (const [address, entry] of compiled.addresses) {
    const endpoint = entry.endpoint === undefined ? undefined : cluster.endpoints.get(entry.endpoint)
    if (entry.kind === "node")
      add(entry.slot, "node", address, `node/${entry.node}`, cluster.nodes.get(entry.node)?.labels)
    else add(entry.slot, "endpoint", address, entry.endpoint, endpoint?.labels)
  }
  for (const [prefix, entry] of compiled.prefixes) add(entry.slot, entry.unknown ? "unknown" : "block", prefix)
  add(compiled.outsideSlot[4], "outside", "other IPv4 addresses")
  add(compiled.outsideSlot[6], "outside", "other IPv6 addresses")
  add(compiled.nodeSocketSlot[4], "node socket", "this node's own sockets, IPv4")
  add(compiled.nodeSocketSlot[6], "node socket", "this node's own sockets, IPv6")
  return [...groups]
    .sort(([a], [b]) => a - b)
    .map(([number, group]) => ({
      class: number,
      kind: [...group.kinds].join(", "),
      slots: [...group.slots].sort((a, b) => a - b).map(String),
      addresses: group.addresses,
      names: [...group.names].sort(),
      labels: common(group.labels),
    }))
}

function common(all: readonly Labels[]): Labels {
  const [first, ...rest] = all
  if (first === undefined) return {}
  return Object.fromEntries(
    Object.entries(first).filter(([key, value]) => rest.every((labels) => labels[key] === value)),
  )
}

export interface PolicyCount {
  readonly policy: Policy
  /** Endpoints it selects, in the cluster and on this node. */
  readonly selected: number
  readonly selectedHere: number
}

/** Every policy in force with how many endpoints it selects. Among thousands of them this takes many turns. */
export async function policyCounts(cluster: Cluster, node: string): Promise<PolicyCount[]> {
  const turn = new Turn()
  const all: { readonly here: boolean; readonly facts: Facts }[] = []
  for (const endpoint of cluster.endpoints.values()) {
    const address = endpoint.addresses[0]
    if (turn.over) await turn.end()
    if (address !== undefined)
      all.push({ here: endpoint.node === node, facts: factsOf(cluster, endpoint.node, address) })
  }
  const counts: PolicyCount[] = []
  for (const policy of cluster.policies.values()) {
    let [selected, selectedHere] = [0, 0]
    if (turn.over) await turn.end()
    for (const { here, facts } of all) {
      if (matches(policy.subject, facts) !== true) continue
      selected++
      if (here) selectedHere++
    }
    counts.push({ policy, selected, selectedHere })
  }
  return counts
}

/** The endpoint of that name; a name without namespace is enough when only one has it. */
export function findEndpoint(cluster: Cluster, namespace: string, name: string): Endpoint | undefined {
  if (namespace !== "") return cluster.endpoints.get(`${namespace}/${name}`)
  const found = [...cluster.endpoints.values()].filter((endpoint) => endpoint.name === name)
  return found.length === 1 ? found[0] : undefined
}

/** Six bytes as `02:68:64:00:00:01`. */
export function macText(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":")
}
