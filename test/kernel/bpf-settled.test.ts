import fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type Ends, ip, TcpFlag, tcp, udp } from "../../src/net/packet.ts"
import { mutantObject, removeVariants } from "../faults/mutant.ts"
import { A, Action, app, cluster, pods, policy, TestNode, tcpPort } from "./bpf-fixture.ts"

const specs = {
  web: { addresses: ["10.0.1.1", "fd00::1:1"] },
  client: { addresses: ["10.0.1.2", "fd00::1:2"] },
  far: { node: "two", addresses: ["10.0.2.1", "fd00::2:1"] },
}
const udpAny = { protocols: [17], ports: [{ kind: "range", first: 1, last: 65_535 }] } as const
const open = cluster(pods(specs), [
  policy("web", app("web"), { ingress: [{ peer: app("client", "far"), l4: [tcpPort(80), udpAny] }] }),
])
const shut = cluster(pods(specs), [policy("web", app("web"), { ingress: [{ peer: app("far") }] })])

/** The product, and the same programs without the short way. */
let both: TestNode[]

beforeAll(async () => {
  removeVariants()
  const changes = [["lib/settled.h", "if (!word ||", "if (true || !word ||"]] as const
  const object = mutantObject({ name: "long-way-only", changes })
  both = [new TestNode(), new TestNode({ object })]
  for (const node of both) await node.enforce(open)
})
afterAll(() => {
  for (const node of both ?? []) node.remove()
  removeVariants()
})

type Place = readonly [name: "client" | "web", program: "from_pod" | "to_pods" | "from_overlay" | "from_uplink"]

function send(node: TestNode, [name, program]: Place, frame: Uint8Array): { result: number; packet: Uint8Array } {
  const ifindex =
    program === "from_pod"
      ? node.port(`default/${name}`).ifindex
      : node.entrances[program === "to_pods" ? "heddle0" : program === "from_overlay" ? "overlay" : "uplink"]
  const { result, packet } = node.run(program, frame, ifindex)
  return { result, packet }
}

/** Records without their times; interfaces have the same numbers in both. */
function records(node: TestNode): unknown[] {
  return [...node.plane.flows()]
    .map(({ key: _, flow: { expires: _expires, created: _created, ...rest }, ...ends }) => ({ ...ends, ...rest }))
    .sort((a, b) => (JSON.stringify(a, text) < JSON.stringify(b, text) ? -1 : 1))
}
const text = (_: string, value: unknown) => (typeof value === "bigint" ? String(value) : value)

/** The last one is of flows that may go one way only. */
const ports = [40_000, 40_001, 40_002] as const

function packet(family: 4 | 6, protocol: 6 | 17, back: boolean, port: number, flags: number): Uint8Array {
  const [client, web] = family === 4 ? ["10.0.1.2", "10.0.1.1"] : ["fd00::1:2", "fd00::1:1"]
  const ends: Ends = back ? { source: A(web), destination: A(client) } : { source: A(client), destination: A(web) }
  const [sourcePort, destinationPort] = back ? [80, port] : [port, 80]
  const l4 =
    protocol === 6 ? tcp({ sourcePort, destinationPort, flags }, ends) : udp({ sourcePort, destinationPort }, ends)
  return ip({ ...ends, protocol }, l4)
}

/** Where a header says something that decides the way: bytes of the frame behind the link header, and what to put there. */
const damage = fc.record({ at: fc.integer({ min: 0, max: 55 }), value: fc.integer({ min: 0, max: 255 }) })
const step = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({
      family: fc.constantFrom(4 as const, 6 as const),
      protocol: fc.constantFrom(6 as const, 17 as const),
      back: fc.boolean(),
      port: fc.constantFrom(...ports),
      flags: fc.oneof(
        { weight: 4, arbitrary: fc.constant<number>(TcpFlag.ack) },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }) },
      ),
      damage: fc.option(damage, { freq: 3 }),
      cut: fc.option(fc.integer({ min: 54, max: 74 }), { freq: 20 }),
      program: fc.oneof(
        { weight: 8, arbitrary: fc.constant("from_pod" as const) },
        { weight: 1, arbitrary: fc.constantFrom("to_pods" as const, "from_overlay" as const, "from_uplink" as const) },
      ),
      wrongPod: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom("open" as const, "shut" as const) },
)

/** Connections with both ways gone, so that what follows may take the short one. */
function connect(): void {
  for (const family of [4, 6] as const)
    for (const port of ports.slice(0, 2))
      for (const protocol of [6, 17] as const)
        for (const [back, flags] of [
          [false, TcpFlag.syn],
          [true, TcpFlag.syn | TcpFlag.ack],
          [false, TcpFlag.ack],
        ] as const)
          for (const node of both)
            node.send(back ? "default/web" : "default/client", packet(family, protocol, back, port, flags))
}

test("the short way does with every packet what the long way would", { timeout: 120_000 }, async () => {
  const [product, plain] = both as [TestNode, TestNode]
  const seed = Math.floor(Math.random() * 2 ** 31)
  let passed = 0
  for (const [i, each] of fc.sample(step, { numRuns: 6_000, seed }).entries()) {
    if (i % 100 === 0) {
      connect()
      expect(records(product), `seed ${seed}, before step ${i}`).toEqual(records(plain))
    }
    if (typeof each === "string") {
      for (const node of both) await node.enforce(each === "open" ? open : shut)
      continue
    }
    const frame = product.frame(packet(each.family, each.protocol, each.back, each.port, each.flags))
    if (each.damage) frame[14 + each.damage.at] = each.damage.value
    const place: Place = [each.back === each.wrongPod ? "client" : "web", each.program]
    const [one, other] = both.map((node) => send(node, place, each.cut ? frame.slice(0, each.cut) : frame))
    expect(one, `seed ${seed}, step ${i}: ${JSON.stringify(each)}`).toEqual(other)
    if (one?.result === Action.redirect) passed++
  }
  expect(records(product)).toEqual(records(plain))
  expect([...product.plane.drops()].map(([reason, { packets }]) => [reason, packets])).toEqual(
    [...plain.plane.drops()].map(([reason, { packets }]) => [reason, packets]),
  )
  expect(passed).toBeGreaterThan(1_000)
})
