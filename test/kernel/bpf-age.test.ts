import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { EventKind, FlowFlag, Reason } from "../../src/kernel/abi.generated.ts"
import { type Ends, ip, TcpFlag, tcp, udp } from "../../src/net/packet.ts"
import { A, Action, app, cluster, pods, policy, TestNode } from "./bpf-fixture.ts"

const specs = {
  a: { addresses: ["10.0.1.1"] },
  b: { addresses: ["10.0.1.2"] },
  c: { addresses: ["10.0.1.3"] },
}
const open = cluster(pods(specs), [])
let node: TestNode

beforeAll(async () => {
  node = new TestNode({
    timeouts: { tcpSyn: 1, tcpEstablished: 600, tcpClosing: 1, udp: 1, udpReplied: 600 },
    halfOpenLimit: 20,
    entries: { flows: 4_096 },
  })
  await node.enforce(open)
})
afterAll(() => node?.remove())

const ends = (from: string, to: string): Ends => ({ source: A(from), destination: A(to) })
function segment(from: string, to: string, ports: [number, number], flags: number): Uint8Array {
  const e = ends(from, to)
  return ip({ ...e, protocol: 6 }, tcp({ sourcePort: ports[0], destinationPort: ports[1], flags }, e))
}
function datagram(from: string, to: string, ports: [number, number]): Uint8Array {
  const e = ends(from, to)
  return ip({ ...e, protocol: 17 }, udp({ sourcePort: ports[0], destinationPort: ports[1] }, e))
}
const { syn, ack, fin, rst } = TcpFlag

/** Waits until the flow table holds so many records. */
async function until(count: number): Promise<void> {
  for (let i = 0; i < 200 && [...node.plane.flows()].length !== count; i++) await sleep(100)
  expect([...node.plane.flows()].length).toBe(count)
}

test("records end by their state: no answer, both FIN, RST; the established stay", async () => {
  const connect = (port: number) => {
    node.send("default/a", segment("10.0.1.1", "10.0.1.2", [port, 80], syn))
    node.send("default/b", segment("10.0.1.2", "10.0.1.1", [80, port], syn | ack))
    node.send("default/a", segment("10.0.1.1", "10.0.1.2", [port, 80], ack))
  }
  connect(1)
  connect(2)
  node.send("default/a", segment("10.0.1.1", "10.0.1.2", [2, 80], fin | ack))
  node.send("default/b", segment("10.0.1.2", "10.0.1.1", [80, 2], fin | ack))
  connect(3)
  node.send("default/b", segment("10.0.1.2", "10.0.1.1", [80, 3], rst))
  node.send("default/a", segment("10.0.1.1", "10.0.1.2", [4, 80], syn))
  node.send("default/a", datagram("10.0.1.1", "10.0.1.2", [5, 53]))
  node.send("default/a", datagram("10.0.1.1", "10.0.1.2", [6, 53]))
  node.send("default/b", datagram("10.0.1.2", "10.0.1.1", [53, 6]))
  // Two questions and their answers, as of a name asked for in both families; and what goes on after them.
  const ask = (port: number, packets: number) => {
    for (let i = 0; i < packets; i++)
      if (i % 4 < 2) node.send("default/a", datagram("10.0.1.1", "10.0.1.2", [port, 53]))
      else node.send("default/b", datagram("10.0.1.2", "10.0.1.1", [53, port]))
  }
  ask(7, 4)
  ask(8, 5)
  expect([...node.plane.flows()].length).toBe(8)
  node.events()
  await until(2)
  const ended = node.events().filter((each) => each.kind === EventKind.flowEnd)
  expect(ended.map((each) => each.sourcePort).sort()).toEqual([2, 3, 4, 5, 6, 7])
  expect(ended.find((each) => each.sourcePort === 2)).toMatchObject({ packets: [3n, 2n], protocol: 6 })
  // A record that is past its time is none, even before the timer has come by.
  expect(node.plane.sweep().ticks).toBeGreaterThan(0)
})

test("a port is used again after its connection has ended", () => {
  node.send("default/a", segment("10.0.1.1", "10.0.1.2", [1, 80], rst))
  node.events()
  expect(node.send("default/a", segment("10.0.1.1", "10.0.1.2", [1, 80], syn))).toBe(Action.redirect)
  expect(node.events().map((each) => each.kind)).toEqual([EventKind.flowEnd, EventKind.flowStart])
})

