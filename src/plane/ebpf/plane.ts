import { channel } from "node:diagnostics_channel"
import { existsSync, readdirSync, unlinkSync } from "node:fs"
import { dirname, join } from "node:path"
import { changesBetween } from "../../compile/versions.ts"
import { LiveFlag, layout } from "../../kernel/abi.generated.ts"
import { hasTcx } from "../../kernel/bpf/attach.ts"
import { BpfMap } from "../../kernel/bpf/map.ts"
import { type LoadedObject, loadObject, pinName } from "../../kernel/bpf/object.ts"
import type { Program } from "../../kernel/bpf/program.ts"
import { rcuGrace } from "../../kernel/grace.ts"
import type { NamespaceHandle } from "../../kernel/namespace.ts"
import type { Request } from "../../kernel/netlink/socket.ts"
import type { Capabilities, Change, Forwarding, NodeState, Plane, PlaneReading } from "../plane.ts"
import { type AddressPlan, AddressTables, readAddresses, readPrefixes } from "./addresses.ts"
import { Attacher, type Entrances, isLinkPin } from "./attach.ts"
import { Budget, checkBudget } from "./budget.ts"
import { type DropCount, readDrops, readLost, readSweep, type SweepState } from "./counters.ts"
import { EndpointTables, readPorts } from "./endpoints.ts"
import { type FlowRecord, FlowTable } from "./flows.ts"
import { type NamesOfNumbers, readState } from "./reading.ts"
import { SideShadow } from "./sides.ts"
import { other, Tables } from "./tables.ts"
import { defaultTimeouts, type Timeouts, ticksBetween, ticksOf, ticksPerSecond } from "./ticks.ts"
import { Turn } from "./turn.ts"

export interface EbpfPlaneOptions {
  /** Directory on a bpffs of this node's own, for the pins. */
  readonly pinDirectory: string
  /** The compiled programs; default: `build/heddle.bpf.o` of the package. */
  readonly object?: string | undefined
  readonly routing: "vxlan" | "native"
  /** UDP port of the overlay; pods may not send to it on any node. */
  readonly overlayPort: number
  /** Family of the tunnel's outer addresses. */
  readonly overlayFamily?: 4 | 6 | undefined
  readonly entrances: Entrances
  /** The node's network namespace; undefined: the calling thread's. */
  readonly namespace?: NamespaceHandle | undefined
  readonly timeouts?: Partial<Timeouts> | undefined
  /** Flows without an answer that one endpoint may have. */
  readonly halfOpenLimit?: number | undefined
  /** Entries by map name where they differ from `abi/`. */
  readonly entries?: Readonly<Record<string, number>> | undefined
  /**
   * Resolves when every program that ran at the call has ended; default: an RCU grace period. Tests take the wait away by
   * it, to see that it is the wait that keeps judgements whole.
   */
  readonly grace?: (() => Promise<void>) | undefined
}

/** A table that keeps the size it was made with, for what it holds is in force. */
export interface KeptSize {
  readonly table: string
  readonly wanted: number
  readonly entries: number
}

const HALF_OPEN_LIMIT = 8_192
/** Tells whoever measures when a generation came into force; nothing is done without a subscriber. */
const moments = channel("heddle:moments")
/** How long connections that were there before these tables are picked up in their middle (docs/design.md, 4). */
const PICK_UP_SECONDS = 30
const smallestFrame = new Uint8Array(64)

