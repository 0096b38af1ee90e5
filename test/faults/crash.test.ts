import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { isDeepStrictEqual } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import { AddressFlag, HopKind, layout } from "../../src/kernel/abi.generated.ts"
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
import { readPorts } from "../../src/plane/ebpf/endpoints.ts"
import { FlowTable } from "../../src/plane/ebpf/flows.ts"
import { FaultyLab } from "./faulty-lab.ts"

/** Kills of each kind: 50, and 200 with HEDDLE_FAULTS=long. HEDDLE_FAULTS_SEED repeats the points of an earlier run. */
const KILLS = process.env["HEDDLE_FAULTS"] === "long" ? 200 : 50
const seed = Number(process.env["HEDDLE_FAULTS_SEED"] ?? randomBytes(4).readUInt32LE())

const NODE = "node-1"
const PORT = 9
const pod = (name: string, app = name) => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: default, labels: { app: ${app} } }
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
    ["a", "b", "web", "door"].map((name) => pod(name)).join("\n") +
    policy("web", "web", "a") +
    policy("door", "door", "guest")
  lab = await FaultyLab.up("crash", text, 1)
  for (const name of ["a", "b", "web", "door"]) sockets.set(name, open(lab.netns(name), lab.address(name)))
  for (const name of ["guest-0", "guest-1"])
    replaceFile(join(lab.paths.objects, `Pod_default_${name}.yaml`), pod(name, "guest"), true)
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

/** A pod named guest-0 or guest-1 that a runtime wants, in a namespace of its own. */
function guest(i: number): Sandbox {
  const pod = `guest-${i % 2}`
  const netns = join(lab.paths.namespaces, pod)
  createNamespace(netns)
  const socketPath = join(lab.paths.node(NODE), "cni.sock")
  const container = randomBytes(12).toString("hex")
  return { socket: socketPath, container, netns, namespace: "default", pod, addresses: [] }
}

/** CNI GC: everything of this network may go but the pods of the lab and the guest that is there. */
async function gc(guest: Sandbox): Promise<void> {
  const containers = [...lab.lab.pods.values(), guest].map((each) => each.container)
  const valid = containers.map((containerID) => ({ containerID, ifname: "eth0" }))
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

/** What the pods of the node leave outside themselves, without what differs from pod to pod. */
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
    const pairs = links.filter((link) => link.name.startsWith("hd")).map((link) => link.index)
    const now = Number(readSweep(of("sweep")).jiffies & 0xffff_ffffn)
    const indices = new Set(links.map((link) => link.index))
    const gone = (kind: number, hop: number) => kind === HopKind.local && !indices.has(hop)
    const orphans = [...flows.records()].filter(
      ({ flow }) =>
        ((now - flow.expires) | 0) <= 0 &&
        (gone(flow.sourceHopKind, flow.sourceHop) || gone(flow.destinationHopKind, flow.destinationHop)),
    )
    const attachments = join(lab.paths.node(NODE), "state/network/attachments")
    const stated = readdirSync(attachments).flatMap(
      (file) => (JSON.parse(readFileSync(join(attachments, file), "utf8")) as { addresses: string[] }).addresses,
    )
    const local = [...readAddresses(of("addrs"))].filter(([, value]) => value.flags & AddressFlag.local)
    const ports = [...readPorts(of("endpoints")).values()].map((port) => port.ifindex)
    const byIndex = [...of("endpoint_by_ifindex").keys()].map((key) => new Uint32Array(key.slice().buffer)[0])
    return {
      pairs: pairs.length,
      links: links.filter((link) => !link.name.startsWith("hd")).map((link) => link.name),
      routes: netlink.routes({ family: 4 }).length,
      strangers: ports.filter((port) => !pairs.includes(port)).length + byIndex.length - pairs.length,
      addresses: [
        local.length,
        local.filter(([address]) => !stated.includes(address)).length,
        [...of("addrs").keys()].length,
      ],
      orphanFlows: orphans.length,
      pins: readdirSync(join(lab.paths.node(NODE), "bpf")).filter((name) => name.includes("-")),
      files: readdirSync(lab.paths.node(NODE), { recursive: true })
        .map((name) => String(name).replace(/attachments\/[0-9a-f]+\.json$/, "attachments/one"))
        .filter((name) => !name.startsWith("bpf/"))
        .sort(),
    }
  } finally {
    for (const one of maps.values()) one.close()
    netlink.close()
    namespace.close()
  }
}

