import { describe, expect, test } from "vitest"
import { parseAddress } from "../../net/address.ts"
import { parsePrefix } from "../../net/prefix.ts"
import { decodeAddress, encodeAddress } from "./address.ts"
import { decodeLink, encodeLinkChange, encodeVxlan } from "./link.ts"
import { decodeNeighbour, encodeNeighbour } from "./neighbour.ts"
import { decodeRoute, encodeRoute } from "./route.ts"

const message = (payload: Uint8Array) => ({ type: 0, flags: 0, sequence: 0, payload })

/** Bytes as the structs of include/uapi/linux lay them out; values written by hand. */
describe("what is sent", () => {
  test("an address: ifaddrmsg, IFA_LOCAL, IFA_ADDRESS, IFA_FLAGS", () => {
    const bytes = encodeAddress({ ifindex: 3, address: parseAddress("10.1.2.3"), prefixLength: 32, noDad: true })
    expect([...bytes]).toEqual([
      ...[2, 32, 0, 0, 3, 0, 0, 0],
      ...[8, 0, 2, 0, 10, 1, 2, 3],
      ...[8, 0, 1, 0, 10, 1, 2, 3],
      ...[8, 0, 8, 0, 2, 0, 0, 0],
    ])
  })

  test("a route: rtmsg, RTA_DST, RTA_TABLE, RTA_GATEWAY, RTA_OIF", () => {
    const bytes = encodeRoute({
      destination: parsePrefix("10.0.0.0/8"),
      gateway: parseAddress("169.254.1.1"),
      ifindex: 7,
      onlink: true,
    })
    expect([...bytes]).toEqual([
      ...[2, 8, 0, 0, 254, 4, 0, 1, 4, 0, 0, 0],
      ...[8, 0, 1, 0, 10, 0, 0, 0],
      ...[8, 0, 15, 0, 254, 0, 0, 0],
      ...[8, 0, 5, 0, 169, 254, 1, 1],
      ...[8, 0, 4, 0, 7, 0, 0, 0],
    ])
  })

  test("a gateway of the other family: RTA_VIA with its family", () => {
    const bytes = encodeRoute({ destination: parsePrefix("10.0.0.0/8"), gateway: parseAddress("fd00::1"), ifindex: 7 })
    expect([...bytes.subarray(28, 34)]).toEqual([22, 0, 18, 0, 10, 0])
  })

  test("flags of a link: only those named are in the change mask", () => {
    const bytes = encodeLinkChange(5, { up: true, noarp: false })
    expect([...bytes]).toEqual([0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0x81, 0, 0, 0])
    expect([...encodeLinkChange(5, { mtu: 1400 }).subarray(8)]).toEqual([
      ...[0, 0, 0, 0, 0, 0, 0, 0],
      ...[8, 0, 4, 0, 0x78, 5, 0, 0],
    ])
  })
})

describe("what is sent is what is read", () => {
  const mac = Uint8Array.of(2, 0x68, 0x64, 0, 0, 1)

  test.each(["10.1.2.3", "fd00::1"])("address %s", (address) => {
    const options = { ifindex: 3, address: parseAddress(address), prefixLength: 24, scope: "link" } as const
    expect(decodeAddress(message(encodeAddress(options)))).toEqual({ ...options, tentative: false })
  })

  test("link", () => {
    const bytes = encodeVxlan({ name: "hd-vx", port: 4789, external: true, mac, mtu: 1450, up: true })
    expect(decodeLink(message(bytes))).toEqual({
      index: 0,
      name: "hd-vx",
      mac,
      mtu: 1450,
      up: true,
      carrier: false,
      noarp: false,
      kind: "vxlan",
    })
  })

  test.each([
    { destination: parsePrefix("10.0.0.0/8"), gateway: parseAddress("10.1.1.1"), ifindex: 2, mtu: 1400, metric: 9 },
    {
      destination: parsePrefix("fd00::/8"),
      gateway: parseAddress("fe80::1"),
      ifindex: 2,
      source: parseAddress("fd00::5"),
    },
    { destination: parsePrefix("0.0.0.0/0"), gateway: parseAddress("fe80::1"), ifindex: 2, table: 1000 },
  ])("route to $destination", (options) => {
    const protocol = 4
    expect(decodeRoute(message(encodeRoute(options)))).toEqual({
      scope: "universe",
      table: 254,
      type: "unicast",
      protocol,
      ...options,
    })
  })

  test("neighbour", () => {
    const options = { ifindex: 9, address: parseAddress("fd00::9"), mac, permanent: true }
    expect(decodeNeighbour(message(encodeNeighbour(options)))).toEqual(options)
  })
})
