import { addressBytes, addressFromBytes, familyOf } from "../net/address.ts"
import { prefixBase } from "../net/prefix.ts"
import type { Address, Family, Prefix } from "../net/types.ts"

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
