import type { Packet } from "../model/packet.ts"
import type { Direction } from "../model/policy.ts"
import type { Verdict } from "../model/verdict.ts"
import { familyOf } from "../net/address.ts"
import { bitsOf, prefixOf } from "../net/prefix.ts"
import { type Address, Protocol } from "../net/types.ts"
import { type Compiled, type LocalEndpoint, OutcomeAction, type PolicySet, rowOf, unpackOutcome } from "./compiled.ts"

/**
 * Judges the first packet of a connection by the tables alone, as the kernel's programs do: address → slot → class, set and
 * class → row, row and ports → outcome. Ends that are not this node's workloads enforce nothing here.
 */
export function judge(compiled: Compiled, packet: Packet): { readonly egress: Verdict; readonly ingress: Verdict } {
  const source = compiled.addresses.get(packet.source)
  const destination = compiled.addresses.get(packet.destination)
  const sameEndpoint = source?.endpoint !== undefined && source.endpoint === destination?.endpoint
  const sender = sameEndpoint ? undefined : localEndpoint(compiled, source?.endpoint)
  const receiver = sameEndpoint ? undefined : localEndpoint(compiled, destination?.endpoint)
  const ownSocket =
    packet.fromNodeSocket === true &&
    source?.kind !== "endpoint" &&
    (source === undefined || source.node === destination?.node)
  const sourceSlot = ownSocket ? compiled.nodeSocketSlot[familyOf(packet.destination)] : slotOf(compiled, packet.source)
  return {
    egress: sender
      ? look(compiled, sender.egress, slotOf(compiled, packet.destination), packet)
      : notEnforced("egress"),
    ingress: receiver ? look(compiled, receiver.ingress, sourceSlot, packet) : notEnforced("ingress"),
  }
}

function localEndpoint(compiled: Compiled, key: string | undefined): LocalEndpoint | undefined {
  return key === undefined ? undefined : compiled.endpoints.get(key)
}

/** Slot of an address: its own, else that of the longest block around it, else outside. */
export function slotOf(compiled: Compiled, address: Address): number {
  const exact = compiled.addresses.get(address)
  if (exact !== undefined) return exact.slot
  const family = familyOf(address)
  for (let length: number = bitsOf(family); length >= 0; length--) {
    const entry = compiled.prefixes.get(prefixOf(address, length))
    if (entry !== undefined) return entry.slot
  }
  return compiled.outsideSlot[family]
}

function look(compiled: Compiled, set: PolicySet, slot: number, packet: Packet): Verdict {
  const peerClass = compiled.classes[slot] ?? 0
  const row = rowOf(set, peerClass)
  let outcome = outcomeAt(compiled, row, rowKey(packet))
  if (outcome?.action === OutcomeAction.asRow) outcome = outcomeAt(compiled, outcome.id, rowKey(packet))
  if (outcome?.action === OutcomeAction.bySourcePort) {
    outcome = outcomeAt(compiled, outcome.id, packet.protocol * 65_536 + packet.sourcePort)
  }
  const verdict = outcome && compiled.verdicts[outcome.id]
  if (verdict === undefined) {
    throw new Error(`Cannot judge: slot ${slot}, class ${peerClass}, row ${row} lead to no verdict`)
  }
  return verdict
}

/** Key of a packet in a row (see `Row`). */
export function rowKey(packet: Packet): number {
  const base = packet.protocol * 65_536
  switch (packet.protocol) {
    case Protocol.TCP:
    case Protocol.UDP:
    case Protocol.SCTP:
      return base + packet.destinationPort
    case Protocol.ICMP:
      return base + ((packet.icmpType ?? 8) << 8) + (packet.icmpCode ?? 0)
    case Protocol.ICMPv6:
      return base + ((packet.icmpType ?? 128) << 8) + (packet.icmpCode ?? 0)
    default:
      return base
  }
}

function outcomeAt(compiled: Compiled, number: number, key: number): ReturnType<typeof unpackOutcome> | undefined {
  const row = compiled.rows[number]
  if (row === undefined || row.starts.length === 0) return undefined
  let low = 0
  let high = row.starts.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((row.starts[middle] ?? 0) <= key) low = middle
    else high = middle - 1
  }
  return unpackOutcome(row.outcomes[low] ?? 0)
}

function notEnforced(direction: Direction): Verdict {
  return { action: "allow", by: { kind: "notEnforced", direction }, log: false }
}
