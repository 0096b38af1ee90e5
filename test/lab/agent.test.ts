import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"

const lab = `agent-${process.pid}`
const root = `/run/heddle/lab/${lab}`
const runDir = `${root}/nodes/node-1`
const directory = mkdtempSync(join(tmpdir(), "heddle-agent-lab-"))
const project = join(import.meta.dirname, "../..")
const command = join(project, "bin/heddle")

const manifests = `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-1, containers: [{name: c, image: x, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: node-1, containers: [{name: c, image: x, ports: [{containerPort: 5432}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]
`

interface Result {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function heddle(...words: string[]): Result {
  const run = spawnSync(command, words, { encoding: "utf8", timeout: 60_000 })
  return { code: run.status, out: run.stdout, err: run.stderr }
}

function onLab(...words: string[]): Result {
  return heddle(...words, "--lab", lab)
}

/** A TCP connection from the pod web to the pod db, by the shell: true when it comes about within a second. */
function connects(): boolean {
  const address = lastAddress ?? addressOfDb(onLab("endpoint", "list", "-o", "json").out)
  lastAddress = address
  const words = [
    "lab",
    "exec",
    "--name",
    lab,
    "shop/web",
    "--",
    "timeout",
    "1",
    "bash",
    "-c",
    `exec 3<>/dev/tcp/${address}/5432`,
  ]
  return heddle(...words).code === 0
}
let lastAddress: string | undefined

function addressOfDb(json: string): string {
  const endpoints = JSON.parse(json) as { name: string; addresses: string[] }[]
  const address = endpoints.find((one) => one.name === "db")?.addresses[0]
  if (address === undefined) throw new Error(`wanted an address of db in ${json}`)
  return address
}

interface Status {
  readonly alive: boolean
  readonly bigTcp: string
  readonly processId: number
  readonly generation: number
  readonly digest: string
}

function status(): Status & { readonly code: number | null } {
  const { code, out, err } = onLab("status", "-o", "json")
  const [first] = JSON.parse(out) as Status[]
  if (first === undefined) throw new Error(`wanted a status: ${err}`)
  return { ...first, code }
}

const agents: ChildProcess[] = []

function startAgent(): ChildProcess {
  const agent = spawn("nsenter", [
    `--net=${root}/ns/node-node-1`,
    "--",
    ...[command, "agent", "--node", "node-1", "--run-dir", runDir, "--objects", `${root}/objects`],
    ...["--config", `${runDir}/agent.yaml`],
  ])
  agents.push(agent)
  return agent
}

beforeAll(() => {
  // The command as people run it; nothing is made when it is newer than the sources.
  expect(spawnSync(join(project, "scripts/build-bundle"), { encoding: "utf8" }).stderr).toBe("")
  const file = join(directory, "shop.yaml")
  writeFileSync(file, manifests)
  const { code, err } = heddle("lab", "up", "-f", file, "--name", lab, "--family", "ipv4")
  expect(err).toContain("is up")
  expect(code).toBe(0)
})

afterAll(async () => {
  for (const agent of agents) {
    if (agent.exitCode !== null || agent.signalCode !== null) continue
    agent.kill("SIGTERM")
    await new Promise((resolve) => agent.once("exit", resolve))
  }
  heddle("lab", "down", "--name", lab)
  rmSync(directory, { recursive: true, force: true })
})

test("apply, flows, why, delete: what a person sees is what packets meet", () => {
  expect(connects()).toBe(true)
  const deny = join(directory, "deny.yaml")
  writeFileSync(
    deny,
    "# nobody leaves\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: none, namespace: shop}\nspec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}\n",
  )
  const applied = onLab("apply", "-f", deny)
  expect([applied.code, applied.out]).toEqual([0, "networkpolicy/shop/none created\n"])
  expect(connects()).toBe(false)
  const why = onLab("why", "shop/web", "shop/db", "--port", "5432/TCP", "--expect", "deny")
  expect(why.code).toBe(0)
  expect(why.out).toContain("by    default/NetworkPolicy shop/none default-deny egress")
  expect(why.out).toContain(`at    ${deny}:2:1`)
  expect(why.out).toContain("read from its kernel's tables")
  const flows = JSON.parse(onLab("observe", "--protocol", "tcp", "-o", "json").out) as { verdict: string; by: string }[]
  expect(flows.map((flow) => flow.verdict)).toContain("forwarded")
  // The end of an earlier connection may be told after the drop.
  const drop = { verdict: "dropped", by: "default/NetworkPolicy shop/none default-deny egress" }
  expect(flows).toContainEqual(expect.objectContaining(drop))
  expect(onLab("delete", "networkpolicy", "none", "-n", "shop").code).toBe(0)
  expect(connects()).toBe(true)
})

test("a refused version leaves the one before in force, and says so", () => {
  const broken = join(directory, "broken.yaml")
  writeFileSync(
    broken,
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: db, namespace: shop}\nspec: {podSelektor: {}}\n",
  )
  const refused = onLab("apply", "-f", broken)
  expect(refused.code).toBe(1)
  expect(refused.err).toContain(`${broken}:4:8: error: spec.podSelektor: unknown field`)
  expect(refused.err).toContain("the version in force is kept")
  expect(connects()).toBe(true)
})

test("with the agent killed packets go on, and status, map list and why answer from the kernel", async () => {
  const before = status()
  expect(before.alive).toBe(true)
  await new Promise((resolve) => setTimeout(resolve, 300))
  process.kill(before.processId, "SIGKILL")
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(connects()).toBe(true)
  const dead = status()
  expect(dead).toMatchObject({ alive: false, code: 3, generation: before.generation, digest: before.digest })
  expect(dead.bigTcp).toMatch(/^off: with routing vxlan/)
  expect(onLab("map", "list", "-o", "name").out.split("\n")).toEqual(
    expect.arrayContaining(["addrs", "flows", "events"]),
  )
  const why = onLab("why", "shop/web", "shop/db", "--port", "80/TCP")
  expect(why.out).toContain("by    default/NetworkPolicy shop/db default-deny ingress")
  expect(why.out).toContain("read from its kernel's tables")
  expect(why.out).toContain("the agent does not answer")
  expect(onLab("policy", "list").code).toBe(3)
})

test("an agent that comes back takes over what is enforced, refuses a second one, and leaves it when told to stop", async () => {
  const before = status()
  const agent = startAgent()
  await expect.poll(() => status().alive, { timeout: 30_000, interval: 300 }).toBe(true)
  const after = status()
  expect(after.digest).toBe(before.digest)
  expect(after.generation).toBeGreaterThan(before.generation)
  expect(connects()).toBe(true)

  const second = startAgent()
  let said = ""
  second.stderr?.on("data", (chunk: Buffer) => {
    said += chunk.toString()
  })
  const code = await new Promise((resolve) => second.once("exit", resolve))
  expect(code).toBe(1)
  expect(said).toContain(`process ${after.processId} is the agent of this directory`)

  agent.kill("SIGTERM")
  expect(await new Promise((resolve) => agent.once("exit", resolve))).toBe(0)
  expect(connects()).toBe(true)
  expect(status()).toMatchObject({ alive: false, generation: after.generation })
})
