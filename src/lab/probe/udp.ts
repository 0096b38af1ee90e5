import { isKernelError } from "../../kernel/error.ts"
import type { NamespaceHandle } from "../../kernel/namespace.ts"
import { openSocket, type Socket } from "../../kernel/socket.ts"
import { familyOf } from "../../net/address.ts"
import type { Reactor, Watch } from "../reactor.ts"
import { type KeptFlow, type Outcome, type ProbeTask, patience, RESEND_MS } from "./task.ts"
import { judgePeer } from "./tcp.ts"

let asked = 0

/** A UDP question, sent again while nobody answers; the answer is the identity and the question. */
export class UdpFlow implements KeptFlow {
  readonly #task: ProbeTask
  readonly #reactor: Reactor
  readonly #buffer = new Uint8Array(512)
  #socket: Socket | undefined
  #watch: Watch | undefined
  #question = Buffer.alloc(0)
  #done: ((outcome: Outcome) => void) | undefined
  #timers: (() => void)[] = []
  #sourcePort = 0

  constructor(task: ProbeTask, reactor: Reactor) {
    this.#task = task
    this.#reactor = reactor
  }

  start(namespace: NamespaceHandle, done: (outcome: Outcome) => void): void {
    const { from, to, port = 0, sourcePort = 0, expect } = this.#task
    this.#done = done
    try {
      const socket = openSocket({ namespace, family: familyOf(to.address), type: "dgram" })
      this.#socket = socket
      if (sourcePort !== 0) socket.option("reuseAddress", true)
      socket.bind(from.address, sourcePort)
      this.#sourcePort = socket.localPort()
      // Connected: ICMP errors come back as errno, and datagrams of anybody else do not come at all.
      socket.connect(to.address, port)
      this.#watch = this.#reactor.watch(socket, { read: true }, () => this.#ready())
      this.#ask(expect)
    } catch (error) {
      this.#fail(error)
    }
  }

  again(expect: "allow" | "deny", done: (outcome: Outcome) => void): void {
    this.#done = done
    this.#ask(expect)
  }

  close(): void {
    this.#cancel()
    this.#watch?.end()
    this.#socket?.close()
    this.#watch = undefined
    this.#socket = undefined
  }

  #ask(expect: "allow" | "deny"): void {
    const question = Buffer.from(`who ${++asked}\n`)
    this.#question = question
    const start = this.#reactor.now()
    const last = patience(expect)
    const send = (): void => {
      try {
        this.#socket?.send(question)
      } catch (error) {
        this.#fail(error)
      }
    }
    for (const after of RESEND_MS) if (after < last) this.#timers.push(this.#reactor.at(start + after, send))
    this.#timers.push(this.#reactor.at(start + last, () => this.#finish({ got: "deny", reason: "silence" })))
    send()
  }

  #ready(): void {
    try {
      const received = this.#socket?.receive(this.#buffer)
      if (received === undefined) return
      const text = Buffer.from(this.#buffer.subarray(0, received.length)).toString("utf8")
      // An answer to an earlier question says nothing about now.
      if (!text.endsWith(this.#question.toString("utf8"))) return
      this.#finish(judgePeer(this.#task, text.split("\n", 1)[0] ?? ""))
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    const refused = isKernelError(
      error,
      "ECONNREFUSED",
      "EHOSTUNREACH",
      "ENETUNREACH",
      "EACCES",
      "EPERM",
      "ENOPROTOOPT",
    )
    if (refused) this.#finish({ got: "reject", reason: error.code })
    else this.#finish({ got: "failed", reason: error instanceof Error ? error.message : String(error) })
  }

  #cancel(): void {
    for (const cancel of this.#timers) cancel()
    this.#timers = []
  }

  #finish(outcome: Omit<Outcome, "sourcePort">): void {
    this.#cancel()
    const done = this.#done
    this.#done = undefined
    done?.({ ...outcome, sourcePort: this.#sourcePort })
  }
}
