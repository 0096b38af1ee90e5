import { readdirSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Compiler, compile } from "../../src/compile/compile.ts"
import { type Compiled, type PolicySet, rowOf } from "../../src/compile/compiled.ts"
import { constants } from "../../src/kernel/abi.generated.ts"
import { attachments } from "../../src/kernel/bpf/attach.ts"
import { inNamespace } from "../../src/kernel/namespace.ts"
import type { Cluster } from "../../src/model/cluster.ts"
import { type Ends, ip, TcpFlag, tcp } from "../../src/net/packet.ts"
import { strideFor } from "../../src/plane/ebpf/budget.ts"
import { type NodeState, OverBudget, type PlaneReading } from "../../src/plane/plane.ts"
import { A, Action, app, block, cluster, type PodSpec, pods, policy, TestNode, tcpPort } from "./bpf-fixture.ts"

let node: TestNode
beforeAll(() => {
  node = new TestNode()
})
afterAll(() => node?.remove())

const base: Record<string, PodSpec> = {
  a: { addresses: ["10.0.1.1", "fd00::1:1"] },
  b: { addresses: ["10.0.1.2"] },
  far: { node: "two", addresses: ["10.0.2.1"] },
}
const allowFrom = (name: string, ...ports: number[]) =>
  policy("a", app("a"), { ingress: [{ peer: app(name), l4: ports.map((port) => tcpPort(port)) }] })

/** A history that adds, changes and removes pods, policies and blocks. */
const history: Cluster[] = [
  cluster(pods(base), []),
  cluster(pods(base), [allowFrom("b", 80)]),
  cluster(pods({ ...base, c: { addresses: ["10.0.1.3"] } }), [
    allowFrom("b", 80),
    policy("c", app("c"), { egress: [] }),
  ]),
  cluster(pods({ ...base, c: { addresses: ["10.0.1.3"] } }), [
    allowFrom("c", 80, 443),
    policy("c", app("c"), { egress: [{ peer: block("203.0.113.0/24", "203.0.113.128/25", "2001:db8:f::/48") }] }),
  ]),
  cluster(pods({ ...base, c: { addresses: ["10.0.1.3"], labels: { app: "b" } } }), [allowFrom("b", 80)]),
  cluster(pods({ a: { addresses: ["10.0.1.1"] }, d: { addresses: ["10.0.1.9"] } }), [allowFrom("d", 1)]),
  cluster(pods({}), []),
  cluster(pods(base), [allowFrom("b", 80)]),
]

/** What is applied, in the shape in which it is read; of the sets only the cells of classes that are in use. */
function shape(compiled: PlaneReading["compiled"], classCount: number) {
  const cells = (set: PolicySet) => Array.from({ length: classCount }, (_, i) => rowOf(set, i)).join()
  return {
    addresses: [...compiled.addresses].sort(([x], [y]) => (x < y ? -1 : 1)),
    prefixes: [...compiled.prefixes].sort(([x], [y]) => (x < y ? -1 : 1)),
    outside: compiled.outsideSlot,
    node: compiled.nodeSocketSlot,
    endpoints: [...compiled.endpoints]
      .map(([name, each]) => [name, each.number, cells(each.ingress), cells(each.egress)])
      .sort(),
  }
}

function rowsEqual(read: PlaneReading, compiled: Compiled): void {
  const used = new Set<number>()
  for (const { ingress, egress } of compiled.endpoints.values())
    for (const { rest, special } of [ingress, egress]) for (const row of [rest, ...special.values()]) used.add(row)
  for (const number of used) {
    const [mine, theirs] = [compiled.rows[number], read.compiled.rows[number]]
    expect([...(theirs?.starts ?? [])]).toEqual([...(mine?.starts ?? [])])
    expect([...(theirs?.outcomes ?? [])]).toEqual([...(mine?.outcomes ?? [])])
  }
}

