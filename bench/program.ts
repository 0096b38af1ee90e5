/**
 * What the programs cost a packet by BPF_PROG_TEST_RUN, an empty program's cost taken off, beside a yardstick (a parse, one lookup,
 * counters, a redirect) in the same rounds. `node bench/program.ts [--rounds N] [--quick]`, as root.
 */
import { execFileSync } from "node:child_process"
import { layout } from "../src/kernel/abi.generated.ts"
import { type LoadedObject, loadObject } from "../src/kernel/bpf/object.ts"
import type { Program } from "../src/kernel/bpf/program.ts"
import { RingReader } from "../src/kernel/bpf/ring.ts"
import { inNamespace } from "../src/kernel/namespace.ts"
import { parseAddress } from "../src/net/address.ts"
import { EtherType, ethernet, ip, TcpFlag, tcp } from "../src/net/packet.ts"
import { Ground } from "./ground.ts"
import { flag, least, median, option, quantile, shuffled, writeResults } from "./measure.ts"
import { ageingPrograms, type HeddlePath, heddlePath, root, yardstick } from "./paths.ts"

const FLOWS = 65_536
/** New flows in one test run: fewer than would fill the table or the ring of events. */
const NEW = 16_384
const REDIRECT = 7
const ruleCounts = flag("quick") ? [10, 100] : [10, 100, 10_000]
const rounds = option("rounds", flag("quick") ? 3 : 15)
const repeat = flag("quick") ? 50_000 : 200_000

const word = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer)

function wanted<T>(found: T | undefined, what: string): T {
  if (found === undefined) throw new Error(`Cannot find ${what}; run bench/build and scripts/build-bpf`)
  return found
}

function segment(family: 4 | 6, flags: number, back = false): Uint8Array {
  const [client, server] = family === 4 ? ["10.1.0.5", "10.1.0.6"] : ["fd00:1::5", "fd00:1::6"]
  const ends = { source: parseAddress(back ? server : client), destination: parseAddress(back ? client : server) }
  const [sourcePort, destinationPort] = back ? [7_000, 40_000] : [40_000, 7_000]
  const packet = ip({ ...ends, protocol: 6 }, tcp({ sourcePort, destinationPort, flags }, ends))
  const type = family === 4 ? EtherType.ipv4 : EtherType.ipv6
  return ethernet({ source: "02:00:00:00:00:09", destination: "02:68:64:00:00:01", type }, packet)
}

const ground = new Ground()
const paths = new Map<number, HeddlePath>()

/** The program that varies ports and calls another. */
class Caller {
  readonly object: LoadedObject

  /** `shardBits`: in how many tables the yardstick's flows lie; all hold 131,072 together. `back`: it varies answers. */
  constructor(flows: number, eachNew: boolean, peer: number, { shardBits = 6, back = false } = {}) {
    this.object = loadObject({
      file: yardstick,
      layout: "bench",
      inner: { outer: "shards", count: 1 << shardBits, entries: 131_072 >> shardBits },
      constants: {
        flow_count: word(flows),
        each_new: word(eachNew ? 1 : 0),
        peer_ifindex: word(peer),
        shard_bits: word(shardBits),
        back: word(back ? 1 : 0),
      },
    })
  }

  own(name: string): Program {
    return wanted(this.object.programs.get(name), `the yardstick's program ${name}`)
  }

  /** ns a run. Throws when the program did not send the packet on. */
  run(
    program: Program,
    path: HeddlePath,
    packet: Uint8Array,
    times: number,
    { expect = REDIRECT, from = "client" as "client" | "server" } = {},
  ): number {
    wanted(this.object.maps.get("target"), "the map target").update(word(0), word(program.fd))
    const ifindex = path.ifindex[from]
    const node = ground.namespace(`${path.name}-a`)
    const ran = inNamespace(node, () =>
      this.own("spread").testRun({ packet, repeat: times, context: { ifindex, ingressIfindex: ifindex } }),
    )
    if (expect >= 0 && ran.result !== expect)
      throw new Error(`${program.name} returned ${ran.result} instead of ${expect}: the packet did not pass`)
    return ran.nanoseconds
  }
}

