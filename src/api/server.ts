import { chmodSync, mkdirSync, rmSync } from "node:fs"
import { createServer, type Server } from "node:http"
import { dirname } from "node:path"
import type { ConnectRouter, Interceptor } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { Agent } from "./generated/heddle/agent/v1/agent_pb.ts"
import { type AgentService, unaryCalls } from "./unary.ts"
import { toWire } from "./wire.ts"

export type { AgentService } from "./unary.ts"

export interface ApiServer {
  /** Stops listening, ends every open call and removes the socket. */
  close(): Promise<void>
}

/** Failures keep their three parts on the wire; streams pass their own errors through the same translation. */
const errors: Interceptor = (next) => async (request) => {
  try {
    const response = await next(request)
    return response.stream ? { ...response, message: translated(response.message) } : response
  } catch (error) {
    throw toWire(error)
  }
}

async function* translated<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* messages
  } catch (error) {
    throw toWire(error)
  }
}

/** Serves `service` on a unix socket that only root may open. A socket left by an agent that died is replaced. */
export async function serve(socket: string, service: AgentService): Promise<ApiServer> {
  mkdirSync(dirname(socket), { recursive: true })
  rmSync(socket, { force: true })
  const server = createServer(
    unaryCalls(
      service,
      connectNodeAdapter({
        routes: (router: ConnectRouter) => router.service(Agent, service),
        interceptors: [errors],
        // Both ends are on this machine.
        acceptCompression: [],
        // The reader of a stream decides how long it lasts.
        maxTimeoutMs: 24 * 3_600_000,
      }),
    ),
  )
  server.requestTimeout = 0
  await listen(server, socket)
  chmodSync(socket, 0o600)
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          rmSync(socket, { force: true })
          resolve()
        })
        server.closeAllConnections()
      }),
  }
}

function listen(server: Server, socket: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen(socket, () => {
      server.off("error", reject)
      resolve()
    })
  })
}