function slotsEqual(read: PlaneReading, compiled: Compiled): void {
  for (const { slot } of [...compiled.addresses.values(), ...compiled.prefixes.values()])
    expect(read.compiled.classes[slot] ?? 0).toBe(compiled.classes[slot])
  for (const slot of [...Object.values(compiled.outsideSlot), ...Object.values(compiled.nodeSocketSlot)])
    expect(read.compiled.classes[slot] ?? 0).toBe(compiled.classes[slot])
}

async function check(state: NodeState, generation: number): Promise<void> {
  const read = await node.plane.read()
  expect(read.generation).toBe(generation)
  const { classCount } = state.compiled
  expect(shape(read.compiled, classCount)).toEqual(shape(state.compiled, classCount))
  rowsEqual(read, state.compiled)
  slotsEqual(read, state.compiled)
  const ports = new Map(
    [...state.forwarding.ports].map(([name, port]) => [state.compiled.endpoints.get(name)?.number, port]),
  )
  expect(new Map([...read.ports].sort())).toEqual(new Map([...ports].sort()))
}

describe.each([
  ["by what changed", true],
  ["comparing all", false],
])("applied %s, what is read is what was applied", (_, byChange) => {
  test("over a history of pods, policies and blocks", async () => {
    const compiler = new Compiler("one")
    let previous: NodeState | undefined
    for (const wanted of history) {
      const state = node.state(compiler.update(wanted))
      const before = node.plane.generation
      const generation = await node.plane.apply(state, byChange && previous ? { previous } : null)
      expect(generation).toBe(before + 1)
      await check(state, generation)
      previous = state
    }
  })
})

test("applied again, nothing but the generation changes; what someone else changed is repaired", async () => {
  const state = node.state(compile(history[3] as Cluster, "one"))
  await node.plane.apply(state, null)
  node.plane.map("addrs").delete(node.plane.map("addrs").keys().next().value as Uint8Array)
  node.plane.map("prefixes").update(new Uint8Array(20).fill(1), new Uint8Array(8))
  const generation = await node.plane.apply(state, null)
  await check(state, generation)
})

test("more prefix lengths than are probed are looked up in the trie, and go back to probes", async () => {
  const e: Ends = { source: A("10.0.1.1"), destination: A("10.0.1.2") }
  const lengths = Array.from({ length: 26 }, (_, i) => `203.0.112.0/${32 - i}`)
  const egressTo = (...prefixes: string[]) =>
    cluster(pods(base), [policy("a", app("a"), { egress: [{ peer: block(...prefixes) }] })])
  const send = (destination: string) => {
    const ends = { ...e, destination: A(destination) }
    const syn = tcp(
      { sourcePort: 1 + Math.floor(Math.random() * 60_000), destinationPort: 80, flags: TcpFlag.syn },
      ends,
    )
    return node.send("default/a", ip({ ...ends, protocol: 6 }, syn))
  }
  await node.enforce(egressTo(...lengths))
  expect([...node.plane.map("prefix_trie").keys()].length).toBeGreaterThan(25)
  expect(send("203.0.112.0")).toBe(Action.ok)
  expect(send("203.0.113.7")).toBe(Action.ok)
  expect(send("193.0.0.1")).toBe(Action.shot)
  // A short IPv6 block contains no IPv4 address, although the trie holds both.
  await node.enforce(egressTo("::/0", "8000::/1", ...lengths.slice(0, 24), "203.0.0.0/9"))
  expect(send("193.0.0.1")).toBe(Action.shot)
  await node.enforce(egressTo("203.0.112.0/24"))
  expect(send("203.0.112.9")).toBe(Action.ok)
  await node.enforce(egressTo("203.0.113.0/24"))
  expect(send("203.0.112.9")).toBe(Action.shot)
  expect([...node.plane.map("prefix_trie").keys()]).toEqual([])
})

test("what does not fit is refused before anything is written, and the state before stays in force", async () => {
  const state = node.state(compile(history[1] as Cluster, "one"))
  const generation = await node.plane.apply(state, null)
  const classes = new Uint16Array(constants.MAX_SLOTS + 1)
  const refused = node.plane.apply({ ...state, compiled: { ...state.compiled, classes } }, { previous: state })
  await expect(refused).rejects.toThrow(OverBudget)
  await expect(refused).rejects.toThrow(/slots needs 262145 entries, 262144 are there/)
  await check(state, generation)
})

