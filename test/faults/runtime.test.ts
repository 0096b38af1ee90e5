import { spawn } from "node:child_process"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { detachClsact } from "../../src/kernel/bpf/attach.ts"
import { createNamespace, deleteNamespace, inNamespace } from "../../src/kernel/namespace.ts"
import { cniSocket } from "../../src/lab/agent-process.ts"
import { cniPlugin } from "../../src/lab/package.ts"
import { withNetlink } from "../../src/lab/underlay.ts"
import { parseAddress } from "../../src/net/address.ts"
import { parsePrefix } from "../../src/net/prefix.ts"
import { hasPodman, Podman } from "./podman.ts"
import { Stage, until } from "./stage.ts"

function pod(name: string, node: string, status = ""): string {
  return `
---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { app: ${name} } }
spec: { nodeName: ${node}, containers: [{ name: c, image: x, ports: [{ containerPort: 80 }] }] }
${status}`
}

const policy = `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  policyTypes: [Ingress]
  ingress: [{ from: [{ podSelector: { matchLabels: { app: cli } } }, { podSelector: { matchLabels: { app: far } } }] }]
`
const contained = ["shop/web", "shop/cli", "shop/foe"]
const objects = (statuses: Readonly<Record<string, string>> = {}) =>
  [policy, pod("far", "node-2"), ...["web", "cli", "foe"].map((name) => pod(name, "node-1", statuses[name]))].join("")

let stage: Stage
let podman: Podman

beforeAll(async () => {
  expect(hasPodman(), "podman and runc are there: scripts/setup test installs them").toBe(true)
  stage = await Stage.open({ name: "hd-runtime" }, pod("far", "node-2"))
  podman = await Podman.on(stage, "node-1")
})

afterAll(async () => {
  await podman?.close()
  await stage?.close()
})

describe("podman with runc", () => {
  const addresses = new Map<string, readonly string[]>()

  test("starts containers through the plugin; they are reached, policed and named", async () => {
    await stage.apply(objects(), contained)
    const times: number[] = []
    for (const name of ["web", "cli", "foe"]) {
      const command = name === "web" ? ["nc", "-ll", "-p", "80", "-e", "/bin/echo", "shop/web"] : ["sleep", "600"]
      const from = performance.now()
      addresses.set(name, podman.run(name, ["/bin/busybox", ...command]))
      times.push(performance.now() - from)
    }
    const [four = "", six = ""] = addresses.get("web") ?? []
    expect(four).toMatch(/^10\.244\.1\./)
    expect(six).toMatch(/^fd00:10:244:1::/)
    const ask = (name: string, address: string) => podman.exec(name, ["/bin/busybox", "nc", "-w", "1", address, "80"])
    await until("web answers", () => ask("cli", four) === "shop/web")
    for (const address of [four, six]) {
      expect(ask("cli", address)).toBe("shop/web")
      expect(ask("foe", address)).toBe("")
    }
    // Other nodes know a container once its status says where it is, as a kubelet would write it.
    const statuses = Object.fromEntries(
      [...addresses].map(([name, [ip4 = "", ip6 = ""]]) => [
        name,
        `status: { podIP: "${ip4}", podIPs: [{ ip: "${ip4}" }, { ip: "${ip6}" }] }`,
      ]),
    )
    await stage.apply(objects(statuses), contained)
    const web = { netns: "", addresses: [four, six].map(parseAddress), identity: "shop/web", node: "node-1" }
    const outcomes = await stage.prober.run([
      stage.task(stage.pod("far"), web, 6, 80, "allow", 4),
      stage.task(stage.pod("far"), web, 6, 80, "allow", 6),
      stage.task(stage.node("node-2"), web, 6, 80, "deny", 4),
    ])
    expect(outcomes.map(({ got }) => got)).toEqual(["allow", "allow", "deny"])

    const flows = new Set<string>()
    await until("the flows are named", async () => {
      for await (const { response } of stage.client("node-1").observe({}))
        if (response.case === "flow" && response.value.destination?.name === "web")
          flows.add(`${response.value.source?.namespace}/${response.value.source?.name} ${response.value.verdict}`)
      return ["cli forwarded", "foe dropped", "far forwarded"].every((flow) => flows.has(`shop/${flow}`))
    }).catch(() => undefined)
    expect([...flows]).toEqual(expect.arrayContaining(["shop/cli forwarded", "shop/foe dropped", "shop/far forwarded"]))
    console.log(
      `podman: 3 containers, run to running ${times.map((ms) => ms.toFixed(0)).join(", ")} ms; ${[...flows].join(", ")}`,
    )
  })

  test("a container that is removed leaves nothing, and its address goes to nobody who should not have it", async () => {
    podman.podman(["rm", "-f", "-t", "0", "foe"])
    const { endpoints } = await stage.client("node-1").call("listEndpoints", {})
    expect(endpoints.find((each) => each.name === "foe")?.ifindex ?? 0).toBe(0)
    const again = podman.run("foe", ["/bin/busybox", "sleep", "600"])
    expect(again).not.toEqual(addresses.get("web"))
    expect(podman.exec("foe", ["/bin/busybox", "nc", "-w", "1", addresses.get("web")?.[0] ?? "", "80"])).toBe("")
    podman.podman(["restart", "-t", "0", "cli"], "shop")
    await until(
      "cli is connected again",
      () => podman.exec("cli", ["/bin/busybox", "nc", "-w", "1", addresses.get("web")?.[0] ?? "", "80"]) === "shop/web",
    )
  })
})

