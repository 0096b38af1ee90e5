import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { constants, type Event, EventKind, event, Hook, Reason } from "../kernel/abi.generated.ts"
import type { Verdict } from "../model/verdict.ts"
import { addressBytes, parseAddress } from "../net/address.ts"
import { parsePrefix } from "../net/prefix.ts"
import { decodeEvent, flowTexts } from "./decode.ts"
import { compileFilter, type FlowFilter } from "./filter.ts"
import { type NameSource, Names } from "./name.ts"
import { type EventRing, FlowReader } from "./reader.ts"
import { FlowStore } from "./store.ts"

const web = parseAddress("10.244.1.2")
const db = parseAddress("10.244.2.2")
const node = parseAddress("192.168.0.1")
const outside = parseAddress("203.0.113.9")
const policy = { group: "networking.k8s.io", kind: "NetworkPolicy", namespace: "shop", name: "db" }
const origin = { file: "shop.yaml", line: 12, column: 5 }
const allow: Verdict = {
  action: "allow",
  by: { kind: "rule", tier: "default", policy, direction: "ingress", section: "ingress", index: 0, origin },
  log: false,
}
const deny: Verdict = {
  action: "deny",
  by: { kind: "defaultDeny", tier: "default", policy, direction: "ingress", origin },
  log: false,
}

function source(generation: number, change: Partial<NameSource> = {}): NameSource {
  return {
    generation,
    addresses: new Map([
      [web, { endpoint: "shop/web", node: "a" }],
      [db, { endpoint: "shop/db", node: "b" }],
      [node, { node: "a" }],
    ]),
    endpoints: new Map(
      [["web", "a", web] as const, ["db", "b", db] as const].map(([name, on, address]) => [
        `shop/${name}`,
        {
          namespace: "shop",
          name,
          node: on,
          addresses: [address],
          labels: { app: name },
          serviceAccount: "default",
          namedPorts: [],
        },
      ]),
    ),
    namespaces: new Map([["shop", { name: "shop", labels: { team: "red" } }]]),
    nodes: new Map([["a", { name: "a", labels: {}, addresses: [node], podPrefixes: [] }]]),
    clusterPrefixes: [parsePrefix("10.244.0.0/16")],
    verdicts: [undefined, allow, deny],
    ...change,
  }
}

function encoded(change: Partial<Event>): Uint8Array {
  return event.encode({
    time: 5_000_000_000n,
    packets: [3n, 2n],
    bytes: [300n, 200n],
    source: addressBytes(web),
    destination: addressBytes(db),
    generation: 1,
    sourceOutcome: ((1 << 30) | constants.VERDICT_NOT_ENFORCED) >>> 0,
    destinationOutcome: ((1 << 30) | 1) >>> 0,
    ifindex: 4,
    flowFlags: 0,
    sourcePort: 40_000,
    destinationPort: 5_432,
    sourceEndpoint: 0,
    destinationEndpoint: 7,
    kind: EventKind.flowStart,
    reason: Reason.none,
    hook: Hook.overlay,
    protocol: 6,
    tcpFlags: 2,
    direction: 2,
    ...change,
  })
}

/** A ring in memory. */
class Ring implements EventRing {
  readonly waiting: Uint8Array[] = []
  read(each: (view: DataView, offset: number, length: number) => void, limit: number): number {
    const taken = this.waiting.splice(0, limit)
    for (const bytes of taken) each(new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length)
    return taken.length
  }

  /** What the kernel does when a quarter of the ring is full. */
  fill = () => {}
  watch(ready: () => void): () => void {
    this.fill = ready
    return () => {
      this.fill = () => {}
    }
  }
}

function setup(options: { segmentSize?: number; segments?: number } = {}) {
  const names = new Names()
  names.learn(source(1))
  const store = new FlowStore({ texts: flowTexts, ...options })
  const ring = new Ring()
  const reader = new FlowReader({
    ring,
    names,
    store,
    clock: () => 1_000,
    onError: (error) => {
      throw error
    },
  })
  const feed = (...changes: Partial<Event>[]) => {
    ring.waiting.push(...changes.map(encoded))
    reader.read(1_000_000)
  }
  const select = (filter: FlowFilter) => store.select({ matches: compileFilter(filter, flowTexts) })
  return { names, store, ring, reader, feed, select }
}

