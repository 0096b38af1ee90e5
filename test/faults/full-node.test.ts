import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterEach, expect, test } from "vitest"
import { reasonOf } from "../../src/api/failure.ts"
import { createNamespace, openNamespace } from "../../src/kernel/namespace.ts"
import { Netlink } from "../../src/kernel/netlink/netlink.ts"
import { openSocket } from "../../src/kernel/socket.ts"
import { cniAdd, cniDel, type Sandbox } from "../../src/lab/cni.ts"
import type { LabPaths } from "../../src/lab/paths.ts"
import { isAlive } from "../../src/lab/processes.ts"
import { replaceFile } from "../../src/lab/record.ts"
import { TcpFlag } from "../../src/net/packet.ts"
import { FaultyLab } from "./faulty-lab.ts"
import type { Stream } from "./sender.ts"
import { Senders } from "./senders.ts"

const NODE = "node-1"
const pod = (name: string) => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: default, labels: { app: ${name} } }
spec: { nodeName: ${NODE}, containers: [{ name: c, image: x }] }
---`
const policy = (allowed: string) => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web, namespace: default }
spec:
  podSelector: { matchLabels: { app: web } }
  policyTypes: [Ingress]
  ingress: [{ from: [{ podSelector: { matchLabels: { app: ${allowed} } } }] }]
---`
const names = ["a", "b", "web"]
const manifests = names.map(pod).join("\n") + policy("a")

let lab: FaultyLab
afterEach(() => lab?.down())

/** Sends a datagram from a and from b to web; returns whose arrived. */
async function whoPasses(): Promise<string> {
  const socketOf = (name: string) => {
    const namespace = openNamespace(lab.netns(name))
    try {
      return openSocket({ namespace, family: 4, type: "dgram" })
    } finally {
      namespace.close()
    }
  }
  const web = socketOf("web")
  const senders = ["a", "b"].map((name) => [name, socketOf(name)] as const)
  try {
    web.bind(lab.address("web"), 9)
    for (const [name, sender] of senders) sender.sendTo(Buffer.from(name), lab.address("web"), 9)
    await sleep(10)
    const came: string[] = []
    const buffer = new Uint8Array(8)
    for (let got = web.receive(buffer); got !== undefined; got = web.receive(buffer))
      came.push(Buffer.from(buffer.subarray(0, got.length)).toString())
    return came.sort().join(" ")
  } finally {
    web.close()
    for (const [, sender] of senders) sender.close()
  }
}

function allow(name: string): void {
  const file = join(lab.paths.objects, "networking.k8s.io_NetworkPolicy_default_web.yaml")
  replaceFile(file, policy(name), true)
}

/** Ms until that one passes. */
async function enforced(name: string): Promise<number> {
  const started = performance.now()
  while (performance.now() - started < 20_000) {
    if ((await whoPasses()) === name) return Math.round(performance.now() - started)
    await sleep(10)
  }
  throw new Error(`${name} does not pass after 20 s`)
}

function pairs(): number {
  const namespace = openNamespace(lab.paths.nodeNamespace(NODE))
  const netlink = Netlink.open(namespace)
  try {
    return netlink.links().filter((link) => link.name.startsWith("hd")).length
  } finally {
    netlink.close()
    namespace.close()
  }
}

const stateOf = (paths: LabPaths) => join(paths.node(NODE), "state")

function fill(): void {
  const fd = openSync(join(stateOf(lab.paths), "filler"), "w")
  try {
    for (let size = 65_536; size >= 1; size >>= 1) {
      try {
        while (writeSync(fd, Buffer.alloc(size)) === size);
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC")
      }
    }
  } finally {
    closeSync(fd)
  }
}

