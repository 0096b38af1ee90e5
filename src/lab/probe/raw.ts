import { isKernelError } from "../../kernel/error.ts"
import { familyOf } from "../../net/address.ts"
import { echo, icmp, icmp6, sctp, sctpInit } from "../../net/packet.ts"
import { Protocol } from "../../net/types.ts"
import { readSctp } from "../raw.ts"
import type { Reactor } from "../reactor.ts"
import type { Channel } from "./channel.ts"
import { type KeptFlow, type Outcome, type ProbeTask, patience, RESEND_MS } from "./task.ts"

const SCTP_INIT_ACK = 2
const SCTP_ABORT = 6

/** How one kind of raw packet is asked, and how its answer is known. */
export interface RawQuestion {
  readonly packet: Uint8Array
  /** Where the answer, or the packet itself on its arrival, shows. */
  readonly listen: Channel
  readonly sourcePort: number
  /** Undefined: not for us. */
  judge(packet: Uint8Array): "allow" | "reject" | undefined
}

let counter = Math.trunc(performance.timeOrigin) & 0xffff

/** 16 bits that no other running question of this process has soon. */
function nextId(): number {
  counter = (counter + 1) & 0xffff
  return counter === 0 ? nextId() : counter
}

/** SCTP: INIT, answered by INIT ACK, or by ABORT where nobody listens. */
export function sctpQuestion(task: ProbeTask, source: Channel): RawQuestion {
  const sourcePort = task.sourcePort ?? 32_768 + (nextId() & 0x7fff)
  const destinationPort = task.port ?? 0
  const tag = ((nextId() << 16) | nextId()) >>> 0
  return {
    packet: sctp({ sourcePort, destinationPort }, sctpInit(tag)),
    listen: source,
    sourcePort,
    judge(packet) {
      const head = readSctp(packet)
      if (head?.sourcePort !== destinationPort || head.destinationPort !== sourcePort || head.tag !== tag)
        return undefined
      return head.chunk === SCTP_INIT_ACK ? "allow" : head.chunk === SCTP_ABORT ? "reject" : undefined
    },
  }
}

/** Echo request, answered by the kernel at the other end. */
export function echoQuestion(task: ProbeTask, source: Channel): RawQuestion {
  const id = nextId()
  const ends = { source: task.from.address, destination: task.to.address }
  const replyType = familyOf(task.to.address) === 4 ? 0 : 129
  return {
    packet: echo({ id, sequence: 1 }, ends, nonce(id)),
    listen: source,
    sourcePort: id,
    judge: (packet) =>
      packet.length >= 6 && packet[0] === replyType && ((packet[4] ?? 0) << 8) + (packet[5] ?? 0) === id
        ? "allow"
        : undefined,
  }
}

/** Anything that nobody answers: the packet carries a number that is looked for at its destination. */
export function arrivalQuestion(task: ProbeTask, target: Channel): RawQuestion {
  const id = nextId()
  const mark = nonce(id)
  const ends = { source: task.from.address, destination: task.to.address }
  const { protocol, icmpType, icmpCode = 0 } = task
  const icmpFields = { type: icmpType ?? 0, code: icmpCode }
  const packet =
    protocol === Protocol.ICMP
      ? icmp(icmpFields, mark)
      : protocol === Protocol.ICMPv6
        ? icmp6(icmpFields, ends, mark)
        : mark
  return {
    packet,
    listen: target,
    sourcePort: 0,
    judge: (arrived) => (Buffer.from(arrived).includes(mark) ? "allow" : undefined),
  }
}

function nonce(id: number): Buffer {
  return Buffer.from(`heddle probe ${process.pid} ${id};`)
}

/** Sends a raw question until it is answered; asked again it sends the same packet, so the same flow. */
export class RawFlow implements KeptFlow {
  readonly #task: ProbeTask
  readonly #reactor: Reactor
  readonly #source: Channel
  readonly #question: RawQuestion
  #done: ((outcome: Outcome) => void) | undefined
  #cancels: (() => void)[] = []

  constructor(task: ProbeTask, reactor: Reactor, source: Channel, question: RawQuestion) {
    this.#task = task
    this.#reactor = reactor
    this.#source = source
    this.#question = question
  }

  start(done: (outcome: Outcome) => void): void {
    this.again(this.#task.expect, done)
  }

  again(expect: "allow" | "deny", done: (outcome: Outcome) => void): void {
    this.#done = done
    const start = this.#reactor.now()
    const last = patience(expect)
    this.#cancels.push(
      this.#question.listen.listen((packet) => {
        const got = this.#question.judge(packet)
        if (got === undefined) return false
        this.#finish(got === "allow" ? { got } : { got, reason: "ABORT" })
        return true
      }),
    )
    for (const after of RESEND_MS) {
      if (after < last) this.#cancels.push(this.#reactor.at(start + after, () => this.#send()))
    }
    this.#cancels.push(this.#reactor.at(start + last, () => this.#finish({ got: "deny", reason: "silence" })))
    this.#send()
  }

  close(): void {
    for (const cancel of this.#cancels) cancel()
    this.#cancels = []
  }

  #send(): void {
    try {
      this.#source.send(this.#question.packet, this.#task.to.address)
    } catch (error) {
      const refused = isKernelError(error, "EHOSTUNREACH", "ENETUNREACH", "EACCES", "EPERM", "ECONNREFUSED")
      if (refused) this.#finish({ got: "reject", reason: error.code })
      else this.#finish({ got: "failed", reason: error instanceof Error ? error.message : String(error) })
    }
  }

  #finish(outcome: Omit<Outcome, "sourcePort">): void {
    this.close()
    const done = this.#done
    this.#done = undefined
    done?.({ ...outcome, sourcePort: this.#question.sourcePort })
  }
}
