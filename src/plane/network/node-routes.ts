import { isKernelError } from "../../kernel/error.ts"
import type { NamespaceHandle } from "../../kernel/namespace.ts"
import type { Netlink } from "../../kernel/netlink/netlink.ts"
import { addRoute, deleteRoute } from "../../kernel/netlink/requests.ts"
import type { Route, RouteOptions } from "../../kernel/netlink/route.ts"
import type { Request } from "../../kernel/netlink/socket.ts"
import type { KernelSteps } from "../../kernel/netlink/steps.ts"
import { prefixFamily } from "../../net/prefix.ts"
import type { Address, Family, Prefix } from "../../net/types.ts"

/** rtm_protocol of every route that Heddle makes (`ip route` shows 104): nothing else is ever touched. */
export const ROUTE_PROTOCOL = 0x68
/** Behind the routes of everyone else to the same destination. */
const METRIC = 0x68
const MAIN = 254

/** The routes into heddle0 as they shall be. */
export interface NodeRoutes {
  readonly ifindex: number
  readonly destinations: ReadonlySet<Prefix>
  /** Address that the node's own packets to pods get, by family. */
  readonly sources: Readonly<Partial<Record<Family, Address>>>
}

/** Makes the routes with our protocol number in the main table exactly those wanted. */
export function applyRoutes(netlink: Netlink, wanted: NodeRoutes): void {
  const missing = new Set(wanted.destinations)
  const stale: Route[] = []
  for (const route of ownRoutes(netlink)) {
    const source = wanted.sources[prefixFamily(route.destination)]
    const right = route.ifindex === wanted.ifindex && route.source === source && route.metric === METRIC
    if (right && wanted.destinations.has(route.destination)) missing.delete(route.destination)
    else stale.push(route)
  }
  for (const route of stale) removeRoute(netlink, route)
  for (const destination of missing) netlink.socket.change(routeRequest(wanted, destination))
}

const ESRCH = 3
/** Acknowledgements that surely fit into a socket's buffer. */
const TOGETHER = 64

/** Adds the routes to those of `destinations` that are wanted, and takes the others away; it does not matter what is there. */
export async function changeRoutes(
  steps: KernelSteps,
  namespace: NamespaceHandle,
  to: Omit<NodeRoutes, "destinations">,
  destinations: ReadonlySet<Prefix>,
  isWanted: (destination: Prefix) => boolean,
): Promise<void> {
  const requests = [...destinations].map((one) => (isWanted(one) ? routeRequest(to, one) : deletion(to, one)))
  for (let i = 0; i < requests.length; i += TOGETHER)
    await steps.take([{ namespace, requests: requests.slice(i, i + TOGETHER), tolerate: ESRCH }])
}

function routeRequest(wanted: Omit<NodeRoutes, "destinations">, destination: Prefix): Request {
  const source = wanted.sources[prefixFamily(destination)]
  const route = {
    destination,
    ifindex: wanted.ifindex,
    metric: METRIC,
    protocol: ROUTE_PROTOCOL,
    scope: "link",
  } as const
  return addRoute(source === undefined ? route : { ...route, source })
}

export function removeRoutes(netlink: Netlink): void {
  for (const route of ownRoutes(netlink)) removeRoute(netlink, route)
}

/** Destinations in the main table to which someone else has a route. */
export function foreignDestinations(netlink: Netlink): ReadonlySet<Prefix> {
  const found = new Set<Prefix>()
  for (const family of [4, 6] as const) {
    for (const route of routesOf(netlink, family)) {
      if (route.protocol !== ROUTE_PROTOCOL) found.add(route.destination)
    }
  }
  return found
}

function ownRoutes(netlink: Netlink): Route[] {
  return ([4, 6] as const).flatMap((family) =>
    routesOf(netlink, family).filter((route) => route.protocol === ROUTE_PROTOCOL),
  )
}

function routesOf(netlink: Netlink, family: Family): Route[] {
  try {
    return netlink.routes({ family, table: MAIN })
  } catch (error) {
    // A kernel without IPv6.
    if (isKernelError(error, "EOPNOTSUPP", "EAFNOSUPPORT")) return []
    throw error
  }
}

function removeRoute(netlink: Netlink, route: Route): void {
  netlink.deleteRoute(identityOf(route))
}

function deletion({ ifindex }: Omit<NodeRoutes, "destinations">, destination: Prefix): Request {
  return deleteRoute(identityOf({ destination, ifindex, metric: METRIC }))
}

function identityOf({ destination, ifindex, metric }: Pick<Route, "destination" | "ifindex" | "metric">): RouteOptions {
  return {
    destination,
    protocol: ROUTE_PROTOCOL,
    table: MAIN,
    ...(ifindex === undefined ? {} : { ifindex }),
    ...(metric === undefined ? {} : { metric }),
  }
}
