import { chmodSync, mkdirSync, unlinkSync } from "node:fs"
import { createServer, type Server, type Socket } from "node:net"
import { dirname } from "node:path"
import { encodeFrame, FrameReader } from "./frame.ts"
import { type Answer, handle } from "./handle.ts"
import type { PodNetwork } from "./pod-network.ts"

/** A peer that sends nothing for so long is no shim of ours: it writes its whole frame at once. Milliseconds. */
const SILENCE = 10_000

/** The socket behind `heddle-cni`: one request and one answer a connection, many connections at once. */
export class CniServer {
  readonly path: string
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #running = new Set<Promise<void>>()

  private constructor(path: string, network: PodNetwork) {
    this.path = path
    this.#server = createServer((socket) => this.#accept(socket, network))
  }

  /**
   * Listens on a unix socket that only root may use, taking the place of one that a dead agent left. Throws the system's
   * error if the path cannot be bound.
   */
  static async listen(path: string, network: PodNetwork): Promise<CniServer> {
    const server = new CniServer(path, network)
    mkdirSync(dirname(path), { recursive: true })
    removeSocket(path)
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject)
      server.#server.listen({ path, backlog: 1024 }, resolve)
    })
    chmodSync(path, 0o600)
    return server
  }

  /** Takes no more requests, waits for those under way and removes the socket. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    await Promise.allSettled(this.#running)
    for (const socket of this.#sockets) socket.destroy()
    await closed
    removeSocket(this.path)
  }

  #accept(socket: Socket, network: PodNetwork): void {
    const reader = new FrameReader()
    this.#sockets.add(socket)
    socket.setTimeout(SILENCE, () => socket.destroy())
    socket.on("close", () => this.#sockets.delete(socket))
    // A runtime may kill the shim at any moment. What it asked for is finished all the same: DEL or GC undoes it.
    socket.on("error", () => socket.destroy())
    const read = (chunk: Uint8Array): void => {
      let text: string | undefined
      try {
        text = reader.push(chunk)
      } catch {
        socket.destroy()
        return
      }
      if (text === undefined) return
      socket.off("data", read)
      socket.setTimeout(0)
      const done = handle(text, network).then((answer) => reply(socket, answer))
      this.#running.add(done)
      void done.finally(() => this.#running.delete(done))
    }
    socket.on("data", read)
  }
}

function reply(socket: Socket, answer: Answer): void {
  if (!socket.destroyed) socket.end(encodeFrame(answer))
}

function removeSocket(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error
  }
}