describe("reading", () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  /** How often the ring is looked at in ten seconds. */
  function looks({ ring, reader }: ReturnType<typeof setup>): number {
    const read = vi.spyOn(ring, "read")
    vi.advanceTimersByTime(10_000)
    reader.stop()
    return read.mock.calls.length
  }

  test("a ring in which nothing comes is looked at seldom", () => {
    const made = setup()
    made.reader.start()
    expect(looks(made)).toBeLessThan(70)
  })

  test("but often while somebody follows", () => {
    const made = setup()
    made.store.listen(() => {})
    made.reader.start()
    expect(looks(made)).toBeGreaterThan(240)
  })

  test("and soon when it fills up, and after that", () => {
    const { ring, store, reader } = setup()
    reader.start()
    vi.advanceTimersByTime(10_000)
    ring.waiting.push(encoded({}))
    ring.fill()
    expect(store.end).toBe(1)
    ring.waiting.push(encoded({}))
    vi.advanceTimersByTime(5)
    expect(store.end).toBe(2)
    reader.stop()
  })

  test("and soon when somebody begins to follow, or a commit gives names that events in the ring do not mean", () => {
    const { ring, store, reader } = setup()
    reader.start()
    ring.waiting.push(encoded({}))
    const stop = store.listen(() => {})
    vi.advanceTimersByTime(5)
    expect(store.end).toBe(1)
    stop()
    vi.advanceTimersByTime(10_000)
    ring.waiting.push(encoded({}))
    reader.wake()
    vi.advanceTimersByTime(5)
    expect(store.end).toBe(2)
    reader.stop()
  })

  test("who asks gets what waits in the ring", () => {
    const { ring, store, reader } = setup()
    reader.start()
    ring.waiting.push(encoded({}))
    expect(store.select({})).toHaveLength(1)
    reader.stop()
    ring.waiting.push(encoded({}))
    expect(store.select({})).toHaveLength(1)
  })

  test("nothing is planned or watched after the end, also when a reading fails", () => {
    const failed: unknown[] = []
    const { ring, names, store } = setup()
    const reader = new FlowReader({ ring, names, store, clock: () => 0, onError: (error) => failed.push(error) })
    reader.start()
    reader.stop()
    ring.waiting.push(encoded({}))
    ring.fill()
    expect([store.end, vi.getTimerCount()]).toEqual([0, 0])
    vi.spyOn(ring, "read").mockImplementation(() => {
      throw new Error("gone")
    })
    reader.start()
    expect([failed.length, vi.getTimerCount()]).toEqual([1, 0])
    expect(store.select({})).toEqual([])
  })
})

describe("decoding", () => {
  test("a flow that began has both names, its decision and its time", () => {
    const { feed, store } = setup()
    feed({})
    expect(store.select({})).toEqual([
      expect.objectContaining({
        time: 6_000,
        kind: "start",
        forwarded: true,
        reason: "",
        hook: "overlay",
        protocol: 6,
        sourcePort: 40_000,
        destinationPort: 5_432,
        packets: 3,
        replyBytes: 200,
        egress: undefined,
        ingress: { allowed: true, rule: "default/NetworkPolicy shop/db ingress[0]", origin },
        source: expect.objectContaining({
          kind: "pod",
          namespace: "shop",
          name: "web",
          node: "a",
          namespaceLabels: { team: "red" },
        }),
        destination: expect.objectContaining({ kind: "pod", namespace: "shop", name: "db" }),
      }),
    ])
  })

  test("a drop by policy says which end and which rule", () => {
    const { feed, store } = setup()
    feed({
      kind: EventKind.drop,
      reason: Reason.policy,
      destinationOutcome: 2,
      direction: 0,
      source: addressBytes(outside),
    })
    const [flow] = store.select({})
    expect(flow?.forwarded).toBe(false)
    expect(flow?.reason).toBe("policy")
    expect(flow?.direction).toBe("ingress")
    expect(flow?.ingress?.rule).toBe("default/NetworkPolicy shop/db default-deny ingress")
    expect(flow?.source.kind).toBe("outside")
  })

  test("a drop for another reason has no decision", () => {
    const { feed, store } = setup()
    const blank = { sourceOutcome: 0, destinationOutcome: 0 }
    feed({
      kind: EventKind.drop,
      reason: Reason.spoofedSource,
      ...blank,
      source: addressBytes(parseAddress("10.244.9.9")),
    })
    const [flow] = store.select({})
    expect([flow?.reason, flow?.direction, flow?.egress, flow?.ingress]).toEqual([
      "spoofed-source",
      "",
      undefined,
      undefined,
    ])
    expect(flow?.source.kind).toBe("unknown")
  })

  test("ICMP has type and code in place of ports", () => {
    const { feed, store } = setup()
    feed({ protocol: 1, destinationPort: (8 << 8) | 0, sourcePort: 77 })
    const [flow] = store.select({})
    expect([flow?.icmpType, flow?.icmpCode, flow?.sourcePort, flow?.destinationPort]).toEqual([8, 0, 0, 0])
  })

  test("unknown generations are said, not guessed", () => {
    const names = new Names()
    names.learn(source(4))
    const view = (change: Partial<Event>) => new DataView(encoded(change).buffer)
    expect(decodeEvent(view({ generation: 3 }), 0, names, 0).ingress?.rule).toContain("no longer known")
    const contradicting = decodeEvent(view({ generation: 4, destinationOutcome: ((1 << 30) | 2) >>> 0 }), 0, names, 0)
    expect(contradicting.ingress).toEqual({ allowed: true, rule: "rule of a generation no longer known" })
  })
})

