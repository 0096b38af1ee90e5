import { createHash } from "node:crypto"
import { constants } from "../../kernel/abi.generated.ts"
import { familyOf, packetBytes } from "../../net/address.ts"
import { parsePrefix } from "../../net/prefix.ts"
import type { Address, Family, Prefix } from "../../net/types.ts"

/**
 * Every pod's next hop. Nothing owns these addresses: the program at the pod's hook answers ARP and neighbour discovery
 * for them with `GATEWAY_MAC`, so a pod needs no address of its node and can move between nodes.
 */
export const gateways: Readonly<Record<Family, Address>> = { 4: "169.254.1.1" as Address, 6: "fe80::1" as Address }

export const everything: Readonly<Record<Family, Prefix>> = { 4: parsePrefix("0.0.0.0/0"), 6: parsePrefix("::/0") }

/** MAC address of every host-side pod interface and of the tunnel device of every node. */
export const GATEWAY_MAC: Uint8Array = macOf(constants.GATEWAY_MAC_LOW)
/** MAC address of heddle0, the way of the node's own packets to pods. */
export const NODE_MAC: Uint8Array = macOf(constants.NODE_MAC_LOW)

/**
 * MAC address of a pod's interface, made from its first address: locally administered, and the same when the pod comes
 * back with that address, so that no neighbour entry goes stale.
 */
export function podMac(address: Address): Uint8Array {
  const mac = new Uint8Array(6)
  mac.set([0x0a, 0x68])
  if (familyOf(address) === 4) mac.set(packetBytes(address), 2)
  // 0x0b would be a group address; 0x0e keeps IPv6 apart from IPv4.
  else mac.set([0x0e, ...createHash("sha256").update(address).digest().subarray(0, 5)])
  return mac
}

/** The block of just this address. */
export function hostPrefix(address: Address): Prefix {
  return `${address}/${familyOf(address) === 4 ? 32 : 128}` as Prefix
}

function macOf(low: number): Uint8Array {
  const mac = new Uint8Array(6)
  const view = new DataView(mac.buffer)
  view.setUint32(0, constants.GATEWAY_MAC_HIGH)
  view.setUint16(4, low)
  return mac
}
