import { describe, expect, test } from "vitest"
import type { Address } from "../../net/types.ts"
import { handle } from "./handle.ts"
import type { Attached, PodNetwork } from "./pod-network.ts"

const addresses = ["10.0.0.7", "fd00::7"] as unknown as readonly Address[]
const gateways = ["169.254.1.1", "fe80::1"] as unknown as readonly Address[]
const attached: Attached = {
  hostInterface: { name: "hdabc", mac: "02:68:64:00:00:01" },
  podInterface: { name: "eth0", mac: "0a:68:0a:00:00:07", netns: "/run/netns/x" },
  mtu: 1450,
  addresses,
  gateways,
}
const network: PodNetwork = {
  add: async () => attached,
  del: async () => {},
  check: async () => {
    throw Object.assign(new Error("Cannot confirm: the route is gone"), { code: "mismatch", details: "Run DEL" })
  },
  gc: async () => {},
  status: async () => {
    throw new TypeError("broken")
  },
}
const environment = {
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/run/netns/x",
  CNI_IFNAME: "eth0",
  CNI_ARGS: "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web",
}

async function run(command: string, config: Record<string, unknown>): Promise<{ exit: number; result: unknown }> {
  const text = JSON.stringify({ cniVersion: "1.1.0", name: "pods", type: "heddle-cni", ...config })
  const frame = JSON.stringify({ env: { ...environment, CNI_COMMAND: command }, config: text })
  const { exit, stdout } = await handle(frame, network)
  return { exit, result: stdout === "" ? "" : JSON.parse(stdout) }
}

describe("result of ADD", () => {
  test("1.1.0", async () => {
    expect(await run("ADD", { dns: { nameservers: ["10.96.0.10"] } })).toEqual({
      exit: 0,
      result: {
        cniVersion: "1.1.0",
        interfaces: [
          { name: "hdabc", mac: "02:68:64:00:00:01", mtu: 1450 },
          { name: "eth0", mac: "0a:68:0a:00:00:07", mtu: 1450, sandbox: "/run/netns/x" },
        ],
        ips: [
          { address: "10.0.0.7/32", gateway: "169.254.1.1", interface: 1 },
          { address: "fd00::7/128", gateway: "fe80::1", interface: 1 },
        ],
        routes: [
          { dst: "0.0.0.0/0", gw: "169.254.1.1" },
          { dst: "::/0", gw: "fe80::1" },
        ],
        dns: { nameservers: ["10.96.0.10"] },
      },
    })
  })

  test("1.0.0 knows no mtu", async () => {
    const { result } = await run("ADD", { cniVersion: "1.0.0" })
    expect(JSON.stringify(result)).not.toContain("mtu")
    expect(result).toMatchObject({ cniVersion: "1.0.0", ips: [{ address: "10.0.0.7/32" }, {}] })
  })

  test("0.4.0 tells each address's version", async () => {
    const { result } = await run("ADD", { cniVersion: "0.4.0" })
    expect(result).toMatchObject({
      cniVersion: "0.4.0",
      ips: [
        { version: "4", address: "10.0.0.7/32" },
        { version: "6", address: "fd00::7/128" },
      ],
    })
  })

  test("in a chain, ours is appended to the previous plugin's", async () => {
    const prevResult = {
      cniVersion: "1.1.0",
      interfaces: [{ name: "net1", sandbox: "/run/netns/x" }],
      ips: [{ address: "192.168.0.2/24", interface: 0 }],
      routes: [{ dst: "192.168.0.0/16" }],
      dns: { domain: "example.org" },
    }
    const { result } = await run("ADD", { prevResult })
    expect(result).toMatchObject({
      interfaces: [{ name: "net1" }, { name: "hdabc" }, { name: "eth0" }],
      ips: [{ interface: 0 }, { address: "10.0.0.7/32", interface: 2 }, { interface: 2 }],
      routes: [{ dst: "192.168.0.0/16" }, { dst: "0.0.0.0/0" }, { dst: "::/0" }],
      dns: { domain: "example.org" },
    })
  })
})

test.each([
  ["DEL", {}],
  ["GC", { "cni.dev/valid-attachments": [] }],
])("%s says nothing when it succeeds", async (command, config) => {
  expect(await run(command, config)).toEqual({ exit: 0, result: "" })
})

test("VERSION repeats the version asked with and lists those supported", async () => {
  const { result } = await run("VERSION", { cniVersion: "1.0.0" })
  expect(result).toEqual({ cniVersion: "1.0.0", supportedVersions: ["0.4.0", "1.0.0", "1.1.0"] })
})

describe("errors", () => {
  test("carry the code of the network's word, and its details", async () => {
    const prevResult = { interfaces: [{ name: "eth0", sandbox: "/run/netns/x" }], ips: [] }
    expect(await run("CHECK", { cniVersion: "1.0.0", prevResult })).toEqual({
      exit: 1,
      result: { cniVersion: "1.0.0", code: 103, msg: "Cannot confirm: the route is gone", details: "Run DEL" },
    })
  })

  test("of an unknown kind are ours", async () => {
    expect(await run("STATUS", {})).toMatchObject({ exit: 1, result: { code: 100, msg: "broken" } })
  })

  test("repeat an unsupported version, so that the runtime recognises its own", async () => {
    expect(await run("ADD", { cniVersion: "0.1.0" })).toMatchObject({
      exit: 1,
      result: { cniVersion: "0.1.0", code: 1 },
    })
  })

  test("a frame that is no JSON is answered", async () => {
    expect((await handle("{", network)).exit).toBe(1)
  })
})