test("half-open flows are limited by endpoint, and an answer makes room", async () => {
  await until(1)
  const results = Array.from({ length: 25 }, (_, i) =>
    node.send("default/c", segment("10.0.1.3", "10.0.1.2", [100 + i, 80], syn)),
  )
  expect(results.filter((each) => each === Action.redirect).length).toBe(20)
  expect(node.events().some((each) => each.reason === Reason.halfOpenLimit)).toBe(true)
  // Another endpoint has its own.
  expect(node.send("default/a", segment("10.0.1.1", "10.0.1.2", [100, 80], syn))).toBe(Action.redirect)
  node.send("default/b", segment("10.0.1.2", "10.0.1.3", [80, 100], syn | ack))
  node.send("default/c", segment("10.0.1.3", "10.0.1.2", [100, 80], ack))
  expect(node.send("default/c", segment("10.0.1.3", "10.0.1.2", [200, 80], syn))).toBe(Action.redirect)
  expect(node.send("default/c", segment("10.0.1.3", "10.0.1.2", [201, 80], syn))).toBe(Action.shot)
  await until(2)
  // Those that ended make room again.
  expect(node.send("default/c", segment("10.0.1.3", "10.0.1.2", [202, 80], syn))).toBe(Action.redirect)
})

test("a full table drops new flows and keeps the old", async () => {
  let full = 0
  for (let i = 0; i < 6_000 && full === 0; i++) {
    const port = 1_000 + i
    if (node.send("default/a", segment("10.0.1.1", "10.0.1.2", [port, 81], ack)) === Action.shot) full = port
    // Both ends have spoken: a connection from before, no longer half open.
    node.send("default/b", segment("10.0.1.2", "10.0.1.1", [81, port], ack))
  }
  expect(full).toBeGreaterThan(0)
  expect([...node.plane.flows()].length).toBe(4_096)
  // Each record once, those too that took the place of an ended one.
  expect(node.plane.sweep().flows).toBe(4_096)
  expect(node.plane.drops().get("flow-table-full")?.packets).toBeGreaterThan(0n)
  expect(node.send("default/a", segment("10.0.1.1", "10.0.1.2", [1_000, 81], ack))).toBe(Action.redirect)
})

test("an endpoint that goes takes its flows with it, before its address is another's", async () => {
  const { a, c } = specs
  const held = [...node.plane.flows()].filter((each) => each.flow.destinationEndpoint !== 0).length
  expect(held).toBeGreaterThan(0)
  const without = cluster(pods({ a, c }), [])
  await node.enforce(without)
  const alive = [...node.plane.flows()].filter((each) => each.destination === "10.0.1.2")
  const now = Number(node.plane.sweep().jiffies & 0xffff_ffffn)
  expect(alive.every((each) => ((now - each.flow.expires) | 0) > 0)).toBe(true)
  // The address comes back with another pod that nobody may reach.
  const other = cluster(pods({ a, c, d: { addresses: ["10.0.1.2"] } }), [policy("d", app("d"), { ingress: [] })])
  await node.enforce(other)
  expect(node.send("default/a", segment("10.0.1.1", "10.0.1.2", [1_000, 81], ack))).toBe(Action.shot)
})

test("an answer in a connection from before is let through for a while after the table was lost", async () => {
  // The full table of before has ended with its pod.
  for (let i = 0; i < 200 && node.plane.sweep().flows > 100; i++) await sleep(100)
  const jail = cluster(pods(specs), [policy("b", app("b"), { egress: [] })])
  await node.enforce(jail)
  const answer = segment("10.0.1.2", "10.0.1.3", [80, 7_000], ack)
  expect(node.send("default/b", answer)).toBe(Action.shot)
  node.plane.allowPickUp(1)
  expect(node.send("default/b", answer)).toBe(Action.redirect)
  const [record] = [...node.plane.flows()].filter((each) => each.sourcePort === 7_000)
  expect(record).toMatchObject({ source: "10.0.1.3", destination: "10.0.1.2", destinationPort: 80 })
  expect((record?.flow.flags ?? 0) & FlowFlag.picked).toBeTruthy()
  // A connection that policy allows in neither direction stays out.
  expect(node.send("default/b", segment("10.0.1.2", "10.0.1.3", [80, 7_001], syn))).toBe(Action.shot)
  await sleep(1_500)
  expect(node.send("default/b", segment("10.0.1.2", "10.0.1.3", [80, 7_002], ack))).toBe(Action.shot)
})
