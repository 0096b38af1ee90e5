import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { EtherType, ethernet } from "../../src/net/packet.ts"
import { parseFrame } from "../../src/net/parse.ts"
import { type Cast, type Lie, lies, tunnelled } from "./lies.ts"
import { type Mutation, mutantObject, removeVariants } from "./mutant.ts"
import { mutate, randomFrom, seeds } from "./noise.ts"
import { addressOf, type Party, Stage, type Tap, until } from "./stage.ts"

/** Only talkers may reach `victim`, on TCP 80; `liar` may go to victims only, so that nothing of it is the stack's. */
const manifests = `
apiVersion: v1
kind: Pod
metadata: { name: liar, namespace: shop, labels: { role: talker, app: liar } }
spec: { nodeName: node-1, containers: [{ name: c, image: x }] }
---
apiVersion: v1
kind: Pod
metadata: { name: far, namespace: shop, labels: { role: talker, app: victim } }
spec: { nodeName: node-2, containers: [{ name: c, image: x }] }
---
apiVersion: v1
kind: Pod
metadata: { name: victim, namespace: shop, labels: { app: victim } }
spec: { nodeName: node-1, containers: [{ name: c, image: x }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: victims, namespace: shop }
spec:
  podSelector: { matchLabels: { app: victim } }
  policyTypes: [Ingress]
  ingress: [{ from: [{ podSelector: { matchLabels: { role: talker } } }], ports: [{ port: 80, protocol: TCP }] }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: liars, namespace: shop }
spec:
  podSelector: { matchLabels: { app: liar } }
  policyTypes: [Egress]
  egress: [{ to: [{ podSelector: { matchLabels: { app: victim } } }] }]
`

/** What a lie needs to get through or to be told wrongly: the check that it fails without. */
const mutations: readonly (Mutation & { readonly lies: readonly string[] })[] = [
  {
    name: "source",
    changes: [["lib/source.h", "source->endpoint == *number ? REASON_NONE : REASON_SPOOFED_SOURCE", "REASON_NONE"]],
    lies: ["source of a pod of this node", "source of a pod of another node", "source outside the cluster"],
  },
  {
    name: "arp",
    changes: [["lib/neighbour.h", "sender && !owns(number, address)", "0"]],
    lies: ["ARP request in another's name"],
  },
  {
    name: "neighbour",
    changes: [
      ["lib/neighbour.h", "is_gateway(target) || (!is_link_local6(target) && !owns(number, target))", "0"],
      ["lib/neighbour.h", "is_gateway(p->source) || (!is_link_local6(p->source) && !owns(number, p->source))", "0"],
    ],
    lies: ["neighbour advertisement for another", "neighbour solicitation in another's name"],
  },
  {
    name: "redirect",
    changes: [["prog/heddle.bpf.c", "p->icmp_type == ICMP_REDIRECT_MESSAGE)", "p->icmp_type == 255)"]],
    lies: ["ICMP redirect"],
  },
  {
    name: "overlay-port",
    changes: [["prog/heddle.bpf.c", "hook == HOOK_POD && p->protocol == IPPROTO_UDP && overlay_port &&", "0 &&"]],
    lies: ["VXLAN to the own node", "VXLAN to another node"],
  },
  {
    name: "outer-source",
    changes: [
      ["lib/source.h", "return came_from_node(skb, source->hop) ? REASON_NONE : REASON_OVERLAY_SOURCE;", "return 0;"],
    ],
    lies: ["VXLAN from a host that is no node"],
  },
  {
    name: "arrival",
    changes: [["lib/source.h", "if (source->hop_kind == HOP_KIND_STACK && source->hop == 0)", "if (1)"]],
    lies: ["a pod's address on the wire", "a node's address on the wire"],
  },
  {
    name: "fragments",
    changes: [
      ["lib/parse.h", "if (bytes + total > 65535 || (bytes && bytes < 20 && like_tcp(p->protocol)))", "if (0)"],
      [
        "lib/fragment.h",
        "if (!value || (__s32)(now - value->expires) > 0)\n\t\treturn REASON_FRAGMENT_EARLY;",
        "if (!value) {\n\t\tp->destination_port = 80;\n\t\treturn now == 1;\n\t}",
      ],
    ],
    lies: ["fragment that overlaps the TCP header", "fragment without its first"],
  },
]

let stage: Stage
let cast: Cast
let taps: Readonly<Record<"liar" | "far" | "victim" | "outside" | "node-2", Tap>>
let victims: readonly (readonly [Party, Tap])[]

