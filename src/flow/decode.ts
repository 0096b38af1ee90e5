import { constants, EventKind, event, eventKindNames, hookNames, reasonNames } from "../kernel/abi.generated.ts"
import type { Names } from "./name.ts"
import type { Decision, FlowKind } from "./record.ts"
import type { FlowInput, FlowTexts } from "./store.ts"

const at = event.offset
const { OUTCOME_ACTION_SHIFT, OUTCOME_ID_MASK, VERDICT_NOT_ENFORCED } = constants

/** The texts of the ABI's numbers, as flows show them. */
export const flowTexts: FlowTexts = {
  kinds: sparse(eventKindNames).map((name) => name?.replace(/^flow-/, "") as FlowKind | undefined),
  reasons: sparse(reasonNames),
  hooks: sparse(hookNames),
}

/** Bytes of one event. */
export const EVENT_SIZE = event.size

/**
 * One event (struct event of `abi/`) with its names. `clock` is what to add to the kernel's monotonic ms to get ms since the epoch. Ends
 * that this node does not judge have no decision.
 */
export function decodeEvent(view: DataView, offset: number, names: Names, clock: number): FlowInput {
  const generation = view.getUint32(offset + at.generation, true)
  const kind = view.getUint8(offset + at.kind)
  const direction = view.getUint8(offset + at.direction)
  const sourceOutcome = view.getUint32(offset + at.sourceOutcome, true)
  const destinationOutcome = view.getUint32(offset + at.destinationOutcome, true)
  return {
    time: clock + u64(view, offset + at.time) / 1e6,
    kind,
    reason: view.getUint8(offset + at.reason),
    hook: view.getUint8(offset + at.hook),
    direction,
    protocol: view.getUint8(offset + at.protocol),
    tcpFlags: view.getUint8(offset + at.tcpFlags),
    flowFlags: view.getUint32(offset + at.flowFlags, true) & 0xffff,
    source: names.end(view, offset + at.source),
    destination: names.end(view, offset + at.destination),
    sourcePort: view.getUint16(offset + at.sourcePort, true),
    destinationPort: view.getUint16(offset + at.destinationPort, true),
    sourceEndpoint: view.getUint16(offset + at.sourceEndpoint, true),
    destinationEndpoint: view.getUint16(offset + at.destinationEndpoint, true),
    egress: decisionOf(names, generation, sourceOutcome, kind === EventKind.drop && direction === 1),
    ingress: decisionOf(names, generation, destinationOutcome, kind === EventKind.drop && direction === 0),
    generation,
    ifindex: view.getUint32(offset + at.ifindex, true),
    packets: u64(view, offset + at.packets),
    bytes: u64(view, offset + at.bytes),
    replyPackets: u64(view, offset + at.packets + 8),
    replyBytes: u64(view, offset + at.bytes + 8),
  }
}

/** Outcome 0 is "not judged", except where the event says that this end decided. */
function decisionOf(names: Names, generation: number, outcome: number, decided: boolean): Decision | undefined {
  if (outcome === 0 && !decided) return undefined
  const id = outcome & OUTCOME_ID_MASK
  if (id === VERDICT_NOT_ENFORCED) return undefined
  const allowed = outcome >>> OUTCOME_ACTION_SHIFT !== 0
  const verdict = names.verdict(generation, id)
  const decision = verdict === undefined ? undefined : names.decision(verdict)
  // The kernel's action counts; a verdict table that says otherwise is not the one it used.
  if (decision !== undefined && decision.allowed === allowed) return decision
  return allowed ? UNNAMED.allow : UNNAMED.deny
}

const UNNAMED = {
  allow: { allowed: true, rule: "rule of a generation no longer known" },
  deny: { allowed: false, rule: "rule of a generation no longer known" },
} as const satisfies Record<string, Decision>

/** Exact up to 2^53: 104 days of nanoseconds, then to the nearest two. */
function u64(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * 0x1_0000_0000 + view.getUint32(offset, true)
}

function sparse(names: Readonly<Record<number, string>>): (string | undefined)[] {
  const list: (string | undefined)[] = []
  for (const [number, name] of Object.entries(names)) list[Number(number)] = name
  return Array.from(list)
}
