import { execFileSync, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { createNamespace, deleteNamespace } from "../../src/kernel/namespace.ts"
import { emptyCluster } from "../../src/model/cluster.ts"
import { parsePrefix } from "../../src/net/prefix.ts"
import { NodeNetwork } from "../../src/plane/network/network.ts"
import { CniServer } from "../../src/source/cni/server.ts"

const shim = resolve(import.meta.dirname, "../../build/heddle-cni")
let directory: string
let socket: string
const namespaces: string[] = []
const closing: (() => Promise<void> | void)[] = []

function newNamespace(name: string): string {
  const path = join(directory, name)
  createNamespace(path)
  namespaces.push(path)
  return path
}

beforeAll(() => {
  execFileSync(resolve(import.meta.dirname, "../../scripts/build-cni"))
})

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "hd-shim-"))
  socket = join(directory, "cni.sock")
})

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
  for (const path of namespaces.splice(0)) deleteNamespace(path)
  rmSync(directory, { recursive: true, force: true })
})

interface Output {
  readonly exit: number | null
  readonly stdout: string
  readonly result: Record<string, unknown>
}

function run(env: Record<string, string>, config: unknown): Promise<Output> {
  return new Promise((done, reject) => {
    const child = spawn(shim, { env, stdio: ["pipe", "pipe", "inherit"] })
    let stdout = ""
    child.stdout.on("data", (chunk) => {
      stdout += chunk
    })
    child.on("error", reject)
    child.on("close", (exit) => done({ exit, stdout, result: stdout.startsWith("{") ? JSON.parse(stdout) : {} }))
    child.stdin.on("error", () => undefined)
    child.stdin.end(typeof config === "string" ? config : JSON.stringify(config))
  })
}

const configuration = { cniVersion: "1.1.0", name: "pods", type: "heddle-cni" }

function envOf(command: string, netns = "", name = "web"): Record<string, string> {
  return {
    HEDDLE_CNI_SOCKET: socket,
    CNI_COMMAND: command,
    CNI_CONTAINERID: `c-${name}`,
    CNI_NETNS: netns,
    CNI_IFNAME: "eth0",
    CNI_PATH: "/opt/cni/bin",
    CNI_ARGS: `K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${name}`,
  }
}

describe("with an agent", () => {
  let network: NodeNetwork
  beforeEach(async () => {
    network = new NodeNetwork({
      ...{ node: "a", netns: newNamespace("node"), stateDirectory: join(directory, "state"), uplink: "lo" },
      ...{ routing: "native", overlayPort: 4789, mtu: 1500, nonMasquerade: [] },
      podPrefixes: [parsePrefix("10.1.0.0/24"), parsePrefix("fd00:1::/64")],
      podHook: () => [],
      isHooked: () => true,
      onChange: () => Promise.resolve(),
    })
    const server = await CniServer.listen(socket, network)
    closing.push(
      () => network.close(),
      () => server.close(),
    )
  })

  test("a pod's whole life, as a runtime asks for it", async () => {
    expect((await run(envOf("STATUS"), configuration)).result).toMatchObject({ code: 50 })
    await network.setup(emptyCluster)
    expect(await run(envOf("STATUS"), configuration)).toMatchObject({ exit: 0, stdout: "" })

    const netns = newNamespace("pod")
    const added = await run(envOf("ADD", netns), configuration)
    expect(added).toMatchObject({
      exit: 0,
      result: {
        cniVersion: "1.1.0",
        interfaces: [{ mac: "02:68:64:00:00:01" }, { name: "eth0", sandbox: netns, mtu: 1500 }],
        ips: [
          { address: "10.1.0.2/32", gateway: "169.254.1.1", interface: 1 },
          { address: "fd00:1::2/128", gateway: "fe80::1", interface: 1 },
        ],
      },
    })
    expect((await run(envOf("ADD", netns), configuration)).result).toMatchObject({ code: 102 })
    const prevResult = added.result
    expect(await run(envOf("CHECK", netns), { ...configuration, prevResult })).toMatchObject({ exit: 0, stdout: "" })
    const valid = [{ containerID: "c-web", ifname: "eth0" }]
    const gc = { ...configuration, "cni.dev/valid-attachments": valid }
    expect(await run(envOf("GC"), gc)).toMatchObject({ exit: 0, stdout: "" })
    expect(network.attachments().length).toBe(1)
    for (let i = 0; i < 2; i++)
      expect(await run(envOf("DEL", netns), { ...configuration, prevResult })).toMatchObject({ exit: 0, stdout: "" })
    const check = await run(envOf("CHECK", netns), { ...configuration, prevResult })
    expect(check).toMatchObject({ exit: 1, result: { code: 3 } })
    expect((await run(envOf("ADD", "/nothing/here"), configuration)).result).toMatchObject({ code: 3 })
  })

  test("thirty pods at once, with the socket named by the configuration", async () => {
    await network.setup(emptyCluster)
    const names = Array.from({ length: 30 }, (_, i) => `p${i}`)
    const added = await Promise.all(
      names.map((name) => {
        const { HEDDLE_CNI_SOCKET: _, ...env } = envOf("ADD", newNamespace(name), name)
        return run(env, { ...configuration, cniVersion: "1.0.0", socket })
      }),
    )
    expect(added.map((one) => one.exit)).toEqual(names.map(() => 0))
    expect(new Set(added.map((one) => JSON.stringify(one.result["ips"]))).size).toBe(30)
    const deleted = await Promise.all(names.map((name) => run(envOf("DEL", "", name), configuration)))
    expect(deleted.map((one) => one.stdout)).toEqual(names.map(() => ""))
    expect(network.attachments()).toEqual([])
  })

  test("a configuration with every kind of character arrives as it is", async () => {
    const name = "a.b-c_d"
    const config = { ...configuration, name, args: { text: '\u0001"\\\n😀\u2028é' }, cniVersion: "0.3.0" }
    const { result } = await run(envOf("ADD", "/x"), config)
    expect(result).toMatchObject({ code: 1, cniVersion: "0.3.0" })
  })
})

