import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { Failure } from "../api/failure.ts"
import { type AgentService, type ApiServer, serve } from "../api/server.ts"
import type { Io } from "./io.ts"
import { run } from "./program.ts"
import { findTargets } from "./target.ts"

const directory = mkdtempSync(join(tmpdir(), "heddle-cli-"))
const servers: ApiServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const NOW = Date.UTC(2026, 0, 31, 12, 0, 0)

async function heddle(line: string, stdin = ""): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ["", ""]
  const io: Io = {
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
    colour: { out: false, err: false },
    width: undefined,
    stdin: async () => stdin,
    environment: {},
    now: () => NOW,
    interrupted: new AbortController().signal,
  }
  const words = line.match(/"[^"]*"|\S+/g)?.map((word) => word.replaceAll('"', "")) ?? []
  const code = await run(words, io)
  return { code, out, err }
}

/** An agent that answers only what a test gives it; returns its socket. */
async function agent(name: string, methods: Partial<AgentService>): Promise<string> {
  const socket = join(directory, name)
  servers.push(await serve(socket, methods as AgentService))
  return socket
}

const policies = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, image: echo, ports: [{name: http, containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: c, image: echo, ports: [{name: sql, containerPort: 5432}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
      ports: [{port: 5432}]
`
let file: string
beforeAll(() => {
  file = join(directory, "shop.yaml")
  writeFileSync(file, policies)
})

describe("usage", () => {
  test.each([
    ["", 0, "Usage: heddle"],
    ["--help", 0, "Exit codes: 0 ok"],
    ["why --help", 0, "heddle why shop/web-0 shop/db-0 --port 5432/TCP"],
    ["help observe", 0, "--follow"],
  ])("%j shows help", async (line, code, text) => {
    const result = await heddle(line)
    expect(result.code).toBe(code)
    expect(result.out).toContain(text)
  })

  test.each([
    ["frob", "error: Cannot run heddle\n  why: unknown command 'frob'\n  try: heddle --help\n"],
    ["observe --folow", "  why: unknown option '--folow'\n  try: Did you mean --follow?; heddle observe --help\n"],
    ["why a/b", "error: Cannot run heddle why\n  why: missing required argument 'to'\n  try: heddle why --help\n"],
    ["why a/b c/d --port 80/XYZ", "  why: XYZ is no protocol\n"],
    ["why a/b c/d --port 99999", "  why: a port is at most 65535\n"],
    ["why a/b/c/d x", "  why: wanted NAMESPACE/POD, node/NAME or an address\n"],
    ["status -o csv --socket /none", 'error: Cannot print as "csv"\n'],
    ["observe --since yesterday --socket /none", "neither a length of time nor a time"],
    ["observe --port http --socket /none", "wanted a whole number"],
    ["apply --socket /none", "no file is given"],
    ["apply -f /does/not/exist --socket /none", "ENOENT"],
    ["delete --socket /none", "neither a file nor kind and name"],
    ["completion tcsh", "the shells are bash, zsh, fish"],
    ["test", "missing required argument 'suites'"],
    ["status --timeout x --socket /none", "wanted a number of seconds"],
    ["lab up --routing bgp", "wanted vxlan or native"],
  ])("%j ends with 2 and says why", async (line, text) => {
    const result = await heddle(line)
    expect(result.err).toContain(text)
    expect(result.code).toBe(2)
    expect(result.out).toBe("")
  })

  test("no agent ends with 3", async () => {
    const result = await heddle(`status --socket ${join(directory, "none.sock")}`)
    expect(result.code).toBe(3)
    expect(result.err).toContain("Cannot reach the agent at")
    expect(result.err).toContain("try:")
  })

  test("an agent that does not answer ends with 124", async () => {
    const socket = await agent("slow.sock", { listEndpoints: () => new Promise<never>(() => {}) })
    const result = await heddle(`endpoint list --socket ${socket} --timeout 0.1`)
    expect(result.code).toBe(124)
  })
})

describe("finding agents", () => {
  test("a lab's nodes, one of them, and what to say when there is none or more than one", () => {
    const root = join(directory, "run")
    expect(() => findTargets({}, root)).toThrow(Failure)
    for (const place of ["lab/x/nodes/a", "lab/x/nodes/b", "lab/y/nodes/c", "n1/state"])
      mkdirSync(join(root, place), { recursive: true })
    expect(findTargets({}, root).map((target) => target.node)).toEqual(["n1"])
    writeFileSync(join(root, "lab/x/lab.json"), "{}")
    expect(findTargets({}, root).map((target) => target.socket)).toEqual([
      join(root, "lab/x/nodes/a/agent.sock"),
      join(root, "lab/x/nodes/b/agent.sock"),
    ])
    expect(findTargets({ node: "b" }, root).map((target) => target.node)).toEqual(["b"])
    expect(findTargets({ node: "n1" }, root).map((target) => target.lab)).toEqual([undefined])
    writeFileSync(join(root, "lab/y/lab.json"), "{}")
    expect(() => findTargets({}, root)).toThrow("Cannot tell which lab is meant")
    expect(findTargets({ lab: "y" }, root).map((target) => target.node)).toEqual(["c"])
    expect(() => findTargets({ lab: "z" }, root)).toThrow("Cannot find lab z")
    expect(() => findTargets({ lab: "x", node: "q" }, root)).toThrow("Cannot find node q")
  })
})

describe("why from files", () => {
  test("an allowed connection, with rule and line, by a port's name", async () => {
    const result = await heddle(`why shop/web shop/db --port sql/TCP --from-file ${file} --expect allow`)
    expect(result.code).toBe(0)
    expect(result.out).toContain("ALLOWED  shop/web (10.244.1.10) -> shop/db (10.244.2.10)  port 5432/TCP")
    expect(result.out).toContain("by    default/NetworkPolicy shop/db ingress[0]")
    expect(result.out).toContain(`at    ${file}:22:7`)
    expect(result.out).toContain("computed from the objects")
  })

  test("a denied one, what nearly matched, and --expect as a check", async () => {
    const result = await heddle(`why shop/web shop/db --port 80/TCP --from-file ${file} --expect allow`)
    expect(result.code).toBe(1)
    expect(result.out).toContain("DENIED")
    expect(result.out).toContain("by    default/NetworkPolicy shop/db default-deny ingress")
    expect(result.out).toMatch(/near {2}default\/NetworkPolicy shop\/db ingress\[0\] would match but for port 80\/TCP/)
    expect(result.err).toContain("wanted allow, it is denied")
  })

  test("as JSON", async () => {
    const result = await heddle(`why shop/web shop/db --port 5432 --family ipv6 --from-file ${file} -o json`)
    const answer = JSON.parse(result.out)
    expect(answer).toMatchObject({
      allowed: true,
      port: 5432,
      egress: { rule: "no-policy egress" },
      ingress: { origin: { file, line: 22 } },
    })
    expect(answer.ingress.address).toMatch(/^fd00:/)
  })

  test("a pod that is not there is named with those that are like it", async () => {
    const result = await heddle(`why other/web shop/db --from-file ${file}`)
    expect(result.code).toBe(1)
    expect(result.err).toContain("did you mean shop/web?")
  })

  test("mistakes in the files are all told", async () => {
    const broken = join(directory, "broken.yaml")
    writeFileSync(broken, policies.replace("podSelector: {matchLabels: {app: db}}", "podSelectr: {}"))
    const result = await heddle(`why shop/web shop/db --from-file ${broken}`)
    expect(result.code).toBe(2)
    expect(result.err).toContain("Cannot compute from these manifests")
    expect(result.err).toMatch(/broken\.yaml:20:3: error: spec\.podSelectr/)
  })
})

test("policy check reads standard input and ends with 1 on a mistake", async () => {
  const good = await heddle("policy check -", policies)
  expect([good.code, good.err]).toEqual([0, "no mistakes in 1 Namespace, 2 Pod, 1 NetworkPolicy\n"])
  const bad = await heddle(
    "policy check - -o json",
    policies.replace("5432}", "70000}").replace("port: 5432", "port: 70000"),
  )
  expect(bad.code).toBe(1)
  expect(JSON.parse(bad.out).ok).toBe(false)
})

describe("answers of agents", () => {
  const endpoint = (name: string, node: string) => ({
    namespace: "shop",
    name,
    node,
    addresses: ["10.244.1.2"],
    state: "ready",
    number: 1,
    ifindex: 5,
    mac: "02:00:00:00:00:01",
    labels: { app: name },
    ingress: ["db"],
  })

  test("a table, wide, names, JSON and YAML", async () => {
    const socket = await agent("lists.sock", {
      listEndpoints: () => ({ endpoints: [endpoint("web", "a"), endpoint("db", "a")] }),
    })
    const list = (format: string) => heddle(`endpoint list --socket ${socket} ${format}`)
    expect((await list("")).out).toMatchInlineSnapshot(`
      "NAMESPACE  NAME  NODE  ADDRESSES   STATE  INGRESS  EGRESS
      shop       db    a     10.244.1.2  ready  db       open
      shop       web   a     10.244.1.2  ready  db       open
      "
    `)
    expect((await list("-o wide")).out).toContain("02:00:00:00:00:01  app=db")
    expect((await list("-o name")).out).toBe("shop/db\nshop/web\n")
    expect(JSON.parse((await list("-o json")).out)).toMatchObject([
      { name: "db", labels: { app: "db" } },
      { name: "web" },
    ])
    expect((await list("-o yaml")).out).toContain("- namespace: shop\n  name: db\n")
  })

  test("status shows what is wrong, and ends with 1 when a commit fails", async () => {
    const socket = await agent("status.sock", {
      status: () => ({
        node: "node-1",
        version: "1",
        alive: true,
        processId: 7,
        startedMs: BigInt(NOW - 60_000),
        generation: 3,
        digest: "aa",
        wantedDigest: "bb",
        lastCommitMs: BigInt(NOW - 5_000),
        lastCommitDurationUs: 3_200,
        commits: 2,
        commitError: "classes need 300000 entries, 262144 are there",
        commitErrorSinceMs: BigInt(NOW - 2_000),
        plane: "ebpf",
        routing: "vxlan",
        bigTcp: "off: by the setting bigTcp",
        endpoints: 2,
        endpointsReady: 1,
        drops: [{ name: "policy", packets: 4n, bytes: 240n }],
        lost: [{ name: "drop", packets: 2n }],
      }),
    })
    const result = await heddle(`status --socket ${socket}`)
    expect(result.code).toBe(1)
    expect(result.out).toMatchInlineSnapshot(`
      "node-1
        Agent        running, version 1, process 7, started 60 s ago
        Plane        ebpf, routing vxlan
        BIG TCP      off: by the setting bigTcp
        Enforced     generation 3, objects aa (wanted bb)
        Last commit  5 s ago, took 3.2 ms, 2 commits since start
        Failing      since 2 s ago: classes need 300000 entries, 262144 are there
        Endpoints    1 of 2 ready
        Policy       0 policies, 0 classes of 0 slots, 0 sets, 0 rows
        Flows        0 live
        Drops        policy 4
        Lost events  drop 2
      "
    `)
  })

  test("apply tells each object, waits until it is enforced, and ends with 1 when one is refused", async () => {
    let awaited = ""
    const socket = await agent("apply.sock", {
      apply: (request) => ({
        digest: "dd",
        results: [
          { ref: { kind: "NetworkPolicy", namespace: request.namespace, name: "a" }, result: "created" },
          {
            ref: { kind: "NetworkPolicy", namespace: "shop", name: "b" },
            result: "refused",
            kept: "the version in force is kept: b.yaml:1",
            problems: [
              {
                origin: { file: "b.yaml", line: 3, column: 5 },
                path: "spec.x",
                message: "unknown field",
                hint: "did you mean y?",
                severity: "error",
              },
            ],
          },
        ],
      }),
      await: (request) => {
        awaited = request.digest
        return { reached: true }
      },
    })
    const result = await heddle(`apply -f - -n shop --socket ${socket}`, policies)
    expect(awaited).toBe("dd")
    expect(result).toEqual({
      code: 1,
      out: "networkpolicy/shop/a created\nnetworkpolicy/shop/b refused\n",
      err:
        "b.yaml:3:5: error: spec.x: unknown field\n  try: did you mean y?\n" +
        "refused: networkpolicy/shop/b (the version in force is kept: b.yaml:1)\nenforced on 1 node\n",
    })
  })

  test("what is not enforced in time says which node and why", async () => {
    const socket = await agent("late.sock", {
      apply: () => ({ digest: "dd", results: [] }),
      await: () => ({ reached: false, error: "rows need 70000 entries, 65536 are there" }),
    })
    const result = await heddle(`apply -f ${file} --socket ${socket}`)
    expect(result.code).toBe(1)
    expect(result.err).toContain("rows need 70000 entries")
  })

  const flow = (timeNs: bigint, change: object = {}) => ({
    response: {
      case: "flow" as const,
      value: {
        timeNs,
        node: "node-1",
        kind: "start",
        verdict: "forwarded",
        source: { address: "10.244.1.2", port: 40_000, kind: "pod", namespace: "shop", name: "web", node: "node-1" },
        destination: { address: "10.244.1.3", port: 5_432, kind: "pod", namespace: "shop", name: "db", node: "node-1" },
        protocol: 6,
        egress: { allowed: true, rule: "no-policy egress" },
        ingress: {
          allowed: true,
          rule: "default/NetworkPolicy shop/db ingress[0]",
          origin: { file: "shop.yaml", line: 23, column: 7 },
        },
        hook: "pod",
        tcpFlags: 2,
        ...change,
      },
    },
  })

  test("observe prints lines, JSON arrays and lines of JSON, and passes filters on", async () => {
    let asked: unknown
    const socket = await agent("observe.sock", {
      async *observe(request) {
        asked = request.filter
        yield flow(2_000_000_000n, {
          kind: "drop",
          verdict: "dropped",
          reason: "policy",
          direction: "ingress",
          ingress: { allowed: false, rule: "default/NetworkPolicy shop/db default-deny ingress" },
        })
        yield flow(1_000_000_000n)
        yield { response: { case: "lost" as const, value: { where: "ring", count: 3n, node: "node-1", kind: "drop" } } }
      },
    })
    const text = await heddle(
      `observe --socket ${socket} --pod shop/web,db --verdict DROPPED --protocol tcp --port 5432`,
    )
    expect(asked).toMatchObject({ pods: ["shop/web", "db"], verdicts: ["dropped"], protocols: [6], ports: [5432] })
    const lines = text.out
      .trimEnd()
      .split("\n")
      .map((line) => line.slice(14))
    expect(lines).toEqual([
      "FORWARDED  shop/web:40000 -> shop/db:5432                TCP   no-policy egress; default/NetworkPolicy shop/db ingress[0]",
      "DROPPED    shop/web:40000 -> shop/db:5432                TCP   default/NetworkPolicy shop/db default-deny ingress",
    ])
    expect(text.err).toBe("lost: 3 events of node-1 (drop): the kernel's ring was full\n")
    const array = JSON.parse((await heddle(`observe --socket ${socket} -o json`)).out)
    expect(array).toMatchObject([
      {
        verdict: "forwarded",
        source: { namespace: "shop", pod: "web", port: 40_000 },
        ingress: { verdict: "allow", file: "shop.yaml", line: 23 },
        tcpFlags: ["SYN"],
        time: "1970-01-01T00:00:01.000000Z",
      },
      { verdict: "dropped", reason: "policy", by: "default/NetworkPolicy shop/db default-deny ingress" },
    ])
    const jsonl = await heddle(`observe --socket ${socket} -o jsonl --last 1`)
    expect(jsonl.out.trimEnd().split("\n")).toHaveLength(1)
    expect(JSON.parse(jsonl.out)).toMatchObject({ event: "drop" })
  })

  test("an agent's refusal of a filter is a usage error", async () => {
    const socket = await agent("refuses.sock", {
      // biome-ignore lint/correctness/useYield: it ends before there is anything to tell
      async *observe() {
        throw new Failure("usage", "Cannot filter flows", "no such reason", "heddle observe --help")
      },
    })
    const result = await heddle(`observe --socket ${socket} --reason weather`)
    expect([result.code, result.err]).toEqual([
      2,
      "error: Cannot filter flows\n  why: no such reason\n  try: heddle observe --help\n",
    ])
  })
})

describe("completion", () => {
  test.each(["bash", "zsh", "fish"])("%s knows commands and flags, and not what help hides", async (shell) => {
    const { code, out } = await heddle(`completion ${shell}`)
    expect(code).toBe(0)
    for (const word of ["observe", "why", "policy", "show"]) expect(out).toContain(word)
    expect(out).toContain(shell === "fish" ? "-l follow" : "--follow")
    expect(out).not.toContain("respond")
  })
})