const ageingObjects = new Map<string, LoadedObject>()

/** A program upon the tables of that path's plane. */
function ageing(path: HeddlePath, name: "forget" | "tick"): Program {
  const known = ageingObjects.get(path.name)
  const object = known ?? loadObject({ file: ageingPrograms, layout, pinDirectory: wanted(path.pins[0], "the pins") })
  ageingObjects.set(path.name, object)
  return wanted(object.programs.get(name), `the program ${name}`)
}

/** Fills the flow table, then does the ticks of one round of ageing by hand: ns of each. */
function ticksOfAgeing(caller: Caller, path: HeddlePath): number[] {
  emptyTable(path)
  const program = wanted(path.planes[0], "the plane").program("from_pod")
  for (const family of [4, 6] as const) caller.run(program, path, segment(family, TcpFlag.ack), FLOWS, { expect: -1 })
  const tick = ageing(path, "tick")
  return Array.from({ length: 64 }, () => tick.testRun({ packet: new Uint8Array(64) }).nanoseconds)
}

/** Takes all records out, so that the next packet of each flow is its first. */
function emptyTable(path: HeddlePath): void {
  ageing(path, "forget").testRun({ packet: new Uint8Array(64) })
}

function emptyYardstick(caller: Caller): void {
  const map = wanted(caller.object.maps.get("flows"), "the yardstick's table")
  for (const key of [...map.entries()].map(([each]) => each.slice())) map.delete(key)
}

function drain(ring: RingReader): number {
  let taken = 0
  for (;;) {
    const some = ring.read(() => undefined, 65_536)
    if (some === 0) return taken
    taken += some
  }
}

