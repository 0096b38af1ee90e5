import type { Endpoint, Namespace, Node } from "../model/cluster.ts"
import { ruleIdText, type Verdict } from "../model/verdict.ts"
import { addressFromBytes } from "../net/address.ts"
import { prefixContains } from "../net/prefix.ts"
import type { Address, Prefix } from "../net/types.ts"
import type { Decision, FlowEnd } from "./record.ts"

/** What one generation calls things. The committed state has this shape. */
export interface NameSource {
  readonly generation: number
  readonly addresses: ReadonlyMap<Address, { readonly endpoint?: string; readonly node: string }>
  readonly endpoints: ReadonlyMap<string, Endpoint>
  readonly namespaces: ReadonlyMap<string, Namespace>
  readonly nodes: ReadonlyMap<string, Node>
  readonly clusterPrefixes: readonly Prefix[]
  /** By verdict id. */
  readonly verdicts: readonly (Verdict | undefined)[]
}

/** Generations whose names are kept: events of a flow may come long after its pod or rule went. */
const KEPT = 16
/** Addresses remembered between events; all are forgotten when there are more. */
const CACHED = 65_536

const NO_LABELS = Object.freeze({})

/** Gives addresses and verdict ids of events their names, as of the generation that the event belongs to. */
export class Names {
  readonly #kept: NameSource[] = []
  #ends = new Map<string, { epoch: number; readonly end: FlowEnd }>()
  #decisions = new WeakMap<Verdict, Decision>()
  #epoch = 0
  #expected: Omit<NameSource, "generation"> | undefined

  /**
   * What a commit under way will bring: the kernel may speak of it before the commit is over. Undefined when it failed.
   */
  expect(source: Omit<NameSource, "generation"> | undefined): void {
    this.#expected = source
    this.#epoch++
  }

  /** Takes in what is in force from now on. */
  learn(source: NameSource): void {
    this.#expected = undefined
    const last = this.#kept.at(-1)
    if (last !== undefined && last.generation === source.generation) this.#kept.pop()
    this.#kept.push(source)
    if (this.#kept.length > KEPT) this.#kept.shift()
    this.#epoch++
  }

  /** The end whose address lies at `offset` of `view` as 16 bytes (IPv4 mapped). */
  end(view: DataView, offset: number): FlowEnd {
    const key = String.fromCharCode(
      view.getUint16(offset),
      view.getUint16(offset + 2),
      view.getUint16(offset + 4),
      view.getUint16(offset + 6),
      view.getUint16(offset + 8),
      view.getUint16(offset + 10),
      view.getUint16(offset + 12),
      view.getUint16(offset + 14),
    )
    const known = this.#ends.get(key)
    if (known?.epoch === this.#epoch) return known.end
    const address = known?.end.address ?? addressFromBytes(new Uint8Array(view.buffer, view.byteOffset + offset, 16))
    const found = this.resolve(address)
    const end = known !== undefined && sameEnd(known.end, found) ? known.end : found
    if (this.#ends.size >= CACHED) this.#ends = new Map()
    this.#ends.set(key, { epoch: this.#epoch, end })
    return end
  }

  /** The newest name of an address; an address that lost its pod keeps that pod's name for some generations. */
  resolve(address: Address): FlowEnd {
    for (let i = this.#kept.length - 1; i >= 0; i--) {
      const source = this.#kept[i]
      const entry = source?.addresses.get(address)
      if (source === undefined || entry === undefined) continue
      const end = endOf(source, address, entry)
      if (end !== undefined) return end
    }
    const coming = this.#expected?.addresses.get(address)
    if (this.#expected !== undefined && coming !== undefined) {
      const end = endOf(this.#expected, address, coming)
      if (end !== undefined) return end
    }
    const prefixes = this.#kept.at(-1)?.clusterPrefixes ?? []
    const inside = prefixes.some((prefix) => prefixContains(prefix, address))
    return {
      address,
      kind: inside ? "unknown" : "outside",
      namespace: "",
      name: "",
      node: "",
      labels: NO_LABELS,
      namespaceLabels: NO_LABELS,
    }
  }

  /** What verdict `id` of `generation` says; undefined when that generation is no longer known. */
  verdict(generation: number, id: number): Verdict | undefined {
    const newest = this.#kept.at(-1)?.generation ?? -1
    if (generation > newest && this.#expected !== undefined) return this.#expected.verdicts[id]
    for (let i = this.#kept.length - 1; i >= 0; i--) {
      const source = this.#kept[i]
      if (source !== undefined && source.generation <= generation) return source.verdicts[id]
    }
    return undefined
  }

  /** The decision with its text; made once for each verdict. */
  decision(verdict: Verdict): Decision {
    let decision = this.#decisions.get(verdict)
    if (decision === undefined) {
      const { staged } = verdict
      decision = staged === undefined ? decided(verdict) : { ...decided(verdict), staged: decided(staged) }
      this.#decisions.set(verdict, decision)
    }
    return decision
  }
}

function decided({ action, by }: Pick<Verdict, "action" | "by">): Omit<Decision, "staged"> {
  const origin = "origin" in by ? { origin: by.origin } : {}
  return { allowed: action === "allow", rule: ruleIdText(by), ...origin }
}

function endOf(
  source: Omit<NameSource, "generation">,
  address: Address,
  entry: { readonly endpoint?: string; readonly node: string },
): FlowEnd | undefined {
  if (entry.endpoint === undefined) {
    const labels = source.nodes.get(entry.node)?.labels ?? NO_LABELS
    return {
      address,
      kind: "node",
      namespace: "",
      name: entry.node,
      node: entry.node,
      labels,
      namespaceLabels: NO_LABELS,
    }
  }
  const endpoint = source.endpoints.get(entry.endpoint)
  if (endpoint === undefined) return undefined
  return {
    address,
    kind: "pod",
    namespace: endpoint.namespace,
    name: endpoint.name,
    node: endpoint.node,
    labels: endpoint.labels,
    namespaceLabels: source.namespaces.get(endpoint.namespace)?.labels ?? NO_LABELS,
  }
}

function sameEnd(a: FlowEnd, b: FlowEnd): boolean {
  return (
    a.kind === b.kind &&
    a.name === b.name &&
    a.namespace === b.namespace &&
    a.node === b.node &&
    a.labels === b.labels &&
    a.namespaceLabels === b.namespaceLabels
  )
}
