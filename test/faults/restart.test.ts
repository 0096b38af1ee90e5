import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { Steady, type Traffic } from "../../bench/steady.ts"
import { FaultyLab } from "./faulty-lab.ts"

const nodes = ["node-1", "node-2"]
const pod = (name: string, node: string) => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: default, labels: { app: ${name} } }
spec: { nodeName: ${node}, containers: [{ name: c, image: x }] }
---`
const policy = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: servers, namespace: default }
spec:
  podSelector: { matchExpressions: [{ key: app, operator: In, values: [near, far] }] }
  policyTypes: [Ingress]
  ingress:
    - from: [{ podSelector: { matchLabels: { app: client } } }]
      ports: [{ protocol: UDP, port: 7000 }, { protocol: TCP, port: 7000 }]
`

let lab: FaultyLab
const running = new Set<Steady>()

beforeAll(async () => {
  const pods = [pod("client", "node-1"), pod("near", "node-1"), pod("far", "node-2")]
  lab = await FaultyLab.up("restart", `${pods.join("\n")}${policy}`, nodes.length)
})
afterAll(async () => {
  for (const steady of running) steady.kill()
  await lab?.down()
})

async function traffic(server: string): Promise<Steady> {
  const steady = await Steady.start({
    ...{ client: lab.netns("client"), server: lab.netns(server) },
    ...{ address: lab.address(server), port: 7_000, deniedPort: 7_001 },
  })
  running.add(steady)
  return steady
}

function figures({ udp, tcp, connections, denied, ownLateMs }: Traffic): string {
  return [
    `${udp.lost} of ${udp.sent} datagrams lost (longest gap ${udp.longestGapMs} ms, its own process ${ownLateMs} ms late)`,
    `${tcp.unanswered} of ${tcp.exchanges} exchanges unanswered, ${tcp.resets} resets`,
    `${connections.answered} of ${connections.opened} connections answered`,
    `${denied.passed} of ${denied.sent} denied datagrams passed`,
  ].join("; ")
}

test("agents that are killed or told to stop, and start again under traffic, lose no packet and pass none", async () => {
  const [near, far] = [await traffic("near"), await traffic("far")]
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    for (const node of nodes) {
      await lab.kill(node, signal)
      await sleep(200)
      await lab.start(node)
    }
  }
  // The first commits after a start have cleared away what they found stale.
  await sleep(1_000)
  const found = { near: await near.end(), far: await far.end() }
  for (const [name, one] of Object.entries(found)) console.log(`restarts under traffic, ${name}: ${figures(one)}`)
  for (const { udp, tcp, connections, denied } of Object.values(found)) {
    expect(udp.lost).toBe(0)
    expect([tcp.unanswered, tcp.resets]).toEqual([0, 0])
    expect([connections.failed, connections.answered]).toEqual([0, connections.opened])
    expect(denied.passed).toBe(0)
    // There was traffic all the while, on however busy a machine.
    expect(udp.sent).toBeGreaterThan(1_000)
    expect(denied.sent).toBeGreaterThan(100)
  }
})
