import { type NamespaceHandle, namespaceInode, openNamespace } from "../../kernel/namespace.ts"
import { familyOf } from "../../net/address.ts"
import { type Address, Protocol, type ProtocolNumber } from "../../net/types.ts"
import type { Reactor } from "../reactor.ts"
import { Channel } from "./channel.ts"
import { arrivalQuestion, echoQuestion, RawFlow, sctpQuestion } from "./raw.ts"
import type { KeptFlow, Outcome, ProbeTask } from "./task.ts"
import { TcpFlow } from "./tcp.ts"
import { UdpFlow } from "./udp.ts"

export interface ProbeOptions {
  /** Keep the flow of an answered probe open under this name; the one kept before under it is closed. */
  readonly keep?: string
}

/** How many probes are under way at once; each holds a descriptor or two. */
const AT_ONCE = 1_024

/** Tries connections and packets with real sockets, opened in the senders' namespaces by this one process, all at once. */
export class Prober {
  readonly #reactor: Reactor
  readonly #namespaces = new Map<string, { readonly handle: NamespaceHandle; readonly inode: number }>()
  readonly #channels = new Map<string, Channel>()
  readonly #kept = new Map<string, KeptFlow>()

  constructor(reactor: Reactor) {
    this.#reactor = reactor
  }

  /** Outcomes in the order of the tasks. */
  async run(tasks: readonly (ProbeTask & ProbeOptions)[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = []
    for (let first = 0; first < tasks.length; first += AT_ONCE) {
      outcomes.push(...(await Promise.all(tasks.slice(first, first + AT_ONCE).map((task) => this.#try(task)))))
    }
    return outcomes
  }

  /** Asks again on the flow kept under this name; undefined when none is. */
  again(name: string, expect: "allow" | "deny"): Promise<Outcome | undefined> {
    const flow = this.#kept.get(name)
    if (flow === undefined) return Promise.resolve(undefined)
    return new Promise((resolve) => flow.again(expect, resolve))
  }

  /** Closes kept flows: all, or those with names that `which` is true of. */
  forget(which: (name: string) => boolean = () => true): void {
    for (const [name, flow] of this.#kept) {
      if (!which(name)) continue
      flow.close()
      this.#kept.delete(name)
    }
  }

  close(): void {
    this.forget()
    for (const channel of this.#channels.values()) channel.close()
    this.#channels.clear()
    for (const { handle } of this.#namespaces.values()) handle.close()
    this.#namespaces.clear()
  }

  async #try(task: ProbeTask & ProbeOptions): Promise<Outcome> {
    let outcome = await this.#once(task)
    // A second try on a fresh socket: one lost packet on a busy machine is not a verdict.
    if (task.expect === "allow" && outcome.got === "deny") outcome = await this.#once(task)
    return outcome
  }

  #once(task: ProbeTask & ProbeOptions): Promise<Outcome> {
    return new Promise((resolve) => {
      let flow: KeptFlow | undefined
      const done = (outcome: Outcome): void => {
        if (task.keep !== undefined && outcome.got === "allow" && flow !== undefined) {
          this.#kept.get(task.keep)?.close()
          this.#kept.set(task.keep, flow)
        } else flow?.close()
        resolve(outcome)
      }
      try {
        flow = this.#start(task, done)
      } catch (error) {
        resolve({ got: "failed", reason: error instanceof Error ? error.message : String(error), sourcePort: 0 })
      }
    })
  }

  /** Starts the flow; `done` is called later, never before this returns. */
  #start(task: ProbeTask, done: (outcome: Outcome) => void): KeptFlow {
    const later = (outcome: Outcome): void => queueMicrotask(() => done(outcome))
    const namespace = this.#namespace(task.from.netns)
    switch (task.protocol) {
      case Protocol.TCP: {
        const flow = new TcpFlow(task, this.#reactor)
        flow.start(namespace, later)
        return flow
      }
      case Protocol.UDP: {
        const flow = new UdpFlow(task, this.#reactor)
        flow.start(namespace, later)
        return flow
      }
      default: {
        const source = this.#channel(task.from.netns, task.from.address, task.protocol)
        const flow = new RawFlow(task, this.#reactor, source, this.#question(task, source))
        flow.start(later)
        return flow
      }
    }
  }

  #question(task: ProbeTask, source: Channel) {
    if (task.protocol === Protocol.SCTP) return sctpQuestion(task, source)
    const echoType = familyOf(task.to.address) === 4 ? 8 : 128
    const isIcmp = task.protocol === Protocol.ICMP || task.protocol === Protocol.ICMPv6
    if (isIcmp && (task.icmpType ?? echoType) === echoType && (task.icmpCode ?? 0) === 0)
      return echoQuestion(task, source)
    return arrivalQuestion(task, this.#channel(task.to.netns, task.to.address, task.protocol))
  }

  #channel(netns: string, address: Address, protocol: ProtocolNumber): Channel {
    const namespace = this.#namespace(netns)
    const key = `${netns} ${address} ${protocol}`
    let channel = this.#channels.get(key)
    if (channel === undefined) {
      channel = new Channel(namespace, address, protocol, this.#reactor)
      this.#channels.set(key, channel)
    }
    return channel
  }

  /** The namespace at `netns`; what was opened in an earlier one at the same path is closed. */
  #namespace(netns: string): NamespaceHandle {
    const inode = namespaceInode(netns)
    const known = this.#namespaces.get(netns)
    if (known?.inode === inode) return known.handle
    known?.handle.close()
    for (const [key, channel] of this.#channels) {
      if (!key.startsWith(`${netns} `)) continue
      channel.close()
      this.#channels.delete(key)
    }
    const handle = openNamespace(netns)
    this.#namespaces.set(netns, { handle, inode })
    return handle
  }
}
