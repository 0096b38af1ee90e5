import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { agentLog, cniSocket } from "../../src/lab/agent-process.ts"
import { cniPlugin, heddleCommand } from "../../src/lab/package.ts"
import { isAlive } from "../../src/lab/processes.ts"
import { Stage, until } from "./stage.ts"

function pod(name: string, node = "node-1"): string {
  return `
---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { app: ${name} } }
spec: { nodeName: ${node}, containers: [{ name: c, image: x, ports: [{ containerPort: 80 }] }] }
`
}

const manifests = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  policyTypes: [Ingress]
  ingress: [{ from: [{ podSelector: { matchLabels: { app: friend } } }] }]
${[pod("web"), pod("friend"), pod("foe")].join("")}`

let stage: Stage

beforeAll(async () => {
  stage = await Stage.open({ name: "hd-two", nodes: 1 }, manifests)
})

afterAll(async () => {
  await stage?.close()
})

/** The policy in force is the one of `manifests`: new connections are judged by it. */
async function inForce(): Promise<void> {
  const web = stage.pod("web")
  const tasks = ([4, 6] as const).flatMap((family) => [
    stage.task(stage.pod("friend"), web, 6, 80, "allow", family),
    stage.task(stage.pod("foe"), web, 6, 80, "deny", family),
  ])
  expect((await stage.prober.run(tasks)).map(({ got }) => got)).toEqual(["allow", "deny", "allow", "deny"])
}

/** Runs the command line in the node's namespace until it ends. */
function heddle(...words: string[]): { readonly status: number | null; readonly text: string } {
  const [program = "", ...rest] = heddleCommand()
  const netns = `--net=${stage.paths.nodeNamespace("node-1")}`
  const { status, stdout, stderr } = spawnSync("nsenter", [netns, "--", program, ...rest, ...words], {
    encoding: "utf8",
    cwd: "/",
    timeout: 20_000,
    env: { ...process.env, NO_COLOR: "1" },
  })
  return { status, text: stdout + stderr }
}

const runDir = () => stage.paths.node("node-1")
const log = () => readFileSync(agentLog(stage.paths, "node-1"), "utf8")

describe("a second agent", () => {
  const start = (directory: string) =>
    heddle(
      "agent",
      "--node",
      "node-1",
      "--run-dir",
      directory,
      "--objects",
      stage.paths.objects,
      "--config",
      join(runDir(), "agent.yaml"),
    )

  test("in the same run directory refuses, and says which process is there", async () => {
    const { pid } = stage.agent("node-1")
    const { status, text } = start(runDir())
    expect(status).toBe(1)
    expect(text).toContain(`Cannot start an agent in ${runDir()}`)
    expect(text).toContain(`process ${pid} is the agent of this directory`)
    expect(isAlive(stage.agent("node-1"))).toBe(true)
    await inForce()
  })

  test("on the same node with another run directory refuses too, and changes nothing", async () => {
    const { pid } = stage.agent("node-1")
    const other = stage.folder("other")
    const { status, text } = start(other)
    expect(status).toBe(1)
    expect(text).toContain("Cannot start an agent on this node")
    expect(text).toContain(`process ${pid} (run directory ${runDir()})`)
    expect(readdirSync(other)).toEqual([])
    await inForce()
    console.log(`two agents: ${text.split("\n")[0]}`)
  })

  test("starts when the first is gone, also killed", async () => {
    process.kill(stage.agent("node-1").pid, "SIGKILL")
    await until("it is gone", () => !isAlive(stage.agent("node-1")))
    await stage.start("node-1")
    await inForce()
  })
})

describe("broken objects", () => {
  const file = () => join(stage.paths.objects, "extra.yaml")
  const status = () => stage.client("node-1").call("status", {})

  test.each([
    ["YAML that cannot be read", "apiVersion: v1\nkind: [Pod\n", /extra\.yaml:\d+/],
    [
      "an unknown field",
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: web, namespace: shop }\nspec: { podSelectr: {} }\n",
      /extra\.yaml:\d+/,
    ],
    [
      "half a file",
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: web, namesp",
      /extra\.yaml:\d+/,
    ],
    ["bytes that are no text", "\u0000\u0001\ufffd", /extra\.yaml/],
  ])("%s: said with file and line, and the state of before stays", async (_what, text, place) => {
    writeFileSync(file(), text)
    await until("it is said", async () => place.test((await status()).sources[0]?.error ?? ""))
    await inForce()
    rmSync(file())
    await until("it is well again", async () => ((await status()).sources[0]?.error ?? "") === "")
    await inForce()
  })

  test("a policy that goes bad keeps its last good version, also over a restart", async () => {
    const [name = ""] = readdirSync(stage.paths.objects).filter((each) =>
      readFileSync(join(stage.paths.objects, each), "utf8").includes("NetworkPolicy"),
    )
    const path = join(stage.paths.objects, name)
    const good = readFileSync(path, "utf8")
    writeFileSync(`${path}.new`, good.replaceAll("podSelector", "podSelectr"))
    renameSync(`${path}.new`, path)
    await until(
      "it is refused",
      async () => (await status()).refused.length > 0 || ((await status()).sources[0]?.error ?? "") !== "",
    )
    await inForce()
    await stage.restart("node-1")
    await inForce()
    writeFileSync(`${path}.new`, good)
    renameSync(`${path}.new`, path)
    await until("it is well again", async () => ((await status()).sources[0]?.error ?? "") === "")
    await inForce()
  })

  test("the directory gone and back", async () => {
    const { objects } = stage.paths
    renameSync(objects, `${objects}.away`)
    await until("it is said", async () =>
      /cannot be read.*stay in force/.test((await status()).sources[0]?.error ?? ""),
    )
    await inForce()
    await stage.restart("node-1")
    await inForce()
    renameSync(`${objects}.away`, objects)
    await until("it is well again", async () => ((await status()).sources[0]?.error ?? "") === "")
    await sleep(600)
    await inForce()
    await stage.apply(`${manifests}${pod("late")}`)
    expect(await stage.probe(stage.pod("late"), stage.pod("web"), 6, 80, "deny")).toBe("deny")
  })
})

describe("broken state on disk", () => {
  /** Every file of the agent's state, however deep. */
  function files(directory: string): string[] {
    return readdirSync(directory, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? files(join(directory, entry.name)) : [join(directory, entry.name)],
    )
  }

  test("half written, empty, of another form: the agent starts, says so, and the policy is in force", async () => {
    await stage.stop("node-1")
    const all = files(join(runDir(), "state"))
      .filter((path) => !path.includes("/attachments/"))
      .sort()
    expect(all.length).toBeGreaterThan(3)
    for (const [i, path] of all.entries()) {
      if (i % 3 === 0) truncateSync(path, Math.floor(readFileSync(path).length / 2))
      else writeFileSync(path, i % 3 === 1 ? "" : '{"form": 99}')
    }
    await stage.start("node-1")
    await inForce()
    expect(log()).toMatch(/The last \d+ bytes of .*accepted\.log are not whole/)
  })

  test("attachments half written: their pods are cut off rather than open", async () => {
    await stage.stop("node-1")
    const attachments = files(join(runDir(), "state")).filter((path) => path.includes("/attachments/"))
    expect(attachments.length).toBeGreaterThanOrEqual(3)
    const [first = ""] = attachments.filter((path) => readFileSync(path, "utf8").includes('"pod":"foe"'))
    truncateSync(first, 40)
    await stage.start("node-1")
    const web = stage.pod("web")
    expect(await stage.probe(stage.pod("friend"), web, 6, 80)).toBe("allow")
    expect(await stage.probe(stage.pod("foe"), web, 6, 80, "deny")).not.toBe("allow")
  })
})

describe("sockets gone", () => {
  test("the agent makes them again; meanwhile the command line and the runtime are told", async () => {
    for (const name of ["agent.sock", "cni.sock"]) rmSync(join(runDir(), name))
    const asked = heddle("status", "--socket", join(runDir(), "agent.sock"))
    expect(asked.text).not.toBe("")
    const plugin = spawnSync(cniPlugin(), [], {
      encoding: "utf8",
      input: JSON.stringify({
        cniVersion: "1.1.0",
        name: "heddle",
        type: "heddle-cni",
        socket: cniSocket(stage.paths, "node-1"),
      }),
      env: { CNI_COMMAND: "STATUS" },
    })
    if (plugin.status !== 0) expect(JSON.parse(plugin.stdout)).toMatchObject({ code: 50 })
    expect(await stage.probe(stage.pod("friend"), stage.pod("web"), 6, 80)).toBe("allow")
    await until(
      "the sockets are there again",
      () => ["agent.sock", "cni.sock"].every((name) => existsSync(join(runDir(), name))),
      8_000,
    )
    expect((await stage.client("node-1").call("status", {})).alive).toBe(true)
  })
})
