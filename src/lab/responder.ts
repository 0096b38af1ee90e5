import { type NamespaceHandle, namespaceInode, openNamespace } from "../kernel/namespace.ts"
import { openSocket, type Socket } from "../kernel/socket.ts"
import { familyOf } from "../net/address.ts"
import { sctp, sctpChunk, sctpInitAck } from "../net/packet.ts"
import { type Address, Protocol } from "../net/types.ts"
import type { Listen } from "../suite/state.ts"
import { readSctp, transportOf } from "./raw.ts"
import type { Reactor, Watch } from "./reactor.ts"

/** A namespace in which somebody answers. Plain data: it also goes to the background responder as JSON. */
export interface Station {
  /** What it answers to the question who it is: `shop/web-0`, `node/node-1`, `outside`. */
  readonly identity: string
  /** Path of its network namespace. */
  readonly netns: string
  readonly addresses: readonly Address[]
  readonly listens: readonly Listen[]
}

const CRLF = "\r\n"
const SCTP_INIT = 1
const SCTP_ABORT = 6

/**
 * Answers for every pod, node and host outside from one process, with sockets opened in their namespaces: TCP and UDP
 * say who is there (HTTP requests get it as a page, UDP gets its payload back behind it), SCTP answers INIT with
 * INIT-ACK by a raw socket. The TCP protocol of probes: whatever a client sends, it gets the identity and a newline.
 */
export class Responder {
  readonly #reactor: Reactor
  readonly #stations = new Map<string, OpenStation>()

  constructor(reactor: Reactor) {
    this.#reactor = reactor
  }

