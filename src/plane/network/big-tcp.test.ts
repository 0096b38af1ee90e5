import { expect, test } from "vitest"
import type { Link } from "../../kernel/netlink/link.ts"
import { type BigTcpQuestion, decideBigTcp, wayOf } from "./big-tcp.ts"

function link(index: number, name: string, more: Partial<Link> = {}): Link {
  const rest = { mac: new Uint8Array(6), mtu: 1500, up: true, carrier: true, noarp: false }
  return { index, name, ...rest, tsoMaxSize: 524_280, gsoMaxSize: 65_536, gsoIpv4MaxSize: 65_536, ...more }
}

const nic = link(2, "ens3")
const short = link(3, "ens4", { tsoMaxSize: 65_536 })
const veth = link(4, "eth0", { kind: "veth" })

test.each<[string, Partial<BigTcpQuestion>, number | undefined, string]>([
  ["native over a device that takes them", {}, 196_608, "on: TCP packets of up to 196,608 bytes"],
  [
    "as long as the shortest link of the way takes",
    { way: [nic, link(3, "ens4", { tsoMaxSize: 131_072 })] },
    131_072,
    "on: TCP packets of up to 131,072 bytes",
  ],
  [
    "a kernel before 6.3",
    { way: [{ ...nic, gsoIpv4MaxSize: undefined } as unknown as Link] },
    196_608,
    "on: TCP packets of up to 196,608 bytes; IPv6 only, the kernel has it for IPv4 from 6.3 on",
  ],
  ["off", { mode: "off" }, undefined, "off: by the setting bigTcp"],
  [
    "a device that would have them cut",
    { way: [nic, short] },
    undefined,
    "off: ens4 takes TCP packets of 65,536 bytes at most, a longer one is cut in software",
  ],
  [
    "a veth, whatever it says it takes",
    { way: [veth] },
    undefined,
    "off: eth0 is a veth, and what is behind its other end may cut a longer packet",
  ],
  [
    "vxlan",
    { routing: "vxlan" },
    undefined,
    "off: with routing vxlan a longer packet to another node is cut before it is encapsulated",
  ],
  [
    "no room for IPv6's longer header, even when switched on",
    { mode: "on", mtu: 1287 },
    undefined,
    "off: the MTU of 1,287 has no room for the header of long IPv6 packets, 1,288 has",
  ],
  ["on over a veth", { mode: "on", way: [veth] }, 196_608, "on: TCP packets of up to 196,608 bytes"],
  [
    "on where the device has them cut",
    { mode: "on", way: [short] },
    196_608,
    "on: TCP packets of up to 196,608 bytes; ens4 takes TCP packets of 65,536 bytes at most, a longer one is cut in software",
  ],
  [
    "on with vxlan",
    { mode: "on", routing: "vxlan" },
    196_608,
    "on: TCP packets of up to 196,608 bytes; with routing vxlan a longer packet to another node is cut before it is encapsulated",
  ],
])("%s", (_, question, bytes, told) => {
  expect(decideBigTcp({ mode: "auto", routing: "native", way: [nic], mtu: 1500, ...question })).toEqual({ bytes, told })
})

test("the way of an uplink: a bond's ports, the link under a VLAN, one above the other", () => {
  const bond = link(5, "bond0", { kind: "bond" })
  const vlan = link(6, "bond0.7", { kind: "vlan", lower: 5 })
  const ports = [link(7, "ens5", { master: 5 }), link(8, "ens6", { master: 5 })]
  const all = [nic, short, veth, bond, vlan, ...ports]
  const names = (uplink: Link): string[] => wayOf(uplink, () => all).map((one) => one.name)
  expect(names(vlan)).toEqual(["bond0.7", "bond0", "ens5", "ens6"])
  expect(names(bond)).toEqual(["bond0", "ens5", "ens6"])
  expect(names(nic)).toEqual(["ens3"])
  expect(names(veth)).toEqual(["eth0"])
})
