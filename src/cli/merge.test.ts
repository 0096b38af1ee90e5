import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { Merger } from "./merge.ts"

interface Item {
  readonly timeNs: bigint
  readonly from: string
}

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function setup() {
  const out: string[] = []
  const compare = (a: Item, b: Item): number => Number(a.timeNs - b.timeNs)
  const merger = new Merger<Item>((item) => out.push(`${item.from}${item.timeNs}`), compare, 100, Date.now)
  return { out, merger, add: (from: string, timeNs: bigint) => merger.add({ from, timeNs }) }
}

test("items of a slower node that are earlier still go first", () => {
  const { out, add } = setup()
  add("a", 20n)
  vi.advanceTimersByTime(60)
  expect(out).toEqual([])
  add("b", 10n)
  add("b", 30n)
  vi.advanceTimersByTime(40)
  expect(out).toEqual(["b10", "a20"])
  vi.advanceTimersByTime(60)
  expect(out).toEqual(["b10", "a20", "b30"])
})

test("what comes too late goes out all the same, and nothing stays behind", () => {
  const { out, merger, add } = setup()
  add("a", 20n)
  vi.advanceTimersByTime(100)
  add("b", 10n)
  vi.advanceTimersByTime(100)
  add("a", 40n)
  add("b", 30n)
  merger.flush()
  expect(out).toEqual(["a20", "b10", "b30", "a40"])
  vi.advanceTimersByTime(1_000)
  expect(out).toHaveLength(4)
})
