import { setTimeout as sleep } from "node:timers/promises"
import { afterEach, describe, expect, test } from "vitest"
import { event } from "../../src/kernel/abi.generated.ts"
import { RingReader } from "../../src/kernel/bpf/ring.ts"
import { openSocket, type Socket } from "../../src/kernel/socket.ts"
import { TcpFlag } from "../../src/net/packet.ts"
import type { EbpfPlaneOptions } from "../../src/plane/ebpf/plane.ts"
import { OverBudget } from "../../src/plane/plane.ts"
import { app, block, cluster, type PodSpec, pods, policy } from "../kernel/bpf-fixture.ts"
import type { Stream } from "./sender.ts"
import { Senders } from "./senders.ts"
import { WireNode } from "./wire-node.ts"

const addresses = { flooder: "10.0.1.1", target: "10.0.1.2", client: "10.0.1.3", server: "10.0.1.4" }
type Name = keyof typeof addresses
const specs = Object.fromEntries(
  Object.entries(addresses).map(([name, address]): [string, PodSpec] => [name, { addresses: [address] }]),
)
const state = cluster(pods(specs), [policy("server", app("server"), { ingress: [{ peer: app("client") }] })])

let node: WireNode
async function up(options: Partial<EbpfPlaneOptions> = {}): Promise<void> {
  node = new WireNode(addresses, options)
  await node.plane.apply(node.compile(state), null)
}
afterEach(() => node?.remove())

const stream = (from: Name, to: Name, rest: Partial<Stream>): Stream => ({
  netns: node.pod(from).namespace.path,
  from: addresses[from],
  to: addresses[to],
  protocol: 6,
  port: 80,
  ...rest,
})
const dropped = (reason: string) => Number(node.plane.drops().get(reason)?.packets ?? 0n)
const recordsOf = (name: Name) => [...node.plane.flows()].filter((each) => each.source === addresses[name]).length

/** Connects `count` times from client to server; returns how many were accepted before a SYN could have been repeated. */
async function connections(count: number): Promise<number> {
  const listener = openSocket({ namespace: node.pod("server").namespace, family: 4, type: "stream" })
  const sockets: Socket[] = []
  let accepted = 0
  try {
    listener.option("reuseAddress", true)
    listener.bind(node.pod("server").address, 7_000)
    listener.listen(1_024)
    for (let i = 0; i < count; i++) {
      const socket = openSocket({ namespace: node.pod("client").namespace, family: 4, type: "stream" })
      socket.option("linger", 0)
      sockets.push(socket)
      socket.connect(node.pod("server").address, 7_000)
      if (i % 10 === 9) await sleep(5)
    }
    for (let waited = 0; accepted < count && waited < 800; waited += 5) {
      for (let got = listener.accept(); got !== undefined; got = listener.accept()) {
        accepted++
        sockets.push(got.socket)
      }
      if (accepted < count) await sleep(5)
    }
    return accepted
  } finally {
    for (const socket of sockets) socket.close()
    listener.close()
  }
}

describe.each([
  ["SYN", [TcpFlag.syn]],
  ["ACK without a connection", [TcpFlag.ack]],
])("a flood of %s from one pod", (what, flags) => {
  test("ends at the limit of half-open flows, and takes nothing from another pod", async () => {
    await up()
    // Four ports to flood: more flows than the whole table has room for.
    const ports = [80, 81, 82, 83]
    const streams = ports.map((port) => stream("flooder", "target", { port, flags, sourcePort: 1_024, flows: 50_000 }))
    await using flood = new Senders([streams.slice(0, 2), streams.slice(2)])
    while (dropped("half-open-limit") < 100_000 && flood.sent(0) + flood.sent(1) < 400_000) await sleep(20)
    const accepted = await connections(200)
    await flood.stop()
    const sent = flood.sent(0) + flood.sent(1)
    const records = recordsOf("flooder")
    console.log(
      `${what}: ${sent} sent, ${records} records, ${dropped("half-open-limit")} dropped as half-open-limit, ${dropped("flow-table-full")} as flow-table-full; another pod: ${accepted} of 200 connections`,
    )
    expect(accepted).toBe(200)
    // Two CPUs may look at the count at once.
    expect(records).toBeLessThanOrEqual(8_192 + 8)
    expect(dropped("half-open-limit")).toBeGreaterThan(0)
    expect(dropped("flow-table-full")).toBe(0)
  })
})

