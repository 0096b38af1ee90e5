import { describe, expect, it } from "vitest"
import { planSuite } from "./plan.ts"
import { readCases } from "./read.ts"
import type { CaseState, ResolvedProbe } from "./state.ts"

interface PodParts {
  readonly node?: string
  readonly ips?: readonly string[]
  readonly hostNetwork?: boolean
  readonly phase?: string
  readonly ports?: readonly object[]
}

function pod(key: string, { node, ips, hostNetwork, phase, ports }: PodParts = {}): object {
  const [namespace, name] = key.split("/")
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace },
    spec: { nodeName: node, hostNetwork, containers: [{ name: "c", ports }] },
    status: { phase, podIPs: ips?.map((ip) => ({ ip })) },
  }
}

const probe = (from: object, to: object, rest: object = {}): object => ({
  ...{ from, to, port: 80, protocol: "TCP", expect: "allow" },
  ...rest,
})
const at = (key: string): object => ({ ns: key.split("/")[0], pod: key.split("/")[1] })

function plan(...cases: readonly object[]): readonly CaseState[] {
  const text = cases.map((one, i) => JSON.stringify({ name: `case ${i}`, ...one })).join("\n")
  return planSuite(readCases(text, "f", "jsonl")).flat()
}

function ask(resolved: ResolvedProbe | undefined): Extract<ResolvedProbe, { readonly kind: "ask" }> {
  if (resolved?.kind !== "ask") throw new Error(`not asked: ${JSON.stringify(resolved)}`)
  return resolved
}

describe("addresses of a case", () => {
  it("gives pods and nodes that state none fixed ones of both families", () => {
    const [state] = plan({
      manifests: [pod("x/a", { node: "n2" }), pod("x/b", { node: "n1" }), pod("x/c", { node: "n2" })],
      probes: [],
    })
    const addresses = [...(state?.pods ?? [])].map(([key, { addresses }]) => [key, ...addresses])
    expect(addresses).toEqual([
      ["x/a", "10.244.2.2", "fd00:10:244:2::2"],
      ["x/b", "10.244.1.2", "fd00:10:244:1::2"],
      ["x/c", "10.244.2.3", "fd00:10:244:2::3"],
    ])
    expect(state?.nodes.get("n1")?.addresses).toEqual(["172.18.0.2", "fd00:172:18::2"])
    expect(state?.nodes.get("n2")?.addresses).toEqual(["172.18.0.3", "fd00:172:18::3"])
  })

  it("keeps them over the steps of a group, whatever comes and goes", () => {
    const [first, second] = plan(
      { group: "g", step: 1, manifests: [pod("x/a", { node: "n2" }), pod("x/b", { node: "n2" })], probes: [] },
      { group: "g", step: 2, manifests: [pod("w/z", { node: "n1" }), pod("x/b", { node: "n2" })], probes: [] },
    )
    expect(second?.pods.get("x/b")?.addresses).toEqual(first?.pods.get("x/b")?.addresses)
    expect(second?.nodes.get("n2")?.number).toBe(first?.nodes.get("n2")?.number)
    expect([first?.fresh, second?.fresh]).toEqual([true, false])
  })

  it("keeps to the families in use, to a node's ranges, and off addresses that are taken", () => {
    const node = { apiVersion: "v1", kind: "Node", metadata: { name: "n1" }, spec: { podCIDRs: ["10.9.0.0/24"] } }
    const [state] = plan({
      manifests: [node, pod("x/a", { node: "n1" }), pod("x/b", { node: "n1", ips: ["10.9.0.2"] })],
      probes: [probe({ ip: "10.9.0.3" }, at("x/a"))],
    })
    expect(state?.pods.get("x/a")?.addresses).toEqual(["10.9.0.4"])
    expect(state?.nodes.get("n1")?.addresses).toEqual(["172.18.0.2"])
    expect(state?.outside).toEqual(["10.9.0.3"])
  })

  it("knows a node's address from its object, else from a host-network pod", () => {
    const node = {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "n1" },
      status: { addresses: [{ type: "InternalIP", address: "192.0.2.1" }] },
    }
    const [state] = plan({
      manifests: [
        node,
        pod("x/a", { node: "n1", ips: ["10.0.0.1"] }),
        pod("x/h", { node: "n2", hostNetwork: true, ips: ["192.0.2.2"] }),
      ],
      probes: [],
    })
    expect(state?.nodes.get("n1")?.addresses).toEqual(["192.0.2.1"])
    expect(state?.nodes.get("n2")?.addresses).toEqual(["192.0.2.2"])
  })

  it("puts unscheduled pods on nodes in turn, and makes two nodes where none is named", () => {
    const [state] = plan({ manifests: [pod("x/a"), pod("x/b"), pod("x/c")], probes: [] })
    expect([...(state?.pods.values() ?? [])].map(({ node }) => node)).toEqual(["node-1", "node-2", "node-1"])
  })

  it("makes the objects complete: nodes, namespaces and pods as an API server would show them", () => {
    const [state] = plan({ manifests: [pod("x/a", { node: "n1" })], probes: [] })
    const kinds = state?.objects.map(({ value }) => `${value["kind"]} ${(value["metadata"] as { name: string }).name}`)
    expect(kinds).toEqual(["Node n1", "Namespace x", "Pod a"])
    expect(state?.objects[2]?.value["status"]).toMatchObject({
      podIP: "10.244.1.2",
      podIPs: [{ ip: "10.244.1.2" }, { ip: "fd00:10:244:1::2" }],
    })
  })
})

