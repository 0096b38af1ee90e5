import { randomBytes } from "node:crypto"
import { existsSync, mkdirSync, rmSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { AgentClient } from "../api/client.ts"
import { Failure, reasonOf } from "../api/failure.ts"
import { createNamespace, deleteNamespace, namespaceInode } from "../kernel/namespace.ts"
import { familyOf } from "../net/address.ts"
import type { Address } from "../net/types.ts"
import type { Manifest } from "../suite/format.ts"
import { kindOf, nameOf, namespaceOf, withValue } from "../suite/manifest.ts"
import { agentLog, agentReady, agentSocket, cniSocket, startAgent } from "./agent-process.ts"
import { type Answering, BackgroundAnswering } from "./answering.ts"
import { clearLab, clearMounts } from "./clear.ts"
import { cniAdd, cniDel, type Sandbox } from "./cni.ts"
import { digestOf, ObjectDirectory } from "./objects.ts"
import type { LabPaths } from "./paths.ts"
import { withAddresses } from "./plan.ts"
import { endProcesses, isAlive, type ProcessId, processesIn, processId } from "./processes.ts"
import { type LabRecord, type NodeRecord, type PodRecord, readRecord, writeRecord } from "./record.ts"
import { type LabNode, type LabPod, type LabState, podKey } from "./state.ts"
import { stationsOf } from "./stations.ts"
import { Underlay, type UnderlayRoute } from "./underlay.ts"

export interface LabOptions {
  readonly routing: "vxlan" | "native"
  /** The lab lives as long as this process, which answers for the pods by this; absent: a process in the background does. */
  readonly answering?: Answering
  /** Told what is being done, for people who wait. */
  readonly progress?: (text: string) => void
}

/** How many CNI calls run at once. */
const CNI_AT_ONCE = 8
/** How long the nodes may take to enforce a state. */
const ENFORCE_MS = 30_000

/**
 * A cluster of network namespaces on this machine (docs/design.md, section 5): the lab plays scheduler, kubelet and
 * controllers; the nodes' agents and the CNI plugin are the real ones. The caller holds the lock of the lab's name.
 */
export class Lab {
  readonly paths: LabPaths
  readonly #routing: "vxlan" | "native"
  readonly #owner: ProcessId | undefined
  readonly #created: number
  readonly #underlay: Underlay
  readonly #objects: ObjectDirectory
  readonly #answering: Answering
  readonly #progress: (text: string) => void
  readonly #nodes = new Map<string, NodeRecord>()
  readonly #pods = new Map<string, PodRecord>()
  readonly #clients = new Map<string, AgentClient>()
  #outside: readonly Address[] = []
  #applied: readonly Manifest[] = []

  private constructor(paths: LabPaths, options: LabOptions, record: LabRecord | undefined) {
    this.paths = paths
    this.#routing = options.routing
    this.#progress = options.progress ?? (() => undefined)
    this.#underlay = new Underlay(paths)
    this.#created = record?.created ?? Date.now()
    this.#owner = options.answering === undefined ? undefined : processId(process.pid)
    if (record === undefined) this.#underlay.create()
    else this.#adopt(record)
    this.#objects = new ObjectDirectory(paths.objects)
    this.#answering =
      options.answering ??
      (record?.responder === undefined
        ? BackgroundAnswering.start(paths)
        : new BackgroundAnswering(paths, record.responder))
    if (record === undefined) this.#save()
  }

  /** Makes an empty lab; whatever was there under its name goes first. */
  static async create(paths: LabPaths, options: LabOptions): Promise<Lab> {
    await clearLab(paths)
    mkdirSync(paths.nodes, { recursive: true })
    try {
      return new Lab(paths, options, undefined)
    } catch (error) {
      await clearLab(paths)
      throw error
    }
  }

  /** The running lab of that name, to be changed; undefined when there is none that is whole. */
  static open(paths: LabPaths, options: Pick<LabOptions, "progress">): Lab | undefined {
    const record = readRecord(paths)
    if (record === undefined || record.owner !== undefined || !isWhole(record)) return undefined
    return new Lab(paths, { ...options, routing: record.routing }, record)
  }

  get nodes(): ReadonlyMap<string, NodeRecord> {
    return this.#nodes
  }

  get pods(): ReadonlyMap<string, PodRecord> {
    return this.#pods
  }

  /** The objects of the state applied last, with the addresses that pods got. */
  get objects(): readonly Manifest[] {
    return this.#applied
  }

  /** The agent of a node. */
  client(node: string): AgentClient {
    let client = this.#clients.get(node)
    if (client === undefined) {
      client = new AgentClient(agentSocket(this.paths, node))
      this.#clients.set(node, client)
    }
    return client
  }

  /**
   * Brings the lab into the state, by its differences to what is: pods and nodes whose name, node and addresses stay are
   * kept. Returns when every node of the state enforces it.
   */
  async apply(state: LabState): Promise<void> {
    const leaving = [...this.#pods.values()].filter((pod) => !keepsPod(pod, state.pods.get(podKey(pod)), state))
    const taken = new Set([...state.nodes.values(), ...state.pods.values()].flatMap((each) => each.addresses))
    const gone = [...this.#nodes.values()].filter((node) => mustGo(node, state.nodes.get(node.name), taken))
    await this.#removePods([...new Set([...leaving, ...this.#podsOn(gone)])], new Set(gone.map((node) => node.name)))
    for (const node of gone) await this.#removeNode(node)

    const fresh = [...state.nodes.values()].filter((node) => !this.#nodes.has(node.name))
    if (fresh.length > 0) this.#progress(`starting ${fresh.length === 1 ? "a node" : `${fresh.length} nodes`}`)
    for (const node of fresh) this.#addNode(node)
    // New addresses come before the agents hear of them, old ones go when no route of theirs needs them any more.
    const moved: LabNode[] = []
    for (const node of state.nodes.values()) {
      const known = this.#nodes.get(node.name)
      if (known !== undefined && !sameAddresses(known.addresses, node.addresses)) {
        this.#underlay.changeNode({ name: node.name, addresses: [...new Set([...node.addresses, ...known.addresses])] })
        moved.push(node)
      }
      this.#nodes.set(node.name, { ...known, ...node })
    }

    const arriving = [...state.pods.values()].filter((pod) => !this.#pods.has(podKey(pod)))
    for (const pod of state.pods.values()) {
      const known = this.#pods.get(podKey(pod))
      if (known !== undefined) this.#pods.set(podKey(pod), { ...known, listens: pod.listens })
    }
    this.#outside = state.outside
    this.#save()
    this.#routeOutside()
    this.#objects.set(state.objects.map((manifest) => this.#withKnownAddresses(manifest)))
    await Promise.all(
      fresh.map(async (node) => {
        const agent = this.#nodes.get(node.name)?.agent
        if (agent !== undefined) this.#clients.set(node.name, await agentReady(this.paths, node.name, agent))
      }),
    )
    if (arriving.length > 0) this.#progress(`making ${arriving.length === 1 ? "a pod" : `${arriving.length} pods`}`)
    await this.#addPods(arriving)
    this.#save()
    const objects = state.objects.map((manifest) => this.#withKnownAddresses(manifest))
    this.#objects.set(objects)
    this.#routeOutside()
    const stations = stationsOf(
      this.paths,
      { nodes: [...this.#nodes.values()], pods: [...this.#pods.values()], outside: this.#outside },
      state.outsideListens,
    )
    const problems = await this.#answering.set(stations)
    const [problem] = problems
    if (problem !== undefined) {
      throw new Failure(
        "failed",
        "Cannot make the pods answer on their ports",
        problems.join("; "),
        "free the port, or take it out of the manifest",
      )
    }
    this.#applied = objects
    if (arriving.length > 0) this.#progress("waiting until every node enforces the policies")
    await Promise.all([...state.nodes.keys()].map((node) => this.#awaitEnforced(node, digestOf(objects))))
    for (const node of moved) this.#underlay.changeNode(node)
  }

  /** Takes everything away. */
  async down(): Promise<void> {
    await clearLab(this.paths)
  }

  /**
   * Waits until the node enforces exactly these objects. "These or later ones" would not do: a state that comes again was
   * reached once before.
   */
  async #awaitEnforced(node: string, digest: string): Promise<void> {
    const until = Date.now() + ENFORCE_MS
    for (;;) {
      const left = Math.max(1, until - Date.now())
      const answer = await this.client(node).call("await", { digest, timeoutMs: left }, left + 5_000)
      if (answer.digest === digest) return
      if (Date.now() >= until) {
        throw new Failure(
          "timeout",
          `Cannot bring ${node} into the state wanted`,
          answer.error === "" ? `it did not enforce it within ${ENFORCE_MS / 1_000} s` : answer.error,
          `read ${agentLog(this.paths, node)}`,
        )
      }
      await sleep(2)
    }
  }

  #adopt(record: LabRecord): void {
    for (const node of record.nodes) this.#nodes.set(node.name, node)
    for (const pod of record.pods) this.#pods.set(podKey(pod), pod)
    this.#outside = record.outside
    this.#underlay.adopt(record.nodes, record.outside, this.#routes())
  }

  #save(): void {
    const responder = this.#answering instanceof BackgroundAnswering ? this.#answering.process : undefined
    writeRecord(this.paths, {
      version: 1,
      name: this.paths.name,
      routing: this.#routing,
      created: this.#created,
      ...(this.#owner === undefined ? {} : { owner: this.#owner }),
      ...(responder === undefined ? {} : { responder }),
      nodes: [...this.#nodes.values()],
      pods: [...this.#pods.values()],
      outside: this.#outside,
    })
  }

  #addNode(node: LabNode): void {
    this.#underlay.addNode(node)
    const agent = startAgent(this.paths, node.name, this.#routing)
    this.#nodes.set(node.name, { ...node, agent })
    // Before anything else: a crash from here on must find the process. (It is in the node's namespace anyway.)
    this.#save()
  }

  async #removeNode(node: NodeRecord): Promise<void> {
    this.#clients.delete(node.name)
    await endProcesses(processesIn(new Set([namespaceInode(this.paths.nodeNamespace(node.name))])), 400)
    clearMounts(this.paths.node(node.name))
    rmSync(this.paths.node(node.name), { recursive: true, force: true })
    this.#underlay.removeNode(node.name)
    this.#nodes.delete(node.name)
  }

  async #addPods(pods: readonly LabPod[]): Promise<void> {
    await inParallel(pods, CNI_AT_ONCE, async (pod) => {
      const record: PodRecord = {
        ...pod,
        stated: pod.addresses.length > 0,
        container: pod.hostNetwork ? "" : randomBytes(12).toString("hex"),
      }
      if (pod.hostNetwork) {
        this.#pods.set(podKey(pod), record)
        return
      }
      const netns = this.paths.podNamespace(pod.namespace, pod.name)
      createNamespace(netns)
      const addresses = await cniAdd(this.#sandbox(record, pod.addresses))
      this.#pods.set(podKey(pod), { ...record, addresses: pod.addresses.length > 0 ? pod.addresses : addresses })
    })
  }

  /** Those on nodes that go too lose their namespace only: nobody is left to ask. */
  async #removePods(pods: readonly PodRecord[], without: ReadonlySet<string>): Promise<void> {
    await inParallel(pods, CNI_AT_ONCE, async (pod) => {
      this.#pods.delete(podKey(pod))
      if (pod.hostNetwork) return
      const netns = this.paths.podNamespace(pod.namespace, pod.name)
      if (!without.has(pod.node)) await cniDel(this.#sandbox(pod, []))
      await endProcesses(processesIn(existsSync(netns) ? new Set([namespaceInode(netns)]) : new Set()), 400)
      deleteNamespace(netns)
    })
  }

  #podsOn(nodes: readonly NodeRecord[]): PodRecord[] {
    const names = new Set(nodes.map((node) => node.name))
    return [...this.#pods.values()].filter((pod) => names.has(pod.node))
  }

  #sandbox(pod: PodRecord, addresses: readonly Address[]): Sandbox {
    return {
      socket: cniSocket(this.paths, pod.node),
      container: pod.container,
      netns: this.paths.podNamespace(pod.namespace, pod.name),
      namespace: pod.namespace,
      pod: pod.name,
      addresses,
    }
  }

  #routeOutside(): void {
    const own = new Set([...this.#pods.values(), ...this.#nodes.values()].flatMap((each) => each.addresses))
    this.#underlay.setOutside(
      this.#outside.filter((address) => !own.has(address)),
      this.#routes(),
    )
  }

  /** Hosts outside reach a pod through its node. */
  #routes(): UnderlayRoute[] {
    return [...this.#pods.values()].flatMap((pod) => {
      if (pod.hostNetwork) return []
      const vias = this.#nodes.get(pod.node)?.addresses ?? []
      return pod.addresses.flatMap((address) => {
        const via = vias.find((each) => familyOf(each) === familyOf(address))
        return via === undefined ? [] : [{ address, via }]
      })
    })
  }

  #withKnownAddresses(manifest: Manifest): Manifest {
    if (kindOf(manifest.value) !== "Pod") return manifest
    const pod = this.#pods.get(podKey({ namespace: namespaceOf(manifest.value), name: nameOf(manifest.value) }))
    return pod === undefined || pod.stated
      ? manifest
      : withValue(manifest, withAddresses(manifest.value, pod.addresses))
  }
}

/** Whether every process of a lab runs. */
function isWhole(record: LabRecord): boolean {
  const processes = [record.responder, ...record.nodes.map((node) => node.agent)]
  return processes.every((process) => process !== undefined && isAlive(process))
}

function keepsPod(pod: PodRecord, next: LabPod | undefined, state: LabState): boolean {
  if (next === undefined || next.node !== pod.node || next.hostNetwork !== pod.hostNetwork) return false
  if (pod.hostNetwork) return state.nodes.has(pod.node)
  // A pod whose node chose its addresses keeps them while the manifest states none.
  return next.addresses.length === 0 ? !pod.stated : sameAddresses(pod.addresses, next.addresses)
}

/**
 * Whether a node must go, perhaps to be made anew: its agent chose the overlay's family by its first address when it started.
 * A node that the state does not name stays idle for a later one, unless somebody else has its address now.
 */
function mustGo(node: LabNode, next: LabNode | undefined, taken: ReadonlySet<Address>): boolean {
  if (next === undefined) return node.addresses.some((address) => taken.has(address))
  const [before, now] = [node.addresses[0], next.addresses[0]]
  return before !== undefined && now !== undefined && familyOf(before) !== familyOf(now)
}

function sameAddresses(a: readonly Address[], b: readonly Address[]): boolean {
  return a.length === b.length && a.every((address, i) => address === b[i])
}

/** Runs `work` on all items, at most `atOnce` at a time; throws the first error when all that began have ended. */
async function inParallel<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items]
  const errors: unknown[] = []
  const worker = async (): Promise<void> => {
    for (let item = rest.shift(); item !== undefined && errors.length === 0; item = rest.shift()) {
      try {
        await work(item)
      } catch (error) {
        errors.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker))
  if (errors.length > 0) throw errors[0] instanceof Error ? errors[0] : new Error(reasonOf(errors[0]))
}