describe("names", () => {
  test("a pod that went keeps its name for the flows that end after it", () => {
    const { names, feed, store } = setup()
    names.learn(source(2, { addresses: new Map(), endpoints: new Map() }))
    feed({ kind: EventKind.flowEnd })
    expect(store.select({})[0]?.source.name).toBe("web")
  })

  test("an address that got another pod has the new name from then on", () => {
    const { names, feed, store } = setup()
    feed({})
    names.learn(source(2, { addresses: new Map([[web, { endpoint: "shop/db", node: "b" }]]) }))
    feed({ generation: 2 })
    expect(store.select({}).map((flow) => flow.source.name)).toEqual(["web", "db"])
  })

  test("events of a commit under way have its names already", () => {
    const { names, feed, store } = setup()
    const { generation: _, ...coming } = source(2, { verdicts: [undefined, deny] })
    names.expect(coming)
    feed({ generation: 2, destinationOutcome: 1 })
    names.expect(undefined)
    feed({ generation: 2, destinationOutcome: 1 })
    expect(store.select({}).map((flow) => flow.ingress?.rule)).toEqual([
      "default/NetworkPolicy shop/db default-deny ingress",
      "rule of a generation no longer known",
    ])
  })

  test("a commit under way that fails takes the names back that only it has", () => {
    const { names, feed, store } = setup()
    const first = source(1, { addresses: new Map(), endpoints: new Map() })
    names.learn(first)
    const { generation: _, ...coming } = source(2)
    names.expect(coming)
    feed({})
    names.expect(undefined)
    feed({})
    names.expect(coming)
    names.learn({ ...first, generation: 2 })
    feed({})
    expect(store.select({}).map((flow) => flow.source.kind)).toEqual(["pod", "unknown", "unknown"])
  })

  test("a change of policies alone makes no address be looked up anew", () => {
    const { names, feed } = setup()
    let lookups = 0
    class Counted extends Map<typeof web, { readonly endpoint?: string; readonly node: string }> {
      override get(key: typeof web) {
        lookups++
        return super.get(key)
      }
    }
    const first = source(2)
    const shared: NameSource = { ...first, addresses: new Counted(first.addresses) }
    const commit = (generation: number) => {
      const { generation: _, ...coming } = { ...shared, verdicts: [undefined, deny] }
      names.expect(coming)
      names.learn({ ...coming, generation })
      feed({ generation, destinationOutcome: 1 })
    }
    for (let generation = 2; generation < 40; generation++) commit(generation)
    expect(lookups).toBeLessThanOrEqual(2 * 2)
  })

  test("a name goes when no generation that is kept has it", () => {
    const { names, feed, store } = setup()
    const without = source(2, { addresses: new Map(), endpoints: new Map() })
    for (let generation = 2; generation < 20; generation++) {
      names.learn({ ...without, generation })
      feed({ generation })
    }
    const kinds = store.select({}).map((flow) => flow.source.kind)
    expect(kinds.indexOf("unknown")).toBe(15)
  })

  test("verdict ids are read with the generation that made them", () => {
    const { names, feed, store } = setup()
    names.learn(source(2, { verdicts: [undefined, { ...allow, by: { kind: "noPolicy", direction: "ingress" } }] }))
    feed({ generation: 1 }, { generation: 2 })
    expect(store.select({}).map((flow) => flow.ingress?.rule)).toEqual([
      "default/NetworkPolicy shop/db ingress[0]",
      "no-policy ingress",
    ])
  })
})

