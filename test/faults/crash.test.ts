import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { HopKind, layout } from "../../src/kernel/abi.generated.ts"
import { BpfMap } from "../../src/kernel/bpf/map.ts"
import { pinName } from "../../src/kernel/bpf/object.ts"
import { createNamespace, deleteNamespace, openNamespace } from "../../src/kernel/namespace.ts"
import { Netlink } from "../../src/kernel/netlink/netlink.ts"
import { openSocket, type Socket } from "../../src/kernel/socket.ts"
import { cniAdd, cniDel, type Sandbox } from "../../src/lab/cni.ts"
import { cniPlugin } from "../../src/lab/package.ts"
import { replaceFile } from "../../src/lab/record.ts"
import type { Address } from "../../src/net/types.ts"
import { readAddresses } from "../../src/plane/ebpf/addresses.ts"
import { readSweep } from "../../src/plane/ebpf/counters.ts"
import { EndpointTables } from "../../src/plane/ebpf/endpoints.ts"
import { FlowTable } from "../../src/plane/ebpf/flows.ts"
import { FaultyLab } from "./faulty-lab.ts"

/** Kills of each kind: 50, and 200 with HEDDLE_FAULTS=long. HEDDLE_FAULTS_SEED repeats the points of an earlier run. */
const KILLS = process.env["HEDDLE_FAULTS"] === "long" ? 200 : 50
const seed = Number(process.env["HEDDLE_FAULTS_SEED"] ?? randomBytes(4).readUInt32LE())

const NODE = "node-1"
const PORT = 9
const pod = (name: string) => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: default, labels: { app: ${name} } }
spec: { nodeName: ${NODE}, containers: [{ name: c, image: x }] }
---`
const policy = (name: string, subject: string, allowed: string) => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ${name}, namespace: default }
spec:
  podSelector: { matchLabels: { app: ${subject} } }
  policyTypes: [Ingress]
  ingress: [{ from: [{ podSelector: { matchLabels: { app: ${allowed} } } }] }]
---`

let lab: FaultyLab
const sockets = new Map<string, Socket>()
let random: () => number

beforeAll(async () => {
  random = numbers(seed)
  console.log(`points of the kills: HEDDLE_FAULTS_SEED=${seed}`)
  const text =
    ["a", "b", "web", "door"].map(pod).join("\n") + policy("web", "web", "a") + policy("door", "door", "guest")
  lab = await FaultyLab.up("crash", text, 1)
  for (const name of ["a", "b", "web", "door"]) sockets.set(name, open(lab.netns(name), lab.address(name)))
  replaceFile(join(lab.paths.objects, "Pod_default_guest.yaml"), pod("guest"), true)
  // From here on it is the agent that users run.
  await lab.kill(NODE)
  await lab.start(NODE)
})
afterAll(async () => {
  for (const socket of sockets.values()) socket.close()
  await lab?.down()
})

/** Mulberry32: the same numbers in [0, 1) for the same seed. */
function numbers(from: number): () => number {
  let state = from >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mix = Math.imul(state ^ (state >>> 15), state | 1)
    mix ^= mix + Math.imul(mix ^ (mix >>> 7), mix | 61)
    return ((mix ^ (mix >>> 14)) >>> 0) / 2 ** 32
  }
}

function open(netns: string, address: Address): Socket {
  const namespace = openNamespace(netns)
  try {
    const socket = openSocket({ namespace, family: 4, type: "dgram" })
    socket.bind(address, PORT)
    return socket
  } finally {
    namespace.close()
  }
}

const socket = (name: string): Socket => {
  const found = sockets.get(name)
  if (found === undefined) throw new Error(`no socket of ${name}`)
  return found
}

let asked = 0
const buffer = new Uint8Array(64)

/** Sends a datagram from each and tells whose arrived. Waits until `enough` did, and a little longer for one too many. */
async function arrivals(from: readonly (readonly [string, Socket])[], to: string, enough: number): Promise<string[]> {
  const number = ++asked
  for (const [name, sender] of from) {
    try {
      sender.sendTo(Buffer.from(`${number} ${name}`), lab.address(to), PORT)
    } catch {
      // Its interface is gone, or has no route yet.
    }
  }
  const came = new Set<string>()
  let patience = enough === 0 ? 5 : 300
  for (;;) {
    for (let got = socket(to).receive(buffer); got !== undefined; got = socket(to).receive(buffer)) {
      const [which, name] = Buffer.from(buffer.subarray(0, got.length)).toString().split(" ")
      if (Number(which) === number && name !== undefined) came.add(name)
    }
    if (came.size >= enough) patience = Math.min(patience, 2)
    if (patience-- <= 0) return [...came].sort()
    await sleep(1)
  }
}