beforeAll(async () => {
  removeVariants()
  stage = await Stage.open({ name: "hd-liars" }, manifests)
  const [liar, far, victim] = [stage.pod("liar"), stage.pod("far"), stage.pod("victim")]
  for (const party of [liar, far, victim]) stage.mute(party)
  taps = {
    liar: stage.tap(liar.netns),
    far: stage.tap(far.netns),
    victim: stage.tap(victim.netns),
    outside: stage.tap(stage.paths.outside),
    "node-2": stage.tap(stage.paths.nodeNamespace("node-2")),
  }
  victims = [
    [far, taps.far],
    [victim, taps.victim],
  ]
  const nodeMac = stage.tap(stage.paths.nodeNamespace("node-1")).mac
  cast = {
    ...{ liar, far, victim },
    nodes: [stage.node("node-1"), stage.node("node-2")],
    liarMac: taps.liar.mac,
    nodeMac,
  }
})

afterAll(async () => {
  await stage?.close()
  removeVariants()
})

/** Sends a lie's frames; returns what is wrong with what became of them, in words. */
async function tell(lie: Lie): Promise<string[]> {
  for (const [, tap] of victims) tap.frames()
  taps.liar.frames()
  const before = await stage.drops("node-1")
  const frames = lie.frames(cast)
  for (const frame of frames) taps[lie.from].send(frame)
  const counted = async (): Promise<Map<string, number>> => {
    const after = [...(await stage.drops("node-1"))].map(([name, n]) => [name, n - (before.get(name) ?? 0)] as const)
    return new Map(after.filter(([, n]) => n > 0))
  }
  const wanted = frames.length - (lie.passes ?? 0)
  for (let turn = 0; turn < 20 && [...(await counted()).values()].reduce((a, b) => a + b, 0) < wanted; turn++)
    await sleep(5)
  const drops = await counted()
  const arrived = victims.flatMap(([, tap]) => tap.frames()).filter((frame) => !isOfNode(frame)).length
  const problems: string[] = []
  if (arrived !== (lie.passes ?? 0)) problems.push(`${arrived} of ${frames.length} frames arrived at a victim`)
  if (taps.liar.frames().some((frame) => !isOfNode(frame))) problems.push("the liar got an answer")
  if (drops.get(lie.reason) !== wanted || drops.size !== 1)
    problems.push(`dropped as ${JSON.stringify([...drops])}, wanted ${wanted} × ${lie.reason}`)
  return problems
}

/** The node's own stack greets its end of a pod's pair with multicast listener reports; nobody else's frame is. */
function isOfNode(frame: Uint8Array): boolean {
  const ip = parseFrame(frame)?.ip
  return (
    ip?.protocol === 58 && (ip.source.startsWith("fe80:") || ip.source === "::") && ip.transport?.icmp?.type === 143
  )
}

describe("lies", () => {
  test.each(
    lies.map((lie) => [lie.name, lie.reason, lie] as const),
  )("%s: dropped as %s", async (_name, _reason, lie) => {
    expect(await tell(lie)).toEqual([])
  })

  test("each drop is told as an event with its reason", async () => {
    const told = new Set<string>()
    const reasons = [...new Set(lies.map((lie) => lie.reason))]
    await until("every reason told", async () => {
      for await (const { response } of stage.client("node-1").observe({}))
        if (response.case === "flow" && response.value.kind === "drop") told.add(response.value.reason)
      return reasons.every((reason) => told.has(reason))
    }).catch(() => undefined)
    expect(reasons.filter((reason) => !told.has(reason))).toEqual([])
    console.log(`liars: ${lies.length} lies, ${reasons.length} reasons, all counted and told`)
  })
})

/** Of both nodes: what goes to `far` is judged at its node too. */
async function allDrops(): Promise<Map<string, number>> {
  const [one, two] = await Promise.all([stage.drops("node-1"), stage.drops("node-2")])
  for (const [name, packets] of two) one.set(name, (one.get(name) ?? 0) + packets)
  return one
}

/** Why a frame should not have arrived at `at`; undefined when it may. `talkers` may reach TCP 80. */
function wrongly(frame: Uint8Array, at: Party, talkers: readonly Party[], firsts: Set<string>): string | undefined {
  const ip = parseFrame(frame)?.ip
  if (ip === undefined) return "no IP packet, or one that contradicts itself"
  if (!at.addresses.includes(ip.destination)) return `for ${ip.destination}`
  const { fragment, transport, protocol } = ip
  const type = transport?.icmp?.type ?? -1
  // An error about a connection may come from any router on the way, but from nobody who has no address.
  const quotes = protocol === 1 ? [3, 4, 11, 12].includes(type) : protocol === 58 && type >= 1 && type <= 4
  const known = [cast.liar, cast.far, cast.victim, ...cast.nodes].some((party) => party.addresses.includes(ip.source))
  if (quotes && !known && !/^(ff|::1?$|0\.|127\.|2[2-5][4-9]\.|2[3-5]\d\.)/.test(ip.source)) return undefined
  if (!talkers.some((talker) => talker.addresses.includes(ip.source))) return `forged source ${ip.source}`
  const datagram = `${ip.source} ${ip.destination} ${protocol} ${fragment?.id}`
  if (fragment !== undefined && fragment.offset > 0)
    return firsts.has(datagram) ? undefined : "a fragment whose first did not pass"
  if (!quotes && (protocol !== 6 || transport?.destinationPort !== 80))
    return `protocol ${protocol} port ${transport?.destinationPort}`
  if (fragment !== undefined) firsts.add(datagram)
  return undefined
}