describe("the store", () => {
  test("drops whole segments and tells a reader that came late what it missed", () => {
    const { feed, store } = setup({ segmentSize: 4, segments: 2 })
    feed(...Array.from({ length: 10 }, (_, i) => ({ sourcePort: i })))
    expect([store.begin, store.end]).toEqual([4, 10])
    const first = store.read(0, () => true, 3)
    expect(first.missed).toBe(4)
    expect(first.flows.map((flow) => flow.sourcePort)).toEqual([4, 5, 6])
    const rest = store.read(first.next, () => true, 100)
    expect(rest.flows.map((flow) => flow.sourcePort)).toEqual([7, 8, 9])
    expect(store.read(rest.next, () => true, 100)).toEqual({ flows: [], next: 10, missed: 0 })
  })

  test("gives the newest of a time, oldest first", () => {
    const { feed, store } = setup({ segmentSize: 3 })
    feed(...Array.from({ length: 8 }, (_, i) => ({ sourcePort: i, time: BigInt(i) * 1_000_000n })))
    expect(store.select({ last: 2, until: 1_005 }).map((flow) => flow.sourcePort)).toEqual([4, 5])
    expect(store.select({ since: 1_006 }).map((flow) => flow.sourcePort)).toEqual([6, 7])
  })

  test("wakes those who wait once a batch", () => {
    const { feed, store } = setup()
    let woken = 0
    const stop = store.listen(() => woken++)
    feed({}, {}, {})
    stop()
    feed({})
    expect(woken).toBe(1)
  })
})

describe("filters", () => {
  const drop = { kind: EventKind.drop, reason: Reason.policy, destinationOutcome: 2, direction: 0, sourcePort: 2 }
  const flows = [
    { sourcePort: 1 },
    drop,
    { sourcePort: 3, protocol: 17, destinationPort: 53 },
    { sourcePort: 4, source: addressBytes(outside) },
  ]

  test.each<[FlowFilter, number[]]>([
    [{}, [1, 2, 3, 4]],
    [{ pods: ["web"] }, [1, 2, 3]],
    [{ fromPods: ["shop/we*"] }, [1, 2, 3]],
    [{ toPods: ["shop/web"] }, []],
    [{ pods: ["other/"] }, []],
    [{ toPods: ["shop/"] }, [1, 2, 3, 4]],
    [{ fromNamespaces: ["shop"] }, [1, 2, 3]],
    [{ labels: ["app in (web,api)"] }, [1, 2, 3]],
    [{ toLabels: ["app!=db"] }, []],
    [{ ips: ["203.0.113.0/24"] }, [4]],
    [{ fromIps: ["10.244.1.2"] }, [1, 2, 3]],
    [{ ports: [53] }, [3]],
    [{ fromPorts: [1, 4] }, [1, 4]],
    [{ protocols: [17] }, [3]],
    [{ verdicts: ["dropped"] }, [2]],
    [{ verdicts: ["forwarded"], protocols: [6] }, [1, 4]],
    [{ reasons: ["policy"] }, [2]],
    [{ rules: ["default-deny"] }, [2]],
    [{ kinds: ["start"] }, [1, 3, 4]],
  ])("%j", (filter, ports) => {
    const { feed, select } = setup()
    feed(...flows)
    expect(select(filter).map((flow) => flow.sourcePort)).toEqual(ports)
  })

  test.each<[FlowFilter, string]>([
    [{ verdicts: ["lost"] }, "no such verdict"],
    [{ reasons: ["weather"] }, "no such reason (there are: none, policy"],
    [{ ips: ["10.0.0"] }, "neither an address nor a block"],
    [{ labels: ["app in web"] }, "wanted a comma"],
  ])("%j is refused", (filter, why) => {
    expect(() => compileFilter(filter, flowTexts)).toThrow(why)
  })
})
