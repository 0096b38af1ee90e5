import type { Verdict } from "../model/verdict.ts"
import type { Address, Prefix } from "../net/types.ts"

/**
 * The compiled form: what one node's kernel needs to judge every packet of its own endpoints (docs/design.md, 3.3).
 * Immutable, and sharing structure with the form compiled before it: a `PolicySet`, `Row` or `Verdict` that means the
 * same is the same object, so a plane finds what changed by identity.
 *
 * Numbers (slots, classes, rows, verdict ids, endpoint numbers) mean nothing outside one node and may differ between two
 * compilations of the same state; `canonical.ts` renumbers for comparison.
 */
export interface Compiled {
  /** Every exact address known: endpoints, nodes. */
  readonly addresses: ReadonlyMap<Address, AddressEntry>
  /** Every block that a rule in force names, and the cluster's own ranges; the longest that contains an address wins. */
  readonly prefixes: ReadonlyMap<Prefix, PrefixEntry>
  /** What an address has that is in neither table: slot per family, for "outside, in no named block". */
  readonly outsideSlot: { readonly 4: number; readonly 6: number }
  /**
   * Slot that stands for a socket of this node itself, per family, whatever address it sends from: the source slot of a packet
   * with `skb->sk` set. Its rows hold "the node reaches its own pods" and the denies that come before it.
   */
  readonly nodeSocketSlot: { readonly 4: number; readonly 6: number }
  /** slot → class. Length: highest slot + 1. Slot 0 is never used; its class is 0 and means "not judged yet: drop". */
  readonly classes: Uint16Array
  /** One more than the highest class in use. */
  readonly classCount: number
  /** Local endpoints by number (1-based; entry 0 is undefined, numbers may have gaps). Key: `NAMESPACE/NAME`. */
  readonly endpoints: ReadonlyMap<string, LocalEndpoint>
  /** Distinct policy sets in use on this node, in no meaningful order. */
  readonly sets: readonly PolicySet[]
  /** Distinct rows; index = row number. Row 0 is empty and means drop. */
  readonly rows: readonly Row[]
  /** verdict id → verdict; index = id. Id 0 is unused. Ids of equal verdicts stay the same over compilations. */
  readonly verdicts: readonly (Verdict | undefined)[]
}

export interface AddressEntry {
  readonly slot: number
  /** `NAMESPACE/NAME` of the endpoint that owns it, if an endpoint does. */
  readonly endpoint?: string
  /** Name of the node where it is (an endpoint's node, or the node itself). */
  readonly node: string
  readonly kind: "endpoint" | "node"
}

export interface PrefixEntry {
  readonly slot: number
  /** The block is (part of) one of the cluster's ranges: an address that ends here is unknown. */
  readonly unknown: boolean
}

export interface LocalEndpoint {
  readonly number: number
  readonly addresses: readonly Address[]
  readonly ingress: PolicySet
  readonly egress: PolicySet
}

/** What endpoints with the same answers enforce in one direction: class → row number, see `rowOf`. */
export interface PolicySet {
  /** Row of all classes that the set does not tell apart from strangers: most. */
  readonly rest: number
  /** Rows of the other classes. */
  readonly special: ReadonlyMap<number, number>
}

/** Row of a class in a set; class 0 has none. */
export function rowOf({ rest, special }: PolicySet, peerClass: number): number {
  return peerClass === 0 ? 0 : (special.get(peerClass) ?? rest)
}

/**
 * First match already decided over all tiers, as sorted intervals that cover all keys from 0: interval i is
 * [starts[i], starts[i+1]). Key: `protocol << 16 | destination port`; ICMP and ICMPv6: `protocol << 16 | type << 8 | code`;
 * other protocols: `protocol << 16`.
 *
 * `outcomes[i]` is packed by `packOutcome`: bits 31–30 action (0 deny, 1 allow, 2 look again by source port in row
 * `id`, whose intervals are keyed `protocol << 16 | source port`, 3 what row `id` says to the same key, which is never 3),
 * bit 29 log, bit 28 a staged verdict differs, bits 27–0 verdict id (or row number for actions 2 and 3).
 */
export interface Row {
  readonly starts: Uint32Array
  readonly outcomes: Uint32Array
}

export const OutcomeAction = { deny: 0, allow: 1, bySourcePort: 2, asRow: 3 } as const

export interface Outcome {
  readonly action: 0 | 1 | 2 | 3
  readonly log: boolean
  readonly staged: boolean
  /** Verdict id, or row number for actions 2 and 3; below 2^28. */
  readonly id: number
}

export function packOutcome(outcome: Outcome): number {
  return ((outcome.action << 30) | (outcome.log ? 1 << 29 : 0) | (outcome.staged ? 1 << 28 : 0) | outcome.id) >>> 0
}

export function unpackOutcome(packed: number): Outcome {
  return {
    action: (packed >>> 30) as 0 | 1 | 2 | 3,
    log: (packed & (1 << 29)) !== 0,
    staged: (packed & (1 << 28)) !== 0,
    id: packed & 0x0fff_ffff,
  }
}

/** A row with what it leaves to another one written out: no outcome has action 3. */
export function wholeRow(rows: readonly Row[], row: Row): Row {
  if (!row.outcomes.some((outcome) => outcome >>> 30 === OutcomeAction.asRow)) return row
  const starts: number[] = []
  const outcomes: number[] = []
  const add = (start: number, outcome: number): void => {
    if (outcomes.at(-1) === outcome) return
    starts.push(start)
    outcomes.push(outcome)
  }
  for (const [i, outcome] of row.outcomes.entries()) {
    const from = row.starts[i] ?? 0
    if (outcome >>> 30 !== OutcomeAction.asRow) {
      add(from, outcome)
      continue
    }
    const end = row.starts[i + 1] ?? Number.POSITIVE_INFINITY
    const base = rows[unpackOutcome(outcome).id]
    for (const [k, own] of base?.outcomes.entries() ?? []) {
      const next = base?.starts[k + 1] ?? Number.POSITIVE_INFINITY
      const start = Math.max(from, base?.starts[k] ?? 0)
      if (start < Math.min(end, next)) add(start, own)
    }
  }
  return { starts: Uint32Array.from(starts), outcomes: Uint32Array.from(outcomes) }
}
