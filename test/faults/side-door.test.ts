import { readdirSync, unlinkSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { detachClsact } from "../../src/kernel/bpf/attach.ts"
import { createNamespace, inNamespace, openNamespace } from "../../src/kernel/namespace.ts"
import { runNft } from "../../src/kernel/nft.ts"
import { withNetlink } from "../../src/lab/underlay.ts"
import { parseAddress } from "../../src/net/address.ts"
import { EtherType, ethernet, ip, macBytes, tcp } from "../../src/net/packet.ts"
import { parseFrame } from "../../src/net/parse.ts"
import { parsePrefix } from "../../src/net/prefix.ts"
import { Protocol } from "../../src/net/types.ts"
import { inner, tunnelled } from "./lies.ts"
import { mutantObject, removeVariants } from "./mutant.ts"
import { addressOf, type Party, Stage, type Tap } from "./stage.ts"

function pod(name: string, node: string, labels: string, status = ""): string {
  return `
---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { ${labels} } }
spec: { nodeName: ${node}, containers: [{ name: c, image: x, ports: [{ containerPort: 80 }] }] }
${status}`
}

/** `web` hears talkers only, by labels; `any` hears everybody, on TCP 80; `open` has no policy. */
const manifests = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  policyTypes: [Ingress]
  ingress: [{ from: [{ podSelector: { matchLabels: { role: talker } } }], ports: [{ port: 80 }] }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: any, namespace: shop }
spec: { podSelector: { matchLabels: { app: any } }, policyTypes: [Ingress], ingress: [{ ports: [{ port: 80 }] }] }
${pod("web", "node-1", "app: web")}
${pod("any", "node-1", "app: any")}
${pod("open", "node-1", "app: open")}
${pod("near", "node-1", "role: talker")}
${pod("far", "node-2", "role: talker")}`

const lanHost = parseAddress("192.168.77.2")

let stage: Stage
const taps = new Map<string, Tap>()

beforeAll(async () => {
  removeVariants()
  stage = await Stage.open({ name: "hd-side" }, manifests)
  for (const name of ["web", "any", "open"]) taps.set(name, stage.tap(stage.pod(name).netns))
  makeLan()
})

afterAll(async () => {
  await stage?.close()
  removeVariants()
})

const lanPath = () => stage.paths.podNamespace("x", "lan")
const lan = (): Party => ({ netns: lanPath(), addresses: [lanHost], identity: "lan", node: "" })

/** A host behind the first node, whose packets the node forwards to pods with its own address. */
function makeLan(): void {
  createNamespace(lanPath())
  const namespace = openNamespace(lanPath())
  const node = stage.paths.nodeNamespace("node-1")
  withNetlink(node, (netlink) => {
    const link = netlink.addVeth({
      name: "lan0",
      peer: { name: "eth0", namespace, mac: macBytes("02:00:00:00:77:02") },
    })
    netlink.addAddress({ ifindex: link.index, address: parseAddress("192.168.77.1"), prefixLength: 24 })
    netlink.setLink(link.index, { up: true })
  })
  withNetlink(lanPath(), (netlink) => {
    const ifindex = netlink.link("eth0")?.index ?? 0
    netlink.setLink(ifindex, { up: true })
    netlink.addAddress({ ifindex, address: lanHost, prefixLength: 24 })
    netlink.addRoute({ destination: parsePrefix("0.0.0.0/0"), gateway: parseAddress("192.168.77.1"), ifindex })
  })
  namespace.close()
  const own = addressOf(stage.node("node-1"))
  runNft(
    `table ip forwarded {
chain out {
type nat hook postrouting priority 90
ip saddr ${lanHost} snat to ${own}
}
}
`,
    { namespace: node },
  )
}

/** Takes programs off the first node: of its entrances, by name, and of pods' interfaces. */
async function takeOff(entrances: readonly string[], pods: boolean): Promise<void> {
  const pins = join(stage.paths.node("node-1"), "bpf")
  for (const pin of readdirSync(pins))
    if (entrances.some((name) => pin.startsWith(`link-${name}-`))) unlinkSync(join(pins, pin))
  // The kernel lets go of a link a moment after its last pin is gone.
  await sleep(100)
  if (!pods) return
  withNetlink(stage.paths.nodeNamespace("node-1"), (netlink, namespace) => {
    const ends = netlink.links().filter((link) => link.kind === "veth" && link.name.startsWith("hd"))
    expect(ends.length).toBeGreaterThanOrEqual(4)
    inNamespace(namespace, () => {
      for (const end of ends) detachClsact({ ifindex: end.index, direction: "ingress" })
    })
  })
}

/** TCP SYNs that came in at a pod since the last call. */
function arrived(name: string): number {
  const frames = taps.get(name)?.frames() ?? []
  return frames.filter((frame) => parseFrame(frame)?.ip?.transport?.tcp?.flags === 2).length
}

/** Everybody asks `web` and `open`; returns who got through, in words. */
async function whoGetsIn(): Promise<string[]> {
  for (const name of taps.keys()) arrived(name)
  const askers = [stage.pod("near"), stage.pod("far"), stage.node("node-1"), stage.node("node-2"), stage.host()]
  const tasks = askers.flatMap((from) =>
    ["web", "open"].flatMap((to) =>
      ([4, 6] as const).map((family) => stage.task(from, stage.pod(to), 6, 80, "deny", family)),
    ),
  )
  const outcomes = await stage.prober.run(tasks)
  const through = tasks.flatMap((task, i) =>
    outcomes[i]?.got === "allow" ? [`${task.from.address} → ${task.to.address}`] : [],
  )
  const seen = ["web", "open"].map((name) => arrived(name)).reduce((a, b) => a + b, 0)
  if (seen !== through.length) through.push(`${seen} SYNs seen at the pods`)
  return through.sort()
}

describe("programs taken off", () => {
  let all: string[]
  afterEach(() => stage.restart("node-1"))

  test("with all of them, everybody gets where policy lets them", async () => {
    all = await whoGetsIn()
    // web hears two talkers and its own node; open hears all five; both families.
    expect(all.length).toBe(2 * (3 + 5))
  })

  test.each([
    ["heddle0", "the node's own packets reach no pod", () => addressesOf(stage.node("node-1"))],
    [
      "overlay",
      "what comes through the tunnel reaches no pod",
      () => addressesOf(stage.pod("far"), stage.node("node-2")),
    ],
  ])("%s: %s, all else goes on", async (entrance, _what, cut) => {
    await takeOff([entrance], false)
    const left = all.filter((way) => !cut().some((address) => way.startsWith(`${address} `)))
    expect(await whoGetsIn()).toEqual(left)
  })

  test("uplink: what comes by the wire is judged all the same, behind it", async () => {
    await takeOff(["uplink"], false)
    const before = await stage.drops("node-1")
    expect(await whoGetsIn()).toEqual(all)
    expect((await stage.drops("node-1")).get("policy")).toBeGreaterThan(before.get("policy") ?? 0)
  })

  test("a pod's own: nothing of it reaches a pod, by whatever way", async () => {
    await takeOff([], true)
    const near = addressesOf(stage.pod("near"))
    const before = await stage.drops("node-1")
    const in_ = await whoGetsIn()
    expect(in_.filter((way) => near.some((address) => way.startsWith(`${address} `)))).toEqual([])
    const wrong = (await stage.drops("node-1")).get("wrong-interface") ?? 0
    expect(wrong).toBeGreaterThanOrEqual((before.get("wrong-interface") ?? 0) + 4)
  })

  test("all of them: nothing reaches a pod; a route to a pod's interface would let it in; the agent puts them back", async () => {
    await takeOff(["heddle0", "heddle1", "overlay", "uplink"], true)
    expect(await whoGetsIn()).toEqual([])
    // The mechanism taken out: the node must have no route of its own to a pod.
    const open = stage.pod("open")
    withNetlink(stage.paths.nodeNamespace("node-1"), (netlink) => {
      const pairs = new Map(netlink.links().map((link) => [link.index, link]))
      const inside = withNetlink(open.netns, (own) => own.link("eth0")?.peer ?? 0)
      const ifindex = pairs.get(inside)?.index ?? 0
      const destination = parsePrefix(`${addressOf(open)}/32`)
      netlink.addNeighbour({
        ifindex,
        address: addressOf(open),
        mac: macBytes(taps.get("open")?.mac ?? ""),
        permanent: true,
      })
      netlink.addRoute({ destination, ifindex, scope: "link" })
    })
    expect((await whoGetsIn()).join()).toMatch(/SYNs seen/)
    withNetlink(stage.paths.nodeNamespace("node-1"), (netlink) => {
      const heddle0 = netlink.link("heddle0")?.index ?? 0
      for (const route of netlink.routes({ family: 4, table: 254 }))
        if (route.destination === `${addressOf(open)}/32` && route.ifindex !== undefined && route.ifindex !== heddle0)
          netlink.deleteRoute({ destination: route.destination, ifindex: route.ifindex })
    })
    await stage.restart("node-1")
    expect(await whoGetsIn()).toEqual(all)
    console.log(`side door: ${all.length} ways with all programs, 0 with none, ${all.length} again after a repair`)
  })
})

function addressesOf(...parties: Party[]): string[] {
  return parties.flatMap((party) => [...party.addresses])
}

describe("a forwarded packet with the node's address", () => {
  /** Whether a SYN of the host behind the node comes in at a pod. (Answers to it find no way: pods are not tracked.) */
  const ask = async (name: string): Promise<string> => {
    arrived(name)
    await stage.probe(lan(), stage.pod(name), 6, 80, "deny")
    return arrived(name) > 0 ? "arrived" : "dropped"
  }

  test("is judged: it is the socket that counts", async () => {
    const before = (await stage.drops("node-1")).get("policy") ?? 0
    expect(await ask("web")).toBe("dropped")
    expect((await stage.drops("node-1")).get("policy")).toBeGreaterThan(before)
    expect(await stage.probe(stage.node("node-1"), stage.pod("web"), 6, 80)).toBe("allow")
    // It does arrive with the node's address where policy lets it.
    expect(await ask("any")).toBe("arrived")
  })

  test("passes as the node would if every forwarded packet counted as the node's own", async () => {
    const changes = [
      ["prog/heddle.bpf.c", "return socket && (socket->family == 2", "return 1 || (socket->family == 2"],
    ] as const
    await stage.restart("node-1", mutantObject({ name: "socket", changes }))
    expect(await ask("web")).toBe("arrived")
    await stage.restart("node-1")
    expect(await ask("web")).toBe("dropped")
  })
})

describe("an address of the cluster that is not known yet", () => {
  const late = parseAddress("10.244.2.200")

  /** A SYN of `late` comes out of the tunnel from its node; returns why it was dropped, or that it arrived. */
  async function knock(name: string, port = 40_001): Promise<string> {
    arrived(name)
    const [own, other] = [stage.node("node-1"), stage.node("node-2")].map((node) => addressOf(node)) as [never, never]
    const ends = { source: late, destination: addressOf(stage.pod(name)) }
    const syn = ip({ ...ends, protocol: Protocol.TCP }, tcp({ sourcePort: port, destinationPort: 80 }, ends))
    const outer = tunnelled({ source: other, destination: own }, inner(syn))
    const from = stage.tap(stage.paths.nodeNamespace("node-2"))
    const to = stage.tap(stage.paths.nodeNamespace("node-1")).mac
    const before = await stage.drops("node-1")
    from.send(ethernet({ source: from.mac, destination: to, type: EtherType.ipv4 }, outer))
    for (let turn = 0; turn < 40; turn++) {
      for (const [reason, count] of await stage.drops("node-1")) if (count > (before.get(reason) ?? 0)) return reason
      if (arrived(name) > 0) return "arrived"
    }
    return "nothing"
  }

  test("is dropped as unknown-peer where labels decide, and passes where everybody does", async () => {
    expect(await knock("web")).toBe("unknown-peer")
    expect(await knock("any")).toBe("arrived")
  })

  test("without that it would be told as something else", async () => {
    const changes = [["lib/address.h", "end->flags = block->flags & ADDRESS_FLAG_UNKNOWN;", "end->flags = 0;"]] as const
    await stage.restart("node-1", mutantObject({ name: "unknown", changes }))
    expect(await knock("web", 40_002)).not.toBe("unknown-peer")
    await stage.restart("node-1")
  })

  test("passes once it is known and allowed, and is denied by policy once it is known and not", async () => {
    const status = `status: { podIP: ${late}, podIPs: [{ ip: ${late} }, { ip: "fd00:10:244:2::c8" }] }`
    await stage.apply(`${manifests}${pod("late", "node-2", "role: talker", status)}`)
    expect(await stage.probe(stage.pod("late"), stage.pod("web"), 6, 80)).toBe("allow")
    await stage.apply(`${manifests}${pod("late", "node-2", "role: stranger", status)}`)
    expect(await knock("web", 40_003)).toBe("policy")
    expect(await stage.probe(stage.pod("late"), stage.pod("web"), 6, 80, "deny")).toBe("deny")
  })
})
