import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { VersionedMap } from "../compile/versions.ts"
import { type Endpoint, emptyCluster } from "../model/cluster.ts"
import type { Policy } from "../model/policy.ts"
import { ShardedMap } from "../model/sharded-map.ts"
import type { Verdict } from "../model/verdict.ts"
import { parseAddress } from "../net/address.ts"
import { parsePrefix } from "../net/prefix.ts"
import type { EndpointPort } from "../plane/plane.ts"
import { changePieces, decodeSnapshot, emptyFile, type FileEnd, nothingEnforced, type Snapshot } from "./snapshot.ts"

const endpoint = (name: string, label: string): Endpoint => ({
  namespace: "shop",
  name,
  node: "node-1",
  addresses: [parseAddress("10.0.0.1")],
  labels: { label },
  serviceAccount: "default",
  namedPorts: [],
})
const policy = (name: string, order: number): Policy => ({
  group: "projectcalico.org",
  kind: "NetworkPolicy",
  namespace: "shop",
  name,
  tier: "default",
  order,
  tieBreak: "",
  subject: { kind: "any" },
  mode: "enforced",
  origin: { file: "a\nb.yaml", line: 1, column: 1 },
})
const verdict = (index: number): Verdict => ({
  action: index % 2 === 0 ? "allow" : "deny",
  by: { kind: "noPolicy", direction: "ingress" },
  log: index > 5,
})
const port = (ifindex: number): EndpointPort => ({
  ifindex,
  mac: new Uint8Array([2, 0, 0, 0, 1, ifindex]),
  sandbox: "s",
})

const full: Snapshot = {
  node: "node-1",
  generation: 7,
  digest: "d",
  cluster: {
    ...emptyCluster,
    namespaces: new Map([["shop", { name: "shop", labels: { a: "ü\u2028" } }]]),
    tiers: new Map([["t", { name: "t", order: Number.POSITIVE_INFINITY, defaultAction: "deny" }]]),
    policies: new Map([["p", policy("p", Number.POSITIVE_INFINITY)]]),
    clusterPrefixes: [parsePrefix("10.0.0.0/8")],
  },
  verdicts: [undefined, verdict(1), undefined, verdict(2)],
  ports: new Map([["shop/web", port(4)]]),
  numbers: new Map([["shop/web", { number: 1 }]]),
  peers: new Map([["node-2", { number: 3 }]]),
  committedAt: 1_000,
  version: "1",
  plane: "ebpf",
  routing: "vxlan",
  bigTcp: "off: by the setting bigTcp",
  addresses: ["10.0.0.1"],
}

/** A file that says these one after the other, and where each begins to be believed. */
function fileOf(states: readonly Snapshot[]): { bytes: Buffer; ends: FileEnd[] } {
  const bytes: Uint8Array[] = []
  const ends: FileEnd[] = []
  let [before, end] = [nothingEnforced, emptyFile]
  for (const state of states) {
    for (const piece of changePieces(before, state, end)) {
      bytes.push(piece.bytes)
      end = piece.end
    }
    before = state
    ends.push(end)
  }
  return { bytes: Buffer.concat(bytes), ends }
}

/** The same with maps of one make. */
function plain(snapshot: Snapshot | undefined): unknown {
  if (snapshot === undefined) return undefined
  const { cluster, verdicts, ...rest } = snapshot
  const maps = (value: object) =>
    Object.fromEntries(
      Object.entries(value).map(([name, part]) => [
        name,
        "entries" in Object(part) && !Array.isArray(part) ? new Map(part) : part,
      ]),
    )
  while (verdicts.length > 0 && verdicts.at(-1) === undefined)
    return plain({ ...snapshot, verdicts: verdicts.slice(0, -1) })
  return { ...maps(rest), verdicts, cluster: maps(cluster) }
}

