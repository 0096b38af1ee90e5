import { AddressMessage, type AddressOptions, encodeAddress } from "./address.ts"
import {
  encodeLinkChange,
  encodeLinkIndexQuery,
  encodeLinkQuery,
  encodeLinkReference,
  encodeVeth,
  type LinkChange,
  LinkMessage,
  type VethOptions,
} from "./link.ts"
import { Flag } from "./message.ts"
import { encodeRoute, encodeRouteQuery, type RouteFilter, RouteMessage, type RouteOptions } from "./route.ts"
import type { Request } from "./socket.ts"

/*
 * Requests that `Netlink` makes one at a time and `KernelSteps` in rows. Those that find and list are answered by messages for
 * `decodeLink` and `decodeRoute`.
 */

export function listLinks(): Request {
  return { operation: "list the links", type: LinkMessage.get, flags: Flag.dump, payload: encodeLinkQuery() }
}

/** ENODEV when there is none. */
export function findLink(name: string): Request {
  return { operation: `find the link ${name}`, type: LinkMessage.get, payload: encodeLinkQuery(name) }
}

/** ENODEV when there is none. */
export function findLinkByIndex(index: number): Request {
  return { operation: `find the link ${index}`, type: LinkMessage.get, payload: encodeLinkIndexQuery(index) }
}

/** Both ends down, whatever the options say: no end of a pair can be up before the other is there. */
export function addVeth(options: VethOptions): Request {
  return addLink(options.name, encodeVeth(options))
}

/** EEXIST when there is one of that name. */
export function addLink(name: string, payload: Uint8Array): Request {
  return { operation: `add the link ${name}`, type: LinkMessage.new, flags: Flag.create | Flag.exclusive, payload }
}

export function changeLink(index: number, change: LinkChange): Request {
  // RTM_NEWLINK without the create flag changes what is there, in more ways than RTM_SETLINK.
  const payload = encodeLinkChange(index, change)
  return { operation: `change the link ${index}`, type: LinkMessage.new, payload }
}

/** By index or name. The other end of a veth pair goes with it. ENODEV when it is not there. */
export function deleteLink(link: number | string): Request {
  return { operation: `delete the link ${link}`, type: LinkMessage.delete, payload: encodeLinkReference(link) }
}

/** ENODEV when it is not there. */
export function groupLink(link: number | string, group: number): Request {
  const payload = encodeLinkReference(link, group)
  return { operation: `change the group of the link ${link}`, type: LinkMessage.set, payload }
}

/** Deletes all links of an interface group at once (net/core/rtnetlink.c, rtnl_group_dellink). ENODEV when it is empty. */
export function deleteLinkGroup(group: number): Request {
  const payload = encodeLinkReference(undefined, group)
  return { operation: `delete the links of group ${group}`, type: LinkMessage.delete, payload }
}

/** Adds the address, or changes its attributes when it is there. */
export function addAddress(options: AddressOptions): Request {
  const operation = `add ${options.address}/${options.prefixLength} to interface ${options.ifindex}`
  return { operation, type: AddressMessage.new, flags: Flag.create | Flag.replace, payload: encodeAddress(options) }
}

/** ENOENT when the table that is asked for was never used. */
export function listRoutes(filter: RouteFilter): Request {
  return { operation: "list the routes", type: RouteMessage.get, flags: Flag.dump, payload: encodeRouteQuery(filter) }
}

/** Adds the route, in place of one to the same destination with the same metric. */
export function addRoute(options: RouteOptions): Request {
  const operation = `add the route to ${options.destination}`
  return { operation, type: RouteMessage.new, flags: Flag.create | Flag.replace, payload: encodeRoute(options) }
}

/** What is not named need not match. ESRCH when there is none. */
export function deleteRoute(options: RouteOptions): Request {
  const operation = `delete the route to ${options.destination}`
  // RT_SCOPE_NOWHERE: of any scope.
  const payload = encodeRoute({ ...options, scope: options.scope ?? "nowhere", protocol: options.protocol ?? 0 })
  return { operation, type: RouteMessage.delete, payload }
}
