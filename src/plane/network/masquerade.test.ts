import { expect, test } from "vitest"
import { parsePrefix } from "../../net/prefix.ts"
import { masqueradeScript } from "./masquerade.ts"

test("pods keep their address inside the cluster and where it is wanted, by family", () => {
  const script = masqueradeScript({
    pods: ["10.1.0.0/24", "fd00::/64", "10.1.0.0/24"].map((text) => parsePrefix(text)),
    direct: ["192.168.0.0/16", "::/0"].map((text) => parsePrefix(text)),
  })
  expect(sets(script)).toEqual({
    pods4: "10.1.0.0/24",
    pods6: "fd00::/64",
    direct4: "10.1.0.0/24, 192.168.0.0/16",
    direct6: "::/1, 8000::/1",
  })
})

test("an empty set has no elements, which nft would refuse", () => {
  expect(sets(masqueradeScript({ pods: [], direct: [] }))).toEqual({})
  expect(masqueradeScript({ pods: [], direct: [] })).toContain("set direct4 {")
})

test("the table is replaced in the transaction that makes it", () => {
  expect(masqueradeScript({ pods: [], direct: [] })).toMatch(/^table inet heddle\ndelete table inet heddle\ntable inet/)
})

test("the tunnel is not tracked, where there is one", () => {
  const tracked = (overlayPort?: number) => masqueradeScript({ pods: [], direct: [], overlayPort })
  expect(tracked(4789).match(/udp dport 4789 notrack/g)).toHaveLength(2)
  expect(tracked()).not.toContain("udp")
})

function sets(script: string): Record<string, string> {
  const found = script.matchAll(/set (\w+) \{\n.*\n {4}elements = \{ (.*) \}/g)
  return Object.fromEntries(Array.from(found, ([, name, elements]) => [name ?? "", elements ?? ""]))
}
