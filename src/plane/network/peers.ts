import type { Cluster, Node } from "../../model/cluster.ts"
import { familyOf } from "../../net/address.ts"
import type { Address } from "../../net/types.ts"
import type { Peer } from "../plane.ts"
import { isRecord, readState, tryWriteState } from "./state-file.ts"

/** Numbers of other nodes fit in 14 bits (abi MAX_NODES); 0 means none. */
const HIGHEST = 16_383

/**
 * Numbers the other nodes. A node keeps its number while it exists, also over restarts of the agent, because records of
 * flows carry it; a number that came free is given again as late as possible.
 */
export class PeerNumbers {
  readonly #file: string
  readonly #numbers = new Map<string, number>()
  #last = 0
  /** The disk has other numbers: it was full. */
  #unsaved = false

  constructor(file: string) {
    this.#file = file
    const state = readState(file)
    if (!isRecord(state) || !isRecord(state["numbers"])) return
    for (const [name, number] of Object.entries(state["numbers"]))
      if (typeof number === "number") this.#numbers.set(name, number)
    if (typeof state["last"] === "number") this.#last = state["last"]
  }

  /** The numbers of exactly these nodes. */
  assign(names: Iterable<string>): ReadonlyMap<string, number> {
    const wanted = new Set(names)
    let changed = this.#unsaved
    for (const name of this.#numbers.keys()) if (!wanted.has(name)) changed = this.#numbers.delete(name) || changed
    const used = new Set(this.#numbers.values())
    for (const name of wanted) {
      if (this.#numbers.has(name) || used.size >= HIGHEST) continue
      do this.#last = (this.#last % HIGHEST) + 1
      while (used.has(this.#last))
      used.add(this.#last)
      this.#numbers.set(name, this.#last)
      changed = true
    }
    // Policies do not wait for room on the disk: a restarted agent judges records again, and finds their ways anew.
    if (changed)
      this.#unsaved = !tryWriteState(this.#file, { last: this.#last, numbers: Object.fromEntries(this.#numbers) })
    return new Map(this.#numbers)
  }
}

/**
 * Address by which `self` reaches `other`: of a family that both have. The overlay carries both families over either and
 * takes that of this node's first address; native routing prefers IPv6, because an IPv6 next hop carries IPv4 as well
 * (RFC 5549) and not the other way round. Undefined when they have no family in common.
 */
export function addressOfPeer(self: Node, other: Node, routing: "vxlan" | "native"): Address | undefined {
  const families = new Set(self.addresses.map(familyOf))
  const common = other.addresses.filter((address) => families.has(familyOf(address)))
  const first = self.addresses[0]
  const preferred = routing === "native" ? 6 : first === undefined ? 4 : familyOf(first)
  return common.find((address) => familyOf(address) === preferred) ?? common[0]
}

/** The other nodes, numbered; those that this node cannot reach are left out. */
export function peersOf(
  cluster: Cluster,
  selfName: string,
  routing: "vxlan" | "native",
  numbers: PeerNumbers,
): ReadonlyMap<string, Peer> {
  const peers = new Map<string, Peer>()
  const self = cluster.nodes.get(selfName)
  const others = [...cluster.nodes.values()].filter((node) => node.name !== selfName)
  const numbered = numbers.assign(others.map((node) => node.name))
  if (self === undefined) return peers
  for (const node of others) {
    const address = addressOfPeer(self, node, routing)
    const number = numbered.get(node.name)
    if (address !== undefined && number !== undefined) peers.set(node.name, { number, address })
  }
  return peers
}
