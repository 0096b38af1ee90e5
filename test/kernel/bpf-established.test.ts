import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { EventKind, FlowFlag, Reason } from "../../src/kernel/abi.generated.ts"
import { type Ends, ip, TcpFlag, tcp, udp } from "../../src/net/packet.ts"
import { A, Action, app, cluster, pods, policy, TestNode, tcpPort } from "./bpf-fixture.ts"

let node: TestNode

const specs = {
  web: { addresses: ["10.0.1.1", "fd00::1:1"] },
  client: { addresses: ["10.0.1.2", "fd00::1:2"] },
  stranger: { addresses: ["10.0.1.3", "fd00::1:3"] },
  far: { node: "two", addresses: ["10.0.2.1", "fd00::2:1"] },
}
const open = cluster(pods(specs), [
  policy("web", app("web"), { ingress: [{ peer: app("client", "far"), l4: [tcpPort(80)] }] }),
])
const shut = cluster(pods(specs), [policy("web", app("web"), { ingress: [] })])

beforeAll(async () => {
  node = new TestNode()
  await node.enforce(open)
})
afterAll(() => node?.remove())

function segment(from: string, to: string, flags: number, ports: [number, number] = [40_000, 80]): Uint8Array {
  const ends: Ends = { source: A(from), destination: A(to) }
  return ip({ ...ends, protocol: 6 }, tcp({ sourcePort: ports[0], destinationPort: ports[1], flags }, ends))
}

describe.each([
  ["IPv4", "10.0.1.2", "10.0.1.1", "10.0.1.3"],
  ["IPv6", "fd00::1:2", "fd00::1:1", "fd00::1:3"],
])("a connection over %s", (_, client, web, stranger) => {
  test("is judged with its first packet, and then passes in both directions", () => {
    expect(node.send("default/client", segment(client, web, TcpFlag.syn))).toBe(Action.redirect)
    expect(node.send("default/web", segment(web, client, TcpFlag.syn | TcpFlag.ack, [80, 40_000]))).toBe(
      Action.redirect,
    )
    expect(node.send("default/client", segment(client, web, TcpFlag.ack))).toBe(Action.redirect)
    const events = node.events()
    expect(events.map((each) => each.kind)).toEqual([EventKind.flowStart])
    const [record] = [...node.plane.flows()].filter((each) => each.source === client)
    expect(record).toMatchObject({ source: client, destination: web, sourcePort: 40_000, destinationPort: 80 })
    expect(record?.flow.packets).toEqual([2n, 1n])
    expect((record?.flow.flags ?? 0) & FlowFlag.established).toBeTruthy()
    expect((record?.flow.flags ?? 0) & FlowFlag.halfOpen).toBe(0)
  })

  test("is denied to another, and the drop is told with its reason", () => {
    expect(node.send("default/stranger", segment(stranger, web, TcpFlag.syn))).toBe(Action.shot)
    const [drop] = node.events()
    expect(drop).toMatchObject({ kind: EventKind.drop, reason: Reason.policy, direction: 0, destinationPort: 80 })
  })
})

test("a new deny cuts an established connection in both directions, and only that", async () => {
  expect(node.send("default/client", segment("10.0.1.2", "10.0.1.1", TcpFlag.ack))).toBe(Action.redirect)
  await node.enforce(shut)
  expect(node.send("default/web", segment("10.0.1.1", "10.0.1.2", TcpFlag.ack, [80, 40_000]))).toBe(Action.shot)
  expect(node.send("default/client", segment("10.0.1.2", "10.0.1.1", TcpFlag.ack))).toBe(Action.shot)
  expect(node.events().map((each) => [each.kind, each.reason])).toEqual([
    [EventKind.flowJudged, 0],
    [EventKind.drop, Reason.policy],
    [EventKind.drop, Reason.policy],
  ])
  await node.enforce(open)
  expect(node.send("default/client", segment("10.0.1.2", "10.0.1.1", TcpFlag.ack))).toBe(Action.redirect)
})

test("UDP", () => {
  const ends = { source: A("10.0.1.2"), destination: A("10.0.1.3") }
  expect(
    node.send("default/client", ip({ ...ends, protocol: 17 }, udp({ sourcePort: 1, destinationPort: 2 }, ends))),
  ).toBe(Action.redirect)
})