test("a full disk: new pods are refused with the reason and leave nothing; policies, DEL and a restart go on", async () => {
  lab = await FaultyLab.up("disk", manifests, 1, (paths) => {
    mkdirSync(stateOf(paths), { recursive: true })
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "heddle-test", stateOf(paths)])
  })
  const attachments = () => readdirSync(join(stateOf(lab.paths), "network/attachments")).length
  replaceFile(join(lab.paths.objects, "Pod_default_late.yaml"), pod("late"), true)
  const late = (): Sandbox => ({
    socket: join(lab.paths.node(NODE), "cni.sock"),
    container: randomBytes(12).toString("hex"),
    netns: join(lab.paths.namespaces, "late"),
    namespace: "default",
    pod: "late",
    addresses: [],
  })
  expect(await enforced("a")).toBeLessThan(20_000)
  createNamespace(late().netns)
  const before = { pairs: pairs(), attachments: attachments() }
  fill()

  const refusals: string[] = []
  for (let i = 0; i < 3; i++) await cniAdd(late()).catch((error: unknown) => refusals.push(reasonOf(error)))
  expect(refusals.length).toBe(3)
  expect(refusals[0]).toMatch(/no space left/i)
  expect({ pairs: pairs(), attachments: attachments() }).toEqual(before)
  allow("b")
  const flipped = await enforced("b")
  expect(isAlive(lab.agent(NODE))).toBe(true)

  await lab.kill(NODE)
  expect(await whoPasses()).toBe("b")
  await lab.start(NODE)
  expect(await whoPasses()).toBe("b")
  const container = lab.lab.pods.get("default/a")?.container ?? ""
  await cniDel({ ...late(), container, pod: "a", netns: lab.netns("a") })
  expect({ pairs: pairs(), attachments: attachments() }).toEqual({
    pairs: before.pairs - 1,
    attachments: before.attachments - 1,
  })

  rmSync(join(stateOf(lab.paths), "filler"))
  const addresses = await cniAdd(late())
  console.log(
    `full disk: ADD refused 3 times (${refusals[0]}); a policy enforced after ${flipped} ms; with room again ADD gives ${addresses.join(", ")}`,
  )
  // What is being written just now goes within moments; what an error left would stay.
  const halfWritten = () =>
    readdirSync(stateOf(lab.paths), { recursive: true }).filter((name) => /\.(next|tmp)$/.test(String(name)))
  await expect.poll(halfWritten, { timeout: 10_000 }).toEqual([])
})

test("an event storm: status answers, a policy change is enforced, what is lost is counted", async () => {
  lab = await FaultyLab.up("storm", manifests, 1)
  await lab.kill(NODE)
  const client = await lab.start(NODE)
  const stream = (from: string, rest: Partial<Stream>): Stream => ({
    netns: lab.netns(from),
    from: lab.address(from),
    to: lab.address("web"),
    protocol: 6,
    port: 80,
    ...rest,
  })
  // Each SYN ends the flow that the RST before it closed and begins another: two events for two packets.
  const flags = [TcpFlag.syn, TcpFlag.rst]
  await using storm = new Senders([[stream("a", { flags })], [stream("b", { flags: [TcpFlag.syn], flows: 1_000 })]])
  const waits: number[] = []
  let flips = 0
  let worstFlip = 0
  const started = performance.now()
  const rss = () =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${lab.agent(NODE).pid}/status`, "utf8"))?.[1]) / 1024
  let memory = 0
  while (performance.now() - started < 8_000) {
    const asked = performance.now()
    await client.call("status", {}, 10_000)
    waits.push(performance.now() - asked)
    const who = flips++ % 2 === 0 ? "b" : "a"
    allow(who)
    worstFlip = Math.max(worstFlip, await enforced(who))
    memory = Math.max(memory, rss())
  }
  await storm.stop()
  const sent = storm.sent(0)
  const status = await client.call("status", {}, 10_000)
  const lost = status.lost.reduce((sum, each) => sum + Number(each.packets), 0)
  console.log(
    [
      `event storm: ${sent} packets in 8 s; ${lost} events lost and counted`,
      `status within ${Math.round(Math.max(...waits))} ms; ${flips} policy changes enforced within ${worstFlip} ms; agent at most ${Math.round(memory)} MB`,
    ].join("\n  "),
  )
  expect(sent).toBeGreaterThan(50_000)
  expect(Math.max(...waits)).toBeLessThan(5_000)
  expect(worstFlip).toBeLessThan(10_000)
  expect(memory).toBeLessThan(600)
  expect(isAlive(lab.agent(NODE))).toBe(true)
})
