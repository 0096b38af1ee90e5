import { familyOf } from "../net/address.ts"
import type { Address, Family } from "../net/types.ts"
import { inNamespace, type NamespaceHandle } from "./namespace.ts"
import { native } from "./native.ts"
import { decodeSockaddr, encodeLinkSockaddr, encodeSockaddr, type From, SOCKADDR_ROOM } from "./sockaddr.ts"
import { encodeOption, type SocketOption } from "./socket-option.ts"

export { Poller } from "./poller.ts"
export type { SocketOption } from "./socket-option.ts"

export type SocketType = "stream" | "dgram" | "raw" | "packet"

export interface SocketOptions {
  /** Default: the calling thread's namespace. A socket belongs to the namespace it was opened in for ever. */
  readonly namespace?: NamespaceHandle
  /** Ignored for packet sockets. */
  readonly family: Family
  readonly type: SocketType
  /** IP protocol for raw sockets; EtherType for packet sockets (default 3: all). */
  readonly protocol?: number
}

export interface Received extends From {
  readonly length: number
}

const types: Readonly<Record<SocketType, number>> = { stream: 1, dgram: 2, raw: 3, packet: 3 }
const ETH_P_ALL = 3
const would: ReadonlySet<string> = new Set(["EAGAIN", "EINPROGRESS"])

/** Opens a non-blocking socket. */
export function openSocket(options: SocketOptions): Socket {
  const { namespace, family, type } = options
  const domain = type === "packet" ? 17 : family === 4 ? 2 : 10
  const protocol = type === "packet" ? swap16(options.protocol ?? ETH_P_ALL) : (options.protocol ?? 0)
  const open = () => native().socketOpen(domain, types[type], protocol)
  const fd = namespace ? inNamespace(namespace, open) : open()
  if (fd < 0) throw native().failure(`open an IPv${family} ${type} socket`, -fd)
  return new Socket(fd, type)
}

function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >> 8)
}

/** A non-blocking socket. Nothing here waits; `Poller` says when to try again. Throws `KernelError`. */
export class Socket implements Disposable {
  readonly fd: number
  readonly type: SocketType
  readonly #from = new Uint8Array(SOCKADDR_ROOM)
  #open = true

  /** Takes over `fd`. */
  constructor(fd: number, type: SocketType) {
    this.fd = fd
    this.type = type
  }

  /** `scope`: interface of a link-local IPv6 address. */
  bind(address: Address, port: number, scope = 0): void {
    const result = native().socketBind(this.fd, encodeSockaddr(address, port, scope))
    if (result < 0) throw native().failure(`bind to ${endpoint(address, port)}`, -result)
  }

  /** Binds a packet socket to one interface. */
  bindInterface(ifindex: number, protocol = ETH_P_ALL): void {
    const result = native().socketBind(this.fd, encodeLinkSockaddr(ifindex, protocol))
    if (result < 0) throw native().failure(`bind to interface ${ifindex}`, -result)
  }

  /** `pending`: writable once it is decided; `error()` tells how. */
  connect(address: Address, port: number, scope = 0): "done" | "pending" {
    const result = native().socketConnect(this.fd, encodeSockaddr(address, port, scope))
    if (result >= 0) return "done"
    if (would.has(native().errnoName(-result))) return "pending"
    throw native().failure(`connect to ${endpoint(address, port)}`, -result)
  }

  listen(backlog: number): void {
    const result = native().socketListen(this.fd, backlog)
    if (result < 0) throw native().failure("listen", -result)
  }

  /** The next connection, or undefined when none waits. */
  accept(): { socket: Socket; address: Address; port: number } | undefined {
    const fd = native().socketAccept(this.fd, this.#from)
    if (fd >= 0) {
      const { address, port } = decodeSockaddr(this.#from)
      return { socket: new Socket(fd, this.type), address, port }
    }
    // ECONNABORTED: it was reset while it waited.
    if (["EAGAIN", "ECONNABORTED"].includes(native().errnoName(-fd))) return undefined
    throw native().failure("accept a connection", -fd)
  }

  /** Bytes taken; 0 when the send buffer is full. */
  send(data: Uint8Array): number {
    return this.#sent(native().socketSend(this.fd, data, null), "send")
  }

  /** As `send`. Raw IPv6 sockets want port 0. */
  sendTo(data: Uint8Array, address: Address, port: number, scope = 0): number {
    const result = native().socketSend(this.fd, data, encodeSockaddr(address, port, scope))
    return result >= 0 ? result : this.#sent(result, `send to ${endpoint(address, port)}`)
  }

  /** Sends a frame through an interface (packet sockets). */
  sendFrame(frame: Uint8Array, ifindex: number): number {
    const result = native().socketSend(this.fd, frame, encodeLinkSockaddr(ifindex, ETH_P_ALL))
    return this.#sent(result, `send a frame through interface ${ifindex}`)
  }

  #sent(result: number, operation: string): number {
    if (result >= 0) return result
    if (native().errnoName(-result) === "EAGAIN") return 0
    throw native().failure(operation, -result)
  }

  /** The next bytes or packet, or undefined when none waits. Length 0 of a stream: the other side has ended. */
  receive(into: Uint8Array): Received | undefined {
    this.#from.fill(0)
    const length = native().socketReceive(this.fd, into, this.#from)
    if (length >= 0) return { length, ...decodeSockaddr(this.#from) }
    if (native().errnoName(-length) === "EAGAIN") return undefined
    throw native().failure("receive", -length)
  }

  /** Name of the errno that waits on the socket (SO_ERROR), which is cleared; empty when none. */
  error(): string {
    const SOL_SOCKET = 1
    const SO_ERROR = 4
    const value = new Uint8Array(4)
    const result = native().socketGetOption(this.fd, SOL_SOCKET, SO_ERROR, value)
    const errno = result < 0 ? -result : new DataView(value.buffer).getInt32(0, true)
    return errno === 0 ? "" : native().errnoName(errno)
  }

  option(option: SocketOption, value: number | boolean | string | Uint8Array): this {
    const { level, name, bytes } = encodeOption(option, value)
    const result = native().socketSetOption(this.fd, level, name, bytes)
    if (result < 0) throw native().failure(`set the socket option ${option}`, -result)
    return this
  }

  localAddress(): { address: Address; port: number } {
    const result = native().socketName(this.fd, this.#from)
    if (result < 0) throw native().failure("read the socket's own address", -result)
    const { address, port } = decodeSockaddr(this.#from)
    return { address, port }
  }

  localPort(): number {
    return this.localAddress().port
  }

  /** Does nothing when the connection is gone already. */
  shutdown(how: "read" | "write" | "both" = "write"): void {
    const result = native().socketShutdown(this.fd, { read: 0, write: 1, both: 2 }[how])
    if (result < 0 && native().errnoName(-result) !== "ENOTCONN") throw native().failure("shut down", -result)
  }

  close(): void {
    if (this.#open) native().close(this.fd)
    this.#open = false
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function endpoint(address: Address, port: number): string {
  return familyOf(address) === 4 ? `${address}:${port}` : `[${address}]:${port}`
}
