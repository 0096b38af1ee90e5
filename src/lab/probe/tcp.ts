import { isKernelError } from "../../kernel/error.ts"
import type { NamespaceHandle } from "../../kernel/namespace.ts"
import { openSocket, type Socket } from "../../kernel/socket.ts"
import { familyOf } from "../../net/address.ts"
import type { Reactor, Watch } from "../reactor.ts"
import { type KeptFlow, type Outcome, type ProbeTask, patience } from "./task.ts"

const QUESTION = Buffer.from("who\n")
/** What comes back when somebody refuses: a reset, or an ICMP error that the kernel turned into an errno. */
const refusals = [
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EACCES",
  "EPERM",
  "ENOPROTOOPT",
  "EPROTO",
  "EPIPE",
]

/** A TCP connection on which a question is asked: the answer is the identity of who is there. */
export class TcpFlow implements KeptFlow {
  readonly #task: ProbeTask
  readonly #reactor: Reactor
  readonly #buffer = new Uint8Array(512)
  #socket: Socket | undefined
  #watch: Watch | undefined
  #connected = false
  #done: ((outcome: Outcome) => void) | undefined
  #cancelTimer: (() => void) | undefined
  #sourcePort = 0

  constructor(task: ProbeTask, reactor: Reactor) {
    this.#task = task
    this.#reactor = reactor
  }

  /** Connects and asks; `done` is called once. The connection stays open until `close`. */
  start(namespace: NamespaceHandle, done: (outcome: Outcome) => void): void {
    const { from, to, port = 0, sourcePort = 0, expect } = this.#task
    this.#done = done
    try {
      const socket = openSocket({ namespace, family: familyOf(to.address), type: "stream" })
      this.#socket = socket
      // Closing resets: no TIME_WAIT that would hinder the same ports in the next step.
      socket.option("reuseAddress", true).option("noDelay", true).option("linger", 0)
      socket.bind(from.address, sourcePort)
      this.#sourcePort = socket.localPort()
      const state = socket.connect(to.address, port)
      this.#watch = this.#reactor.watch(socket, state === "done" ? { read: true } : { write: true, read: true }, () =>
        this.#ready(),
      )
      if (state === "done") this.#ask()
    } catch (error) {
      this.#fail(error)
    }
    this.#waitFor(patience(expect))
  }

  again(expect: "allow" | "deny", done: (outcome: Outcome) => void): void {
    this.#done = done
    // A denied segment is sent again by the kernel from 200 ms on; an expected cut is silence for longer than that.
    this.#waitFor(patience(expect) * (expect === "deny" ? 2 : 1))
    if (this.#socket === undefined) this.#finish({ got: "reject", reason: "the connection was closed" })
    else this.#ask()
  }

  close(): void {
    this.#cancelTimer?.()
    this.#watch?.end()
    this.#socket?.close()
    this.#watch = undefined
    this.#socket = undefined
  }

  #ready(): void {
    const socket = this.#socket
    if (socket === undefined) return
    try {
      if (!this.#connected) {
        const error = socket.error()
        if (error !== "") this.#refused(error)
        else {
          this.#watch?.interest({ read: true })
          this.#ask()
        }
        return
      }
      const received = socket.receive(this.#buffer)
      if (received === undefined) return
      if (received.length === 0) {
        this.#refused("closed by the other side")
        return
      }
      const peer = Buffer.from(this.#buffer.subarray(0, received.length)).toString("utf8").split("\n", 1)[0] ?? ""
      this.#finish(judgePeer(this.#task, peer))
    } catch (error) {
      this.#fail(error)
    }
  }

  #ask(): void {
    this.#connected = true
    try {
      this.#socket?.send(QUESTION)
    } catch (error) {
      this.#fail(error)
    }
  }

  #waitFor(milliseconds: number): void {
    this.#cancelTimer?.()
    this.#cancelTimer = this.#reactor.at(this.#reactor.now() + milliseconds, () => {
      this.#finish({ got: "deny", reason: this.#connected ? "connected, then silence" : "silence" })
    })
  }

  #fail(error: unknown): void {
    if (isKernelError(error, ...refusals)) this.#refused(error.code)
    else this.#finish({ got: "failed", reason: error instanceof Error ? error.message : String(error) })
  }

  /** The socket is of no use any more, and would report the same again and again. */
  #refused(how: string): void {
    this.#watch?.end()
    this.#socket?.close()
    this.#watch = undefined
    this.#socket = undefined
    this.#finish({ got: "reject", reason: how })
  }

  #finish(outcome: Omit<Outcome, "sourcePort">): void {
    this.#cancelTimer?.()
    const done = this.#done
    this.#done = undefined
    done?.({ ...outcome, sourcePort: this.#sourcePort })
  }
}

/** An answer counts only if it comes from the one that was meant. */
export function judgePeer(task: ProbeTask, peer: string): Omit<Outcome, "sourcePort"> {
  const { identities } = task.to
  if (identities.length === 0 || identities.includes(peer)) return { got: "allow", peer }
  return { got: "failed", peer, reason: `answered by ${peer}, wanted ${identities.join(" or ")}` }
}