async function main(): Promise<Record<string, unknown>> {
  for (const rules of ruleCounts) {
    const options = { routing: "native", rules, halfOpenLimit: 1_000_000_000 } as const
    paths.set(rules, await heddlePath(ground, `rules${rules}`, options))
  }
  const some = wanted(paths.get(100), "the path with 100 rules")
  const ack = { 4: segment(4, TcpFlag.ack), 6: segment(6, TcpFlag.ack) }
  const answer = {
    4: segment(4, TcpFlag.syn | TcpFlag.ack, true),
    6: segment(6, TcpFlag.syn | TcpFlag.ack, true),
  }
  const syn = { 4: segment(4, TcpFlag.syn), 6: segment(6, TcpFlag.syn) }
  const callers = {
    hot: new Caller(1, false, some.ifindex.server),
    cold: new Caller(FLOWS, false, some.ifindex.server),
    fresh: new Caller(1, true, some.ifindex.server),
  }
  const ours = (path: HeddlePath): Program => wanted(path.planes[0], "the plane").program("from_pod")

  type Step = { readonly name: string; readonly base: "hot" | "cold" | "fresh"; readonly run: () => number }
  const steps: Step[] = []
  for (const temperature of ["hot", "cold"] as const) {
    const caller = callers[temperature]
    const answering = new Caller(temperature === "hot" ? 1 : FLOWS, false, some.ifindex.server, { back: true })
    // The first time through makes the records; with an answer and a packet more they are established.
    const step = (name: string, program: Program, family: 4 | 6, path = some): void => {
      const packet = ack[family]
      const times = temperature === "hot" ? 1 : FLOWS
      caller.run(program, path, packet, times, { expect: -1 })
      if (path.planes.some((plane) => plane.program("from_pod") === program)) {
        answering.run(program, path, answer[family], times, { expect: -1, from: "server" })
        caller.run(program, path, packet, times)
      }
      steps.push({
        name: `${temperature} ${name}`,
        base: temperature,
        run: () => caller.run(program, path, packet, repeat),
      })
    }
    steps.push({
      name: `${temperature} empty`,
      base: temperature,
      run: () => caller.run(caller.own("nothing"), some, ack[4], repeat),
    })
    step("yardstick", caller.own("established"), 4)
    step("yardstick-wide", caller.own("established_wide"), 4)
    step("yardstick-shards", caller.own("established_shards"), 4)
    for (const bits of temperature === "cold" ? [0, 2, 4] : []) {
      const other = new Caller(FLOWS, false, some.ifindex.server, { shardBits: bits })
      const program = other.own("established_shards")
      other.run(program, some, ack[4], FLOWS, { expect: -1 })
      const name = `cold yardstick-shards, ${1 << bits} tables`
      steps.push({ name, base: "cold", run: () => other.run(program, some, ack[4], repeat) })
    }
    step("established IPv4", ours(some), 4)
    if (temperature === "hot") {
      step("established IPv6", ours(some), 6)
      for (const [rules, path] of paths) step(`established IPv4, ${rules} rules`, ours(path), 4, path)
    }
  }
  const fresh = callers.fresh
  const first = (name: string, program: Program, packet: Uint8Array, path: HeddlePath): Step => ({
    name,
    base: "fresh",
    run: () => fresh.run(program, path, packet, NEW),
  })
  const firsts: Step[] = [
    first("fresh empty", fresh.own("nothing"), syn[4], some),
    first("fresh yardstick", fresh.own("first"), syn[4], some),
    ...[...paths].map(([rules, path]) => first(`first packet IPv4, ${rules} rules`, ours(path), syn[4], path)),
    first("first packet IPv6, 100 rules", ours(some), syn[6], some),
  ]
  const rings = new Map(
    [...paths].map(([rules, { planes }]) => [rules, new RingReader(wanted(planes[0], "plane").events)]),
  )
  const values = new Map<string, number[]>()
  const keep = (name: string, value: number): void => {
    values.set(name, [...(values.get(name) ?? []), value])
  }
  for (let round = 0; round < rounds; round++) for (const step of shuffled(steps)) keep(step.name, step.run())
  // The records above lie in the way of new ones.
  let events = 0
  for (let round = 0; round < rounds; round++)
    for (const step of shuffled(firsts)) {
      for (const path of paths.values()) emptyTable(path)
      emptyYardstick(fresh)
      for (const ring of rings.values()) events += drain(ring)
      keep(step.name, step.run())
    }
  const bases = { hot: "hot empty", cold: "cold empty", fresh: "fresh empty" }
  const yardsticks = { hot: "hot yardstick", cold: "cold yardstick", fresh: "fresh yardstick" }
  const rows = [...steps, ...firsts].map(({ name, base }) => {
    const own = values.get(name) ?? []
    const empty = values.get(bases[base]) ?? []
    const yard = values.get(yardsticks[base]) ?? []
    const net = own.map((value, i) => value - (empty[i] ?? 0))
    return {
      name,
      least: least(own) - least(empty),
      median: median(net),
      ofYardstick: (least(own) - least(empty)) / (least(yard) - least(empty)),
    }
  })
  const ticks = ticksOfAgeing(callers.cold, some)
  for (const ring of rings.values()) ring.close()
  for (const row of rows)
    console.log(
      `${row.name.padEnd(34)} ${row.least.toFixed(0).padStart(6)} / ${row.median.toFixed(0).padStart(6)} ns ${row.ofYardstick.toFixed(2).padStart(6)}×`,
    )
  const records = wanted(some.planes[0], "the plane").sweep().flows
  const tick = { records, parts: ticks.length, median: median(ticks), greatest: quantile(ticks, 1) }
  console.log(
    `one tick of ageing, ${records} records: ${(tick.median / 1e3).toFixed(0)} µs, at most ${(tick.greatest / 1e3).toFixed(0)} µs`,
  )
  return { rounds, repeat, events, rows, tick }
}

try {
  execFileSync(`${root}/bench/build`, { stdio: "inherit" })
  execFileSync("taskset", ["-acp", "1", String(process.pid)], { stdio: "ignore" })
  const results = await main()
  if (!flag("quick")) writeResults("program", results)
} finally {
  for (const path of paths.values()) path.close()
  ground.remove()
}
