import { execFileSync } from "node:child_process"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { rcuGrace } from "../../src/kernel/grace.ts"
import { openSocket, type Socket } from "../../src/kernel/socket.ts"
import type { EbpfPlaneOptions } from "../../src/plane/ebpf/plane.ts"
import { app, block, cluster, type PodSpec, pods, policy, tcpPort } from "../kernel/bpf-fixture.ts"
import { Ground } from "../kernel/native-fixture.ts"
import type { Stream } from "./sender.ts"
import { Senders } from "./senders.ts"
import { WireNode } from "./wire-node.ts"

/*
 * Generation k lets in the role of generation k alone; `friend` has it, `stranger` has that of the generation before. So
 * in every generation all of the friend's packets pass and none of the stranger's, and a judgement that mixes two
 * generations shows as a packet too many or too few. `exile` may not reach 203.0.113.200 by a block whose length changes,
 * and the kept flow of `peer` is allowed in even generations only.
 */
const addresses = {
  ...{ friend: "10.0.1.1", stranger: "10.0.1.2", exile: "10.0.1.3", peer: "10.0.1.4" },
  ...{ open: "10.0.1.11", shut: "10.0.1.12", kept: "10.0.1.13" },
}

function generation(k: number) {
  const specs = Object.fromEntries(
    Object.entries(addresses).map(([name, address]): [string, PodSpec] => [name, { addresses: [address] }]),
  )
  const role = (n: number) => ({ role: `r${n}` })
  specs["friend"] = { addresses: [addresses.friend], labels: role(k) }
  specs["stranger"] = { addresses: [addresses.stranger], labels: role(k - 1) }
  // Comes and goes, with its slot.
  specs[`far${k % 7}`] = { node: "two", addresses: [`10.0.2.${k % 7}`], labels: role(k) }
  const mine = { kind: "labels", of: "self", selector: { kind: "in", key: "role", values: [`r${k}`] } } as const
  const blocks = k % 3 === 0 ? ["203.0.113.0/24"] : k % 3 === 1 ? ["203.0.113.128/25"] : ["203.0.113.192/26"]
  const udpPort = { protocols: [17], ports: [{ kind: "range", first: 81, last: 81 }] } as const
  return cluster(pods(specs), [
    policy("servers", app("open", "shut"), { ingress: [{ peer: mine, l4: [tcpPort(80, 80 + (k % 5))] }] }),
    policy("friend", app("friend"), { egress: [{ peer: app("open"), l4: [tcpPort(80)] }] }),
    policy("exile", app("exile"), { egress: [{ peer: block(...blocks), action: "deny" }, {}] }),
    policy("kept", app("kept"), { ingress: k % 2 === 0 ? [{ peer: app("peer"), l4: [udpPort] }] : [] }),
  ])
}

interface Count {
  readonly generations: number
  readonly seconds: number
  readonly judged: number
  /** Packets that every generation lets pass and that did not arrive. */
  readonly missing: number
  /** Packets that no generation lets pass and that arrived. */
  readonly passed: number
  /** Generations in which the kept flow was, after the commit, not treated as this generation says. */
  readonly stale: number
}

let ground: Ground
let slow: string

beforeAll(() => {
  ground = new Ground()
  slow = join(ground.folder, "slow.bpf.o")
  const root = join(import.meta.dirname, "../..")
  const include = `/usr/include/${process.arch === "x64" ? "x86_64" : "aarch64"}-linux-gnu`
  const folders = ["-I", include, "-I", join(root, "bpf/lib")]
  const flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", ...folders]
  execFileSync("clang-19", [...flags, "-c", join(import.meta.dirname, "slow.bpf.c"), "-o", slow])
})
afterAll(() => ground?.remove())

