import { openNamespace } from "../../src/kernel/namespace.ts"
import { openSocket, type Socket } from "../../src/kernel/socket.ts"
import type { Reactor, Watch } from "../../src/lab/reactor.ts"
import type { Family } from "../../src/net/types.ts"
import { addressOf, type Party } from "./stage.ts"

/** What the receiving end has seen of a stream of numbered messages. */
export interface Seen {
  bytes: number
  /** Longest time between two arrivals, in ms. */
  gap: number
  at: number
  error: string
}

const EVERY_MS = 10
/** Bytes of one message. */
export const MESSAGE = 16

/** A connection in which, after the client's first word, only the server speaks: 16 bytes every 10 ms. */
export class Stream {
  readonly name: string
  readonly seen: Seen = { bytes: 0, gap: 0, at: 0, error: "" }
  /** Messages that the server has given to its kernel. */
  given = 0
  readonly #reactor: Reactor
  readonly #closing: (() => void)[] = []
  #closed = false

  constructor(reactor: Reactor, server: Party, client: Party, port: number, protocol: "tcp" | "udp", family: Family) {
    this.name = `${client.identity} ← ${server.identity} ${protocol} IPv${family}`
    this.#reactor = reactor
    const near = openNamespace(server.netns)
    const there = openNamespace(client.netns)
    const address = addressOf(server, family)
    const type = protocol === "tcp" ? "stream" : "dgram"
    const listener = openSocket({ namespace: near, family, type })
    listener.bind(address, port)
    const socket = openSocket({ namespace: there, family, type })
    near.close()
    there.close()
    if (protocol === "tcp") {
      listener.listen(1)
      this.#watch(listener, () => {
        const accepted = listener.accept()
        if (accepted === undefined) return
        accepted.socket.option("noDelay", true)
        this.#closing.push(() => accepted.socket.close())
        this.#speak(() => accepted.socket.send(new Uint8Array(MESSAGE)))
      })
      socket.connect(address, port)
    } else {
      const buffer = new Uint8Array(64)
      this.#watch(listener, () => {
        const asked = listener.receive(buffer)
        if (asked !== undefined) this.#speak(() => listener.sendTo(new Uint8Array(MESSAGE), asked.address, asked.port))
      })
      socket.connect(address, port)
      socket.send(new Uint8Array(1))
    }
    this.#closing.push(
      () => listener.close(),
      () => socket.close(),
    )
    this.#watch(socket, () => this.#hear(socket))
  }

  #watch(socket: Socket, ready: () => void): void {
    const watch: Watch = this.#reactor.watch(socket, { read: true }, ready)
    this.#closing.unshift(() => watch.end())
  }

  #speak(send: () => number): void {
    const next = (): void => {
      if (this.#closed) return
      try {
        if (send() > 0) this.given++
      } catch (error) {
        this.seen.error = String(error)
        return
      }
      this.#reactor.at(this.#reactor.now() + EVERY_MS, next)
    }
    next()
  }

  #hear(socket: Socket): void {
    const buffer = new Uint8Array(65_536)
    try {
      const received = socket.receive(buffer)
      if (received === undefined) return
      const now = performance.now()
      if (this.seen.at > 0) this.seen.gap = Math.max(this.seen.gap, now - this.seen.at)
      this.seen.at = now
      this.seen.bytes += received.length
    } catch (error) {
      this.seen.error = String(error)
    }
  }

  close(): void {
    this.#closed = true
    for (const close of this.#closing.splice(0)) close()
  }
}
