import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import type { Node } from "../../model/cluster.ts"
import { parseAddress } from "../../net/address.ts"
import { podMtu } from "./mtu.ts"
import { addressOfPeer, PeerNumbers } from "./peers.ts"

let file: string
let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "hd-peers-"))
  file = join(directory, "peers.json")
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

test("a node keeps its number while it exists, also over a restart", () => {
  const numbers = new PeerNumbers(file)
  expect(Object.fromEntries(numbers.assign(["a", "b", "c"]))).toEqual({ a: 1, b: 2, c: 3 })
  expect(Object.fromEntries(numbers.assign(["c", "a"]))).toEqual({ a: 1, c: 3 })
  expect(Object.fromEntries(new PeerNumbers(file).assign(["d", "c", "a"]))).toEqual({ a: 1, c: 3, d: 4 })
})

function nodeOf(...addresses: readonly string[]): Node {
  return { name: "n", labels: {}, addresses: addresses.map((text) => parseAddress(text)), podPrefixes: [] }
}

test.each([
  ["vxlan", ["192.0.2.1", "2001:db8::1"], ["2001:db8::2", "192.0.2.2"], "192.0.2.2"],
  ["vxlan", ["2001:db8::1", "192.0.2.1"], ["192.0.2.2", "2001:db8::2"], "2001:db8::2"],
  ["vxlan", ["192.0.2.1", "2001:db8::1"], ["2001:db8::2"], "2001:db8::2"],
  ["native", ["192.0.2.1", "2001:db8::1"], ["192.0.2.2", "2001:db8::2"], "2001:db8::2"],
  ["native", ["192.0.2.1"], ["192.0.2.2", "2001:db8::2"], "192.0.2.2"],
  ["vxlan", ["192.0.2.1"], ["2001:db8::2"], undefined],
] as const)("%s: %j reaches %j at %s", (routing, own, other, address) => {
  expect(addressOfPeer(nodeOf(...own), nodeOf(...other), routing)).toBe(address)
})

test("what a pod may send fits the way to other nodes", () => {
  expect([podMtu(1500, "vxlan", 4), podMtu(1500, "vxlan", 6), podMtu(1500, "native", 6)]).toEqual([1450, 1430, 1500])
})
