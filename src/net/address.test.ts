import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { addressBytes, addressFromBytes, parseAddress, tryParseAddress } from "./address.ts"
import { parsePrefix, prefixContains, prefixContainsPrefix, prefixLength, prefixOf, tryParsePrefix } from "./prefix.ts"

describe("parseAddress", () => {
  test.each([
    ["10.0.0.1", "10.0.0.1"],
    ["0.0.0.0", "0.0.0.0"],
    ["::", "::"],
    ["::1", "::1"],
    ["FD00:0:0:1::A", "fd00:0:0:1::a"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["1:0:0:0:0:0:0:0", "1::"],
    ["::ffff:10.1.2.3", "10.1.2.3"],
    ["::ffff:a01:203", "10.1.2.3"],
    ["64:ff9b::10.1.2.3", "64:ff9b::a01:203"],
  ])("%s is %s", (text, canonical) => expect(parseAddress(text)).toBe(canonical))

  test.each([
    "",
    " 10.0.0.1",
    "10.0.0",
    "10.0.0.1.2",
    "10.0.0.01",
    "10.0.0.256",
    "10.0.0.",
    "a",
    "10.0.0.1/8",
    "fe80::1%eth0",
    "1::2::3",
    ":::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::8",
    "12345::",
    "1.2.3.4::",
    ":1:2:3:4:5:6:7",
    "::1.2.3",
    "g::",
  ])("refuses %j", (text) => {
    expect(() => parseAddress(text)).toThrow(/^Cannot read address /)
    expect(tryParseAddress(text)).toBeUndefined()
  })

  test("bytes and text lead to one another", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const address = addressFromBytes(bytes)
        expect(addressBytes(address)).toEqual(bytes)
        expect(parseAddress(address)).toBe(address)
      }),
    )
  })
})

describe("parsePrefix", () => {
  test.each([
    ["10.1.2.3/8", "10.0.0.0/8"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["10.1.2.3/32", "10.1.2.3/32"],
    ["fd00:1:2:3:4::/60", "fd00:1:2::/60"],
    ["::/0", "::/0"],
    ["::ffff:10.1.2.3/112", "10.1.0.0/16"],
  ])("%s is %s", (text, canonical) => expect(parsePrefix(text)).toBe(canonical))

  test.each([
    "10.0.0.0",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/08",
    "10.0.0.0/-1",
    "::/129",
    "::ffff:1.2.3.4/90",
    "x/8",
  ])("refuses %j", (text) => {
    expect(() => parsePrefix(text)).toThrow(/^Cannot read prefix /)
    expect(tryParsePrefix(text)).toBeUndefined()
  })

  test("strict refuses host bits and names the block", () => {
    expect(() => parsePrefix("10.1.2.3/8", { strict: true })).toThrow(/the block is 10\.0\.0\.0\/8/)
    expect(parsePrefix("10.0.0.0/8", { strict: true })).toBe("10.0.0.0/8")
  })

  test("a block contains what its bits say, never across families", () => {
    const block = parsePrefix("10.8.0.0/13")
    expect(prefixContains(block, parseAddress("10.15.255.255"))).toBe(true)
    expect(prefixContains(block, parseAddress("10.16.0.0"))).toBe(false)
    expect(prefixContains(parsePrefix("::/0"), parseAddress("10.16.0.0"))).toBe(false)
    expect(prefixContainsPrefix(block, parsePrefix("10.9.0.0/16"))).toBe(true)
    expect(prefixContainsPrefix(block, parsePrefix("10.0.0.0/8"))).toBe(false)
  })

  test("an address is in each of its own blocks", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.boolean(), fc.nat(128), (bytes, six, length) => {
        if (!six) bytes.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255])
        const address = addressFromBytes(bytes)
        const prefix = prefixOf(address, address.includes(":") ? length : length % 33)
        expect(prefixContains(prefix, address)).toBe(true)
        expect(parsePrefix(prefix, { strict: true })).toBe(prefix)
        expect(prefixLength(prefix)).toBe(address.includes(":") ? length : length % 33)
      }),
    )
  })
})