test("a new endpoint, a new class or a new set never moves what is live", async () => {
  const compiler = new Compiler("one")
  const many = (count: number) =>
    cluster(
      pods({
        ...base,
        ...Object.fromEntries(
          Array.from({ length: count }, (_, i) => [`n${i}`, { node: "two", addresses: [`10.0.3.${i}`] }]),
        ),
      }),
      Array.from({ length: count }, (_, i) =>
        policy(`p${i}`, app("a"), { ingress: [{ peer: app(`n${i}`), l4: [tcpPort(1_000 + i)] }] }),
      ),
    )
  let previous: NodeState | undefined
  for (const count of [3, 70, 140, 5]) {
    const state = node.state(compiler.update(many(count)))
    expect(strideFor(state.compiled.classCount)).toBeGreaterThanOrEqual(state.compiled.classCount)
    await check(state, await node.plane.apply(state, previous ? { previous } : null))
    previous = state
  }
})

test("another process adopts what is there: traffic goes on, generations continue, numbers come back by interface", async () => {
  const state = await node.enforce(history[1] as Cluster)
  const e: Ends = { source: A("10.0.1.2"), destination: A("10.0.1.1") }
  const segment = (flags: number) => ip({ ...e, protocol: 6 }, tcp({ sourcePort: 4, destinationPort: 80, flags }, e))
  expect(node.send("default/b", segment(TcpFlag.syn))).toBe(Action.redirect)
  const { generation } = node.plane
  node.restart()
  expect(node.plane.fresh).toBe(false)
  expect(node.plane.generation).toBe(generation)
  expect(node.send("default/b", segment(TcpFlag.ack))).toBe(Action.redirect)
  const read = await node.plane.read(state.forwarding)
  const next = new Compiler("one", { adopt: read.compiled }).update(history[1] as Cluster)
  for (const [name, { number }] of state.compiled.endpoints) expect(next.endpoints.get(name)?.number).toBe(number)
  for (const [address, { slot }] of state.compiled.addresses) expect(next.addresses.get(address)?.slot).toBe(slot)
  const after = node.state(next)
  await check(after, await node.plane.apply(after, null))
  expect(node.plane.generation).toBe(generation + 1)
  expect(node.send("default/b", segment(TcpFlag.ack))).toBe(Action.redirect)
})

test("tables keep the size that they were made with, and say so", async () => {
  const small = new TestNode({ entries: { addrs: 2, flows: 1_024 } })
  try {
    expect(small.plane.keptSizes).toEqual([])
    small.restart({ entries: { addrs: 1_024, flows: 1_024 } })
    expect(small.plane.keptSizes).toEqual([{ table: "addrs", wanted: 1_024, entries: 2 }])
    expect(small.plane.map("flow_keys").maxEntries).toBe(1_024)
    const state = small.state(new Compiler("one").update(history[1] as Cluster))
    await expect(small.plane.apply(state, null)).rejects.toThrow(/addresses needs \d+ entries, 2 are there/)
  } finally {
    small.remove()
  }
})

test("programs are put on the entrances, stay after the process, and are taken away by remove", async () => {
  node.plane.attachEntrances()
  node.plane.attachEntrances()
  const attached = () =>
    inNamespace(node.namespace, () =>
      [...Object.values(node.entrances), node.port("default/a").ifindex].flatMap((ifindex) =>
        attachments(ifindex).map(({ direction, program }) => `${direction} ${program.name}`),
      ),
    )
  const all = ["ingress from_uplink", "egress to_pods", "ingress drop_all", "ingress from_overlay", "ingress from_pod"]
  await node.enforce(history[1] as Cluster)
  expect(attached().sort()).toEqual([...all].sort())
  node.restart()
  expect(attached().sort()).toEqual([...all].sort())
  await node.plane.remove()
  expect(attached()).toEqual([])
  expect(readdirSync(node.options.pinDirectory).filter((file) => !file.endsWith(".debug"))).toEqual([])
})
