import { mkdirSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import type { AgentClient } from "../../src/api/client.ts"
import { inNamespace, namespaceInode, openNamespace } from "../../src/kernel/namespace.ts"
import { Netlink } from "../../src/kernel/netlink/netlink.ts"
import { openSocket, type Socket } from "../../src/kernel/socket.ts"
import { setSysctl } from "../../src/kernel/sysctl.ts"
import { agentReady, startAgent } from "../../src/lab/agent-process.ts"
import { clearLab } from "../../src/lab/clear.ts"
import { Lab } from "../../src/lab/lab.ts"
import { readLabManifests } from "../../src/lab/manifests.ts"
import { LabPaths } from "../../src/lab/paths.ts"
import { planLab } from "../../src/lab/plan.ts"
import { Prober } from "../../src/lab/probe/prober.ts"
import type { ProbeTask } from "../../src/lab/probe/task.ts"
import { endProcesses, type ProcessId } from "../../src/lab/processes.ts"
import { Reactor } from "../../src/lab/reactor.ts"
import { Responder } from "../../src/lab/responder.ts"
import { nodeIdentity } from "../../src/lab/stations.ts"
import { familyOf, parseAddress } from "../../src/net/address.ts"
import { macText } from "../../src/net/packet.ts"
import type { Address, Family } from "../../src/net/types.ts"

export interface StageOptions {
  readonly name: string
  readonly routing?: "vxlan" | "native"
  readonly nodes?: number
  readonly families?: readonly Family[]
}

/** Who takes part: a pod, a node, or a host outside. */
export interface Party {
  readonly netns: string
  readonly addresses: readonly Address[]
  readonly identity: string
  readonly node: string
}

export const outside = ["203.0.113.10", "2001:db8:113::10"].map(parseAddress)

/** A lab that a test plays on: with probes, raw frames, drop counters, and agents that can be ended and started. */
export class Stage {
  readonly paths: LabPaths
  readonly routing: "vxlan" | "native"
  readonly reactor: Reactor
  readonly prober: Prober
  readonly #responder: Responder
  readonly #options: StageOptions
  readonly #agents = new Map<string, ProcessId>()
  readonly #taps: Tap[] = []
  #lab: Lab | undefined

  private constructor(options: StageOptions) {
    this.#options = options
    this.paths = new LabPaths(`${options.name}-${process.pid}`)
    this.routing = options.routing ?? "vxlan"
    this.reactor = new Reactor((error) => {
      throw error
    })
    this.prober = new Prober(this.reactor)
    this.#responder = new Responder(this.reactor)
  }

  /** `object`: other programs than those of the build. */
  static async open(options: StageOptions, manifests: string): Promise<Stage> {
    const stage = new Stage(options)
    stage.reactor.start()
    const answering = { set: async (stations: Parameters<Responder["set"]>[0]) => stage.#responder.set(stations) }
    stage.#lab = await Lab.create(stage.paths, { routing: stage.routing, answering })
    await stage.apply(manifests)
    return stage
  }

  get lab(): Lab {
    if (this.#lab === undefined) throw new Error("the lab is not made yet")
    return this.#lab
  }

  /** `others`: pods, by `NAMESPACE/NAME`, that somebody else makes; the nodes learn of their objects all the same. */
  async apply(manifests: string, others: readonly string[] = []): Promise<void> {
    const { nodes = 2, families = [4, 6] } = this.#options
    const read = readLabManifests([{ file: "stage.yaml", text: manifests }])
    const plan = planLab(read.manifests, { nodes, families, outside })
    const pods = new Map([...plan.pods].filter(([key]) => !others.includes(key)))
    await this.lab.apply({ ...plan, pods })
  }

  async close(): Promise<void> {
    for (const tap of this.#taps) tap.close()
    this.prober.close()
    this.#responder.close()
    await this.reactor.close()
    await clearLab(this.paths)
  }

  /** A pod of the namespace `shop`. */
  pod(name: string): Party {
    const found = this.lab.pods.get(`shop/${name}`)
    if (found === undefined) throw new Error(`no pod ${name}`)
    const netns = this.paths.podNamespace("shop", name)
    return { netns, addresses: found.addresses, identity: `shop/${name}`, node: found.node }
  }

  node(name: string): Party {
    const addresses = this.lab.nodes.get(name)?.addresses ?? []
    return { netns: this.paths.nodeNamespace(name), addresses, identity: nodeIdentity(name), node: name }
  }

  host(): Party {
    return { netns: this.paths.outside, addresses: outside, identity: "outside", node: "" }
  }

  client(node: string): AgentClient {
    return this.lab.client(node)
  }

  task(from: Party, to: Party, protocol: number, port: number, expect: "allow" | "deny" = "allow", family: Family = 4) {
    const task: ProbeTask = {
      from: { netns: from.netns, address: addressOf(from, family) },
      to: { netns: to.netns, address: addressOf(to, family), identities: [to.identity] },
      protocol,
      expect,
      ...(port === 0 ? {} : { port }),
    }
    return task
  }

  /** What became of one probe: `allow`, `deny`, `reject`. */
  async probe(...args: Parameters<Stage["task"]>): Promise<string> {
    const [outcome] = await this.prober.run([this.task(...args)])
    return outcome?.got ?? "nothing"
  }

  /** Packets dropped on a node so far, by reason. */
  async drops(node: string): Promise<Map<string, number>> {
    const { drops } = await this.client(node).call("status", {})
    return new Map(drops.map(({ name, packets }) => [name, Number(packets)]))
  }

  /** The node's agent as it was started last. */
  agent(node: string): ProcessId {
    const id = this.#agents.get(node) ?? this.lab.nodes.get(node)?.agent
    if (id === undefined) throw new Error(`no agent of ${node}`)
    return id
  }

  /** Ends the node's agent; what it enforced stays. */
  async stop(node: string, patienceMs = 3_000): Promise<void> {
    await endProcesses([this.agent(node)], patienceMs)
  }

  /** Starts an agent of the node, with these programs instead of the build's, and waits for its first answer. */
  async start(node: string, object?: string): Promise<void> {
    const before = process.env["HEDDLE_BPF_OBJECT"]
    if (object !== undefined) process.env["HEDDLE_BPF_OBJECT"] = object
    try {
      this.#agents.set(node, startAgent(this.paths, node, this.routing))
    } finally {
      if (before === undefined) delete process.env["HEDDLE_BPF_OBJECT"]
      else process.env["HEDDLE_BPF_OBJECT"] = before
    }
    const client = await agentReady(this.paths, node, this.agent(node))
    const status = async () => await client.call("status", {})
    await until(`${node} enforces`, async () => {
      const { commitError, generation } = await status()
      if (commitError !== "") throw new Error(`${node} enforces nothing new: ${commitError}`)
      return generation > 0
    })
  }

  async restart(node: string, object?: string): Promise<void> {
    await this.stop(node)
    await this.start(node, object)
  }

  /** Sees and sends frames at an interface of a namespace. */
  tap(netns: string, ifname = "eth0"): Tap {
    const tap = new Tap(netns, ifname)
    this.#taps.push(tap)
    return tap
  }

  /** Takes all addresses from a pod's interface: its stack neither answers nor says anything, frames arrive all the same. */
  mute(party: Party): void {
    const namespace = openNamespace(party.netns)
    try {
      inNamespace(namespace, () => setSysctl("net.ipv6.conf.eth0.disable_ipv6", 1))
      const netlink = Netlink.open(namespace)
      try {
        const ifindex = netlink.link("eth0")?.index ?? 0
        for (const address of party.addresses)
          if (familyOf(address) === 4) netlink.deleteAddress({ ifindex, address, prefixLength: 32 })
      } finally {
        netlink.close()
      }
    } finally {
      namespace.close()
    }
  }

  /** A folder of the lab's own, removed with it. */
  folder(name: string): string {
    const path = `${this.paths.root}/${name}`
    mkdirSync(path, { recursive: true })
    return path
  }
}

export function addressOf(party: Party, family: Family = 4): Address {
  const found = party.addresses.find((address) => familyOf(address) === family)
  if (found === undefined) throw new Error(`${party.identity} has no IPv${family} address`)
  return found
}

/** A packet socket at one interface: frames that come in are collected, frames can be sent. */
export class Tap {
  readonly mac: string
  readonly netns: string
  readonly inode: number
  readonly #socket: Socket
  readonly #ifindex: number
  readonly #buffer = new Uint8Array(65_536)

  constructor(netns: string, ifname: string) {
    this.netns = netns
    this.inode = namespaceInode(netns)
    const namespace = openNamespace(netns)
    try {
      const netlink = Netlink.open(namespace)
      const link = netlink.link(ifname)
      netlink.close()
      if (link === undefined) throw new Error(`no interface ${ifname} in ${netns}`)
      this.mac = macText(link.mac)
      this.#ifindex = link.index
      this.#socket = openSocket({ namespace, family: 4, type: "packet" })
      this.#socket.option("receiveBufferForce", 32 << 20).option("ignoreOutgoing", true)
      this.#socket.bindInterface(link.index)
    } finally {
      namespace.close()
    }
    this.frames()
  }

  send(frame: Uint8Array): void {
    if (this.#socket.sendFrame(frame, this.#ifindex) === 0) throw new Error("the interface takes no more frames")
  }

  /** Sends frames that the interface itself may refuse; returns whether it went out. */
  trySend(frame: Uint8Array): boolean {
    try {
      return this.#socket.sendFrame(frame, this.#ifindex) > 0
    } catch {
      return false
    }
  }

  /** Frames that came in since the last call. */
  frames(): Uint8Array[] {
    const found: Uint8Array[] = []
    for (;;) {
      const received = this.#socket.receive(this.#buffer)
      if (received === undefined) return found
      if (received.outgoing !== true) found.push(this.#buffer.slice(0, received.length))
    }
  }

  close(): void {
    this.#socket.close()
  }
}

/** Waits until `ready` is true; throws after so many ms. */
export async function until(what: string, ready: () => boolean | Promise<boolean>, patienceMs = 10_000): Promise<void> {
  const end = Date.now() + patienceMs
  while (!(await ready())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${patienceMs} ms`)
    await sleep(20)
  }
}