/** Who reaches web now: `a`, `b`, or what must never be: `a b` or nobody. */
const whoPasses = async () =>
  (
    await arrivals(
      [
        ["a", socket("a")],
        ["b", socket("b")],
      ],
      "web",
      1,
    )
  ).join(" ") || "nobody"

function setPolicy(who: string): void {
  replaceFile(
    join(lab.paths.objects, "networking.k8s.io_NetworkPolicy_default_web.yaml"),
    policy("web", "web", who),
    true,
  )
}

async function at(time: number): Promise<void> {
  while (performance.now() < time) await new Promise((resolve) => setImmediate(resolve))
}

test(`SIGKILL at ${KILLS} points of a commit: the old state or the new, then and until the next agent has made it the new`, async () => {
  // How long a commit takes from the file's change on.
  let duration = 0
  let now = "a"
  for (let i = 0; i < 4; i++) {
    now = now === "a" ? "b" : "a"
    const started = performance.now()
    setPolicy(now)
    while ((await whoPasses()) !== now) await sleep(0)
    duration = Math.max(duration, performance.now() - started)
  }
  const seen = new Map<string, number>()
  const note = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1)
  const starts: number[] = []
  for (let i = 0; i < KILLS; i++) {
    const before = now
    now = now === "a" ? "b" : "a"
    const started = performance.now()
    setPolicy(now)
    await at(started + random() * duration * 1.2)
    await lab.kill(NODE)
    const found = await whoPasses()
    note(found === before ? "old" : found === now ? "new" : `${found} after the kill`)
    const restarted = performance.now()
    let up = false
    const starting = lab.start(NODE).then(() => {
      up = true
    })
    let flipped = found === now
    while (!up) {
      const passes = await whoPasses()
      if (passes === now) flipped = true
      else if (passes !== before || flipped) note(`${passes} while starting`)
      await sleep(2)
    }
    await starting
    starts.push(performance.now() - restarted)
    const end = await whoPasses()
    if (end !== now) note(`${end} after the start`)
  }
  console.log(
    `commit (${Math.round(duration)} ms): ${[...seen].map(([what, count]) => `${count} × ${what}`).join(", ")}; start to answer ${Math.round(starts.sort((x, y) => x - y)[starts.length >> 1] ?? 0)} ms p50`,
  )
  expect([...seen.keys()].filter((what) => what !== "old" && what !== "new")).toEqual([])
})

const netns = () => join(lab.paths.namespaces, "guest")

function sandbox(): Sandbox {
  const socketPath = join(lab.paths.node(NODE), "cni.sock")
  const container = randomBytes(12).toString("hex")
  return { socket: socketPath, container, netns: netns(), namespace: "default", pod: "guest", addresses: [] }
}

/** CNI GC: everything of this network but the pods of the lab may go. */
async function gc(): Promise<void> {
  const valid = [...lab.lab.pods.values()].map((each) => ({ containerID: each.container, ifname: "eth0" }))
  const child = spawn(cniPlugin(), [], {
    stdio: ["pipe", "ignore", "inherit"],
    env: {
      CNI_COMMAND: "GC",
      CNI_PATH: "/opt/cni/bin",
      HEDDLE_CNI_SOCKET: join(lab.paths.node(NODE), "cni.sock"),
    },
  })
  const ended = new Promise((resolve) => child.once("close", resolve))
  child.stdin.end(
    JSON.stringify({ cniVersion: "1.1.0", name: "heddle", type: "heddle-cni", "cni.dev/valid-attachments": valid }),
  )
  expect(await ended, "exit code of GC").toBe(0)
}