/** States one after the other, each sharing with the one before what did not change, as commits do. */
const histories: fc.Arbitrary<Snapshot[]> = fc
  .array(
    fc.record({
      endpoints: fc.dictionary(fc.constantFrom("a", "b", "c"), fc.option(fc.constantFrom("x", "y")), { maxKeys: 3 }),
      policies: fc.dictionary(fc.constantFrom("p", "q"), fc.option(fc.constantFrom(1, Number.POSITIVE_INFINITY))),
      numbers: fc.dictionary(fc.constantFrom("a", "b", "c"), fc.option(fc.integer({ min: 1, max: 3 }))),
      ports: fc.dictionary(fc.constantFrom("a", "b", "c"), fc.option(fc.integer({ min: 1, max: 9 }))),
      verdicts: fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.option(fc.integer({ min: 1, max: 9 })))),
      ranges: fc.boolean(),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map((steps) => {
    let state: Snapshot = {
      ...nothingEnforced,
      cluster: { ...emptyCluster, endpoints: new ShardedMap(), policies: new ShardedMap() },
      numbers: new VersionedMap(),
      ports: new VersionedMap(),
    }
    const changes = <A, V>(of: Record<string, A | null>, make: (key: string, value: A) => V) =>
      new Map(Object.entries(of).map(([key, value]) => [key, value === null ? undefined : make(key, value)]))
    return steps.map((step, i) => {
      const verdicts = [...state.verdicts]
      for (const [id, value] of step.verdicts) verdicts[id] = value === null ? undefined : verdict(value)
      state = {
        ...state,
        generation: i + 1,
        digest: `digest ${i}`,
        cluster: {
          ...state.cluster,
          endpoints: (state.cluster.endpoints as ShardedMap<Endpoint>).with(changes(step.endpoints, endpoint)),
          policies: (state.cluster.policies as ShardedMap<Policy>).with(changes(step.policies, policy)),
          clusterPrefixes: step.ranges ? [parsePrefix(`10.${i}.0.0/16`)] : state.cluster.clusterPrefixes,
        },
        numbers: (state.numbers as VersionedMap<string, { number: number }>).with(
          changes(step.numbers, (_, number) => ({ number })),
        ),
        ports: (state.ports as VersionedMap<string, EndpointPort>).with(changes(step.ports, (_, index) => port(index))),
        verdicts: Array.from(verdicts),
      }
      return state
    })
  })

test("what a node enforced survives the way to the disk and back", () => {
  expect(plain(decodeSnapshot(fileOf([full]).bytes))).toEqual(plain(full))
})

test("the first state and the changes after it say the same as the newest state", () => {
  fc.assert(
    fc.property(histories, (states) => {
      for (const [i, state] of states.entries()) {
        expect(plain(decodeSnapshot(fileOf(states.slice(0, i + 1)).bytes))).toEqual(plain(state))
      }
    }),
    { numRuns: 200 },
  )
})

test("a change writes what it changed", () => {
  const many = new ShardedMap<Endpoint>().with(
    new Map(Array.from({ length: 1_000 }, (_, i) => [`shop/${i}`, endpoint(String(i), "x")])),
  )
  const before: Snapshot = { ...full, cluster: { ...full.cluster, endpoints: many } }
  const endpoints = many.with(new Map([["shop/7", endpoint("7", "y")]]))
  const after: Snapshot = { ...before, generation: 8, cluster: { ...before.cluster, endpoints } }
  const pieces = [...changePieces(before, after, { length: 1, crc: 0 })].map(({ bytes }) =>
    Buffer.from(bytes).toString(),
  )
  expect(pieces.join("").split("\n")).toEqual([
    expect.stringMatching(/^\["endpoints","shop\/7",/),
    expect.stringMatching(/^\["about","",\{.*"generation":8/),
    expect.stringMatching(/^\["end","[0-9a-f]+"\]/),
    "",
  ])
})

test("a large change comes in pieces", () => {
  const endpoints = new Map(Array.from({ length: 2_000 }, (_, i) => [`shop/${i}`, endpoint(String(i), "x")]))
  const state: Snapshot = { ...full, cluster: { ...full.cluster, endpoints } }
  const pieces = [...changePieces(nothingEnforced, state, emptyFile)]
  expect(Math.max(...pieces.map(({ bytes }) => bytes.length))).toBeLessThan(64 * 1024)
  expect(plain(decodeSnapshot(Buffer.concat(pieces.map(({ bytes }) => bytes))))).toEqual(plain(state))
})

describe("a file that is not whole", () => {
  const states = [full, { ...full, generation: 8, numbers: new Map() }, { ...full, generation: 9 }]
  const { bytes, ends } = fileOf(states)
  const whole = (length: number): Snapshot | undefined => states[ends.filter((end) => end.length <= length).length - 1]

  test("cut anywhere, it says the last state that it says whole", () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(plain(decodeSnapshot(bytes.subarray(0, length)))).toEqual(plain(whole(length)))
    }
  })

  test("with any byte of it another, it says a state from before that byte", () => {
    for (let at = 0; at < bytes.length; at++) {
      const other = Buffer.from(bytes)
      other[at] = (other[at] ?? 0) ^ 1
      expect(plain(decodeSnapshot(other))).toEqual(plain(whole(at)))
    }
  })

  test("what belongs to another file is not taken for a part of it", () => {
    const [first = emptyFile, second = emptyFile] = ends
    const other = fileOf([
      { ...full, digest: "other" },
      { ...full, generation: 8 },
    ]).bytes
    const mixed = Buffer.concat([other.subarray(0, -1), bytes.subarray(first.length - 1, second.length)])
    expect(decodeSnapshot(mixed)?.generation).toBe(8)
    expect(decodeSnapshot(mixed)?.numbers.size).toBe(1)
  })

  test("one of another form is not read", () => {
    expect(decodeSnapshot(Buffer.from('["form",99]\n["end","0"]\n'))).toBeUndefined()
    expect(decodeSnapshot(Buffer.from('{"form":1,"snapshot":{}}'))).toBeUndefined()
    expect(decodeSnapshot(new Uint8Array(4096))).toBeUndefined()
  })
})