/** The eBPF data plane of one node. What it has put into the kernel goes on without it. */
export class EbpfPlane implements Plane {
  /** True when the tables were made by this load: there was no plane before, or of another layout. */
  readonly fresh: boolean
  /** Tables found pinned with another size than asked for: they get theirs when they are made anew, as after a reboot. */
  readonly keptSizes: readonly KeptSize[]
  readonly #options: EbpfPlaneOptions
  readonly #object: LoadedObject
  readonly #tables: Tables
  readonly #sides: readonly [SideShadow, SideShadow]
  readonly #addresses: AddressTables
  readonly #endpoints: EndpointTables
  readonly #flows: FlowTable
  readonly #attacher: Attacher
  readonly #budget: Budget
  /** Settles when nobody reads the side that is not live. */
  #grace: Promise<void>
  #applied: NodeState | undefined
  /** Programs of another layout are in force; they stay so until a first state stands in these tables. */
  #replaces: boolean
  /** The state that flipped last: what the kernel's numbers mean. */
  #live: NodeState | undefined

  private constructor(
    options: EbpfPlaneOptions,
    object: LoadedObject,
    { fresh, keptSizes }: Pick<EbpfPlane, "fresh" | "keptSizes">,
  ) {
    this.#options = options
    this.keptSizes = keptSizes
    this.#object = object
    this.fresh = fresh
    const map = (name: string) => this.map(name)
    this.#tables = new Tables(map)
    this.#sides = [new SideShadow(0, this.#tables), new SideShadow(1, this.#tables)]
    this.#addresses = new AddressTables(
      { addrs: map("addrs"), prefixes: map("prefixes"), trie: map("prefix_trie"), lengths: map("prefix_lengths") },
      this.#tables,
    )
    this.#endpoints = new EndpointTables({
      endpoints: map("endpoints"),
      byIfindex: map("endpoint_by_ifindex"),
      nodes: map("nodes"),
    })
    this.#flows = new FlowTable(map("flows"))
    this.#budget = new Budget(options.entries ?? {})
    const pinDirectory = hasTcx() ? options.pinDirectory : undefined
    this.#attacher = new Attacher({ program: (name) => this.program(name), pinDirectory, namespace: options.namespace })
    this.#replaces = this.#tables.generation === 0 && this.#stalePins().some((file) => !isLinkPin(file))
    // Whoever was here before may have flipped a moment ago.
    this.#grace = this.#waitForReaders()
  }

  /** Loads the programs, or adopts the maps that are pinned: what they enforce goes on. Attaches nothing. */
  static open(wanted: EbpfPlaneOptions): EbpfPlane {
    const keptSizes = keptSizesOf(wanted)
    const kept = Object.fromEntries(keptSizes.map(({ table, entries }) => [table, entries]))
    const options = { ...wanted, entries: { ...wanted.entries, ...kept } }
    const word = (value: number) => new Uint8Array(Uint32Array.of(value).buffer)
    const fresh = !existsSync(join(options.pinDirectory, `live-${layout}`))
    const object = loadObject({
      file: options.object ?? defaultObject(),
      pinDirectory: options.pinDirectory,
      layout,
      constants: {
        uplink_ifindex: word(options.entrances.uplink),
        overlay_ifindex: word(options.entrances.overlay ?? 0),
        routing: word(options.routing === "native" ? 1 : 0),
        overlay_port: word(options.overlayPort),
        overlay_family: word(options.overlayFamily ?? 4),
      },
      entries: entriesOf(options),
    })
    try {
      const plane = new EbpfPlane(options, object, { fresh, keptSizes })
      plane.#startClock()
      return plane
    } catch (error) {
      object.close()
      throw error
    }
  }

  capabilities(): Capabilities {
    return {
      plane: "ebpf",
      features: {
        policy: true,
        ipv4: true,
        ipv6: true,
        tcp: true,
        udp: true,
        sctp: true,
        icmp: true,
        fragments: true,
        explain: true,
        services: "Services are not translated by this plane yet: give a pod's own address",
      },
    }
  }

  /** The generation in force; 0 before the first apply. */
  get generation(): number {
    return this.#tables.generation
  }

  map(name: string): BpfMap {
    const found = this.#object.maps.get(name)
    if (!found) throw new Error(`Cannot find the map ${name}: the object has none; build it again (scripts/build-bpf)`)
    return found
  }

  program(name: string): Program {
    const found = this.#object.programs.get(name)
    if (!found)
      throw new Error(`Cannot find the program ${name}: the object has none; build it again (scripts/build-bpf)`)
    return found
  }

  /** The ring of events (struct event), for one reader. */
  get events(): BpfMap {
    return this.map("events")
  }

  /** Attaches a pod's hook; it drops as not-ready until the endpoint is live. No wait for RCU. */
  attachPod(ifindex: number): void {
    this.#attacher.attachPod(ifindex)
  }

  /** What `attachPod` does, as requests to the node's namespace, which the caller makes at once; EEXIST is no failure. */
  podHook(ifindex: number): readonly Request[] {
    return this.#attacher.podHook(ifindex)
  }

  /**
   * Attaches the node's own entrances. Idempotent; replaces programs of an earlier load without a gap: those of another
   * layout, whose tables are not read, by the first `apply`.
   */
  attachEntrances(): void {
    if (this.#replaces) return
    this.#attacher.attachEntrances(this.#options.entrances)
    this.#removeStalePins()
  }

  async apply(next: NodeState, change: Change | null): Promise<number> {
    // Only what this instance applied itself is known to be there.
    const previous = change !== null && change.previous === this.#applied ? change.previous : undefined
    const turn = new Turn()
    if (this.#applied === undefined || change === null) {
      await this.#addresses.reload(turn)
      await this.#endpoints.reload(turn)
    }
    if (previous === undefined) for (const side of this.#sides) side.distrust()
    const plan = (previous && this.#addresses.plan(next, previous)) ?? (await this.#addresses.planAll(next, turn))
    checkBudget(this.#budget.needs(next, plan.leaving))
    await this.#readersGone()
    return this.#write(next, previous, plan, change === null)
  }

  async #write(next: NodeState, previous: NodeState | undefined, plan: AddressPlan, repair: boolean): Promise<number> {
    const side = other(this.#tables.liveSide)
    const { compiled } = next
    const ports = this.#endpoints.plan(next, previous)
    this.#applied = undefined
    await this.#sides[side].write(compiled, new Turn())
    this.#tables.setSlots(side, { outside: compiled.outsideSlot, node: compiled.nodeSocketSlot })
    this.#endpoints.prepare(next, ports)
    if (!this.#replaces) await this.#attach(next, previous, repair)
    this.#addresses.prepare(next, side, plan)
    const generation = nextGeneration(this.#tables.generation)
    this.#tables.generation = generation
    moments.publish({ what: "flipped", generation })
    this.#live = next
    if (this.#replaces) {
      // Connections of before have no record here: for a while their middles may tell what they are.
      this.allowPickUp(PICK_UP_SECONDS)
      await this.#attach(next, undefined, true)
      this.#replaces = false
      this.#removeStalePins()
    }
    this.#grace = this.#waitForReaders()
    if (plan.leaving.addresses.length + plan.leaving.prefixes.length > 0) {
      // Packets that are being judged by the generation before still look for these. Once they are gone, their slots must
      // not get another meaning before those who found them have ended too.
      await this.#grace
      this.#addresses.finish(next, plan)
      this.#grace = this.#waitForReaders()
    } else {
      this.#addresses.finish(next, plan)
    }
    // In this order: whoever takes over after a crash in between still finds whose flows have to end.
    const gone = this.#endpoints.gone(ports)
    await this.endFlowsOf(gone)
    this.#endpoints.finish(next, ports, gone)
    this.#applied = next
    return generation
  }

  /** Resolves when nobody reads the side that is not live. A wait that failed says nothing: another one begins. */
  async #readersGone(): Promise<void> {
    const wait = this.#grace
    try {
      await wait
    } catch {
      this.#grace = this.#waitForReaders()
      await this.#grace
    }
  }

  #waitForReaders(): Promise<void> {
    const wait = (this.#options.grace ?? rcuGrace)()
    // Whoever writes next awaits it and hears of a failure.
    wait.catch(() => {})
    return wait
  }

  /** Attaches to pods that are new since `previous`; without it to all that this process has not attached to. */
  async #attach({ forwarding }: NodeState, previous: NodeState | undefined, repair: boolean): Promise<void> {
    const { ports } = forwarding
    const touched = repair ? undefined : previous && changesBetween(previous.forwarding.ports, ports)
    const interfaces = new Set<number>()
    for (const name of touched ?? ports.keys()) {
      const port = ports.get(name)
      if (port !== undefined) interfaces.add(port.ifindex)
    }
    if (!repair) return this.#attacher.ensurePods(interfaces)
    await this.#attacher.repairPods(interfaces)
    this.#attacher.attachEntrances(this.#options.entrances, true)
  }

  /**
   * What the kernel holds. After a restart it knows numbers only: `forwarding` gives local endpoints their names back by
   * their interfaces, and nodes by their numbers, so that a compiler can go on with the same numbers.
   */
  async read(forwarding?: Forwarding): Promise<PlaneReading> {
    const held = {
      addresses: readAddresses(this.map("addrs")),
      prefixes: readPrefixes(this.map("prefixes")),
      ports: readPorts(this.map("endpoints")),
    }
    const names = this.#live ? namesOf(this.#live) : forwarding ? namesByInterface(forwarding, held.ports) : nobody
    return readState(this.#tables, held, names)
  }

  /** Detaches everything and removes the pins; the kernel frees the rest when this instance closes. */
  async remove(): Promise<void> {
    const pods = [...readPorts(this.map("endpoints")).values()].map((port) => port.ifindex)
    this.#attacher.detach(this.#options.entrances, pods)
    for (const file of this.#pins()) unlinkSync(join(this.#options.pinDirectory, file))
    this.#applied = undefined
    this.close()
  }

  /** All flow records. */
  flows(): Iterable<FlowRecord> {
    return this.#flows.records()
  }

  /** Ends the flows of the pods behind these interfaces, before their addresses are given to others. */
  async endFlowsOf(interfaces: ReadonlySet<number>): Promise<number> {
    return interfaces.size === 0 ? 0 : this.#flows.endFlowsOf(interfaces, this.sweep().jiffies)
  }

  drops(): Map<string, DropCount> {
    return readDrops(this.map("drops"))
  }

  lost(): Map<string, bigint> {
    return readLost(this.map("lost"))
  }

  /** The ageing timer's last tick: the kernel's clock, and how many flows there are. */
  sweep(): SweepState {
    return readSweep(this.map("sweep"))
  }

  /**
   * For so many seconds a denied packet in the middle of an unknown connection passes as the answer in one that policy
   * allows: after another plane was in use, or when the flow table was lost.
   */
  allowPickUp(seconds: number): void {
    const { jiffies } = this.sweep()
    const rate = this.#tables.live.timeouts[7] ?? 250
    this.#tables.setPickUp(jiffies + BigInt(Math.round(seconds * rate)), LiveFlag.pickUp)
  }

  /** Lets go of all descriptors; what is pinned and attached goes on. */
  close(): void {
    this.#attacher.close()
    this.#object.close()
  }

  /** Starts the ageing timer, finds the tick rate by it, and writes the timeouts. */
  #startClock(): void {
    const start = () => {
      const { result } = this.program("sweep_start").testRun({ packet: smallestFrame })
      if (result !== 0)
        throw new Error(`Cannot start the ageing timer: step ${result} was refused; see the kernel's log`)
      return this.sweep()
    }
    const first = start()
    let rate = ticksPerSecond(first)
    if (rate === undefined) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
      rate = ticksBetween(first, start())
    }
    this.#tables.setTimeouts(ticksOf({ ...defaultTimeouts, ...this.#options.timeouts }, rate))
    this.#tables.setHalfOpenLimit(this.#options.halfOpenLimit ?? HALF_OPEN_LIMIT)
  }

  /** Ours are named NAME-LAYOUT or, links, end with the interface's number; the kernel's own maps.debug stands beside them. */
  #pins(): string[] {
    const { pinDirectory } = this.#options
    return existsSync(pinDirectory) ? readdirSync(pinDirectory).filter((file) => file.includes("-")) : []
  }

  /** Pins of other layouts, and of links on interfaces that are no more. */
  #stalePins(): string[] {
    const indices = new Set(Object.values(this.#options.entrances).map(String))
    return this.#pins().filter((file) => {
      const tail = file.slice(file.lastIndexOf("-") + 1)
      return !(isLinkPin(file) ? indices.has(tail) : tail === layout)
    })
  }

  #removeStalePins(): void {
    for (const file of this.#stalePins()) unlinkSync(join(this.#options.pinDirectory, file))
  }
}

const nobody: NamesOfNumbers = {
  endpoints: new Map(),
  nodes: new Map(),
  sandboxes: new Map(),
  owners: new Map(),
  self: "",
}

function namesByInterface(
  forwarding: Forwarding,
  ports: ReadonlyMap<number, { readonly ifindex: number }>,
): NamesOfNumbers {
  const byIfindex = new Map([...forwarding.ports].map(([name, port]) => [port.ifindex, { name, port }]))
  const endpoints = new Map<number, string>()
  const sandboxes = new Map<number, string>()
  for (const [number, { ifindex }] of ports) {
    const found = byIfindex.get(ifindex)
    if (!found) continue
    endpoints.set(number, found.name)
    sandboxes.set(number, found.port.sandbox)
  }
  const nodes = new Map([...forwarding.peers].map(([name, peer]) => [peer.number, name]))
  return { endpoints, sandboxes, nodes, owners: new Map(), self: forwarding.self.name }
}

function namesOf({ compiled, forwarding }: NodeState): NamesOfNumbers {
  const endpoints = new Map<number, string>()
  const sandboxes = new Map<number, string>()
  for (const [name, { number }] of compiled.endpoints) {
    endpoints.set(number, name)
    const port = forwarding.ports.get(name)
    if (port) sandboxes.set(number, port.sandbox)
  }
  const nodes = new Map([...forwarding.peers].map(([name, peer]) => [peer.number, name]))
  return {
    endpoints,
    sandboxes,
    nodes,
    self: forwarding.self.name,
    owners: { get: (address) => compiled.addresses.get(address)?.endpoint },
  }
}

/** Never 0, which no flow may have been judged under. */
function nextGeneration(generation: number): number {
  const next = (generation + 1) >>> 0
  return next === 0 ? 2 : next
}

function keptSizesOf({ pinDirectory, entries = {} }: EbpfPlaneOptions): KeptSize[] {
  return Object.entries(entries).flatMap(([table, wanted]) => {
    const pin = join(pinDirectory, pinName(table, layout))
    if (!existsSync(pin)) return []
    const map = BpfMap.openPinned(pin, table)
    const { maxEntries } = map
    map.close()
    return maxEntries === wanted ? [] : [{ table, wanted, entries: maxEntries }]
  })
}

/** Each record's key has its place in the queue of ageing. */
function entriesOf({ entries = {} }: EbpfPlaneOptions): Readonly<Record<string, number>> {
  return entries["flows"] === undefined ? entries : { ...entries, flow_keys: entries["flows"] }
}

/** The file that HEDDLE_BPF_OBJECT names, else `build/heddle.bpf.o` of the package that holds this file. */
function defaultObject(): string {
  const named = process.env["HEDDLE_BPF_OBJECT"]
  if (named) return named
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const path = join(folder, "build", "heddle.bpf.o")
    if (existsSync(path) || dirname(folder) === folder) return path
  }
}
