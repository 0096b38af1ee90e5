import type { Family } from "../../net/types.ts"

/** What the overlay adds: outer Ethernet is not counted; IP 20 or 40, UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348). */
const overhead: Readonly<Record<Family, number>> = { 4: 50, 6: 70 }

/** Least MTU with which a link carries IPv6 (RFC 8200, section 5). */
export const IPV6_LEAST = 1280

/** Bytes that a pod's packet may have: what the way to other nodes carries, less what the overlay adds there. */
export function podMtu(path: number, routing: "vxlan" | "native", outer: Family): number {
  return routing === "native" ? path : path - overhead[outer]
}
