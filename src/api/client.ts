import { Agent as HttpAgent } from "node:http"
import { type Client, createClient, type Transport } from "@connectrpc/connect"
import { createConnectTransport } from "@connectrpc/connect-node"
import { Agent, type ObserveResponse } from "./generated/heddle/agent/v1/agent_pb.ts"
import { fromWire } from "./wire.ts"

export type AgentCalls = Client<typeof Agent>

/** A request as callers write it: every field optional. */
export type Request<Name extends keyof AgentCalls> = Parameters<AgentCalls[Name]>[0]

type UnaryName = Exclude<keyof AgentCalls, "observe">
type Answer<Name extends UnaryName> = Awaited<ReturnType<AgentCalls[Name]>>

export interface ClientOptions {
  /** How long a call may take, in milliseconds. */
  readonly timeoutMs?: number
}

/** One agent, asked over its unix socket. Every error it throws is a `Failure`. */
export class AgentClient {
  readonly socket: string
  readonly #calls: AgentCalls
  readonly #timeoutMs: number

  constructor(socket: string, options: ClientOptions = {}) {
    this.socket = socket
    this.#timeoutMs = options.timeoutMs ?? 10_000
    this.#calls = createClient(Agent, transportOf(socket))
  }

  async call<Name extends UnaryName>(name: Name, request: Request<Name>, timeoutMs?: number): Promise<Answer<Name>> {
    // The client's methods differ only in their messages, and `Name` ties request and answer together.
    const method = this.#calls[name] as (
      request: Request<Name>,
      options: { timeoutMs: number },
    ) => Promise<Answer<Name>>
    try {
      return await method(request, { timeoutMs: timeoutMs ?? this.#timeoutMs })
    } catch (error) {
      throw fromWire(error, this.socket)
    }
  }

  /** Flows as they are kept and, with `follow`, as they come; ends when `signal` does. */
  async *observe(request: Request<"observe">, signal?: AbortSignal): AsyncGenerator<ObserveResponse> {
    try {
      yield* this.#calls.observe(request, { timeoutMs: 0, ...(signal === undefined ? {} : { signal }) })
    } catch (error) {
      if (signal?.aborted === true) return
      throw fromWire(error, this.socket)
    }
  }
}

/** Connections are not kept alive, so that a command ends when its last answer is there. */
function transportOf(socket: string): Transport {
  return createConnectTransport({
    baseUrl: "http://agent",
    httpVersion: "1.1",
    acceptCompression: [],
    nodeOptions: { socketPath: socket, agent: new HttpAgent({ keepAlive: false }) },
  })
}
