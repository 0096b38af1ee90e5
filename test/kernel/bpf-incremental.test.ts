import fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import { Compiler } from "../../src/compile/compile.ts"
import type { Compiled } from "../../src/compile/compiled.ts"
import { slotOf } from "../../src/compile/judge.ts"
import { VersionedMap } from "../../src/compile/versions.ts"
import { constants, prefixLengths } from "../../src/kernel/abi.generated.ts"
import type { BpfMap } from "../../src/kernel/bpf/map.ts"
import { rcuGrace } from "../../src/kernel/grace.ts"
import type { Cluster } from "../../src/model/cluster.ts"
import { Tables } from "../../src/plane/ebpf/tables.ts"
import type { EndpointPort, NodeState } from "../../src/plane/plane.ts"
import * as arbitrary from "../arbitrary/cluster.ts"
import { A, TestNode } from "./bpf-fixture.ts"

/*
 * A commit writes only what changed. Here random histories of clusters, pods' interfaces and nodes are applied that way to one plane and
 * written whole to another: afterwards the kernel holds the same for both, also when writes fail in the middle.
 */

const SEED = 20_261_121
const written = ["addrs", "prefixes", "prefix_trie", "prefix_lengths", "endpoints", "endpoint_by_ifindex", "nodes"]

/** Calls to the kernel until one fails; undefined: none does. */
let failAfter: number | undefined
function spend(): void {
  if (failAfter === undefined) return
  if (failAfter-- > 0) return
  failAfter = undefined
  throw new Error("injected")
}

let node: TestNode
let reference: TestNode
let tables: Tables
let referenceTables: Tables
beforeAll(() => {
  const small = { addrs: 256, prefixes: 256, nodes: 16 }
  node = new TestNode({
    entries: small,
    grace: async () => {
      await rcuGrace()
      spend()
    },
  })
  reference = new TestNode({ entries: small })
  tables = new Tables((name) => node.plane.map(name))
  referenceTables = new Tables((name) => reference.plane.map(name))
  for (const name of written) failing(node.plane.map(name))
})
afterAll(() => {
  node?.remove()
  reference?.remove()
})

