import { describe, expect, test } from "vitest"
import { CniCode, CniError } from "./error.ts"
import { type CniRequest, parseInvocation, parseRequest } from "./request.ts"

const environment = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/run/netns/x",
  CNI_IFNAME: "eth0",
  CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web",
}
const configuration = { cniVersion: "1.1.0", name: "pods", type: "heddle-cni" }

function parse(env: Record<string, string> = {}, config: Record<string, unknown> = {}): CniRequest {
  const text = JSON.stringify({ ...configuration, ...config })
  return parseRequest(parseInvocation(JSON.stringify({ env: { ...environment, ...env }, config: text })))
}

function failure(act: () => unknown): CniError {
  try {
    act()
  } catch (error) {
    if (error instanceof CniError) return error
  }
  throw new Error("no CniError was thrown")
}

describe("ADD", () => {
  test("names pod, sandbox and network", () => {
    expect(parse()).toMatchObject({
      command: "ADD",
      attach: {
        container: "c1",
        ifname: "eth0",
        netns: "/run/netns/x",
        network: "pods",
        namespace: "shop",
        pod: "web",
        addresses: [],
      },
    })
  })

  test.each([
    ["capability ips", { runtimeConfig: { ips: ["10.0.0.7/24", "fd00::7"] } }, {}],
    ["args.cni.ips", { args: { cni: { ips: ["10.0.0.7", "fd00:0::7/64"] } } }, {}],
    ["CNI_ARGS IP", {}, { CNI_ARGS: `${environment.CNI_ARGS};IP=10.0.0.7,fd00::7` }],
  ])("takes stated addresses from %s", (_name, config, env) => {
    expect(parse(env, config)).toMatchObject({ attach: { addresses: ["10.0.0.7", "fd00::7"] } })
  })

  test.each([
    ["CNI_CONTAINERID", ""],
    ["CNI_CONTAINERID", "-x"],
    ["CNI_CONTAINERID", "a/b"],
    ["CNI_IFNAME", ""],
    ["CNI_IFNAME", ".."],
    ["CNI_IFNAME", "sixteen-letters-"],
    ["CNI_IFNAME", "a b"],
    ["CNI_NETNS", ""],
    ["CNI_NETNS", "relative"],
    ["CNI_ARGS", "=x"],
    ["CNI_ARGS", "K8S_POD_NAME=web"],
    ["CNI_COMMAND", "FROB"],
    ["CNI_COMMAND", ""],
  ])("%s=%j is refused by name", (name, value) => {
    const error = failure(() => parse({ [name]: value }))
    expect(error.code).toBe(CniCode.invalidEnvironment)
    expect(error.message).toContain(name)
  })

  test.each<[string, Record<string, unknown>, number]>([
    ["no version", { cniVersion: undefined }, CniCode.incompatibleVersion],
    ["an old version", { cniVersion: "0.2.0" }, CniCode.incompatibleVersion],
    ["a version to come", { cniVersion: "9.0.0" }, CniCode.incompatibleVersion],
    ["no name", { name: undefined }, CniCode.invalidConfiguration],
    ["a bad name", { name: "a b" }, CniCode.invalidConfiguration],
    ["no type", { type: "" }, CniCode.invalidConfiguration],
    ["another's ipam", { ipam: { type: "host-local" } }, CniCode.unsupportedField],
    ["port mappings", { runtimeConfig: { portMappings: [{ hostPort: 80 }] } }, CniCode.unsupportedField],
    ["an address that is none", { runtimeConfig: { ips: ["10.0.0.256"] } }, CniCode.invalidConfiguration],
    ["addresses that are no list", { runtimeConfig: { ips: "10.0.0.1" } }, CniCode.invalidConfiguration],
    ["a prevResult that is no object", { prevResult: [] }, CniCode.invalidConfiguration],
  ])("configuration with %s is refused", (_name, config, code) => {
    expect(failure(() => parse({}, config)).code).toBe(code)
  })

  test("an unsupported field is told with key and value", () => {
    const error = failure(() => parse({}, { runtimeConfig: { mac: "02:00:00:00:00:01" } }))
    expect(error.message).toContain('runtimeConfig.mac "02:00:00:00:00:01"')
  })
})

test("DEL needs neither namespace nor pod", () => {
  const request = parse({ CNI_COMMAND: "DEL", CNI_NETNS: "", CNI_ARGS: "" })
  expect(request).toMatchObject({ command: "DEL", ref: { container: "c1", ifname: "eth0" } })
})

describe("CHECK", () => {
  const prevResult = {
    interfaces: [{ name: "hd1" }, { name: "eth0", sandbox: "/run/netns/x" }],
    ips: [
      { address: "10.0.0.7/32", interface: 1 },
      { address: "10.9.9.9/32", interface: 0 },
      { address: "fd00::7/128" },
    ],
    routes: [{ dst: "0.0.0.0/0", gw: "169.254.1.1" }, { dst: "10.0.0.0/8", gw: "10.0.0.1" }, { dst: "::/0" }],
  }

  test("expects the addresses of the pod's interface", () => {
    const request = parse({ CNI_COMMAND: "CHECK" }, { prevResult })
    expect(request).toMatchObject({
      command: "CHECK",
      check: { addresses: ["10.0.0.7", "fd00::7"], gateways: ["169.254.1.1"] },
    })
  })

  test("needs prevResult, with the interface in it", () => {
    expect(failure(() => parse({ CNI_COMMAND: "CHECK" })).code).toBe(CniCode.invalidConfiguration)
    const other = { CNI_COMMAND: "CHECK", CNI_IFNAME: "eth1" }
    expect(failure(() => parse(other, { prevResult })).code).toBe(CniCode.invalidConfiguration)
  })
})

describe("GC and STATUS", () => {
  const key = "cni.dev/valid-attachments"

  test("GC takes the list of valid attachments", () => {
    const valid = [{ containerID: "c1", ifname: "eth0" }]
    expect(parse({ CNI_COMMAND: "GC" }, { [key]: valid })).toMatchObject({
      valid: [{ container: "c1", ifname: "eth0" }],
    })
    expect(parse({ CNI_COMMAND: "GC" }, { [key]: [] })).toMatchObject({ valid: [] })
  })

  test("GC without a list, or with a strange one, deletes nothing", () => {
    for (const value of [undefined, null, {}, [{}], [{ containerID: "c1" }]])
      expect(failure(() => parse({ CNI_COMMAND: "GC" }, { [key]: value })).code).toBe(CniCode.invalidConfiguration)
  })

  test.each(["GC", "STATUS"])("%s is of 1.1.0", (command) => {
    const error = failure(() => parse({ CNI_COMMAND: command }, { cniVersion: "1.0.0", [key]: [] }))
    expect(error.code).toBe(CniCode.incompatibleVersion)
  })
})

test.each(["", "x", "[]", '"x"', "null"])("configuration %j cannot be decoded", (config) => {
  expect(failure(() => parseInvocation(JSON.stringify({ env: environment, config }))).code).toBe(CniCode.decode)
})
