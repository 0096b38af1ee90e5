import { endpoint, node as nodeStruct } from "../../kernel/abi.generated.ts"
import type { BpfMap } from "../../kernel/bpf/map.ts"
import { addressBytes, familyOf } from "../../net/address.ts"
import type { NodeState } from "../plane.ts"

interface Port {
  readonly ifindex: number
  readonly mac: Uint8Array
}

export interface EndpointMaps {
  readonly endpoints: BpfMap
  readonly byIfindex: BpfMap
  readonly nodes: BpfMap
}

/** Local endpoints with their interfaces, and other nodes: what comes is written before the flip, what goes after it. */
export class EndpointTables {
  readonly #maps: EndpointMaps
  #ports = new Map<number, Port>()
  #byIfindex = new Map<number, number>()
  #nodes = new Map<number, string>()

  constructor(maps: EndpointMaps) {
    this.#maps = maps
  }

  /** Forgets what was written and looks at what is there. */
  reload(): void {
    this.#ports = new Map()
    for (const [key, value] of this.#maps.endpoints.entries()) {
      const { ifindex, mac } = endpoint.decode(value)
      if (ifindex !== 0) this.#ports.set(numberOf(key), { ifindex, mac: mac.slice() })
    }
    this.#byIfindex = new Map()
    for (const [key, value] of this.#maps.byIfindex.entries()) this.#byIfindex.set(numberOf(key), numberOf(value))
    this.#nodes = new Map()
    for (const [key, value] of this.#maps.nodes.entries()) {
      const { valid, address } = nodeStruct.decode(value)
      if (valid !== 0) this.#nodes.set(numberOf(key), Buffer.from(address).toString("hex"))
    }
  }

  /** Endpoints that have an interface now. */
  get ports(): ReadonlyMap<number, Port> {
    return this.#ports
  }

  prepare(next: NodeState): void {
    for (const { number, address } of next.forwarding.peers.values()) {
      const bytes = addressBytes(address)
      const text = Buffer.from(bytes).toString("hex")
      if (this.#nodes.get(number) === text) continue
      const value = { address: bytes, valid: 1, family: familyOf(address) }
      this.#maps.nodes.update(keyOf(number), nodeStruct.encode(value))
      this.#nodes.set(number, text)
    }
    for (const [name, { number }] of next.compiled.endpoints) {
      const port = next.forwarding.ports.get(name)
      if (port === undefined) continue
      const held = this.#ports.get(number)
      if (held?.ifindex !== port.ifindex || !equal(held.mac, port.mac)) {
        this.#maps.endpoints.update(keyOf(number), endpoint.encode({ ifindex: port.ifindex, mac: port.mac }))
        this.#ports.set(number, { ifindex: port.ifindex, mac: port.mac })
      }
      if (this.#byIfindex.get(port.ifindex) !== number) {
        this.#maps.byIfindex.update(keyOf(port.ifindex), keyOf(number))
        this.#byIfindex.set(port.ifindex, number)
      }
    }
  }

  /** Interfaces that are no endpoint's any more in `next`. */
  gone(next: NodeState): Set<number> {
    const wanted = portsByNumber(next)
    const gone = [...this.#byIfindex].filter(([ifindex, number]) => wanted.get(number) !== ifindex)
    return new Set(gone.map(([ifindex]) => ifindex))
  }

  /** After the flip, and when the flows of `gone` have ended: takes away what is not in `next`. */
  finish(next: NodeState, gone: ReadonlySet<number>): void {
    const wanted = portsByNumber(next)
    for (const ifindex of gone) {
      this.#maps.byIfindex.delete(keyOf(ifindex))
      this.#byIfindex.delete(ifindex)
    }
    for (const number of [...this.#ports.keys()]) {
      if (wanted.has(number)) continue
      this.#maps.endpoints.update(keyOf(number), new Uint8Array(endpoint.size))
      this.#ports.delete(number)
    }
    const peers = new Set([...next.forwarding.peers.values()].map((peer) => peer.number))
    for (const number of [...this.#nodes.keys()]) {
      if (peers.has(number)) continue
      this.#maps.nodes.update(keyOf(number), new Uint8Array(nodeStruct.size))
      this.#nodes.delete(number)
    }
  }
}

function portsByNumber({ compiled, forwarding }: NodeState): Map<number, number> {
  const found = new Map<number, number>()
  for (const [name, { number }] of compiled.endpoints) {
    const port = forwarding.ports.get(name)
    if (port !== undefined) found.set(number, port.ifindex)
  }
  return found
}

export function keyOf(number: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(number).buffer)
}

export function numberOf(key: Uint8Array): number {
  return new DataView(key.buffer, key.byteOffset).getUint32(0, true)
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