/** Whether a guest reaches door, which lets it in, and web, which does not. */
async function reaches(from: Sandbox): Promise<{ door: boolean; web: boolean }> {
  const namespace = openNamespace(from.netns)
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

async function timed(run: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await run()
  return performance.now() - started
}

const succeeded = (run: Promise<unknown>) =>
  run.then(
    () => true,
    () => false,
  )

test(`SIGKILL at ${KILLS} points of a commit, of an ADD and of a DEL: the old state or the new, and nothing left after GC`, async () => {
  const longest = { commit: 0, add: 0, del: 0 }
  const seen = new Map<string, number>()
  const note = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1)
  let who = "a"
  let present = guest(0)
  await cniAdd(present)
  for (let i = 1; i < 4; i++) {
    who = who === "a" ? "b" : "a"
    const started = performance.now()
    setPolicy(who)
    while ((await whoPasses()) !== who) await sleep(0)
    longest.commit = Math.max(longest.commit, performance.now() - started)
    const next = guest(i)
    longest.add = Math.max(longest.add, await timed(() => cniAdd(next)))
    expect(await reaches(next)).toEqual({ door: true, web: false })
    longest.del = Math.max(longest.del, await timed(() => cniDel(present)))
    deleteNamespace(present.netns)
    present = next
  }
  await gc(present)
  const baseline = remains()
  const starts: number[] = []
  for (let i = 0; i < KILLS; i++) {
    // All three are under way at the kill, each by a part of its own.
    const before = who
    who = who === "a" ? "b" : "a"
    const leaving = present
    present = guest(i)
    // They hold one another up, so each may take as long as all of them alone.
    const span = longest.commit + longest.add + longest.del
    const kill = performance.now() + span + 1
    const share = () => at(kill - random() * span)
    const committing = share().then(() => setPolicy(who))
    const adding = share().then(() => succeeded(cniAdd(present)))
    const deleting = share().then(() => succeeded(cniDel(leaving)))
    await at(kill)
    await lab.kill(NODE)
    await committing
    const [added, deleted] = await Promise.all([adding, deleting])
    note(added ? "ADD done" : "ADD not done")
    note(deleted ? "DEL done" : "DEL not done")
    const found = await whoPasses()
    note(found === before ? "policy old" : found === who ? "policy new" : `WRONG: ${found} passes after the kill`)
    const arrived = await reaches(present)
    if (arrived.web) note("WRONG: web was reached by what ADD was making")
    if (added && !arrived.door) note("WRONG: door was not reached after ADD was done")
    if ((await reaches(leaving)).web) note("WRONG: web was reached by what DEL was taking away")

    const restarted = performance.now()
    let up = false
    const starting = lab.start(NODE).then(() => {
      up = true
    })
    let flipped = found === who
    while (!up) {
      const passes = await whoPasses()
      if (passes === who) flipped = true
      else if (passes !== before || flipped) note(`WRONG: ${passes} passes while the agent starts`)
      await sleep(5)
    }
    await starting
    starts.push(performance.now() - restarted)
    const end = await whoPasses()
    if (end !== who) note(`WRONG: ${end} passes after the start`)
    if (!added) {
      // As a runtime does it: DEL of what failed, then anew.
      await cniDel(present)
      present = { ...present, container: randomBytes(12).toString("hex") }
      await cniAdd(present)
    }
    const alive = await reaches(present)
    if (!alive.door || alive.web) {
      // A first packet that is lost is sent again by whoever sent it, and counted here; a verdict must not be wrong.
      let later = alive
      for (let i = 0; i < 5 && !later.door && !later.web; i++) {
        await sleep(300)
        later = await reaches(present)
      }
      if (later.door && !later.web) note(`first packet late after ADD ${added ? "done" : "repeated"}`)
      else note(`WRONG: ${JSON.stringify(alive)}, later ${JSON.stringify(later)}, after ADD`)
    }
    // The runtime repeats a DEL, sometimes when the namespace is gone; and where it does not, GC alone must do.
    if (i % 2 === 0) deleteNamespace(leaving.netns)
    if (i % 4 !== 3) await cniDel(leaving)
    await gc(present)
    deleteNamespace(leaving.netns)
    // What is being written just now goes within moments; what a crash left would stay.
    let left = remains()
    for (let i = 0; i < 50 && !isDeepStrictEqual(left, baseline); i++) {
      await sleep(100)
      left = remains()
    }
    for (const [what, value] of Object.entries(left)) {
      if (!isDeepStrictEqual(value, baseline[what]))
        note(`WRONG: left ${what}: ${JSON.stringify(value)} instead of ${JSON.stringify(baseline[what])}`)
    }
  }
  const { commit, add, del } = longest
  const median = starts.sort((x, y) => x - y)[starts.length >> 1] ?? 0
  console.log(
    [
      `commit within ${Math.round(commit)} ms, ADD within ${Math.round(add)} ms, DEL within ${Math.round(del)} ms; ${KILLS} kills`,
      ...[...seen].sort().map(([what, count]) => `${count} × ${what}`),
      `from start to answer ${Math.round(median)} ms p50`,
    ].join("\n  "),
  )
  expect([...seen.keys()].filter((what) => what.startsWith("WRONG"))).toEqual([])
})
