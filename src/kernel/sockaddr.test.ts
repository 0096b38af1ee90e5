import { expect, test } from "vitest"
import { parseAddress } from "../net/address.ts"
import { decodeSockaddr, encodeLinkSockaddr, encodeSockaddr } from "./sockaddr.ts"

test("sockaddr_in: family, port in network order, address, zeros", () => {
  const bytes = encodeSockaddr(parseAddress("10.1.2.3"), 8080)
  expect([...bytes]).toEqual([2, 0, 0x1f, 0x90, 10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0])
  expect(decodeSockaddr(bytes)).toEqual({ address: "10.1.2.3", port: 8080 })
})

test("sockaddr_in6: the scope stands at the end", () => {
  const bytes = encodeSockaddr(parseAddress("fe80::1"), 53, 7)
  expect(bytes).toHaveLength(28)
  expect([...bytes.subarray(0, 10)]).toEqual([10, 0, 0, 53, 0, 0, 0, 0, 0xfe, 0x80])
  expect([...bytes.subarray(23)]).toEqual([1, 7, 0, 0, 0])
  expect(decodeSockaddr(bytes)).toEqual({ address: "fe80::1", port: 53 })
})

test("sockaddr_ll: interface, and whether the frame was our own", () => {
  const bytes = encodeLinkSockaddr(5, 0x0800)
  expect([...bytes.subarray(0, 8)]).toEqual([17, 0, 8, 0, 5, 0, 0, 0])
  bytes[10] = 4
  expect(decodeSockaddr(bytes)).toEqual({ address: "::", port: 0, ifindex: 5, outgoing: true })
})

test("no address: unspecified", () => {
  expect(decodeSockaddr(new Uint8Array(32))).toEqual({ address: "::", port: 0 })
})