describe("without an agent", () => {
  const configured = { ...configuration, cniVersion: "1.0.0" }

  test("VERSION is answered all the same", async () => {
    const { exit, result } = await run({ CNI_COMMAND: "VERSION" }, { cniVersion: "1.0.0" })
    expect({ exit, result }).toEqual({
      exit: 0,
      result: { cniVersion: "1.0.0", supportedVersions: ["0.4.0", "1.0.0", "1.1.0"] },
    })
  })

  test("the runtime is asked to try again, and told why", async () => {
    const { exit, result } = await run(envOf("DEL"), configured)
    expect({ exit, code: result["code"], cniVersion: result["cniVersion"] }).toEqual({
      exit: 1,
      code: 11,
      cniVersion: "1.0.0",
    })
    expect(result["details"]).toContain(`${socket}: No such file`)
    expect((await run(envOf("STATUS"), configured)).result).toMatchObject({ code: 50 })
  })

  test.each([
    ["", 6],
    ["[]", 6],
    ['{"a": "b', 6],
    [`{"a": "${"x".repeat(1_100_000)}"}`, 7],
    [JSON.stringify({ ...configured, socket: `/${"x".repeat(200)}` }), 7],
  ])("configuration %.12s is refused with code %i", async (config, code) => {
    const { HEDDLE_CNI_SOCKET: _, ...env } = envOf("ADD")
    expect(await run(env, config)).toMatchObject({ exit: 1, result: { code } })
  })

  test("CNI_COMMAND must be set", async () => {
    expect(await run({}, configured)).toMatchObject({ exit: 1, result: { code: 4 } })
  })

  test.each([
    ["nothing", Buffer.alloc(0)],
    ["half a header", Buffer.from([0, 0])],
    ["a frame that is too long", Buffer.from([0xff, 0xff, 0xff, 0xff])],
    ["half a frame", Buffer.concat([Buffer.from([0, 0, 0, 9]), Buffer.from("{}")])],
    ["no JSON", Buffer.concat([Buffer.from([0, 0, 0, 2]), Buffer.from("xx")])],
    ["no answer in it", Buffer.concat([Buffer.from([0, 0, 0, 2]), Buffer.from("{}")])],
  ])("an agent that answers with %s", async (_name, bytes) => {
    const server: Server = createServer((peer) => {
      peer.on("error", () => undefined)
      peer.once("data", () => peer.end(bytes))
    })
    closing.push(() => new Promise((done) => server.close(() => done())))
    await new Promise<void>((done) => server.listen(socket, done))
    expect(await run(envOf("ADD", "/x"), configured)).toMatchObject({ exit: 1, result: { code: 11 } })
  })
})
