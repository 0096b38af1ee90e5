import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { AgentClient } from "../../src/api/client.ts"
import { agentSocket } from "../../src/lab/agent-process.ts"
import { clearLab } from "../../src/lab/clear.ts"
import { Lab } from "../../src/lab/lab.ts"
import { readLabManifests } from "../../src/lab/manifests.ts"
import { LabPaths } from "../../src/lab/paths.ts"
import { planLab } from "../../src/lab/plan.ts"
import { Prober } from "../../src/lab/probe/prober.ts"
import type { ProbeTask } from "../../src/lab/probe/task.ts"
import { Reactor } from "../../src/lab/reactor.ts"
import { Responder } from "../../src/lab/responder.ts"
import { nodeIdentity } from "../../src/lab/stations.ts"
import { familyOf, parseAddress } from "../../src/net/address.ts"
import { type Address, Protocol } from "../../src/net/types.ts"
import { longPackets } from "../kernel/long-packets.ts"

const outside = ["203.0.113.10", "2001:db8:113::10"].map(parseAddress)

const manifests = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec:
  replicas: 4
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: c
          image: x
          ports: [{ containerPort: 80 }, { containerPort: 53, protocol: UDP }, { containerPort: 36412, protocol: SCTP }]
---
apiVersion: v1
kind: Pod
metadata: { name: closed, namespace: shop, labels: { app: closed } }
spec: { nodeName: node-1, containers: [{ name: c, image: x, ports: [{ containerPort: 80 }] }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: closed, namespace: shop }
spec: { podSelector: { matchLabels: { app: closed } }, policyTypes: [Ingress] }
`

describe.each(["vxlan", "native"] as const)("a lab with %s routing", (routing) => {
  const paths = new LabPaths(`lab-${routing}-${process.pid}`)
  const reactor = new Reactor((error) => {
    throw error
  })
  const responder = new Responder(reactor)
  const prober = new Prober(reactor)
  let lab: Lab

  beforeAll(async () => {
    reactor.start()
    lab = await Lab.create(paths, { routing, answering: { set: async (stations) => responder.set(stations) } })
    const state = planLab(readLabManifests([{ file: "lab.yaml", text: manifests }]).manifests, {
      nodes: 2,
      families: [4, 6],
      outside,
    })
    await lab.apply(state)
  })

  afterAll(async () => {
    prober.close()
    responder.close()
    await reactor.close()
    await clearLab(paths)
  })

  const pod = (name: string) => {
    const found = lab.pods.get(`shop/${name}`)
    if (found === undefined) throw new Error(`no pod ${name}`)
    return {
      netns: paths.podNamespace("shop", name),
      addresses: found.addresses,
      identity: `shop/${name}`,
      node: found.node,
    }
  }
  const node = (name: string) => {
    const addresses = lab.nodes.get(name)?.addresses ?? []
    return { netns: paths.nodeNamespace(name), addresses, identity: nodeIdentity(name), node: name }
  }
  const host = () => ({ netns: paths.outside, addresses: outside, identity: "outside", node: "" })
  type Party = ReturnType<typeof pod>

  function task(
    from: Party,
    to: Party,
    family: 4 | 6,
    protocol: number,
    port: number,
    more: Partial<ProbeTask> = {},
  ): ProbeTask {
    const of = (addresses: readonly Address[]): Address => {
      const found = addresses.find((address) => familyOf(address) === family)
      if (found === undefined) throw new Error(`no IPv${family} address`)
      return found
    }
    return {
      from: { netns: from.netns, address: of(from.addresses) },
      to: { netns: to.netns, address: of(to.addresses), identities: [to.identity] },
      protocol,
      expect: "allow",
      ...(port === 0 ? {} : { port }),
      ...more,
    }
  }
  const kinds = (family: 4 | 6) =>
    [
      [Protocol.TCP, 80],
      [Protocol.UDP, 53],
      [Protocol.SCTP, 36412],
      [family === 4 ? Protocol.ICMP : Protocol.ICMPv6, 0],
      [99, 0],
    ] as const

  async function got(tasks: readonly ProbeTask[]): Promise<string[]> {
    const outcomes = await prober.run(tasks)
    return tasks.map((each, i) => {
      const { got: what, reason = "" } = outcomes[i] ?? { got: "nothing" }
      return `${each.from.address} → ${each.to.address} ${each.protocol}/${each.port ?? ""}: ${what} ${reason}`.trim()
    })
  }
  const all = (tasks: readonly ProbeTask[], what: string) =>
    tasks.map((each) => `${each.from.address} → ${each.to.address} ${each.protocol}/${each.port ?? ""}: ${what}`)

  test("TCP packets above 64 KiB are used where its wire carries them, and status tells", async () => {
    const near = pod("web-0")
    const far = ["web-1", "web-2", "web-3"].map(pod).find((each) => each.node !== near.node)
    if (far === undefined) throw new Error("all pods are on one node")
    const { bigTcp } = await new AgentClient(agentSocket(paths, near.node)).call("status", {})
    expect(bigTcp).toMatch(routing === "native" ? /^on: / : /^off: with routing vxlan/)
    for (const address of far.addresses) {
      const long = await longPackets({ from: near.netns, to: far.netns, address, port: 8_080 })
      expect({ address, long: long > 0 }).toEqual({ address, long: routing === "native" })
    }
  })

  describe.each([4, 6] as const)("IPv%i", (family) => {
    test("pods reach each other by every protocol, on one node and across nodes", async () => {
      const pods = ["web-0", "web-1", "web-2", "web-3"].map(pod)
      expect(new Set(pods.map((each) => each.node)).size).toBe(2)
      const tasks = pods.flatMap((from) =>
        pods.flatMap((to) => kinds(family).map(([protocol, port]) => task(from, to, family, protocol, port))),
      )
      expect(await got(tasks)).toEqual(all(tasks, "allow"))
    })

    test("a pod that is isolated hears nothing from pods, and its own node reaches it", async () => {
      const closed = pod("closed")
      const refused = ["web-0", "web-1"].map((name) =>
        task(pod(name), closed, family, Protocol.TCP, 80, { expect: "deny" }),
      )
      expect(await got(refused)).toEqual(all(refused, "deny silence"))
      const own = [task(node(closed.node), closed, family, Protocol.TCP, 80)]
      expect(await got(own)).toEqual(all(own, "allow"))
      const other = [task(node("node-2"), closed, family, Protocol.TCP, 80, { expect: "deny" })]
      expect(await got(other)).toEqual(all(other, "deny silence"))
    })

    test("nodes reach every open pod", async () => {
      const tasks = ["node-1", "node-2"].flatMap((name) =>
        ["web-0", "web-1"].flatMap((to) => [
          task(node(name), pod(to), family, Protocol.TCP, 80),
          task(node(name), pod(to), family, Protocol.UDP, 53),
        ]),
      )
      expect(await got(tasks)).toEqual(all(tasks, "allow"))
    })

    test("pods reach hosts outside, which see the node's address", async () => {
      const tasks = ["web-0", "web-1"].flatMap((name) => [
        task(pod(name), host(), family, Protocol.TCP, 443),
        task(pod(name), host(), family, Protocol.UDP, 53),
        task(pod(name), host(), family, family === 4 ? Protocol.ICMP : Protocol.ICMPv6, 0),
      ])
      expect(await got(tasks)).toEqual(all(tasks, "allow"))
    })

    test("hosts outside reach pods by their own addresses", async () => {
      const tasks = ["web-0", "web-1"].flatMap((name) =>
        kinds(family).map(([protocol, port]) => task(host(), pod(name), family, protocol, port)),
      )
      expect(await got(tasks)).toEqual(all(tasks, "allow"))
    })

    test("pods reach nodes", async () => {
      const icmp = family === 4 ? Protocol.ICMP : Protocol.ICMPv6
      const tasks = ["node-1", "node-2"].map((name) => task(pod("web-0"), node(name), family, icmp, 0))
      expect(await got(tasks)).toEqual(all(tasks, "allow"))
    })
  })

  test("only what differs changes: pods that stay are not touched", async () => {
    const before = new Map([...lab.pods].map(([key, each]) => [key, each.container]))
    const more = manifests
      .replace("replicas: 4", "replicas: 5")
      .replace("{ app: closed } }\nspec: { nodeName", "{ app: web } }\nspec: { nodeName")
    await lab.apply(
      planLab(readLabManifests([{ file: "lab.yaml", text: more }]).manifests, { nodes: 2, families: [4, 6], outside }),
    )
    for (const [key, container] of before) expect(lab.pods.get(key)?.container).toBe(container)
    expect(lab.pods.has("shop/web-4")).toBe(true)
    // The pod that was closed has another label now, and no policy selects it any more.
    const open = [
      task(pod("web-4"), pod("closed"), 4, Protocol.TCP, 80),
      task(pod("web-0"), pod("web-4"), 4, Protocol.TCP, 80),
    ]
    expect(await got(open)).toEqual(all(open, "allow"))
  })
})
