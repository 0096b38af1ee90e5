import { changesBetween } from "../../compile/versions.ts"
import { endpoint, node as nodeStruct } from "../../kernel/abi.generated.ts"
import type { BpfMap } from "../../kernel/bpf/map.ts"
import { addressBytes, familyOf } from "../../net/address.ts"
import type { NodeState } from "../plane.ts"
import type { Turn } from "./turn.ts"

export interface Port {
  readonly ifindex: number
  readonly mac: Uint8Array
}

export interface EndpointMaps {
  readonly endpoints: BpfMap
  readonly byIfindex: BpfMap
  readonly nodes: BpfMap
}

/** What one apply has to do about interfaces: those that shall be there, and those of before that may be no more. */
export interface EndpointPlan {
  /** Interfaces by the number of their endpoint. */
  readonly wanted: ReadonlyMap<number, Port>
  readonly numbers: ReadonlySet<number>
  readonly interfaces: ReadonlySet<number>
  /** Other nodes differ. */
  readonly nodes: boolean
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
  async reload(turn: Turn): Promise<void> {
    this.#ports = readPorts(this.#maps.endpoints)
    if (turn.over) await turn.end()
    this.#byIfindex = new Map()
    for (const [key, value] of this.#maps.byIfindex.entries()) this.#byIfindex.set(numberOf(key), numberOf(value))
    this.#nodes = new Map()
    for (const { keys, values, count } of this.#maps.nodes.batches()) {
      const view = new DataView(values.buffer)
      for (let i = 0; i < count; i++) {
        const at = i * nodeStruct.size
        if (view.getUint8(at + nodeStruct.offset.valid) === 0) continue
        const { address } = nodeStruct.read(view, at)
        this.#nodes.set(numberOf(keys.subarray(i * 4)), Buffer.from(address).toString("hex"))
      }
      if (turn.over) await turn.end()
    }
  }

  /** What an apply of `next` has to do. `previous`: what the tables hold; undefined: that is not known, all is compared. */
  plan(next: NodeState, previous: NodeState | undefined): EndpointPlan {
    const wanted = new Map<number, Port>()
    const want = (name: string): void => {
      const number = next.compiled.endpoints.get(name)?.number
      const port = next.forwarding.ports.get(name)
      if (number !== undefined && port !== undefined) wanted.set(number, port)
    }
    const touched = previous && touchedEndpoints(next, previous)
    if (previous === undefined || touched === undefined) {
      for (const name of next.compiled.endpoints.keys()) want(name)
      return { wanted, numbers: new Set(this.#ports.keys()), interfaces: new Set(this.#byIfindex.keys()), nodes: true }
    }
    const numbers = new Set<number>()
    const interfaces = new Set<number>()
    for (const name of touched) {
      want(name)
      const number = previous.compiled.endpoints.get(name)?.number
      const port = previous.forwarding.ports.get(name)
      if (number !== undefined) numbers.add(number)
      if (port !== undefined) interfaces.add(port.ifindex)
    }
    return { wanted, numbers, interfaces, nodes: next.forwarding.peers !== previous.forwarding.peers }
  }

  prepare(next: NodeState, { wanted, nodes }: EndpointPlan): void {
    for (const { number, address } of nodes ? next.forwarding.peers.values() : []) {
      const bytes = addressBytes(address)
      const text = Buffer.from(bytes).toString("hex")
      if (this.#nodes.get(number) === text) continue
      const value = { address: bytes, valid: 1, family: familyOf(address) }
      this.#maps.nodes.update(keyOf(number), nodeStruct.encode(value))
      this.#nodes.set(number, text)
    }
    for (const [number, { ifindex, mac }] of wanted) {
      const held = this.#ports.get(number)
      if (held?.ifindex !== ifindex || !equal(held.mac, mac)) {
        this.#maps.endpoints.update(keyOf(number), endpoint.encode({ ifindex, mac }))
        this.#ports.set(number, { ifindex, mac })
      }
      if (this.#byIfindex.get(ifindex) !== number) {
        this.#maps.byIfindex.update(keyOf(ifindex), keyOf(number))
        this.#byIfindex.set(ifindex, number)
      }
    }
  }

  /** Interfaces that are no endpoint's any more, once `prepare` is done. */
  gone({ wanted, numbers, interfaces }: EndpointPlan): Set<number> {
    const gone = new Set<number>()
    for (const ifindex of interfaces) {
      const number = this.#byIfindex.get(ifindex)
      if (number === undefined) continue
      const unwanted = numbers.has(number) && !wanted.has(number)
      if (unwanted || this.#ports.get(number)?.ifindex !== ifindex) gone.add(ifindex)
    }
    return gone
  }

  /** After the flip, and when the flows of `gone` have ended: takes away what is not in `next`. */
  finish(next: NodeState, { wanted, numbers, nodes }: EndpointPlan, gone: ReadonlySet<number>): void {
    for (const ifindex of gone) {
      this.#maps.byIfindex.delete(keyOf(ifindex))
      this.#byIfindex.delete(ifindex)
    }
    for (const number of numbers) {
      if (wanted.has(number) || !this.#ports.has(number)) continue
      this.#maps.endpoints.update(keyOf(number), new Uint8Array(endpoint.size))
      this.#ports.delete(number)
    }
    if (!nodes) return
    const peers = new Set([...next.forwarding.peers.values()].map((peer) => peer.number))
    for (const number of [...this.#nodes.keys()]) {
      if (peers.has(number)) continue
      this.#maps.nodes.update(keyOf(number), new Uint8Array(nodeStruct.size))
      this.#nodes.delete(number)
    }
  }
}

/** Endpoints whose number or interface may differ between two states; undefined when that is not known without looking at all. */
function touchedEndpoints(next: NodeState, previous: NodeState): ReadonlySet<string> | undefined {
  const endpoints = changesBetween(previous.compiled.endpoints, next.compiled.endpoints)
  const ports = changesBetween(previous.forwarding.ports, next.forwarding.ports)
  return endpoints && ports && endpoints.union(ports)
}

/** Endpoints that have an interface in the kernel's table, by number. */
export function readPorts(map: BpfMap): Map<number, Port> {
  const ports = new Map<number, Port>()
  for (const { keys, values, count } of map.batches()) {
    const view = new DataView(values.buffer)
    for (let i = 0; i < count; i++) {
      const at = i * endpoint.size
      if (view.getUint32(at + endpoint.offset.ifindex, true) === 0) continue
      const { ifindex, mac } = endpoint.read(view, at)
      ports.set(numberOf(keys.subarray(i * 4)), { ifindex, mac: mac.slice() })
    }
  }
  return ports
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