test("a full record table: what finds no room is dropped and counted, what has a record goes on", async () => {
  await up({ entries: { flows: 4_096 }, halfOpenLimit: 1_000_000 })
  const quiet = openSocket({ namespace: node.pod("target").namespace, family: 4, type: "dgram" })
  try {
    quiet.bind(node.pod("target").address, 53)
    const before = node.received("target")
    const first = stream("flooder", "target", { protocol: 17, port: 53, sourcePort: 2_000, flows: 100, once: true })
    const rest = { ...first, sourcePort: 3_000, flows: 20_000 }
    const send = async (one: Stream) => {
      await using senders = new Senders([[one]])
      await senders.done()
      return senders.sent(0)
    }
    const sent = (await send(first)) + (await send(rest))
    const full = dropped("flow-table-full")
    const arrived = node.received("target") - before
    const again = node.received("target")
    await send(first)
    const kept = node.received("target") - again
    console.log(
      `record table of 4,096: ${sent} flows sent, ${arrived} passed, ${full} dropped as flow-table-full; ${kept} of the first 100 go on`,
    )
    expect(full).toBeGreaterThan(10_000)
    expect(arrived + full).toBe(sent)
    expect(kept).toBe(100)
  } finally {
    quiet.close()
  }
})

test("a budget that is too small: refused with need and budget, nothing applied in part", async () => {
  await up({ entries: { prefixes: 64 } })
  const before = await node.plane.read()
  const blocks = Array.from({ length: 100 }, (_, i) => `198.51.${i}.0/24`)
  const more = cluster(pods({ ...specs, late: { node: "two", addresses: ["10.0.2.9"] } }), [
    policy("server", app("server"), { ingress: [{ peer: block(...blocks) }] }),
  ])
  const error: unknown = await node.plane.apply(node.compile(more), null).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(OverBudget)
  console.log((error as OverBudget).message)
  expect((error as OverBudget).needs).toEqual([{ table: "prefixes", need: expect.any(Number), budget: 64 }])
  expect(await node.plane.read()).toEqual(before)
  expect(await connections(10)).toBe(10)
  const shut = cluster(pods(specs), [policy("server", app("server"), { ingress: [] })])
  await node.plane.apply(node.compile(shut), null)
  expect(await connections(10)).toBe(0)
})

test("a full ring: every event that is lost is counted, and no verdict depends on it", async () => {
  await up({ halfOpenLimit: 1_000_000 })
  const quiet = openSocket({ namespace: node.pod("target").namespace, family: 4, type: "dgram" })
  const ring = new RingReader(node.plane.events)
  try {
    quiet.bind(node.pod("target").address, 53)
    const before = node.received("target")
    await using senders = new Senders([
      [stream("flooder", "target", { protocol: 17, port: 53, sourcePort: 1_024, flows: 50_000, once: true })],
    ])
    await senders.done()
    const passed = node.received("target") - before
    const lost = Number(node.plane.lost().get("flow-start") ?? 0n)
    let told = 0
    while (ring.read((view, offset) => void (event.read(view, offset).kind === 1 && told++), 10_000) > 0);
    console.log(`ring: ${senders.sent(0)} new flows, ${passed} passed, ${told} told, ${lost} counted as lost`)
    expect(passed).toBe(50_000)
    expect(lost).toBeGreaterThan(0)
    expect(told + lost).toBe(50_000)
    expect(await connections(10)).toBe(10)
  } finally {
    ring.close()
    quiet.close()
  }
})
