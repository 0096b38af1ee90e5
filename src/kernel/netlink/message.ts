/**
 * Netlink messages (include/uapi/linux/netlink.h): a header of 16 bytes, a fixed part by type, then attributes of
 * length, type and payload, each padded to four bytes. All numbers in the host's order unless named be16.
 */

/** Flags of a request. The same bit means different things in requests that get and that make. */
export const Flag = {
  request: 0x1,
  ack: 0x4,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
} as const

/** Types of control messages, and flags of answers. */
export const Control = { error: 2, done: 3, interrupted: 0x10, acknowledgementTlvs: 0x200 } as const

export const HEADER_SIZE = 16

/** One message taken apart. */
export interface Message {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  /** What follows the header. */
  readonly payload: Uint8Array
}

export function encodeMessage(message: Message): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE + message.payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, bytes.length, true)
  view.setUint16(4, message.type, true)
  view.setUint16(6, message.flags, true)
  view.setUint32(8, message.sequence, true)
  bytes.set(message.payload, HEADER_SIZE)
  return bytes
}

/** All messages of one datagram. Throws on a length that does not fit: the kernel never sends one. */
export function decodeMessages(bytes: Uint8Array): Message[] {
  const messages: Message[] = []
  const view = viewOf(bytes)
  for (let at = 0; at + HEADER_SIZE <= bytes.length; ) {
    const length = view.getUint32(at, true)
    if (length < HEADER_SIZE || at + length > bytes.length) {
      throw new RangeError(`Cannot read the netlink answer: length ${length} at ${at} of ${bytes.length} bytes`)
    }
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      payload: bytes.subarray(at + HEADER_SIZE, at + length),
    })
    at += align4(length)
  }
  return messages
}

/** One attribute: length and type, the parts, padding. */
export function attribute(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const payload = concat(...parts)
  const bytes = new Uint8Array(align4(4 + payload.length))
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 4 + payload.length, true)
  view.setUint16(2, type, true)
  bytes.set(payload, 4)
  return bytes
}

/** An attribute that holds attributes. */
export function nested(type: number, ...attributes: readonly Uint8Array[]): Uint8Array {
  const NESTED = 0x8000
  return attribute(type | NESTED, ...attributes)
}

/** Attributes by type; of several with one type the last counts. */
export function decodeAttributes(bytes: Uint8Array): Map<number, Uint8Array> {
  const TYPE_MASK = 0x3fff
  const found = new Map<number, Uint8Array>()
  const view = viewOf(bytes)
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, true)
    if (length < 4 || at + length > bytes.length) break
    found.set(view.getUint16(at + 2, true) & TYPE_MASK, bytes.subarray(at + 4, at + length))
    at += align4(length)
  }
  return found
}

export function u8(value: number): Uint8Array {
  return Uint8Array.of(value)
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, (value >> 8) & 0xff)
}

export function be16(value: number): Uint8Array {
  return Uint8Array.of((value >> 8) & 0xff, value & 0xff)
}

export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value >>> 0, true)
  return bytes
}

/** Text with the zero byte that ends it. */
export function text(value: string): Uint8Array {
  return new TextEncoder().encode(`${value}\0`)
}

export function readU32(bytes: Uint8Array | undefined): number | undefined {
  return bytes && bytes.length >= 4 ? viewOf(bytes).getUint32(0, true) : undefined
}

export function readText(bytes: Uint8Array | undefined): string | undefined {
  if (!bytes) return undefined
  const end = bytes.indexOf(0)
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end))
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function align4(bytes: number): number {
  return (bytes + 3) & ~3
}