describe("controllers", () => {
  const template = {
    metadata: { labels: { app: "web" } },
    spec: { containers: [{ name: "c", ports: [{ containerPort: 8080 }] }] },
  }
  const controller = (kind: string, spec: object): object => ({
    apiVersion: "apps/v1",
    kind,
    metadata: { name: "web", namespace: "x" },
    spec: { ...spec, template },
  })

  it("stand for the pods of their template", () => {
    const [state] = plan({
      manifests: [controller("Deployment", { replicas: 2 })],
      probes: [probe(at("x/web-0"), at("x/web-1"))],
    })
    expect([...(state?.pods.keys() ?? [])]).toEqual(["x/web-0", "x/web-1"])
    expect(state?.objects.map(({ value }) => value["kind"])).not.toContain("Deployment")
    expect(state?.pods.get("x/web-1")?.listens).toEqual([
      { protocol: 6, port: 8080 },
      { protocol: 6, port: 80 },
    ])
  })

  it("put a DaemonSet's pods on every node", () => {
    const [state] = plan({
      manifests: [controller("DaemonSet", {}), pod("x/a", { node: "n1" }), pod("x/b", { node: "n2" })],
      probes: [],
    })
    expect(["x/web-0", "x/web-1"].map((key) => state?.pods.get(key)?.node)).toEqual(["n1", "n2"])
  })
})