/** Everything that an ADD makes outside the pod, as texts that can be compared. */
function remains(): Record<string, unknown> {
  const namespace = openNamespace(lab.paths.nodeNamespace(NODE))
  const netlink = Netlink.open(namespace)
  const map = (name: string) => BpfMap.openPinned(join(lab.paths.node(NODE), "bpf", pinName(name, layout)), name)
  const names = ["addrs", "endpoints", "endpoint_by_ifindex", "nodes", "flows", "sweep"]
  const maps = new Map(names.map((name) => [name, map(name)]))
  const of = (name: string): BpfMap => maps.get(name) ?? map(name)
  const flows = new FlowTable(of("flows"))
  try {
    const links = netlink.links()
    const indices = new Set(links.map((link) => link.index))
    const endpoints = new EndpointTables({
      endpoints: of("endpoints"),
      byIfindex: of("endpoint_by_ifindex"),
      nodes: of("nodes"),
    })
    endpoints.reload()
    const now = Number(readSweep(of("sweep")).jiffies & 0xffff_ffffn)
    const lost = [...flows.records()].filter(({ flow }) => {
      const gone = (kind: number, hop: number) => kind === HopKind.local && !indices.has(hop)
      const alive = ((now - flow.expires) | 0) <= 0
      return alive && (gone(flow.sourceHopKind, flow.sourceHop) || gone(flow.destinationHopKind, flow.destinationHop))
    })
    return {
      links: links.map((link) => link.name).sort(),
      routes: netlink
        .routes({ family: 4 })
        .map((route) => `${route.destination} ${route.table}`)
        .sort(),
      addresses: [...readAddresses(of("addrs")).keys()].sort(),
      endpoints: [...endpoints.ports.values()].map((port) => port.ifindex).sort(),
      flowsOfNobody: lost.length,
      pins: readdirSync(join(lab.paths.node(NODE), "bpf"))
        .filter((name) => name.includes("-"))
        .sort(),
      files: readdirSync(lab.paths.node(NODE), { recursive: true })
        .map(String)
        .filter((name) => !name.startsWith("bpf/"))
        .sort(),
    }
  } finally {
    flows.close()
    for (const one of maps.values()) one.close()
    netlink.close()
    namespace.close()
  }
}

/** From the pod that is being made or deleted: whether it reaches door, which lets it in, and web, which does not. */
async function guestReaches(): Promise<{ door: boolean; web: boolean }> {
  const namespace = openNamespace(netns())
  const sender = openSocket({ namespace, family: 4, type: "dgram" })
  try {
    const door = await arrivals([["guest", sender]], "door", 1)
    const web = await arrivals([["guest", sender]], "web", 0)
    return { door: door.length > 0, web: web.length > 0 }
  } finally {
    sender.close()
    namespace.close()
  }
}

test(`SIGKILL at ${KILLS} points of an ADD and of a DEL: done or not done, and nothing is left after GC`, async () => {
  await gc()
  const baseline = remains()
  const seen = new Map<string, number>()
  const note = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1)
  const timed = async (run: () => Promise<unknown>) => {
    const started = performance.now()
    await run()
    return performance.now() - started
  }
  let addMs = 0
  let delMs = 0
  for (let i = 0; i < 3; i++) {
    createNamespace(netns())
    const one = sandbox()
    addMs = Math.max(addMs, await timed(() => cniAdd(one)))
    expect(await guestReaches()).toEqual({ door: true, web: false })
    delMs = Math.max(delMs, await timed(() => cniDel(one)))
    deleteNamespace(netns())
  }
  for (let i = 0; i < KILLS; i++) {
    createNamespace(netns())
    let one = sandbox()
    const started = performance.now()
    const added = cniAdd(one).then(
      () => true,
      () => false,
    )
    await at(started + random() * addMs * 1.2)
    await lab.kill(NODE)
    const done = await added
    note(done ? "ADD done" : "ADD not done")
    const dead = await guestReaches()
    if (dead.web) note("web was reached after the kill of ADD")
    if (done && !dead.door) note("door was not reached after ADD was done")
    await lab.start(NODE)
    if (!done) {
      // As a runtime does it: DEL of what failed, then anew.
      await cniDel(one)
      one = sandbox()
      await cniAdd(one)
    }
    const alive = await guestReaches()
    if (!alive.door || alive.web) note(`${JSON.stringify(alive)} after ADD`)

    const deleting = performance.now()
    const deleted = cniDel(one).then(
      () => true,
      () => false,
    )
    await at(deleting + random() * delMs * 1.2)
    await lab.kill(NODE)
    note((await deleted) ? "DEL done" : "DEL not done")
    if ((await guestReaches()).web) note("web was reached after the kill of DEL")
    // The runtime repeats it some time; a pod's namespace may be gone by then.
    if (i % 2 === 0) deleteNamespace(netns())
    await lab.start(NODE)
    // GC alone must do for every fourth.
    if (i % 4 !== 3) await cniDel(one)
    await gc()
    if (i % 2 !== 0) deleteNamespace(netns())
    const left = remains()
    for (const [what, value] of Object.entries(left)) {
      try {
        expect(value, what).toEqual(baseline[what])
      } catch (error) {
        note(`left: ${error instanceof Error ? error.message : what}`)
      }
    }
  }
  console.log(
    `ADD (${Math.round(addMs)} ms), DEL (${Math.round(delMs)} ms): ${[...seen].map(([what, count]) => `${count} × ${what}`).join(", ")}`,
  )
  expect([...seen.keys()].filter((what) => !/^(ADD|DEL) (not )?done$/.test(what))).toEqual([])
})
