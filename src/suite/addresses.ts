import { addressBytes, addressFromBytes, familyOf, tryParseAddress } from "../net/address.ts"
import { prefixBase, tryParsePrefix } from "../net/prefix.ts"
import type { Address, Family, Prefix } from "../net/types.ts"
import type { JsonObject } from "./format.ts"
import { listAt, textAt } from "./manifest.ts"

/** The addresses stated in a pod's `status.podIPs`, else `podIP`; what cannot be read is left to admission. */
export function podAddresses(pod: JsonObject): readonly Address[] {
  const listed = listAt(pod, "status", "podIPs").map((entry) => textAt(entry, "ip"))
  return addressesOf(listed.length > 0 ? listed : [textAt(pod, "status", "podIP")])
}

/** The addresses of the node a pod runs on, as its status states them. */
export function hostAddresses(pod: JsonObject): readonly Address[] {
  const listed = listAt(pod, "status", "hostIPs").map((entry) => textAt(entry, "ip"))
  return addressesOf(listed.length > 0 ? listed : [textAt(pod, "status", "hostIP")])
}

/** A Node object's InternalIP and ExternalIP addresses, in its order. */
export function nodeAddresses(node: JsonObject): readonly Address[] {
  const own = listAt(node, "status", "addresses").filter((entry) => {
    const type = textAt(entry, "type")
    return type === "InternalIP" || type === "ExternalIP"
  })
  return addressesOf(own.map((entry) => textAt(entry, "address")))
}

/** A Node object's ranges for pods: `spec.podCIDRs`, else `podCIDR`. */
export function nodePodPrefixes(node: JsonObject): readonly Prefix[] {
  const listed = listAt(node, "spec", "podCIDRs").filter((cidr) => typeof cidr === "string")
  const single = textAt(node, "spec", "podCIDR")
  return (listed.length > 0 ? listed : single === undefined ? [] : [single])
    .map((cidr) => tryParsePrefix(cidr))
    .filter((prefix) => prefix !== undefined)
}

function addressesOf(texts: readonly (string | undefined)[]): readonly Address[] {
  return texts
    .map((text) => (text === undefined ? undefined : tryParseAddress(text)))
    .filter((address) => address !== undefined)
}

/** Hands out addresses where a suite states none: the same for the same names and order, never one that is taken. */
export class AddressPlan {
  readonly #taken: Set<Address>
  readonly #given = new Map<string, Address>()

  constructor(taken: Iterable<Address>) {
    this.#taken = new Set(taken)
  }

  /** Address of a node: 172.18.0.(number + 1) and fd00:172:18::(number + 1), or the next free one. */
  node(name: string, number: number, family: Family): Address {
    const base = family === 4 ? "172.18.0.0" : "fd00:172:18::"
    return this.#give(`node/${name}`, family, base as Address, number + 1)
  }

  /** Address of a pod: from its node's ranges, else 10.244.(node number).2 on and fd00:10:244:(node number)::2 on. */
  pod(key: string, nodeNumber: number, ranges: readonly Prefix[], family: Family): Address {
    const range = ranges.find((prefix) => familyOf(prefixBase(prefix)) === family)
    const ownBase =
      family === 4
        ? `10.${(244 + (nodeNumber >> 8)) & 255}.${nodeNumber & 255}.0`
        : `fd00:10:244:${nodeNumber.toString(16)}::`
    return this.#give(`pod/${key}`, family, range === undefined ? (ownBase as Address) : prefixBase(range), 2)
  }

  #give(owner: string, family: Family, base: Address, from: number): Address {
    const known = this.#given.get(`${owner}/${family}`)
    if (known !== undefined) return known
    for (let offset = from; ; offset++) {
      const address = plus(base, offset)
      if (this.#taken.has(address)) continue
      this.#taken.add(address)
      this.#given.set(`${owner}/${family}`, address)
      return address
    }
  }
}

function plus(base: Address, offset: number): Address {
  const bytes = addressBytes(base)
  let carry = offset
  for (let i = 15; i >= 0 && carry > 0; i--) {
    carry += bytes[i] ?? 0
    bytes[i] = carry & 255
    carry = Math.floor(carry / 256)
  }
  return addressFromBytes(bytes)
}
