import { addressBytes, addressFromBytes, familyOf } from "../../net/address.ts"
import { bitsOf, prefixBase, prefixContains, prefixFamily, prefixLength } from "../../net/prefix.ts"
import type { Address, Family, Prefix } from "../../net/types.ts"

/** A node gives out at most the first 2^20 addresses of a range: more than it can have pods, and few enough to walk. */
const MOST = 2 ** 20

/** The addresses of a prefix that pods can have, counted from 0. Pure. */
export class Range {
  readonly prefix: Prefix
  readonly family: Family
  /** How many addresses there are to give. */
  readonly size: number
  readonly #base: bigint
  /** Addresses left out at the start. */
  readonly #skip: number

  /**
   * Left out are the network's own address (IPv6: the routers' anycast address), the first one, which many take for a
   * gateway, and IPv4's broadcast address; but nothing where the prefix has one or two addresses (RFC 3021, RFC 6164).
   */
  constructor(prefix: Prefix) {
    this.prefix = prefix
    this.family = prefixFamily(prefix)
    const hostBits = bitsOf(this.family) - prefixLength(prefix)
    const small = hostBits <= 1
    const all = hostBits >= 21 ? 2 * MOST : 2 ** hostBits
    this.#skip = small ? 0 : 2
    const last = this.family === 4 && !small ? 1 : 0
    this.size = Math.min(MOST, all - this.#skip - last)
    this.#base = numberOf(prefixBase(prefix))
  }

  at(offset: number): Address {
    let value = this.#base + BigInt(offset + this.#skip)
    const bytes = new Uint8Array(16)
    if (this.family === 4) bytes.set([0xff, 0xff], 10)
    for (let i = 15; i >= (this.family === 4 ? 12 : 0); i--, value >>= 8n) bytes[i] = Number(value & 0xffn)
    return addressFromBytes(bytes)
  }

  /** Place of the address in the range; undefined when it is none of those given out. */
  offsetOf(address: Address): number | undefined {
    if (!prefixContains(this.prefix, address)) return undefined
    const offset = Number(numberOf(address) - this.#base) - this.#skip
    return offset >= 0 && offset < this.size ? offset : undefined
  }
}

function numberOf(address: Address): bigint {
  const bytes = addressBytes(address)
  let value = 0n
  for (const byte of familyOf(address) === 4 ? bytes.subarray(12) : bytes) value = (value << 8n) | BigInt(byte)
  return value
}