describe("noise", () => {
  const SEED = 0x4ed1e5
  const firsts = new Set<string>()
  const problems: string[] = []

  function look(talkers: readonly Party[]): number {
    let arrived = 0
    for (const [party, tap] of victims) {
      for (const frame of tap.frames()) {
        if (isOfNode(frame)) continue
        arrived++
        const why = wrongly(frame, party, talkers, firsts)
        if (why !== undefined)
          problems.push(`${party.identity}: ${why}: ${Buffer.from(frame).toString("hex").slice(0, 200)}`)
      }
    }
    return arrived
  }

  test("100,000 malformed, cut and random frames of a pod: every one is delivered rightly, answered, or dropped for a reason", async () => {
    const random = randomFrom(SEED)
    const bases = seeds(cast)
    for (const [, tap] of victims) tap.frames()
    taps.liar.frames()
    const before = await allDrops()
    const started = Date.now()
    let sent = 0
    let arrived = 0
    let back = 0
    while (sent < 100_000) {
      for (let i = 0; i < 250; i++) if (taps.liar.trySend(mutate(random, bases))) sent++
      arrived += look([cast.liar])
      back += taps.liar.frames().filter((frame) => !isOfNode(frame)).length
    }
    const sum = (drops: ReadonlyMap<string, number>) => [...drops.values()].reduce((a, b) => a + b, 0)
    let after = before
    const accounted = () => arrived + back + sum(after) - sum(before)
    await until("all frames accounted for", async () => {
      arrived += look([cast.liar])
      back += taps.liar.frames().filter((frame) => !isOfNode(frame)).length
      after = await allDrops()
      return accounted() >= sent
    }).catch(() => undefined)
    const reasons = [...after].map(([name, n]) => [name, n - (before.get(name) ?? 0)] as const).filter(([, n]) => n > 0)
    console.log(
      `noise at the pod's hook: ${sent} frames in ${Date.now() - started} ms, seed ${SEED}; ${arrived} delivered, ${back} answered or to itself;`,
      `dropped: ${reasons.map(([name, n]) => `${name} ${n}`).join(", ")}`,
    )
    expect(problems).toEqual([])
    expect(accounted()).toBe(sent)
    expect(arrived).toBeGreaterThan(100)
    expect(reasons.length).toBeGreaterThanOrEqual(12)
    expect(after.get("internal") ?? 0).toBe(0)
  })

  test("20,000 noisy frames through the tunnel and 20,000 on the wire: none is delivered wrongly", async () => {
    const random = randomFrom(SEED + 1)
    const [own, other] = cast.nodes.map((node) => addressOf(node))
    if (own === undefined || other === undefined) throw new Error("two nodes have addresses")
    // VXLAN takes a frame from the address of its own device for a loop.
    const inner = seeds({ ...cast, liar: cast.far, liarMac: "02:00:00:00:00:77", far: cast.victim })
    const wire = { source: taps.outside.mac, destination: cast.nodeMac }
    let arrived = 0
    for (let sent = 0; sent < 20_000; sent += 250) {
      for (let i = 0; i < 250; i++) {
        const outer = tunnelled({ source: other, destination: own }, mutate(random, inner))
        taps["node-2"].trySend(ethernet({ ...wire, source: taps["node-2"].mac, type: EtherType.ipv4 }, outer))
      }
      arrived += look([cast.far])
    }
    const throughTunnel = arrived
    for (let sent = 0; sent < 20_000; sent += 250) {
      for (let i = 0; i < 250; i++) {
        const frame = mutate(random, inner)
        frame.set(ethernet({ ...wire, type: 0 }, new Uint8Array(0)).subarray(0, 12))
        taps.outside.trySend(frame)
      }
      arrived += look([])
    }
    await sleep(100)
    arrived += look([])
    console.log(
      `noise at the tunnel: ${throughTunnel} of 20000 delivered, rightly; on the wire: ${arrived - throughTunnel} of 20000`,
    )
    expect(problems).toEqual([])
    expect(throughTunnel).toBeGreaterThan(100)
  })
})

test("without the checks, every lie that they are for arrives, is answered, or is told wrongly", async () => {
  const changes = mutations.flatMap((mutation) => mutation.changes)
  await stage.restart("node-1", mutantObject({ name: "liars", changes }))
  for (const mutation of mutations) {
    for (const name of mutation.lies) {
      const lie = lies.find((each) => each.name === name)
      if (lie === undefined) throw new Error(`no lie ${name}`)
      const problems = await tell(lie)
      console.log(`without ${mutation.name}: ${name}: ${problems.join("; ")}`)
      expect(problems, name).not.toEqual([])
    }
  }
})
