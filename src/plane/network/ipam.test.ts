import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "fast-check"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { parseAddress } from "../../net/address.ts"
import { bitsOf, parsePrefix, prefixContains, prefixLength, prefixOf } from "../../net/prefix.ts"
import type { Address, Prefix } from "../../net/types.ts"
import { Ipam } from "./ipam.ts"
import { Range } from "./range.ts"

let directory: string
let made: Ipam[]
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "hd-ipam-"))
  made = []
})
afterEach(() => {
  for (const ipam of made) ipam.flush()
  rmSync(directory, { recursive: true, force: true })
})

function ipamOf(...prefixes: readonly string[]): Ipam {
  const ipam = new Ipam({ file: join(directory, "ipam.json") })
  ipam.setRanges(prefixes.map((text) => parsePrefix(text)))
  made.push(ipam)
  return ipam
}

const anyPrefix: fc.Arbitrary<Prefix> = fc.oneof(
  fc.tuple(fc.ipV4(), fc.integer({ min: 8, max: 32 })).map(([ip, n]) => prefixOf(parseAddress(ip), n)),
  fc
    .tuple(fc.ipV6(), fc.integer({ min: 8, max: 128 }))
    .map(([ip, n]) => prefixOf(parseAddress(`2001:db8::`), n) && prefixOf(sixOf(ip), n)),
)

/** An IPv6 address that is not an IPv4-mapped one. */
function sixOf(text: string): Address {
  const address = parseAddress(text)
  return address.includes(":") ? address : parseAddress("2001:db8::1")
}

describe("range", () => {
  test("every address lies in the prefix, none twice, none of those left out", () => {
    fc.assert(
      fc.property(anyPrefix, fc.nat(), fc.nat(), (prefix, a, b) => {
        const range = new Range(prefix)
        expect(range.size).toBeGreaterThan(0)
        const [i, j] = [a % range.size, b % range.size]
        expect(prefixContains(prefix, range.at(i))).toBe(true)
        expect(range.at(i) === range.at(j)).toBe(i === j)
        expect(range.offsetOf(range.at(i))).toBe(i)
        const hostBits = bitsOf(range.family) - prefixLength(prefix)
        if (hostBits > 1) expect(range.at(0)).not.toBe(prefix.slice(0, prefix.indexOf("/")))
      }),
    )
  })

  test.each([
    ["10.0.0.0/29", ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]],
    ["10.0.0.4/31", ["10.0.0.4", "10.0.0.5"]],
    ["10.0.0.4/32", ["10.0.0.4"]],
    ["fd00::/126", ["fd00::2", "fd00::3"]],
    ["fd00::8/127", ["fd00::8", "fd00::9"]],
  ])("%s gives %j", (prefix, addresses) => {
    const range = new Range(parsePrefix(prefix))
    expect(Array.from({ length: range.size }, (_, i) => range.at(i))).toEqual(addresses)
  })
})

test("gives each address once, then says that none is left", () => {
  const ipam = ipamOf("10.0.0.0/29", "10.0.1.0/30")
  const given = Array.from({ length: 6 }, (_, i) => ipam.allocate(4, `pod ${i}`))
  expect(new Set(given).size).toBe(6)
  expect(given[5]).toBe("10.0.1.2")
  expect(() => ipam.allocate(4, "pod 7")).toThrow("none is left in 10.0.0.0/29 (5), 10.0.1.0/30 (1)")
  expect(() => ipam.allocate(6, "pod 7")).toThrow("which are none")
})

test("what was given back longest ago is taken first, also after a restart", () => {
  let ipam = ipamOf("10.0.0.0/29")
  const given = Array.from({ length: 5 }, (_, i) => ipam.allocate(4, `p${i}`))
  for (const i of [3, 0, 4]) ipam.release(given[i] ?? parseAddress("::"), `p${i}`)
  ipam.flush()
  const inUse: [Address, string][] = [1, 2].map((i) => [given[i] ?? parseAddress("::"), `p${i}`])
  ipam = new Ipam({ file: join(directory, "ipam.json"), inUse })
  made.push(ipam)
  ipam.setRanges([parsePrefix("10.0.0.0/29")])
  expect([0, 1, 2].map((i) => ipam.allocate(4, `q${i}`))).toEqual([given[3], given[0], given[4]])
})

test("stated addresses: kept out of the range, refused when taken, free again when released", () => {
  const ipam = ipamOf("10.0.0.0/29")
  const stated = parseAddress("10.0.0.2")
  ipam.claim(stated, "shop/a")
  ipam.claim(stated, "shop/a")
  expect(() => ipam.claim(stated, "shop/b")).toThrow("Cannot give 10.0.0.2 to shop/b: shop/a has it")
  expect(ipam.allocate(4, "shop/c")).toBe("10.0.0.3")
  ipam.release(stated, "shop/b")
  expect(ipam.owner(stated)).toBe("shop/a")
  ipam.release(stated, "shop/a")
  ipam.claim(stated, "shop/b")
})

test("what others use is left out", () => {
  const ipam = ipamOf("10.0.0.0/29")
  expect(ipam.allocate(4, "a", (address) => address === "10.0.0.2")).toBe("10.0.0.3")
})

test("property: no address has two owners, and only free ones are given", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(12)), { maxLength: 60 }), (steps) => {
      const ipam = ipamOf("10.1.0.0/29", "10.2.0.0/30")
      const held = new Map<string, Address>()
      for (const [take, who] of steps) {
        const owner = `p${who}`
        const has = held.get(owner)
        if (take && has === undefined && held.size < 6) {
          const address = ipam.allocate(4, owner)
          expect([...held.values()]).not.toContain(address)
          held.set(owner, address)
        } else if (!take && has !== undefined) {
          ipam.release(has, owner)
          held.delete(owner)
        }
      }
    }),
    { numRuns: 50 },
  )
})
