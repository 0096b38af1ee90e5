import fc from "fast-check"
import { expect, test } from "vitest"
import { VersionedMap } from "./versions.ts"

test("every version stays what it was, whatever later ones become", () => {
  const change = fc.array(fc.tuple(fc.nat(9), fc.option(fc.nat(99), { nil: undefined })), { maxLength: 5 })
  fc.assert(
    fc.property(fc.array(fc.tuple(change, fc.nat(9)), { maxLength: 12 }), (steps) => {
      const versions = [{ map: new VersionedMap<number, number>(), model: new Map<number, number>() }]
      for (const [changes, from] of steps) {
        // Mostly from the newest; now and then a branch from an old one.
        const base = versions[from === 0 ? versions.length >> 1 : versions.length - 1] ?? versions[0]
        if (base === undefined) continue
        const model = new Map(base.model)
        for (const [key, value] of new Map(changes)) {
          if (value === undefined) model.delete(key)
          else model.set(key, value)
        }
        versions.push({ map: base.map.with(new Map(changes)), model })
      }
      for (const { map, model } of versions) {
        expect(new Map(map)).toEqual(model)
        expect(map.size).toBe(model.size)
        for (let key = 0; key < 10; key++) expect(map.get(key)).toBe(model.get(key))
      }
    }),
    { seed: 1, numRuns: 300 },
  )
})

test("versions tell which keys may differ", () => {
  const first = new VersionedMap(new Map([["a", 1]]))
  const second = first.with(new Map([["b", 2]]))
  const third = second.with(new Map([["a", 3]]))
  expect(first.changedUntil(third)).toEqual(new Set(["a", "b"]))
  expect(second.changedUntil(third)).toEqual(new Set(["a"]))
  expect(third.changedUntil(first)).toBeUndefined()
  expect(first.with(new Map([["a", 1]]))).toBe(first)
})
