import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { parseAddress } from "../../src/net/address.ts"
import { EtherType, ethernet, ip, TcpFlag, tcp } from "../../src/net/packet.ts"
import { parseFrame } from "../../src/net/parse.ts"
import { Protocol } from "../../src/net/types.ts"
import { GATEWAY_MAC } from "../kernel/bpf-fixture.ts"
import { mutantObject, removeVariants } from "./mutant.ts"
import { type Party, Stage, until } from "./stage.ts"
import { MESSAGE, Stream } from "./stream.ts"

function pod(name: string, node: string, labels = "", status = ""): string {
  return `
---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { app: ${name}${labels} } }
spec: { nodeName: ${node}, containers: [{ name: c, image: x, ports: [{ containerPort: 80 }] }] }
${status}`
}

const cast = ["server", "near", "far", "friend", "friend2"]
  .map((name) => pod(name, name === "far" || name === "friend2" ? "node-2" : "node-1"))
  .join("")

/** A new deny: only friends reach the server. */
const closed = `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: server, namespace: shop }
spec:
  podSelector: { matchLabels: { app: server } }
  policyTypes: [Ingress]
  ingress: [{ from: [{ podSelector: { matchExpressions: [{ key: app, operator: In, values: [friend, friend2] }] } }] }]
`

let stage: Stage
const streams: Stream[] = []

beforeAll(async () => {
  removeVariants()
  stage = await Stage.open({ name: "hd-cuts" }, cast)
})

afterAll(async () => {
  for (const stream of streams) stream.close()
  await stage?.close()
  removeVariants()
})

function open(...ends: ConstructorParameters<typeof Stream> extends [unknown, ...infer Rest] ? Rest : never): Stream {
  const stream = new Stream(stage.reactor, ...ends)
  streams.push(stream)
  return stream
}

async function heardIn(stream: Stream, ms: number): Promise<number> {
  const before = stream.seen.bytes
  await sleep(ms)
  return (stream.seen.bytes - before) / MESSAGE
}

test("a new deny cuts flows in which only the server speaks, and nothing else", async () => {
  const server = stage.pod("server")
  let port = 9_000
  const made = (names: readonly string[]): Stream[] =>
    names.flatMap((name) =>
      (["tcp", "udp"] as const).flatMap((protocol) =>
        ([4, 6] as const).map((family) => open(server, stage.pod(name), ++port, protocol, family)),
      ),
    )
  const cut = made(["near", "far"])
  const kept = [...made(["friend", "friend2"]), ...made(["friend", "friend2"])]
  await until("all streams flow", () => streams.every((stream) => stream.seen.bytes >= 3 * MESSAGE))
  for (const { seen } of kept) seen.gap = 0

  const taps = [stage.tap(stage.pod("near").netns), stage.tap(stage.pod("far").netns)]
  await stage.apply(`${cast}${closed}`)
  // Enforced: what came until now was sent before.
  await sleep(20)
  for (const tap of taps) tap.frames()
  const keptBefore = kept.map((stream) => stream.seen.bytes)
  const after = await Promise.all(cut.map((stream) => heardIn(stream, 1_000)))
  const frames = taps.flatMap((tap) => tap.frames()).filter((frame) => isOf(frame, server))
  const drops = await stage.drops("node-1")
  expect(after).toEqual(cut.map(() => 0))
  expect(frames.length).toBe(0)
  expect(drops.get("policy")).toBeGreaterThan(0)
  expect(kept.map((stream) => stream.seen.error)).toEqual(kept.map(() => ""))
  const heard = kept.map((stream, i) => (stream.seen.bytes - (keptBefore[i] ?? 0)) / MESSAGE)
  expect(Math.min(...heard)).toBeGreaterThan(20)
  for (const stream of kept) expect(stream.given - stream.seen.bytes / MESSAGE, stream.name).toBeLessThanOrEqual(3)
  const gap = Math.max(...kept.map((stream) => stream.seen.gap))
  expect(gap).toBeLessThan(1_000)
  console.log(
    `cuts: ${cut.length} flows cut, 0 packets of theirs after the deny (${drops.get("policy")} dropped);`,
    `${kept.length} others: 0 lost, longest gap ${gap.toFixed(0)} ms`,
  )

  // A deny that goes again gives the connection back: its record was kept, not forgotten.
  await stage.apply(cast)
  await until("the streams go on", () => cut.every((stream, i) => stream.seen.bytes / MESSAGE > (after[i] ?? 0) + 5))
  for (const stream of [...cut, ...kept]) stream.close()
})

