import { afterAll, beforeAll, expect, test } from "vitest"
import { clearLab } from "../../src/lab/clear.ts"
import { LabPaths } from "../../src/lab/paths.ts"
import { Prober } from "../../src/lab/probe/prober.ts"
import type { ProbeTask } from "../../src/lab/probe/task.ts"
import { Reactor } from "../../src/lab/reactor.ts"
import { Responder, type Station } from "../../src/lab/responder.ts"
import { Underlay } from "../../src/lab/underlay.ts"
import { parseAddress } from "../../src/net/address.ts"
import { Protocol } from "../../src/net/types.ts"

/** The wire, the responder and the prober without any agent: whatever is asked arrives. */
const paths = new LabPaths(`wire-${process.pid}`)
const reactor = new Reactor((error) => {
  throw error
})
const responder = new Responder(reactor)
const prober = new Prober(reactor)
const foreign = ["203.0.113.5", "2001:db8::5"].map(parseAddress)
const nodes = [1, 2, 3].map((i) => ({
  name: `node-${i}`,
  addresses: [`172.18.0.${i + 1}`, `fd00:172:18::${i + 1}`].map(parseAddress),
}))
const listens = [80, 81].flatMap((port) =>
  [Protocol.TCP, Protocol.UDP, Protocol.SCTP].map((protocol) => ({ port, protocol })),
)
const stations: Station[] = [
  ...nodes.map(({ name, addresses }) => ({ identity: name, netns: paths.nodeNamespace(name), addresses, listens })),
  { identity: "outside", netns: paths.outside, addresses: foreign, listens },
]

beforeAll(async () => {
  await clearLab(paths)
  const underlay = new Underlay(paths)
  underlay.create()
  for (const node of nodes) underlay.addNode(node)
  underlay.setOutside(foreign, [])
  reactor.start()
  expect(responder.set(stations)).toEqual([])
})

afterAll(async () => {
  prober.close()
  responder.close()
  await reactor.close()
  await clearLab(paths)
})

function tasks(protocol: number, more: Partial<ProbeTask> = {}): ProbeTask[] {
  return stations.flatMap((from) =>
    stations.flatMap((to) =>
      [0, 1].flatMap((family): ProbeTask[] => {
        const source = from.addresses[family]
        const target = to.addresses[family]
        if (source === undefined || target === undefined) return []
        return [
          {
            from: { netns: from.netns, address: source },
            to: { netns: to.netns, address: target, identities: [to.identity] },
            protocol: protocol === Protocol.ICMP && family === 1 ? Protocol.ICMPv6 : protocol,
            expect: "allow",
            ...more,
          },
        ]
      }),
    ),
  )
}

test.each([
  ["TCP", Protocol.TCP, { port: 80 }],
  ["UDP", Protocol.UDP, { port: 81 }],
  ["SCTP", Protocol.SCTP, { port: 80 }],
  ["TCP from a certain port", Protocol.TCP, { port: 81, sourcePort: 4_321 }],
  ["echo requests", Protocol.ICMP, {}],
  ["a numbered protocol", 99, {}],
])("every host reaches every other by %s, in both families", async (_, protocol, more) => {
  const asked = tasks(protocol, more)
  const outcomes = await prober.run(asked)
  expect(outcomes.map((outcome) => outcome.got)).toEqual(asked.map(() => "allow"))
})

test("an ICMP type that nobody answers is seen to arrive", async () => {
  const outcomes = await prober.run(
    tasks(Protocol.ICMP, { icmpType: 13, icmpCode: 0 }).filter((task) => task.protocol === 1),
  )
  expect(new Set(outcomes.map((outcome) => outcome.got))).toEqual(new Set(["allow"]))
})

test.each([
  ["TCP", Protocol.TCP],
  ["UDP", Protocol.UDP],
  ["SCTP", Protocol.SCTP],
])("a closed port of %s refuses audibly, which is told from silence", async (_, protocol) => {
  const outcomes = await prober.run(tasks(protocol, { port: 9, expect: "deny" }))
  expect(new Set(outcomes.map((outcome) => outcome.got))).toEqual(new Set(["reject"]))
})

test("silence is a denial, and is waited for no longer than it must be", async () => {
  const [task] = tasks(Protocol.TCP, { port: 80, expect: "deny" })
  if (task === undefined) throw new Error("no task")
  // Nobody has that address: its neighbours' solicitations stay unanswered for longer than the silence is waited for.
  const silent = { ...task, to: { ...task.to, address: parseAddress("198.51.100.7") } }
  expect((await prober.run([silent]))[0]?.got).toBe("deny")
})

test("the wrong one's answer is no answer", async () => {
  const [task] = tasks(Protocol.TCP, { port: 80 })
  if (task === undefined) throw new Error("no task")
  const [outcome] = await prober.run([{ ...task, to: { ...task.to, identities: ["somebody else"] } }])
  expect(outcome).toMatchObject({ got: "failed", reason: "answered by node-1, wanted somebody else" })
})

test.each([
  Protocol.TCP,
  Protocol.UDP,
  Protocol.SCTP,
])("a flow of protocol %i is kept and asked again", async (protocol) => {
  const task = tasks(protocol, { port: 80 })[2]
  if (task === undefined) throw new Error("no task")
  await prober.run([{ ...task, keep: "one" }])
  expect((await prober.again("one", "allow"))?.got).toBe("allow")
  responder.set(stations.filter((station) => station.netns !== task.to.netns))
  expect((await prober.again("one", "deny"))?.got).not.toBe("allow")
  responder.set(stations)
  prober.forget()
  expect(await prober.again("one", "allow")).toBeUndefined()
})
