import { describe, expect, test } from "vitest"
import {
  attribute,
  be16,
  decodeAttributes,
  decodeMessages,
  encodeMessage,
  nested,
  readText,
  readU32,
  text,
  u16,
  u32,
} from "./message.ts"

describe("attributes", () => {
  test("are length, type, payload, padded to four", () => {
    expect([...attribute(3, text("lo"))]).toEqual([7, 0, 3, 0, 0x6c, 0x6f, 0, 0])
    expect([...attribute(4, u32(1500))]).toEqual([8, 0, 4, 0, 0xdc, 5, 0, 0])
    expect([...attribute(9)]).toEqual([4, 0, 9, 0])
    expect([...nested(18, attribute(1, be16(4789)))]).toEqual([12, 0, 18, 0x80, 6, 0, 1, 0, 0x12, 0xb5, 0, 0])
  })

  test("are read back, the nested flag aside", () => {
    const inner = decodeAttributes(nested(18, attribute(1, text("veth")), attribute(2, u16(7)))).get(18)
    if (!inner) throw new Error("no nested attribute")
    const found = decodeAttributes(inner)
    expect(readText(found.get(1))).toBe("veth")
    expect([...(found.get(2) ?? [])]).toEqual([7, 0])
    expect(readU32(found.get(3))).toBeUndefined()
  })

  test("with a length that does not fit end the list", () => {
    expect(decodeAttributes(Uint8Array.of(200, 0, 1, 0, 5)).size).toBe(0)
    expect(decodeAttributes(Uint8Array.of(0, 0, 1, 0)).size).toBe(0)
  })
})

describe("messages", () => {
  const message = { type: 16, flags: 5, sequence: 0x01020304, payload: Uint8Array.of(9, 8, 7, 6, 5) }

  test("have a header of sixteen bytes", () => {
    expect([...encodeMessage(message)]).toEqual([21, 0, 0, 0, 16, 0, 5, 0, 4, 3, 2, 1, 0, 0, 0, 0, 9, 8, 7, 6, 5])
  })

  test("lie one after the other, each padded to four", () => {
    const one = encodeMessage(message)
    const bytes = new Uint8Array(24 + 21)
    bytes.set(one)
    bytes.set(one, 24)
    expect(decodeMessages(bytes)).toEqual([message, message])
  })

  test("that are cut off are refused", () => {
    expect(() => decodeMessages(encodeMessage(message).subarray(0, 18))).toThrow(/length 21 at 0 of 18 bytes/)
  })
})
