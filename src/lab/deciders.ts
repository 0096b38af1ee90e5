import { setTimeout as sleep } from "node:timers/promises"
import type { AgentClient } from "../api/client.ts"
import type { Flow } from "../api/generated/heddle/agent/v1/agent_pb.ts"
import { type Address, Protocol, type ProtocolNumber } from "../net/types.ts"

/** A connection as its first packet shows it to a node's programs. */
export interface FlowId {
  readonly source: Address
  readonly sourcePort: number
  readonly destination: Address
  readonly destinationPort: number
  readonly protocol: ProtocolNumber
}

/** What the kernel said of a flow: the rule at each end that one of the nodes asked judges. */
export interface Deciders {
  readonly egress?: { readonly allowed: boolean; readonly rule: string }
  readonly ingress?: { readonly allowed: boolean; readonly rule: string }
}

/** How long is waited for events that are still on their way, in ms. */
const LATE_MS = 400

/** Listens to the flows of several nodes while probes run, to tell afterwards which rules decided them in the kernel. */
export class DeciderWatch {
  readonly #seen = new Map<string, Deciders>()
  readonly #stop = new AbortController()
  readonly #streams: Promise<void>[] = []

  /** Resolves once every node's new flows are listened to. */
  static async start(clients: readonly AgentClient[]): Promise<DeciderWatch> {
    const watch = new DeciderWatch()
    await Promise.all(clients.map((client) => watch.#follow(client)))
    return watch
  }

  /** What is known of a flow; waits a little for ends that are `expected` and not told yet. */
  async of(id: FlowId, expected: { readonly egress: boolean; readonly ingress: boolean }): Promise<Deciders> {
    for (let waited = 0; ; waited += 20) {
      const found = this.#seen.get(keyOf(id)) ?? {}
      const egress = found.egress !== undefined || !expected.egress
      // What the sender's node drops never comes to the receiver's.
      const ingress = found.ingress !== undefined || found.egress?.allowed === false || !expected.ingress
      if ((egress && ingress) || waited >= LATE_MS) return found
      await sleep(20)
    }
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#streams)
  }

  #follow(client: AgentClient): Promise<void> {
    return new Promise((resolve) => {
      const run = async (): Promise<void> => {
        try {
          for await (const { response } of client.observe({ follow: true, onlyNew: true }, this.#stop.signal)) {
            if (response.case === "caughtUp") resolve()
            else if (response.case === "flow") this.#note(response.value)
          }
        } catch {
          // Who decided is then told from the objects alone.
        }
        resolve()
      }
      this.#streams.push(run())
    })
  }

  #note(flow: Flow): void {
    if ((flow.kind !== "start" && flow.kind !== "drop") || (flow.kind === "drop" && flow.reason !== "policy")) return
    const key = keyOf({
      source: (flow.source?.address ?? "") as Address,
      sourcePort: flow.source?.port ?? 0,
      destination: (flow.destination?.address ?? "") as Address,
      destinationPort: flow.destination?.port ?? 0,
      protocol: flow.protocol,
    })
    const { egress, ingress } = flow
    const before = this.#seen.get(key) ?? {}
    this.#seen.set(key, {
      ...before,
      ...(egress === undefined ? {} : { egress: { allowed: egress.allowed, rule: egress.rule } }),
      ...(ingress === undefined ? {} : { ingress: { allowed: ingress.allowed, rule: ingress.rule } }),
    })
  }
}

function keyOf(id: FlowId): string {
  const ports = id.protocol === Protocol.TCP || id.protocol === Protocol.UDP || id.protocol === Protocol.SCTP
  return ports
    ? `${id.protocol} ${id.source} ${id.sourcePort} ${id.destination} ${id.destinationPort}`
    : `${id.protocol} ${id.source} ${id.destination}`
}