/** Commits generations one after the other while two threads send; counts what no generation explains. */
async function commitUnderTraffic(generations: number, options: Partial<EbpfPlaneOptions>): Promise<Count> {
  const node = new WireNode(addresses, options)
  const sockets: Socket[] = []
  try {
    let state = node.compile(generation(0))
    await node.plane.apply(state, null)
    // Bound, so that nobody answers with ICMP.
    for (const [name, port] of [
      ["peer", 5_000],
      ["kept", 81],
    ] as const) {
      const socket = openSocket({ namespace: node.pod(name).namespace, family: 4, type: "dgram" })
      socket.bind(node.pod(name).address, port)
      sockets.push(socket)
    }
    sockets[0]?.sendTo(Buffer.from("x"), node.pod("kept").address, 81)
    const stream = (from: keyof typeof addresses, to: string, rest: Omit<Stream, "netns" | "from" | "to">): Stream => ({
      netns: node.pod(from).namespace.path,
      from: addresses[from],
      to,
      ...rest,
    })
    const asking = [
      stream("friend", addresses.open, { protocol: 6, port: 80 }),
      stream("stranger", addresses.shut, { protocol: 6, port: 80 }),
      stream("exile", "203.0.113.200", { protocol: 6, port: 80 }),
    ]
    const keeping = [
      stream("peer", addresses.kept, { protocol: 17, sourcePort: 5_000, port: 81 }),
      stream("kept", addresses.peer, { protocol: 17, sourcePort: 81, port: 5_000 }),
    ]
    const before = { open: node.received("open"), shut: node.received("shut"), node: node.received() }
    await using senders = new Senders(keeping.map((kept) => [...asking, kept]))
    const sent = (stream: number) => senders.sent(stream)
    while ([0, 1, 2, 3].some((stream) => sent(stream) < 20)) await sleep(5)

    const started = performance.now()
    const patient = options.grace === undefined
    let stale = 0
    let next = node.compile(generation(1))
    for (let k = 1; k <= generations; k++) {
      await node.plane.apply(next, { previous: state })
      state = next
      next = node.compile(generation(k + 1))
      if (!patient || (k % 8 !== 0 && k % 8 !== 5)) continue
      await rcuGrace()
      // From here on nothing of an earlier generation is under way: the kept flow is as this one says, both ways.
      const arrived = () => node.received("kept") + node.received("peer")
      const denied = () => Number(node.plane.drops().get("policy")?.packets ?? 0n)
      const from = { arrived: arrived(), denied: denied() }
      const [seen, wrong] = k % 8 === 0 ? [arrived, denied] : [denied, arrived]
      const base = k % 8 === 0 ? from : { arrived: from.denied, denied: from.arrived }
      for (let waited = 0; seen() < base.arrived + 4 && waited < 500; waited++) await sleep(1)
      if (seen() < base.arrived + 4 || wrong() > base.denied) stale++
    }
    const seconds = (performance.now() - started) / 1_000
    await senders.stop()
    await sleep(50)
    const gained = node.received("open") - before.open
    return {
      generations,
      seconds: Math.round(seconds * 10) / 10,
      judged: sent(0) + sent(1) + sent(2),
      missing: sent(0) - gained,
      passed: node.received("shut") - before.shut + node.received() - before.node,
      stale,
    }
  } finally {
    for (const socket of sockets) socket.close()
    node.remove()
  }
}

function told(what: string, count: Count): Count {
  const { generations, seconds, judged, missing, passed, stale } = count
  console.log(
    `${what}: ${generations} generations in ${seconds} s, ${judged} packets judged: ${missing} missing, ${passed} passed wrongly, ${stale} flows stale`,
  )
  return count
}

test("1,000 generations under traffic from two threads: no packet is judged by a mixture", async () => {
  const count = told("at full speed", await commitUnderTraffic(1_000, {}))
  expect(count.judged).toBeGreaterThan(10_000)
  expect(count).toMatchObject({ missing: 0, passed: 0, stale: 0 })
})

test("nor when every packet is so slow that each commit meets one under way", async () => {
  const count = told("slowed down", await commitUnderTraffic(200, { object: slow }))
  expect(count).toMatchObject({ missing: 0, passed: 0, stale: 0 })
})

test("without the wait for a grace period, some are", async () => {
  const count = told(
    "slowed down, without the wait",
    await commitUnderTraffic(200, { object: slow, grace: () => Promise.resolve() }),
  )
  expect(count.missing + count.passed).toBeGreaterThan(0)
})
