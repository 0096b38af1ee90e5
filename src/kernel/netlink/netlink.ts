import type { Address, Family } from "../../net/types.ts"
import { isKernelError } from "../error.ts"
import type { NamespaceHandle } from "../namespace.ts"
import { AddressMessage, type AddressOptions, decodeAddress, encodeAddress, type InterfaceAddress } from "./address.ts"
import {
  type BridgeOptions,
  decodeLink,
  encodeBridge,
  encodeVeth,
  encodeVxlan,
  type Link,
  type LinkChange,
  type VethOptions,
  type VxlanOptions,
} from "./link.ts"
import { Flag } from "./message.ts"
import {
  decodeNeighbour,
  encodeNeighbour,
  encodeNeighbourQuery,
  type Neighbour,
  NeighbourMessage,
  type NeighbourOptions,
} from "./neighbour.ts"
import {
  addAddress,
  addLink,
  addRoute,
  changeLink,
  deleteLink,
  deleteRoute,
  findLink,
  findLinkByIndex,
  listLinks,
  listRoutes,
} from "./requests.ts"
import { decodeRoute, type Route, type RouteFilter, type RouteOptions } from "./route.ts"
import { NetlinkSocket, type Request } from "./socket.ts"

/**
 * Links, addresses, routes and neighbours of one network namespace. Every call is one request and its answer; throws
 * `KernelError` with the kernel's own words where it gives any.
 */
export class Netlink implements Disposable {
  readonly socket: NetlinkSocket

  private constructor(socket: NetlinkSocket) {
    this.socket = socket
  }

  /** Default: the calling thread's namespace. */
  static open(namespace?: NamespaceHandle): Netlink {
    return new Netlink(new NetlinkSocket(namespace))
  }

  links(): Link[] {
    return this.socket.dump(listLinks()).map(decodeLink)
  }

  link(name: string): Link | undefined {
    return this.#oneLink(findLink(name))
  }

  linkByIndex(index: number): Link | undefined {
    return this.#oneLink(findLinkByIndex(index))
  }

  #oneLink(request: Request): Link | undefined {
    try {
      const [message] = this.socket.get(request)
      return message && decodeLink(message)
    } catch (error) {
      if (isKernelError(error, "ENODEV")) return undefined
      throw error
    }
  }

  /** Makes a veth pair and returns this namespace's end; `peer` of it is the other end's index there. */
  addVeth(options: VethOptions): Link {
    const { peer } = options
    const link = this.#addLink(options.name, encodeVeth(options))
    if (!options.up && !peer.up) return link
    if (options.up) this.setLink(link.index, { up: true })
    if (peer.up && link.peer !== undefined) {
      if (peer.namespace) {
        const there = Netlink.open(peer.namespace)
        try {
          there.setLink(link.peer, { up: true })
        } finally {
          there.close()
        }
      } else {
        this.setLink(link.peer, { up: true })
      }
    }
    return this.linkByIndex(link.index) ?? link
  }

  addVxlan(options: VxlanOptions): Link {
    return this.#addLink(options.name, encodeVxlan(options))
  }

  addBridge(options: BridgeOptions): Link {
    return this.#addLink(options.name, encodeBridge(options))
  }

  #addLink(name: string, payload: Uint8Array): Link {
    const request = addLink(name, payload)
    this.socket.change(request)
    const link = this.link(name)
    if (link !== undefined) return link
    throw new Error(`Cannot ${request.operation}: it was made and is gone; see who removes links in this namespace`)
  }

  setLink(index: number, change: LinkChange): void {
    this.socket.change(changeLink(index, change))
  }

  /** True when it was there. The other end of a veth pair goes with it. */
  deleteLink(index: number): boolean {
    return this.#unlessGone(["ENODEV"], deleteLink(index))
  }

  addresses(): InterfaceAddress[] {
    const query = { operation: "list the addresses", type: AddressMessage.get, payload: new Uint8Array(8) }
    return this.socket.dump(query).flatMap((message) => decodeAddress(message) ?? [])
  }

  /** Adds the address, or changes its attributes when it is there. */
  addAddress(options: AddressOptions): void {
    this.socket.change(addAddress(options))
  }

  /** True when it was there. */
  deleteAddress(options: AddressOptions): boolean {
    const operation = `delete ${options.address}/${options.prefixLength} from interface ${options.ifindex}`
    const payload = encodeAddress(options)
    return this.#unlessGone(["EADDRNOTAVAIL", "ENODEV"], { operation, type: AddressMessage.delete, payload })
  }

  routes(filter: RouteFilter): Route[] {
    const found = this.#unlessEmpty(listRoutes(filter)).flatMap((message) => decodeRoute(message) ?? [])
    return filter.table === undefined ? found : found.filter((route) => route.table === filter.table)
  }

  /** The kernel answers ENOENT when the table that is asked for was never used. */
  #unlessEmpty(query: Parameters<NetlinkSocket["dump"]>[0]) {
    try {
      return this.socket.dump(query)
    } catch (error) {
      if (isKernelError(error, "ENOENT")) return []
      throw error
    }
  }

  /** Adds the route, in place of one to the same destination with the same metric. */
  addRoute(options: RouteOptions): void {
    this.socket.change(addRoute(options))
  }

  /** True when it was there. What is not named need not match. */
  deleteRoute(options: RouteOptions): boolean {
    return this.#unlessGone(["ESRCH", "ENODEV", "ENOENT"], deleteRoute(options))
  }

  neighbours(family: Family): Neighbour[] {
    const payload = encodeNeighbourQuery(family)
    const query = { operation: "list the neighbours", type: NeighbourMessage.get, payload }
    return this.socket.dump(query).flatMap((message) => decodeNeighbour(message) ?? [])
  }

  /** Adds the neighbour, in place of what was known of the address. */
  addNeighbour(options: NeighbourOptions): void {
    const operation = `add the neighbour ${options.address} to interface ${options.ifindex}`
    const payload = encodeNeighbour(options)
    this.socket.change({ operation, type: NeighbourMessage.new, flags: Flag.create | Flag.replace, payload })
  }

  /** True when it was there. */
  deleteNeighbour(options: { readonly ifindex: number; readonly address: Address }): boolean {
    const operation = `delete the neighbour ${options.address} from interface ${options.ifindex}`
    const payload = encodeNeighbour(options)
    return this.#unlessGone(["ENOENT", "ENODEV"], { operation, type: NeighbourMessage.delete, payload })
  }

  #unlessGone(codes: readonly string[], request: Parameters<NetlinkSocket["change"]>[0]): boolean {
    try {
      this.socket.change(request)
      return true
    } catch (error) {
      if (isKernelError(error, ...codes)) return false
      throw error
    }
  }

  close(): void {
    this.socket.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
