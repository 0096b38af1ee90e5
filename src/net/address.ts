import type { Address, Family } from "./types.ts"

/** Text that is no address or prefix. The message says what was found and why it is refused. */
export class AddressError extends Error {
  readonly code = "address"
  /** The text that was refused. */
  readonly text: string
  /** Why, without the text, for callers with a sentence of their own. */
  readonly reason: string
  constructor(what: "address" | "prefix", text: string, reason: string) {
    super(`Cannot read ${what} ${JSON.stringify(text)}: ${reason}`)
    this.text = text
    this.reason = reason
  }
}

/**
 * Reads an IPv4 or IPv6 address strictly and returns its canonical text (RFC 5952). Leading zeros in IPv4 parts are
 * refused (some parsers read them as octal), a zone (`%eth0`) too; an IPv4-mapped address becomes the IPv4 one.
 * Throws `AddressError`.
 */
export function parseAddress(text: string): Address {
  const result = read(text)
  if (typeof result === "string") throw new AddressError("address", text, result)
  return formatBytes(result)
}

/** Like `parseAddress`, but undefined for what is no address. */
export function tryParseAddress(text: string): Address | undefined {
  const result = read(text)
  return typeof result === "string" ? undefined : formatBytes(result)
}

export function familyOf(address: Address): Family {
  return address.includes(":") ? 6 : 4
}

/** The 16 bytes of an address; IPv4 as `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2), as the kernel tables have it. */
export function addressBytes(address: Address): Uint8Array {
  const result = read(address)
  if (typeof result === "string") throw new AddressError("address", address, result)
  return result
}

/** The address in 16 bytes at `offset`; what is IPv4-mapped is the IPv4 address. */
export function addressFromBytes(bytes: Uint8Array, offset = 0): Address {
  return formatBytes(bytes.subarray(offset, offset + 16))
}

/** The 4 or 16 bytes of an address as they stand in a packet. */
export function packetBytes(address: Address): Uint8Array {
  const bytes = addressBytes(address)
  return familyOf(address) === 4 ? bytes.subarray(12) : bytes
}

/** The address whose 4 or 16 bytes stand at `offset` of a packet. */
export function addressFromPacket(bytes: Uint8Array, offset: number, family: Family): Address {
  if (family === 6) return formatBytes(bytes.subarray(offset, offset + 16))
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}` as Address
}

/** Whether 16 bytes are an IPv4-mapped address. */
function isMapped(bytes: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false
  return bytes[10] === 0xff && bytes[11] === 0xff
}

function formatBytes(bytes: Uint8Array): Address {
  if (isMapped(bytes)) return `${bytes[12]}.${bytes[13]}.${bytes[14]}.${bytes[15]}` as Address
  return formatSix(bytes) as Address
}

/** RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
export function formatSix(bytes: Uint8Array): string {
  const groups: number[] = []
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0))
  let runStart = -1
  let runLength = 1
  for (let i = 0; i < 8; ) {
    if (groups[i] !== 0) {
      i++
      continue
    }
    let end = i
    while (end < 8 && groups[end] === 0) end++
    if (end - i > runLength) {
      runStart = i
      runLength = end - i
    }
    i = end
  }
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(":")
  if (runStart < 0) return hex(groups)
  return `${hex(groups.slice(0, runStart))}::${hex(groups.slice(runStart + runLength))}`
}

/** The 16 bytes, or the reason why there are none. */
function read(text: string): Uint8Array | string {
  return text.includes(":") ? readSix(text) : readFour(text)
}

function readFour(text: string): Uint8Array | string {
  const bytes = new Uint8Array(16)
  bytes[10] = 0xff
  bytes[11] = 0xff
  const problem = readFourInto(text, bytes, 12)
  return problem ?? bytes
}

function readFourInto(text: string, bytes: Uint8Array, offset: number): string | undefined {
  let part = 0
  let value = -1
  let digits = 0
  for (let i = 0; i <= text.length; i++) {
    const c = i < text.length ? text.charCodeAt(i) : 0x2e
    if (c === 0x2e) {
      if (value < 0) return text === "" ? "it is empty" : "an IPv4 address has four numbers separated by dots"
      if (part > 3) return "an IPv4 address has four numbers, found more"
      bytes[offset + part++] = value
      value = -1
      digits = 0
    } else if (c >= 0x30 && c <= 0x39) {
      if (digits > 0 && value === 0) return "a number with a leading zero is ambiguous (octal or decimal)"
      value = (value < 0 ? 0 : value * 10) + (c - 0x30)
      digits++
      if (value > 255) return "a part of an IPv4 address is at most 255"
    } else {
      return `unexpected character ${JSON.stringify(text[i])}`
    }
  }
  return part === 4 ? undefined : "an IPv4 address has four numbers separated by dots"
}

function readSix(text: string): Uint8Array | string {
  if (text.includes("%")) return "an address with a zone has no meaning beyond one machine"
  const bytes = new Uint8Array(16)
  const halves = text.split("::")
  if (halves.length > 2) return "`::` may stand once only"
  const head = readGroups(halves[0] ?? "", halves.length === 1)
  if (typeof head === "string") return head
  if (halves.length === 1) {
    if (head.length !== 16) return `an IPv6 address has eight groups, found ${head.length / 2}`
    bytes.set(head)
    return bytes
  }
  const tail = readGroups(halves[1] ?? "", true)
  if (typeof tail === "string") return tail
  if (head.length + tail.length > 14) return "`::` must stand for at least one group"
  bytes.set(head)
  bytes.set(tail, 16 - tail.length)
  return bytes
}

/** Bytes of groups joined by colons; the last may be a dotted IPv4 address where `dotted`. */
function readGroups(text: string, dotted: boolean): number[] | string {
  if (text === "") return []
  const bytes: number[] = []
  const groups = text.split(":")
  for (const [i, group] of groups.entries()) {
    if (group.includes(".")) {
      if (!dotted || i !== groups.length - 1) return "a dotted part may stand at the end only"
      const four = new Uint8Array(4)
      const problem = readFourInto(group, four, 0)
      if (problem !== undefined) return problem
      bytes.push(...four)
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) {
        return group === "" ? "a group is empty" : `${JSON.stringify(group)} is not a group of one to four hex digits`
      }
      const value = Number.parseInt(group, 16)
      bytes.push(value >> 8, value & 0xff)
    }
  }
  return bytes
}