  /** Answers for exactly these stations from now on; what is open already stays. Returns what could not be opened, in words. */
  set(stations: readonly Station[]): string[] {
    const problems: string[] = []
    const wanted = new Set(stations.map((station) => station.netns))
    for (const [netns, open] of this.#stations) {
      if (wanted.has(netns) && namespaceInode(netns) === open.inode) continue
      open.close()
      this.#stations.delete(netns)
    }
    for (const station of stations) {
      let open = this.#stations.get(station.netns)
      if (open === undefined) {
        open = new OpenStation(station.netns, this.#reactor)
        this.#stations.set(station.netns, open)
      }
      problems.push(...open.set(station))
    }
    return problems
  }

  close(): void {
    for (const station of this.#stations.values()) station.close()
    this.#stations.clear()
  }
}

class OpenStation {
  readonly inode: number
  readonly #namespace: NamespaceHandle
  readonly #reactor: Reactor
  readonly #sockets = new Map<string, Connection>()
  /** Accepted TCP connections. */
  readonly #clients = new Set<Connection>()
  #identity = ""
  #sctpPorts: ReadonlySet<number> = new Set()
  readonly #buffer = new Uint8Array(65_536)

  constructor(netns: string, reactor: Reactor) {
    this.inode = namespaceInode(netns)
    this.#namespace = openNamespace(netns)
    this.#reactor = reactor
  }

  set(station: Station): string[] {
    const problems: string[] = []
    this.#identity = station.identity
    this.#sctpPorts = new Set(station.listens.filter((l) => l.protocol === Protocol.SCTP).map((l) => l.port))
    const wanted = new Map<string, () => Connection>()
    for (const { protocol, port } of station.listens) {
      if (protocol === Protocol.TCP) wanted.set(`tcp ${port}`, () => this.#listenTcp(port))
      for (const address of station.addresses) {
        // A datagram's answer must come from the address that was asked, so each has a socket of its own.
        if (protocol === Protocol.UDP) wanted.set(`udp ${address} ${port}`, () => this.#listenUdp(address, port))
        if (protocol === Protocol.SCTP) wanted.set(`sctp ${address}`, () => this.#listenSctp(address))
      }
    }
    for (const [key, connection] of this.#sockets) {
      if (wanted.has(key)) continue
      connection.close()
      this.#sockets.delete(key)
    }
    for (const [key, open] of wanted) {
      if (this.#sockets.has(key)) continue
      try {
        this.#sockets.set(key, open())
      } catch (error) {
        problems.push(`${station.identity} cannot answer on ${key}: ${error instanceof Error ? error.message : error}`)
      }
    }
    return problems
  }

  close(): void {
    for (const connection of [...this.#sockets.values(), ...this.#clients]) connection.close()
    this.#sockets.clear()
    this.#clients.clear()
    this.#namespace.close()
  }

  /** One socket for both families and all addresses, loopback included. */
  #listenTcp(port: number): Connection {
    const socket = openSocket({ namespace: this.#namespace, family: 6, type: "stream" })
    socket.option("reuseAddress", true).option("v6only", false)
    socket.bind("::" as Address, port)
    socket.listen(256)
    const watch = this.#reactor.watch(socket, { read: true }, () => {
      for (;;) {
        const accepted = socket.accept()
        if (accepted === undefined) return
        this.#serve(accepted.socket)
      }
    })
    return new Connection(socket, watch)
  }

  #serve(socket: Socket): void {
    const watch = this.#reactor.watch(socket, { read: true }, () => {
      try {
        const received = socket.receive(this.#buffer)
        if (received === undefined) return
        if (received.length === 0) return this.#drop(connection)
        const text = Buffer.from(this.#buffer.buffer, 0, Math.min(received.length, 16)).toString("latin1")
        if (!/^(GET|HEAD|POST|PUT|DELETE|OPTIONS) /.test(text)) {
          socket.send(Buffer.from(`${this.#identity}\n`))
          return
        }
        const body = `${this.#identity}\n`
        const head = [
          "HTTP/1.1 200 OK",
          "Content-Type: text/plain",
          `Content-Length: ${body.length}`,
          "Connection: close",
        ]
        socket.send(Buffer.from(`${head.join(CRLF)}${CRLF}${CRLF}${text.startsWith("HEAD") ? "" : body}`))
        socket.shutdown("write")
      } catch {
        this.#drop(connection) // reset by the client
      }
    })
    const connection = new Connection(socket, watch)
    this.#clients.add(connection)
  }

  #drop(connection: Connection): void {
    this.#clients.delete(connection)
    connection.close()
  }

  #listenUdp(address: Address, port: number): Connection {
    const socket = openSocket({ namespace: this.#namespace, family: familyOf(address), type: "dgram" })
    socket.bind(address, port)
    const watch = this.#reactor.watch(socket, { read: true }, () => {
      for (;;) {
        const received = attempt(() => socket.receive(this.#buffer))
        if (received === undefined) return
        const payload = this.#buffer.subarray(0, received.length)
        attempt(() =>
          socket.sendTo(Buffer.concat([Buffer.from(`${this.#identity}\n`), payload]), received.address, received.port),
        )
      }
    })
    return new Connection(socket, watch)
  }

  /** The kernel may have no SCTP: INIT is answered from here, on the ports that are listened on; elsewhere with ABORT. */
  #listenSctp(address: Address): Connection {
    const socket = openSocket({
      namespace: this.#namespace,
      family: familyOf(address),
      type: "raw",
      protocol: Protocol.SCTP,
    })
    socket.bind(address, 0)
    const watch = this.#reactor.watch(socket, { read: true }, () => {
      for (;;) {
        const received = attempt(() => socket.receive(this.#buffer))
        if (received === undefined) return
        const packet = readSctp(transportOf(this.#buffer.subarray(0, received.length), familyOf(address)))
        if (packet === undefined || packet.chunk !== SCTP_INIT) continue
        const ports = {
          sourcePort: packet.destinationPort,
          destinationPort: packet.sourcePort,
          tag: packet.initiateTag,
        }
        const answer = this.#sctpPorts.has(packet.destinationPort)
          ? sctpInitAck((packet.initiateTag ^ 0x5a5a_5a5a) >>> 0 || 1)
          : sctpChunk({ type: SCTP_ABORT, flags: 0 }, new Uint8Array(0))
        attempt(() => socket.sendTo(sctp(ports, answer), received.address, 0))
      }
    })
    return new Connection(socket, watch)
  }
}

class Connection {
  readonly #socket: Socket
  readonly #watch: Watch

  constructor(socket: Socket, watch: Watch) {
    this.#socket = socket
    this.#watch = watch
  }

  close(): void {
    this.#watch.end()
    this.#socket.close()
  }
}

/** What a socket call returns; undefined when it failed: an earlier packet's ICMP error, or a client that is gone. */
function attempt<T>(call: () => T): T | undefined {
  try {
    return call()
  } catch {
    return undefined
  }
}