/** Makes a map's writes fail when it is their turn; a batch is written in part. */
function failing(map: BpfMap): void {
  const { update, delete: remove, updateBatch, deleteBatch } = map
  map.update = (...given) => {
    spend()
    update.apply(map, given)
  }
  map.delete = (key) => {
    spend()
    return remove.call(map, key)
  }
  map.updateBatch = (keys, values, count) => {
    for (let i = 0; i < count; i++) {
      spend()
      const [key, value] = [i * map.keySize, i * map.valueSize]
      updateBatch.call(map, keys.subarray(key, key + map.keySize), values.subarray(value, value + map.valueSize), 1)
    }
  }
  map.deleteBatch = (keys, count) => {
    for (let i = 0; i < count; i++) {
      spend()
      deleteBatch.call(map, keys.subarray(i * map.keySize, (i + 1) * map.keySize), 1)
    }
    return count
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const entries = (map: BpfMap): string[] => [...map.entries()].map(([k, v]) => `${hex(k)} ${hex(v)}`).sort()
const there = (map: BpfMap): string[] => entries(map).filter((text) => !/ 0*$/.test(text))

/** Rows by the number of an endpoint and direction, one for each class, as the live side has them. */
function answers(tables: Tables, classCount: number): Map<number, string[]> {
  const { MAX_ENDPOINTS, MAX_CELLS, MAX_ROWS, MAX_INTERVALS } = constants
  const side = tables.liveSide
  const texts = new Map<number, string>()
  const row = (number: number): string => {
    const at = (side * MAX_ROWS + number) * 2
    const from = (side * MAX_INTERVALS + (tables.rows[at] ?? 0)) * 2
    const text = texts.get(number) ?? tables.intervals.subarray(from, from + 2 * (tables.rows[at + 1] ?? 0)).join()
    texts.set(number, text)
    return text
  }
  const found = new Map<number, string[]>()
  for (let end = 0; end < 2 * MAX_ENDPOINTS; end++) {
    const at = (side * 2 * MAX_ENDPOINTS + end) * 2
    if (tables.sets[at + 1] === 0) continue
    const from = side * MAX_CELLS + (tables.sets[at] ?? 0)
    found.set(end, [...tables.cells.subarray(from, from + classCount)].map(row))
  }
  return found
}

/** Classes of the slots in use by a state, as the live side has them. */
function classesOf(tables: Tables, { addresses, prefixes, outsideSlot, nodeSocketSlot }: Compiled): number[][] {
  const entries = [...addresses.values(), ...prefixes.values()].map(({ slot }) => slot)
  const slots = [...entries, ...Object.values(outsideSlot), ...Object.values(nodeSocketSlot)]
  return slots.map((slot) => [slot, tables.classes[tables.liveSide * constants.MAX_SLOTS + slot] ?? 0])
}

/** Everything that the programs read, of the live side. */
function held({ plane }: TestNode, tables: Tables, compiled: Compiled): unknown {
  const side = tables.liveSide
  const lengths = [0, 1].map((family) => {
    const key = new Uint8Array(Uint32Array.of(side * 2 + family).buffer)
    return prefixLengths.decode(plane.map("prefix_lengths").lookup(key) as Uint8Array)
  })
  const { outside4, outside6, node4, node6 } = tables.live
  return {
    ...{ lengths, fixed: [outside4[side], outside6[side], node4[side], node6[side]] },
    ...{ addrs: entries(plane.map("addrs")), prefixes: entries(plane.map("prefixes")) },
    trie: lengths.some(({ trie }) => trie === 1) ? entries(plane.map("prefix_trie")) : [],
    ...{ interfaces: entries(plane.map("endpoint_by_ifindex")), nodes: there(plane.map("nodes")) },
    ...{ ports: there(plane.map("endpoints")), classes: classesOf(tables, compiled) },
    answers: answers(tables, compiled.classCount),
  }
}

/** Whether what the live side says is still what it was when `compiled` came into force, or nothing: that drops. */
function stillEnforced(tables: Tables, compiled: Compiled, before: ReadonlyMap<number, string[]>): void {
  for (const [end, rows] of answers(tables, compiled.classCount)) expect(rows).toEqual(before.get(end))
  for (const [slot = 0, number] of classesOf(tables, compiled)) expect([0, compiled.classes[slot]]).toContain(number)
}

/** Who still finds the slot of an address or block that left is judged as its address is now. */
function leftExactly(tables: Tables, before: Compiled, after: Compiled): void {
  const taken = new Set([...after.addresses.values(), ...after.prefixes.values()].map(({ slot }) => slot))
  for (const [address, { slot }] of before.addresses) {
    if (after.addresses.has(address) || taken.has(slot)) continue
    expect(tables.classes[tables.liveSide * constants.MAX_SLOTS + slot]).toBe(after.classes[slotOf(after, address)])
  }
}

class History {
  readonly #compiler = new Compiler("n1")
  #ports = new VersionedMap<string, EndpointPort>()
  #peers: NodeState["forwarding"]["peers"] = new Map()
  #interface = 10_000

  /** The next state: interfaces come, go and are made anew as `next` says, most stay. */
  state(cluster: Cluster, next: () => number): NodeState {
    const compiled = this.#compiler.update(cluster)
    const changes = new Map<string, EndpointPort | undefined>()
    for (const name of this.#ports.keys()) if (!cluster.endpoints.has(name)) changes.set(name, undefined)
    for (const { namespace, name: pod } of cluster.endpoints.values()) {
      const name = `${namespace}/${pod}`
      const what = next() % 6
      if (what === 0) changes.set(name, undefined)
      if (what === 1 || (what < 4 && !this.#ports.has(name))) changes.set(name, this.#port())
    }
    this.#ports = this.#ports.with(changes)
    const numbers = [...cluster.nodes.keys()].filter((name) => name !== "n1")
    const again = next() % 8 === 0
    if (again || numbers.length !== this.#peers.size)
      this.#peers = new Map(numbers.map((name) => [name, { number: 1 + (next() % 3), address: A("172.18.0.2") }]))
    const self = { name: "n1", addresses: cluster.nodes.get("n1")?.addresses ?? [] }
    return { compiled, forwarding: { ports: this.#ports, peers: this.#peers, self, nonMasquerade: [] } }
  }

  #port(): EndpointPort {
    const ifindex = this.#interface++
    return { ifindex, mac: Uint8Array.of(2, 0, 0, 0, ifindex >> 8, ifindex & 255), sandbox: `s${ifindex}` }
  }
}

const seeds = fc.array(fc.integer(), { minLength: 2, maxLength: 12 })

test("what is written change by change is what is written whole", async () => {
  await fc.assert(
    fc.asyncProperty(arbitrary.parts, arbitrary.parts, seeds, async (one, other, steps) => {
      const history = new History()
      let previous: NodeState | undefined
      for (const seed of steps) {
        const next = arbitrary.chooser(seed)
        const state = history.state(arbitrary.clusterOf(arbitrary.mixed(one, other, next)), next)
        await node.plane.apply(state, previous === undefined ? null : { previous })
        await reference.plane.apply(state, null)
        expect(held(node, tables, state.compiled)).toEqual(held(reference, referenceTables, state.compiled))
        if (previous !== undefined) leftExactly(tables, previous.compiled, state.compiled)
        previous = state
      }
    }),
    { seed: SEED, numRuns: 40 },
  )
})

test("a write that fails leaves the generation before in force, and the next apply makes all good", async () => {
  let failures = 0
  await fc.assert(
    fc.asyncProperty(arbitrary.parts, arbitrary.parts, seeds, async (one, other, steps) => {
      const history = new History()
      let previous: NodeState | undefined
      for (const seed of steps) {
        const next = arbitrary.chooser(seed)
        const state = history.state(arbitrary.clusterOf(arbitrary.mixed(one, other, next)), next)
        const before = node.plane.generation
        const rows = answers(tables, previous?.compiled.classCount ?? 0)
        failAfter = previous !== undefined && next() % 3 === 0 ? next() % 12 : undefined
        const failed: boolean = await node.plane.apply(state, previous === undefined ? null : { previous }).then(
          () => false,
          () => true,
        )
        failAfter = undefined
        if (failed) failures++
        if (failed && previous !== undefined && node.plane.generation === before)
          stillEnforced(tables, previous.compiled, rows)
        // Whoever goes on may know that it failed, or may not.
        if (failed && next() % 2 === 0) {
          previous = node.plane.generation === before ? previous : state
          continue
        }
        if (failed) await node.plane.apply(state, next() % 2 === 0 || previous === undefined ? null : { previous })
        await reference.plane.apply(state, null)
        expect(held(node, tables, state.compiled)).toEqual(held(reference, referenceTables, state.compiled))
        previous = state
      }
    }),
    { seed: SEED, numRuns: 40 },
  )
  expect(failures).toBeGreaterThan(30)
})
