import fc from "fast-check"
import { expect, test } from "vitest"
import { addressBytes } from "../../net/address.ts"
import type { Address } from "../../net/types.ts"
import { AddressShadow, type AddressValue } from "./address-shadow.ts"

const addresses = Array.from({ length: 1_500 }, (_, i) =>
  i % 3 === 0 ? (`fd00::${(i + 1).toString(16)}` as Address) : (`10.0.${i >> 8}.${i & 255}` as Address),
)
const entryOf = (n: number): AddressValue => ({ slot: n, flags: n % 4, endpoint: n % 100, node: n % 7 })

test("it holds what a map would, through growth and deletions", () => {
  const step = fc.tuple(fc.nat(addresses.length - 1), fc.option(fc.nat(1_000)))
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 2_000, size: "max" }), (steps) => {
      const shadow = new AddressShadow()
      const wanted = new Map<Address, AddressValue>()
      for (const [index, number] of steps) {
        const address = addresses[index] as Address
        if (number === null) {
          shadow.delete(address)
          wanted.delete(address)
        } else {
          shadow.set(address, entryOf(number))
          wanted.set(address, entryOf(number))
        }
      }
      expect(shadow.size).toBe(wanted.size)
      for (const address of addresses) expect(shadow.get(address)).toEqual(wanted.get(address))
      shadow.beginMarks()
      expect(new Set(shadow.unmarked())).toEqual(new Set(wanted.keys()))
    }),
    { seed: 20_261_121, numRuns: 40 },
  )
})

test("entries are taken over by their words; marking tells which are not wanted, and which have other values", () => {
  const shadow = new AddressShadow()
  const [a, b, c] = addresses as [Address, Address, Address]
  const keys = new Uint32Array(8)
  for (const [i, address] of [a, b].entries()) new Uint8Array(keys.buffer).set(addressBytes(address), i * 16)
  const values = Uint32Array.of(...Object.values(entryOf(5)), ...Object.values(entryOf(6)))
  for (const i of [0, 1]) shadow.load(keys, values, i)
  shadow.load(keys, values, 1)
  expect([shadow.size, shadow.get(a), shadow.get(b)]).toEqual([2, entryOf(5), entryOf(6)])
  shadow.beginMarks()
  expect(shadow.mark(a, entryOf(7))).toBe(false)
  expect(shadow.mark(c, entryOf(5))).toBe(false)
  expect(shadow.unmarked()).toEqual([b])
  expect(shadow.mark(b, entryOf(6))).toBe(true)
  expect(shadow.unmarked()).toEqual([])
})
