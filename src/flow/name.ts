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

/** What a commit under way will bring. */
type Coming = Omit<NameSource, "generation">

/** Generations whose names are kept: events of a flow may come long after its pod or rule went. */
const KEPT = 16
/** Addresses remembered between events; all are forgotten when there are more. Some 5 MB. */
const CACHED = 16_384

const NO_LABELS = Object.freeze({})

/** Gives addresses and verdict ids of events their names, as of the generation that the event belongs to. */
export class Names {
  readonly #kept: NameSource[] = []
  #ends = new Map<string, { epoch: number; readonly end: FlowEnd }>()
  #decisions = new WeakMap<Verdict, Decision>()
  /** Another one when an address may have another name than before: policy changes name nothing anew. */
  #epoch = 0
  #expected: Coming | undefined

  /**
   * What a commit under way will bring: the kernel may speak of it before the commit is over. Undefined when it failed.
   */
  expect(source: Coming | undefined): void {
    const newest = this.#kept.at(-1)
    if (!sameNames(source ?? newest, this.#expected ?? newest)) this.#epoch++
    this.#expected = source
  }

  /** Takes in what is in force from now on. */
  learn(source: NameSource): void {
    const newest = this.#kept.at(-1)
    if (!sameNames(source, newest) || !sameNames(this.#expected ?? newest, newest)) this.#epoch++
    this.#expected = undefined
    if (newest?.generation === source.generation) this.#kept.pop()
    this.#kept.push(source)
    const forgotten = this.#kept.length > KEPT ? this.#kept.shift() : undefined
    if (forgotten !== undefined && !sameNames(forgotten, this.#kept[0])) this.#epoch++
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
    let looked: NameSource["addresses"] | undefined
    for (let i = this.#kept.length - 1; i >= 0; i--) {
      const source = this.#kept[i]
      // Generations that differ in policies alone share their addresses.
      if (source === undefined || source.addresses === looked) continue
      const entry = source.addresses.get(address)
      if (entry === undefined) {
        looked = source.addresses
        continue
      }
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
  source: Coming,
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

/** Whether two sources give every address the same name. */
function sameNames(a: Coming | undefined, b: Coming | undefined): boolean {
  return (
    a?.addresses === b?.addresses &&
    a?.endpoints === b?.endpoints &&
    a?.namespaces === b?.namespaces &&
    a?.nodes === b?.nodes &&
    a?.clusterPrefixes === b?.clusterPrefixes
  )
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
