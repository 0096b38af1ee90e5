import type { NamespaceHandle } from "../../kernel/namespace.ts"
import { openSocket, type Socket } from "../../kernel/socket.ts"
import { familyOf } from "../../net/address.ts"
import type { Address, ProtocolNumber } from "../../net/types.ts"
import { transportOf } from "../raw.ts"
import type { Reactor, Watch } from "../reactor.ts"

/** Told of every packet until it answers true. */
export type Listener = (packet: Uint8Array, from: Address) => boolean

/** One raw socket for all probes of one protocol from or to one address; who listens picks its packets out. */
export class Channel {
  readonly #socket: Socket
  readonly #watch: Watch
  readonly #listeners = new Set<Listener>()
  readonly #buffer = new Uint8Array(65_536)

  constructor(namespace: NamespaceHandle, address: Address, protocol: ProtocolNumber, reactor: Reactor) {
    const family = familyOf(address)
    const socket = openSocket({ namespace, family, type: "raw", protocol })
    this.#socket = socket
    try {
      socket.bind(address, 0)
    } catch (error) {
      socket.close()
      throw error
    }
    this.#watch = reactor.watch(socket, { read: true }, () => {
      for (;;) {
        const received = this.#receive()
        if (received === undefined) return
        const packet = transportOf(this.#buffer.subarray(0, received.length), family)
        for (const listener of this.#listeners) {
          if (listener(packet, received.address)) this.#listeners.delete(listener)
        }
      }
    })
  }

  /** Returns how to stop listening. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  send(packet: Uint8Array, to: Address): void {
    this.#socket.sendTo(packet, to, 0)
  }

  close(): void {
    this.#listeners.clear()
    this.#watch.end()
    this.#socket.close()
  }

  #receive(): { length: number; address: Address } | undefined {
    try {
      return this.#socket.receive(this.#buffer)
    } catch {
      return undefined // an ICMP error of an earlier packet; silence says the same
    }
  }
}