interface Output {
  readonly exit: number | null
  readonly stdout: string
  readonly stderr: string
  readonly result: Record<string, unknown>
}

/** The plugin as a runtime executes it: CNI specification 1.1.0, section 2. */
function plugin(command: string, env: Record<string, string>, config: Record<string, unknown> = {}): Promise<Output> {
  const network = { cniVersion: "1.1.0", name: "heddle", type: "heddle-cni", socket: cniSocket(stage.paths, "node-1") }
  return new Promise((resolve, reject) => {
    const child = spawn(cniPlugin(), [], {
      env: { CNI_COMMAND: command, CNI_PATH: "/opt/cni/bin", ...env },
      stdio: ["pipe", "pipe", "pipe"],
    })
    let [stdout, stderr] = ["", ""]
    child.stdout.on("data", (chunk) => {
      stdout += chunk
    })
    child.stderr.on("data", (chunk) => {
      stderr += chunk
    })
    child.on("error", reject)
    child.on("close", (exit) =>
      resolve({ exit, stdout, stderr, result: stdout.startsWith("{") ? JSON.parse(stdout) : {} }),
    )
    child.stdin.on("error", () => undefined)
    child.stdin.end(JSON.stringify({ ...network, ...config }))
  })
}

describe("a runtime of our own, by the CNI specification 1.1.0", () => {
  const made: string[] = []
  const path = (name: string) => join(stage.paths.namespaces, `pod_shop_${name}`)

  function sandbox(name: string): Record<string, string> {
    if (!made.includes(name)) {
      createNamespace(path(name))
      made.push(name)
    }
    const args = `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${name}`
    return { CNI_CONTAINERID: `c-${name}`, CNI_NETNS: path(name), CNI_IFNAME: "eth0", CNI_ARGS: args }
  }

  const silent = { exit: 0, stdout: "" }
  const prevOf = (added: Output) => ({ prevResult: added.result })

  // Its agent must see namespaces that are made now: back to the machine's own mounts.
  beforeAll(async () => {
    await podman.close()
    await stage.start("node-1")
  })
  afterAll(() => {
    for (const name of made) deleteNamespace(path(name))
  })

  test.each(["0.4.0", "1.0.0", "1.1.0"])("ADD, CHECK, DEL in version %s", async (cniVersion) => {
    const env = sandbox(`v${cniVersion.replaceAll(".", "")}`)
    const added = await plugin("ADD", env, { cniVersion })
    expect(added).toMatchObject({ exit: 0, stderr: "", result: { cniVersion } })
    expect(added.result["ips"]).toMatchObject([{ interface: 1 }, { interface: 1 }])
    expect(added.result["interfaces"]).toMatchObject([
      { name: expect.any(String) },
      { name: "eth0", sandbox: env["CNI_NETNS"] },
    ])
    expect(await plugin("CHECK", env, { cniVersion, ...prevOf(added) })).toMatchObject(silent)
    expect(await plugin("DEL", env, { cniVersion, ...prevOf(added) })).toMatchObject(silent)
    // "Plugins should generally complete a DEL action without error even if some resources are missing."
    expect(await plugin("DEL", env, { cniVersion })).toMatchObject(silent)
    expect(await plugin("DEL", { ...env, CNI_NETNS: "" }, { cniVersion })).toMatchObject(silent)
    expect(await plugin("DEL", { ...env, CNI_NETNS: "/gone" }, { cniVersion })).toMatchObject(silent)
  })

  test("ADD fails where the interface is there already, and leaves it as it is", async () => {
    const env = sandbox("twice")
    const added = await plugin("ADD", env)
    expect(added.exit).toBe(0)
    const again = await plugin("ADD", env)
    expect(again).toMatchObject({
      exit: 1,
      result: { cniVersion: "1.1.0", code: expect.any(Number), msg: expect.any(String) },
    })
    expect(await plugin("CHECK", env, prevOf(added))).toMatchObject(silent)
    expect(await plugin("ADD", { ...env, CNI_IFNAME: "net1" })).toMatchObject({ exit: 0 })
    expect(await plugin("DEL", { ...env, CNI_IFNAME: "net1" })).toMatchObject(silent)
    expect(await plugin("CHECK", env, prevOf(added))).toMatchObject(silent)
  })

  test.each([
    ["without a container id", { CNI_CONTAINERID: "" }, {}, 4],
    ["with a container id that begins wrongly", { CNI_CONTAINERID: "-x" }, {}, 4],
    ["without a namespace", { CNI_NETNS: "" }, {}, 4],
    ["with a namespace that is not there", { CNI_NETNS: "/gone" }, {}, 3],
    ["with an interface name that is too long", { CNI_IFNAME: "sixteen-letters-" }, {}, 4],
    ["with an unknown version", {}, { cniVersion: "9.9.9" }, 1],
    ["without a network's name", {}, { name: "" }, 7],
  ] as const)("ADD %s is refused by code %#", async (_what, env, config, code) => {
    const answer = await plugin("ADD", { ...sandbox("bad"), ...env }, config)
    expect(answer).toMatchObject({ exit: 1, result: { code } })
    expect(String(answer.result["msg"]).length).toBeGreaterThan(10)
  })

  test.each([
    [
      "an address is gone",
      "inside",
      (name: string) => change(name, (netlink, ifindex, prefix) => netlink.deleteAddress({ ifindex, ...prefix })),
    ],
    [
      "the interface is down",
      "inside",
      (name: string) => change(name, (netlink, ifindex) => netlink.setLink(ifindex, { up: false })),
    ],
    [
      "the default route is gone",
      "inside",
      (name: string) =>
        change(name, (netlink, ifindex) => netlink.deleteRoute({ destination: parsePrefix("0.0.0.0/0"), ifindex })),
    ],
    [
      "the interface is gone",
      "inside",
      (name: string) => change(name, (netlink, ifindex) => netlink.deleteLink(ifindex)),
    ],
    ["no program judges", "outside", unhook],
  ] as const)("CHECK tells when %s", async (what, _where, spoil) => {
    const name = `check-${what.replaceAll(" ", "-")}`
    const env = sandbox(name)
    const added = await plugin("ADD", env)
    spoil(name)
    expect(await plugin("CHECK", env, prevOf(added))).toMatchObject({ exit: 1, result: { code: 103 } })
    expect(await plugin("DEL", env, prevOf(added))).toMatchObject(silent)
  })

  type Netlink = Parameters<Parameters<typeof withNetlink>[1]>[0]
  type Own = Omit<Parameters<Netlink["deleteAddress"]>[0], "ifindex">

  function change(name: string, act: (netlink: Netlink, ifindex: number, own: Own) => void): void {
    withNetlink(path(name), (netlink) => {
      const ifindex = netlink.link("eth0")?.index ?? 0
      const own = netlink.addresses().find((each) => each.ifindex === ifindex && !each.address.includes(":"))
      if (own === undefined) throw new Error("no address")
      act(netlink, ifindex, { address: own.address, prefixLength: own.prefixLength })
    })
  }

  function unhook(name: string): void {
    const peer = withNetlink(path(name), (netlink) => netlink.link("eth0")?.peer ?? 0)
    withNetlink(stage.paths.nodeNamespace("node-1"), (_netlink, namespace) =>
      inNamespace(namespace, () => detachClsact({ ifindex: peer, direction: "ingress" })),
    )
  }

  test("GC takes away what is not valid, keeps the rest, and speaks of its own network only", async () => {
    const [keep, drop] = [sandbox("keep"), sandbox("drop")]
    const kept = await plugin("ADD", keep)
    expect((await plugin("ADD", drop)).exit).toBe(0)
    const valid = (ids: readonly string[]) => ({
      "cni.dev/valid-attachments": ids.map((containerID) => ({ containerID, ifname: "eth0" })),
    })
    const there = async () => (await stage.client("node-1").call("listEndpoints", {})).endpoints.length
    expect(await plugin("GC", {}, { ...valid([]), name: "another" })).toMatchObject(silent)
    expect(await plugin("CHECK", keep, prevOf(kept))).toMatchObject(silent)
    expect(await plugin("GC", {}, valid(["c-keep", "c-twice"]))).toMatchObject(silent)
    expect(await plugin("GC", {}, valid(["c-keep", "c-twice"]))).toMatchObject(silent)
    expect(await plugin("CHECK", keep, prevOf(kept))).toMatchObject(silent)
    withNetlink(path("drop"), (netlink) => expect(netlink.link("eth0")).toBeUndefined())
    expect((await plugin("GC", {}, {})).exit).toBe(1)
    expect(await there()).toBeGreaterThan(0)
  })

  test("STATUS says whether ADD can be served; without an agent the runtime is told to come again", async () => {
    expect(await plugin("STATUS", {})).toMatchObject(silent)
    const env = sandbox("late")
    await stage.stop("node-1")
    expect(await plugin("STATUS", {})).toMatchObject({ exit: 1, result: { code: 50 } })
    expect(await plugin("ADD", env)).toMatchObject({ exit: 1, result: { code: 11 } })
    expect(await plugin("VERSION", {})).toMatchObject({
      exit: 0,
      result: { supportedVersions: ["0.4.0", "1.0.0", "1.1.0"] },
    })
    await stage.start("node-1")
    const added = await plugin("ADD", env)
    expect(added.exit).toBe(0)
    expect(await plugin("DEL", env, prevOf(added))).toMatchObject(silent)
  })

  test("twenty sandboxes at once, deleted at once", async () => {
    const all = Array.from({ length: 20 }, (_, i) => sandbox(`many-${i}`))
    const added = await Promise.all(all.map((env) => plugin("ADD", env)))
    expect(added.map(({ exit }) => exit)).toEqual(all.map(() => 0))
    expect(
      new Set(added.flatMap(({ result }) => (result["ips"] as { address: string }[]).map((ip) => ip.address))).size,
    ).toBe(40)
    const deleted = await Promise.all(all.map((env) => plugin("DEL", env)))
    expect(deleted.map(({ stdout }) => stdout)).toEqual(all.map(() => ""))
  })
})
