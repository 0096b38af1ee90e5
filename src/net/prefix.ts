import { AddressError, addressBytes, familyOf, formatSix, parseAddress } from "./address.ts"
import type { Address, Family, Prefix } from "./types.ts"

export interface PrefixOptions {
  /** Refuse a block whose host bits are not zero, instead of clearing them. */
  readonly strict?: boolean
}

/**
 * Reads a CIDR block and returns its canonical text: canonical address, host bits zero, decimal length. An IPv4-mapped
 * block of length 96 or more becomes the IPv4 block. Throws `AddressError`.
 */
export function parsePrefix(text: string, options: PrefixOptions = {}): Prefix {
  const slash = text.indexOf("/")
  if (slash < 0) throw new AddressError("prefix", text, "a block is written ADDRESS/LENGTH, the length is missing")
  const lengthText = text.slice(slash + 1)
  if (!/^(0|[1-9][0-9]{0,2})$/.test(lengthText)) {
    throw new AddressError("prefix", text, `${JSON.stringify(lengthText)} is not a length`)
  }
  const written = text.slice(0, slash)
  let address: Address
  try {
    address = parseAddress(written)
  } catch (error) {
    throw error instanceof AddressError ? new AddressError("prefix", text, error.reason) : error
  }
  const writtenSix = written.includes(":")
  let length = Number(lengthText)
  const most = writtenSix ? 128 : 32
  if (length > most) throw new AddressError("prefix", text, `the length is at most ${most}`)
  if (writtenSix && familyOf(address) === 4) {
    if (length < 96) throw new AddressError("prefix", text, "an IPv4-mapped block has a length of 96 or more")
    length -= 96
  }
  const prefix = prefixOf(address, length)
  if (options.strict === true && prefixBase(prefix) !== address) {
    throw new AddressError("prefix", text, `bits behind the length are set; the block is ${prefix}`)
  }
  return prefix
}

/** Like `parsePrefix`, but undefined for what is no block. */
export function tryParsePrefix(text: string, options: PrefixOptions = {}): Prefix | undefined {
  try {
    return parsePrefix(text, options)
  } catch (error) {
    if (error instanceof AddressError) return undefined
    throw error
  }
}

/** The block of `length` bits (own family's count) that contains `address`. */
export function prefixOf(address: Address, length: number): Prefix {
  const family = familyOf(address)
  if (!Number.isInteger(length) || length < 0 || length > bitsOf(family)) {
    throw new AddressError("prefix", `${address}/${length}`, `the length is 0 to ${bitsOf(family)}`)
  }
  const bytes = addressBytes(address)
  maskBytes(bytes, family === 4 ? 96 + length : length)
  const base = family === 4 ? `${bytes[12]}.${bytes[13]}.${bytes[14]}.${bytes[15]}` : formatSix(bytes)
  return `${base}/${length}` as Prefix
}

/** Length in bits of the block's own family: 0–32 or 0–128. */
export function prefixLength(prefix: Prefix): number {
  return Number(prefix.slice(prefix.indexOf("/") + 1))
}

/** First address of the block. */
export function prefixBase(prefix: Prefix): Address {
  return prefix.slice(0, prefix.indexOf("/")) as Address
}

export function prefixFamily(prefix: Prefix): Family {
  return familyOf(prefixBase(prefix))
}

/** Whether the block contains the address; never across families. */
export function prefixContains(prefix: Prefix, address: Address): boolean {
  const family = familyOf(address)
  if (prefixFamily(prefix) !== family) return false
  const length = prefixLength(prefix) + (family === 4 ? 96 : 0)
  return sameBits(addressBytes(prefixBase(prefix)), addressBytes(address), length)
}

/** Whether every address of `inner` is in `outer`. */
export function prefixContainsPrefix(outer: Prefix, inner: Prefix): boolean {
  return prefixLength(outer) <= prefixLength(inner) && prefixContains(outer, prefixBase(inner))
}

export function bitsOf(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128
}

/** Clears all bits of 16 bytes from bit `length` on. */
export function maskBytes(bytes: Uint8Array, length: number): void {
  const whole = length >> 3
  if (whole >= 16) return
  bytes[whole] = (bytes[whole] ?? 0) & (0xff00 >> (length & 7))
  bytes.fill(0, whole + 1)
}

function sameBits(a: Uint8Array, b: Uint8Array, length: number): boolean {
  const whole = length >> 3
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false
  const rest = length & 7
  return rest === 0 || (((a[whole] ?? 0) ^ (b[whole] ?? 0)) & (0xff00 >> rest) & 0xff) === 0
}
