import { existsSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { layout } from "../../src/kernel/abi.generated.ts"
import { BpfMap } from "../../src/kernel/bpf/map.ts"
import { pinName } from "../../src/kernel/bpf/object.ts"
import { deleteNamespace } from "../../src/kernel/namespace.ts"
import { replaceFile } from "../../src/lab/record.ts"
import { FlowTable } from "../../src/plane/ebpf/flows.ts"
import { FaultyLab } from "./faulty-lab.ts"
import type { Report } from "./load.ts"
import { LoadProcess } from "./load-process.ts"

/** How long the agents are dead, in seconds: half a minute, and three minutes with HEDDLE_FAULTS=long. */
const DEAD_S = process.env["HEDDLE_FAULTS"] === "long" ? 180 : 30

const names = { client: "node-1", near: "node-1", stale: "node-1", far: "node-2" }
const pods = Object.entries(names).map(
  ([name, node]) => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: default, labels: { app: ${name} } }
spec: { nodeName: ${node}, containers: [{ name: c, image: x }] }
---`,
)
const policy = (name: string, ports: string) => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ${name}, namespace: default }
spec:
  podSelector: { matchExpressions: [{ key: app, operator: In, values: [near, far] }] }
  policyTypes: [Ingress]
  ingress: [{ from: [{ podSelector: { matchLabels: { app: client } } }], ports: [${ports}] }]
`
const nodes = ["node-1", "node-2"]

let lab: FaultyLab
const processes: LoadProcess[] = []

beforeAll(async () => {
  const allowed = policy("servers", "{ port: 7000 }, { port: 7002 }")
  lab = await FaultyLab.up("dead", `${pods.join("\n")}\n${allowed}`, 2)
})
afterAll(async () => {
  for (const process of processes) await process.end()
  await lab?.down()
})

/** Records in the kernel, those too that are past their time: what ageing has left. */
function flows(node: string): number {
  const map = BpfMap.openPinned(join(lab.paths.node(node), "bpf", pinName("flows", layout)), "flows")
  const table = new FlowTable(map)
  try {
    return [...table.records()].length
  } finally {
    map.close()
  }
}

test(`with its agents dead for ${DEAD_S} s a cluster goes on, and they come back without a gap`, async () => {
  const ports = [7_000, 7_001, 7_002]
  for (const server of ["near", "far"]) processes.push(await LoadProcess.serve(lab.netns(server), ports))
  const targets = ["near", "far"].map((name) => ({ host: lab.address(name), port: 7_000 }))
  const asker = await LoadProcess.ask(lab.netns("client"), {
    ...{ targets, streams: 64, everyMs: 10, connectsPerSecond: 500 },
  })
  processes.push(asker)
  const burst = (host: string, port: number, count = 100) => asker.burst({ host, port, count, timeoutMs: 2_000 })
  const both = async (port: number) => [await burst(lab.address("near"), port), await burst(lab.address("far"), port)]
  await sleep(2_000)
  expect(await both(7_002)).toEqual([1, 2].map(() => ({ answered: 100, silent: 0, refused: 0 })))

  const killed = performance.now()
  await Promise.all(nodes.map((node) => lab.kill(node)))
  const atDeath = await asker.report()

  // Meanwhile somebody closes port 7002, and a pod is lost with its namespace without anybody asking for DEL.
  replaceFile(
    join(lab.paths.objects, "networking.k8s.io_NetworkPolicy_default_servers.yaml"),
    policy("servers", "{ port: 7000 }"),
    true,
  )
  const address = lab.address("stale")
  rmSync(join(lab.paths.objects, "Pod_default_stale.yaml"))
  deleteNamespace(lab.netns("stale"))

  const allowed = await both(7_000)
  const denied = await both(7_001)
  expect(allowed).toEqual([1, 2].map(() => ({ answered: 100, silent: 0, refused: 0 })))
  expect(denied).toEqual([1, 2].map(() => ({ answered: 0, silent: 100, refused: 0 })))

  for (const node of nodes) {
    const status = await lab.heddle(node, "status")
    expect(status, "status").toMatchObject({ out: expect.stringMatching(/dead|not (running|answer)/) })
    const maps = await lab.heddle(node, "map", "list")
    expect(maps, "map list").toMatchObject({ code: 0, out: expect.stringContaining("flows") })
  }
  const why = (port: number) => lab.heddle("node-1", "why", "default/client", "default/near", "--port", `${port}/TCP`)
  expect((await why(7_000)).out).toMatch(/allow/i)
  expect((await why(7_001)).out).toMatch(/den(y|ied)/i)

  // Closed connections stay for ten seconds, and a round over all shards takes three: from then on it is steady.
  const settle = 18_000 - (performance.now() - killed)
  if (settle > 0) await sleep(settle)
  const counts: number[] = []
  while (performance.now() - killed < DEAD_S * 1_000) {
    counts.push(flows("node-1"))
    await sleep(1_000)
  }
  const atEnd = await asker.report()

  const starting = performance.now()
  await Promise.all(nodes.map((node) => lab.start(node)))
  const back = performance.now() - starting
  await sleep(3_000)
  const after = await asker.report()
  const late = await both(7_002)
  const still = await both(7_000)

  const figures = (report: Report) =>
    `${report.echoes} echoes, ${report.resets} resets, worst ${report.worstMs} ms; ${report.opened} connections, ${report.failed} failed`
  console.log(
    [
      `agents dead for ${DEAD_S} s under 500 new connections a second`,
      `before: ${figures(atDeath)}`,
      `dead: ${figures(atEnd)}`,
      `flow table of node-1 while dead: ${Math.min(...counts)} to ${Math.max(...counts)} records`,
      `new connections while dead: ${allowed.map((each) => each.answered).join("+")} of 200 allowed came about, ${denied.map((each) => each.silent).join("+")} of 200 denied did not`,
      `both agents answered again after ${Math.round(back)} ms; afterwards: ${figures(after)}`,
    ].join("\n  "),
  )
  expect(after.resets).toBe(0)
  expect(after.worstMs).toBeLessThan(1_000)
  expect(after.failed).toBe(0)
  // The load did run: connections came about at about the rate asked for, on however busy a machine.
  expect(atEnd.opened - atDeath.opened).toBeGreaterThan((DEAD_S * 500) / 4)
  expect(Math.max(...counts)).toBeLessThan(Math.min(...counts) * 1.5)
  expect(late, "what was closed meanwhile").toEqual([1, 2].map(() => ({ answered: 0, silent: 100, refused: 0 })))
  expect(still).toEqual([1, 2].map(() => ({ answered: 100, silent: 0, refused: 0 })))
  // The lost pod is gone from the tables, and from the disk.
  const addrs = (await lab.heddle("node-1", "map", "show", "addrs")).out
  expect(addrs).toContain(lab.address("near"))
  expect(addrs).not.toContain(`${address} `)
  const files = readdirSync(join(lab.paths.node("node-1"), "state/network/attachments"))
  expect(files.length).toBe(2)
  expect(existsSync(join(lab.paths.node("node-1"), "agent.pid"))).toBe(true)
})
