import { compile } from "../compile/compile.ts"
import { type Compiled, OutcomeAction, type PolicySet, rowOf, unpackOutcome, wholeRow } from "../compile/compiled.ts"
import type { Cluster, Endpoint } from "../model/cluster.ts"
import type { Verdict } from "../model/verdict.ts"
import { familyOf } from "../net/address.ts"
import { prefixBase, prefixLength, prefixOf } from "../net/prefix.ts"
import type { Address, Family, Prefix } from "../net/types.ts"

/** One past the greatest key of a row (`protocol << 16 | port`). */
export const KEY_END = 256 << 16

/** No node has this name: from it every node of the cluster is another one. */
const NOWHERE = "*"

/** A stretch of a row in which one verdict holds; `by source port` where the row says to look again. */
export interface Stretch {
  readonly start: number
  readonly verdict: Verdict | undefined
  /** Keyed by `protocol << 16 | source port`. */
  readonly bySourcePort: readonly Stretch[] | undefined
}

/**
 * A whole cluster compiled as if all its workloads ran on one node, so that every pair of them can be looked up in one pair of
 * tables. Only what a rule says of the workload's own node is not to be seen there.
 */
export class World {
  readonly cluster: Cluster
  readonly compiled: Compiled
  readonly #numbers: Map<string, number>
  #stretches = new Map<number, readonly Stretch[]>()
  #answers: number[] = []

  /** `numbers`: shared by worlds whose answers are compared; `node`: keep workloads where they are and look as this node. */
  constructor(cluster: Cluster, numbers = new Map<string, number>(), node?: string) {
    this.cluster = cluster
    this.#numbers = numbers
    this.compiled = compile(node === undefined ? onOneNode(cluster) : cluster, node ?? NOWHERE)
  }

  /** What the workload enforces; undefined when it is not there, or not on the node that looks. */
  sets(key: string): { readonly ingress: PolicySet; readonly egress: PolicySet } | undefined {
    return this.compiled.endpoints.get(key)
  }

  classOf(address: Address): number | undefined {
    const entry = this.compiled.addresses.get(address)
    return entry && this.compiled.classes[entry.slot]
  }

  /** Class of addresses of the block that lie in no longer one; undefined where they are the cluster's own. */
  classOfBlock(prefix: Prefix): number | undefined {
    const base = prefixBase(prefix)
    for (let length = prefixLength(prefix); length >= 0; length--) {
      const entry = this.compiled.prefixes.get(prefixOf(base, length))
      if (entry !== undefined) return entry.unknown ? undefined : this.compiled.classes[entry.slot]
    }
    return this.classOutside(familyOf(base))
  }

  classOutside(family: Family): number {
    return this.compiled.classes[this.compiled.outsideSlot[family]] ?? 0
  }

  classOfSocket(family: Family): number {
    return this.compiled.classes[this.compiled.nodeSocketSlot[family]] ?? 0
  }

  /** What a set says of a class of peers, as a row's number. */
  row(set: PolicySet, peerClass: number): number {
    return rowOf(set, peerClass)
  }

  /** A number that rows have in common which allow and deny the same, by whatever rules. */
  answerOf(row: number): number {
    const known = this.#answers[row]
    if (known !== undefined) return known
    let last = ""
    let text = ""
    for (const { start, verdict, bySourcePort } of this.stretches(row)) {
      const answer = bySourcePort === undefined ? (verdict?.action ?? "none") : this.#number(answersText(bySourcePort))
      if (answer !== last) text += `${start}${answer} `
      last = answer
    }
    const number = Number(this.#number(text))
    this.#answers[row] = number
    return number
  }

  #number(text: string): string {
    const number = this.#numbers.get(text) ?? this.#numbers.size
    this.#numbers.set(text, number)
    return `${number}`
  }

  /** A row's stretches from key 0 up. */
  stretches(row: number): readonly Stretch[] {
    const known = this.#stretches.get(row)
    if (known !== undefined) return known
    const { rows } = this.compiled
    const held = rows[row]
    const { starts, outcomes } = held === undefined ? { starts: [], outcomes: [] } : wholeRow(rows, held)
    const made = Array.from(starts, (start, index): Stretch => {
      const outcome = unpackOutcome(outcomes[index] ?? 0)
      if (outcome.action === OutcomeAction.bySourcePort) {
        return { start, verdict: undefined, bySourcePort: this.stretches(outcome.id) }
      }
      return { start, verdict: this.compiled.verdicts[outcome.id], bySourcePort: undefined }
    })
    this.#stretches.set(row, made)
    return made
  }
}

function answersText(stretches: readonly Stretch[]): string {
  return stretches.map(({ start, verdict }) => `by source ${start}${verdict?.action ?? "none"}`).join(" ")
}

/** The stretch in which a key lies. */
export function stretchAt(stretches: readonly Stretch[], key: number): Stretch | undefined {
  let low = 0
  let high = stretches.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((stretches[middle]?.start ?? 0) <= key) low = middle
    else high = middle - 1
  }
  return stretches[low]
}

function onOneNode(cluster: Cluster): Cluster {
  const endpoints = new Map<string, Endpoint>()
  for (const [key, endpoint] of cluster.endpoints) endpoints.set(key, { ...endpoint, node: NOWHERE })
  return { ...cluster, endpoints }
}

/** Addresses of the family that are the workload's own, in its order. */
export function addressesOf(world: World, key: string, family: Family): Address[] {
  return (world.cluster.endpoints.get(key)?.addresses ?? []).filter(
    (address) => familyOf(address) === family && world.compiled.addresses.get(address)?.endpoint === key,
  )
}