/** Whether the server sent it. */
function isOf(frame: Uint8Array, server: Party): boolean {
  const source = parseFrame(frame)?.ip?.source
  return source !== undefined && server.addresses.includes(source)
}

test("without judging records again the flows go on", async () => {
  const changes = [
    ["prog/heddle.bpf.c", "if ((__u32)judged != c->generation)", "if ((__u32)judged == 0xffffffff)"],
  ] as const
  await stage.restart("node-1", mutantObject({ name: "again", changes }))
  const stream = open(stage.pod("server"), stage.pod("near"), 9_500, "tcp", 4)
  await until("it flows", () => stream.seen.bytes >= 3 * MESSAGE)
  await stage.apply(`${cast}${closed}`)
  expect(await heardIn(stream, 500)).toBeGreaterThan(10)
  stream.close()
  await stage.restart("node-1")
})

test("flows of a deleted pod never serve the next owner of its address", async () => {
  const status = 'status: { podIP: 10.244.1.200, podIPs: [{ ip: 10.244.1.200 }, { ip: "fd00:10:244:1::c8" }] }'
  const shut = `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: heir, namespace: shop }
spec: { podSelector: { matchLabels: { app: heir } }, policyTypes: [Ingress, Egress] }
`
  await stage.apply(`${cast}${pod("late", "node-1", "", status)}`)
  const clients = ["near", "far"].map((name) => stage.pod(name))
  const asked = clients.flatMap((client) =>
    ([4, 6] as const).map((family) => ({
      ...stage.task(client, stage.pod("late"), 6, 80, "allow", family),
      keep: `${client.identity} ${family}`,
    })),
  )
  const outcomes = await stage.prober.run(asked)
  expect(outcomes.map((outcome) => outcome.got)).toEqual(asked.map(() => "allow"))

  // Segments of the same connections all the time, from the clients' own interfaces.
  const shooters = asked.map((task, i) => {
    const ends = { source: task.from.address, destination: task.to.address }
    const ports = { sourcePort: outcomes[i]?.sourcePort ?? 0, destinationPort: 80 }
    const segment = tcp({ ...ports, flags: TcpFlag.ack | TcpFlag.psh }, ends, Buffer.from("who\n"))
    const type = ends.source.includes(":") ? EtherType.ipv6 : EtherType.ipv4
    const from = stage.tap(task.from.netns)
    const frame = ethernet(
      { source: from.mac, destination: GATEWAY_MAC, type },
      ip({ ...ends, protocol: Protocol.TCP }, segment),
    )
    return () => from.trySend(frame)
  })
  let shots = 0
  const timer = setInterval(() => {
    for (const shoot of shooters) if (shoot()) shots++
  }, 2)
  try {
    await stage.apply(`${cast}${shut}`)
    await stage.apply(`${cast}${shut}${pod("heir", "node-1", "", status)}`)
    const heir = stage.pod("heir")
    expect(heir.addresses).toContain(parseAddress("10.244.1.200"))
    const tap = stage.tap(heir.netns)
    const again = await Promise.all(asked.map((task) => stage.prober.again(task.keep, "deny")))
    await sleep(300)
    const arrived = tap.frames().filter((frame) => clients.some((client) => isOf(frame, client)))
    expect(arrived.length).toBe(0)
    expect(again.map((outcome) => outcome?.got)).not.toContain("allow")
    // The heir is there: its node reaches it.
    expect(await stage.probe(stage.node("node-1"), heir, 6, 80)).toBe("allow")
    console.log(`next owner: ${shots} segments of 4 connections of the pod before it, 0 arrived`)
  } finally {
    clearInterval(timer)
    stage.prober.forget()
  }
})