describe("probes as packets", () => {
  const a = pod("x/a", { node: "n1", ips: ["10.0.0.1", "fd00::1"] })
  const b = pod("x/b", { node: "n2", ips: ["10.0.0.2", "fd00::2"] })
  const six = pod("x/six", { node: "n2", ips: ["fd00::6"] })
  const host = pod("x/host", { node: "n1", ips: ["192.0.2.1"], hostNetwork: true })
  const done = pod("x/done", { node: "n1", ips: ["10.0.0.9"], phase: "Succeeded" })
  const one = (from: object, to: object, rest: object = {}) =>
    plan({ manifests: [a, b, six, host, done], probes: [probe(from, to, rest)] })[0]?.probes[0]

  it.each([
    [at("x/a"), at("x/b"), {}, "10.0.0.1", "10.0.0.2"],
    [at("x/a"), at("x/b"), { family: "ipv6" }, "fd00::1", "fd00::2"],
    [at("x/a"), at("x/six"), {}, "fd00::1", "fd00::6"],
    [at("x/a"), { ip: "fd00:0::2" }, {}, "fd00::1", "fd00::2"],
    [{ ip: "fd00::2" }, at("x/a"), {}, "fd00::2", "fd00::1"],
    [{ ip: "203.0.113.1" }, at("x/a"), {}, "203.0.113.1", "10.0.0.1"],
    [{ node: "n1" }, at("x/six"), {}, "fd00:172:18::2", "fd00::6"],
  ])("%j to %j %j", (from, to, rest, source, destination) => {
    expect(ask(one(from, to, rest)).packet).toMatchObject({ source, destination, destinationPort: 80 })
  })

  it("knows a node's own socket, a host-network pod as its node, and who is within", () => {
    expect(ask(one({ node: "n1" }, at("x/a"))).packet.fromNodeSocket).toBe(true)
    expect(ask(one({ node: "n2" }, at("x/a"))).packet.fromNodeSocket).toBeUndefined()
    expect(ask(one(at("x/host"), at("x/a"))).packet).toMatchObject({ source: "192.0.2.1", fromNodeSocket: true })
    expect(ask(one(at("x/a"), { ip: "192.0.2.1" })).target.place).toEqual({ kind: "node", node: "n1" })
    expect(ask(one(at("x/a"), at("x/a"))).within).toBe(true)
    expect(ask(one(at("x/host"), { node: "n1" })).within).toBe(true)
    expect(ask(one(at("x/a"), at("x/b"))).within).toBe(false)
  })

  it("sends echo requests of the right family", () => {
    const none = { port: undefined }
    expect(ask(one(at("x/a"), at("x/b"), { ...none, protocol: "ICMP" })).packet).toMatchObject({
      protocol: 1,
      icmpType: 8,
      source: "10.0.0.1",
    })
    expect(ask(one(at("x/a"), at("x/b"), { ...none, protocol: "ICMPv6" })).packet).toMatchObject({
      protocol: 58,
      icmpType: 128,
      source: "fd00::1",
    })
    expect(ask(one(at("x/a"), at("x/six"), { ...none, protocol: "ICMP" })).packet).toMatchObject({
      protocol: 58,
      icmpType: 128,
    })
    expect(one(at("x/a"), at("x/six"), { ...none, protocol: "ICMP", icmpType: 8 })).toMatchObject({
      result: { got: "unsupported" },
    })
  })

  it("answers at once where nobody can be asked", () => {
    expect(one(at("x/a"), at("x/done"))).toMatchObject({ result: { got: "deny" } })
    expect(one(at("x/done"), at("x/a"))).toMatchObject({ result: { got: "unsupported" } })
    expect(one(at("x/six"), { ip: "203.0.113.1" })).toMatchObject({ result: { got: "unsupported" } })
  })

  it("leaves Services unsupported, by name, by address and by NodePort", () => {
    const service = {
      ...{ apiVersion: "v1", kind: "Service", metadata: { name: "s", namespace: "x" } },
      spec: { clusterIP: "10.96.0.1", ports: [{ port: 80, nodePort: 30080 }] },
    }
    const probes = [
      probe(at("x/a"), { ns: "x", service: "s" }),
      probe(at("x/a"), { ip: "10.96.0.1" }),
      probe(at("x/a"), { node: "n1" }, { port: 30080 }),
      probe(at("x/a"), { node: "n1" }, { port: 30081 }),
    ]
    const [state] = plan({ manifests: [a, service], probes })
    expect(state?.probes.map(({ kind }) => kind)).toEqual(["settled", "settled", "settled", "ask"])
  })

  it("marks probes whose ends nobody knows", () => {
    const reason = (from: object, to: object) => {
      const resolved = plan({ manifests: [a], probes: [probe(from, to)] })[0]?.probes[0]
      return resolved?.kind === "settled" && resolved.mistake === true ? resolved.result.reason : "no mistake"
    }
    expect(reason(at("x/a"), at("x/b"))).toBe("the case has no pod x/b")
    expect(reason({ node: "n9" }, at("x/a"))).toBe("the case has no node n9")
    expect(reason({ ip: "1.2.3" }, at("x/a"))).toBe('"1.2.3" is no address')
    expect(reason(at("x/a"), { ns: "x", service: "s" })).toBe("the case has no Service x/s")
  })

  it("orders the steps of a group, and refuses one that comes twice", () => {
    const states = plan(
      { group: "g", step: 2, probes: [] },
      { group: "h", probes: [] },
      { group: "g", step: 1, probes: [] },
      { group: "h", probes: [] },
    )
    expect(states.map((state) => [state.case.name, state.fresh])).toEqual([
      ["case 2", true],
      ["case 0", false],
      ["case 1", true],
      ["case 3", false],
    ])
    expect(() => plan({ group: "g", step: 0, probes: [] }, { group: "g", step: 0, probes: [] })).toThrow(
      'group "g" has step 0 twice',
    )
  })

  it("takes lists apart", () => {
    const [state] = plan({
      manifests: [{ apiVersion: "v1", kind: "List", items: [a, { apiVersion: "v1", kind: "List", items: [b] }] }],
      probes: [],
    })
    expect([...(state?.pods.keys() ?? [])]).toEqual(["x/a", "x/b"])
  })

  it("lets everything listen on what any step asks of it", () => {
    const annotated = { ...pod("x/a", { node: "n1", ips: ["10.0.0.1"] }) } as { metadata: object }
    const withNote = {
      ...annotated,
      metadata: { ...annotated.metadata, annotations: { "referee/listen": "9000,9001/UDP" } },
    }
    const [first] = plan(
      {
        group: "g",
        step: 0,
        manifests: [withNote, b],
        probes: [probe(at("x/b"), { node: "n1" }, { port: 53, protocol: "UDP" })],
      },
      { group: "g", step: 1, manifests: [withNote, b], probes: [probe(at("x/b"), at("x/a"), { port: 81 })] },
    )
    expect(first?.pods.get("x/a")?.listens).toEqual([
      { protocol: 6, port: 9000 },
      { protocol: 17, port: 9001 },
      { protocol: 6, port: 81 },
    ])
    expect(first?.nodes.get("n1")?.listens).toEqual([{ protocol: 17, port: 53 }])
  })
})
