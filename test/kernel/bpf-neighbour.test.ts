import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { reasonNames } from "../../src/kernel/abi.generated.ts"
import {
  arp,
  BROADCAST_MAC,
  EtherType,
  ethernet,
  icmp6,
  ipv6,
  neighbourAdvertisement,
  neighbourSolicitation,
  solicitedNode,
} from "../../src/net/packet.ts"
import { checksumRight, parseArp, parseFrame, parseIp, parseNeighbour } from "../../src/net/parse.ts"
import { A, Action, cluster, GATEWAY_MAC, pods, TestNode } from "./bpf-fixture.ts"

const MAC = "02:00:00:00:00:01"
const gateway6 = A("fe80::1")
let node: TestNode

beforeAll(async () => {
  node = new TestNode()
  await node.enforce(
    cluster(
      pods({ web: { addresses: ["10.0.1.1", "fd00::1:1"] }, other: { addresses: ["10.0.1.2", "fd00::1:2"] } }),
      [],
    ),
  )
})
afterAll(() => node?.remove())

function sent(frame: Uint8Array): { action: string; packet: Uint8Array } {
  node.events()
  const { result, packet } = node.run("from_pod", frame, node.port("default/web").ifindex)
  const reason = node.events().map((each) => reasonNames[each.reason])
  const action = Object.entries(Action).find(([, number]) => number === result)?.[0] ?? String(result)
  return { action: [action, ...reason].join(" "), packet }
}

describe("ARP", () => {
  const ask = (sender: string, target: string, operation: 1 | 2 = 1) =>
    ethernet(
      { source: MAC, destination: BROADCAST_MAC, type: EtherType.arp },
      arp({ operation, senderMac: MAC, sender: A(sender), targetMac: "00:00:00:00:00:00", target: A(target) }),
    )

  test("the gateway answers, with its address and to the one who asked", () => {
    const { action, packet } = sent(ask("10.0.1.1", "169.254.1.1"))
    expect(action).toBe("redirect")
    const frame = parseFrame(packet)
    expect(frame).toMatchObject({ source: GATEWAY_MAC, destination: MAC })
    expect(parseArp(frame?.payload ?? packet)).toMatchObject({
      operation: 2,
      senderMac: GATEWAY_MAC,
      sender: "169.254.1.1",
      targetMac: MAC,
      target: "10.0.1.1",
    })
  })

  test.each([
    ["a probe for the gateway is answered", ask("0.0.0.0", "169.254.1.1"), "redirect"],
    ["another pod's address as sender", ask("10.0.1.2", "169.254.1.1"), "shot spoofed-arp"],
    ["the gateway's address as sender", ask("169.254.1.1", "10.0.1.1"), "shot spoofed-arp"],
    ["an answer for another's address", ask("10.0.1.2", "10.0.1.1", 2), "shot spoofed-arp"],
    ["a request for another pod", ask("10.0.1.1", "10.0.1.2"), "shot no-route"],
    ["an announcement of its own address", ask("10.0.1.1", "10.0.1.1"), "shot broadcast"],
    ["a frame that is cut off", ask("10.0.1.1", "169.254.1.1").subarray(0, 30), "shot malformed"],
  ])("%s", (_, frame, expected) => {
    expect(sent(frame).action).toBe(expected)
  })
})

describe("neighbour discovery", () => {
  const frame = (source: string, destination: string, message: Uint8Array, hopLimit = 255) =>
    ethernet(
      { source: MAC, destination: "33:33:ff:00:00:01", type: EtherType.ipv6 },
      ipv6({ source: A(source), destination: A(destination), next: 58, hopLimit }, message),
    )
  const ask = (source: string, target: string, mac: string | undefined = MAC, hopLimit = 255) => {
    const destination = solicitedNode(A(target))
    const fields = mac === "" ? { target: A(target) } : { target: A(target), mac }
    return frame(source, destination, neighbourSolicitation(fields, { source: A(source), destination }), hopLimit)
  }
  const tell = (source: string, target: string) => {
    const ends = { source: A(source), destination: A("ff02::1") }
    return frame(source, "ff02::1", neighbourAdvertisement({ target: A(target), mac: MAC, override: true }, ends))
  }

  test.each([
    ["with its link-layer option", MAC],
    ["without it, so that the answer is longer than the question", ""],
  ])("the gateway answers a solicitation %s", (_, mac) => {
    const { action, packet } = sent(ask("fd00::1:1", "fe80::1", mac))
    expect(action).toBe("redirect")
    const answer = parseFrame(packet)
    expect(answer).toMatchObject({ source: GATEWAY_MAC, destination: MAC, type: EtherType.ipv6 })
    const parsed = parseIp(answer?.payload ?? packet)
    expect(parsed).toMatchObject({ source: gateway6, destination: "fd00::1:1", protocol: 58 })
    if (!parsed?.transport) throw new Error("no ICMPv6 message in the answer")
    expect(checksumRight(parsed)).toBe(true)
    expect(parsed.transport).toMatchObject({ icmp: { type: 136, code: 0 } })
    expect(parseNeighbour(parsed.transport)).toMatchObject({ target: gateway6, mac: GATEWAY_MAC })
  })

  test("an asker without an address gets the answer by multicast", () => {
    const { action, packet } = sent(ask("::", "fe80::1", ""))
    expect(action).toBe("redirect")
    expect(parseIp(parseFrame(packet)?.payload ?? packet)).toMatchObject({ destination: "ff02::1" })
  })

  test.each([
    ["another pod's address as source", ask("fd00::1:2", "fe80::1"), "shot spoofed-neighbour"],
    ["the gateway's address as source", ask("fe80::1", "fd00::1:1"), "shot spoofed-neighbour"],
    ["a link-local source is its own affair", ask("fe80::2", "fe80::1"), "redirect"],
    ["a request for another pod", ask("fd00::1:1", "fd00::1:2"), "shot no-route"],
    ["duplicate address detection", ask("::", "fd00::1:1", ""), "shot multicast"],
    ["from beyond the link", ask("fd00::1:1", "fe80::1", MAC, 64), "shot malformed"],
    ["an advertisement of the gateway's address", tell("fd00::1:1", "fe80::1"), "shot spoofed-neighbour"],
    ["an advertisement of another's address", tell("fd00::1:1", "fd00::1:2"), "shot spoofed-neighbour"],
    ["an advertisement of its own", tell("fd00::1:1", "fd00::1:1"), "shot multicast"],
    [
      "a router solicitation",
      frame("fe80::2", "ff02::2", icmp6({ type: 133 }, { source: A("fe80::2"), destination: A("ff02::2") })),
      "shot multicast",
    ],
  ])("%s", (_, bytes, expected) => {
    expect(sent(bytes).action).toBe(expected)
  })
})
