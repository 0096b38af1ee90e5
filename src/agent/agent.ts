import { channel } from "node:diagnostics_channel"
import { existsSync } from "node:fs"
import { join } from "node:path"
import type { Logger } from "pino"
import { type ApiServer, serve } from "../api/server.ts"
import { Compiler } from "../compile/compile.ts"
import type { Compiled } from "../compile/compiled.ts"
import { flowTexts } from "../flow/decode.ts"
import { type NameSource, Names } from "../flow/name.ts"
import { FlowReader, wallClockOffset } from "../flow/reader.ts"
import { FlowStore } from "../flow/store.ts"
import { RingReader } from "../kernel/bpf/ring.ts"
import { mountBpffs } from "../kernel/mount.ts"
import type { Cluster } from "../model/cluster.ts"
import { type Problem, problemText } from "../model/problem.ts"
import type { NodeNetwork } from "../plane/network/network.ts"
import type { NodeDevices } from "../plane/network/node-devices.ts"
import type { Forwarding } from "../plane/plane.ts"
import { AcceptanceLog } from "../source/acceptance-log.ts"
import { CniServer } from "../source/cni/server.ts"
import { type DirectoryChange, DirectorySource } from "../source/directory/directory.ts"
import { ObjectStore } from "../source/objects.ts"
import { readEarlier } from "./adopt.ts"
import { Committer, type Desired, type Enforced } from "./commit.ts"
import type { Configuration } from "./configuration.ts"
import { settleMemory } from "./memory.ts"
import { DigestHistory, type RunningNode } from "./node.ts"
import { ObjectFiles } from "./object-files.ts"
import type { AgentParts, NodePlane } from "./plane.ts"
import { programIdentity } from "./program.ts"
import { agentService } from "./service/service.ts"
import { snapshotPath } from "./snapshot.ts"
import { SnapshotWriter } from "./snapshot-writer.ts"
import { Tables } from "./tables.ts"

/** Tells whoever measures what the agent is about; nothing is done without a subscriber. */
const moments = channel("heddle:moments")
/** How often everything in the kernel is compared with what it should be, in ms. */
const REPAIR_MS = 60_000
/** How often it is looked whether the sockets are still there, in ms. */
const LOOK_MS = 2_000

/**
 * One node: objects from a directory, compiled, committed to the plane; the pods' network; the service that answers people.
 * What it enforced stays when it stops or dies.
 */
export class Agent {
  readonly #configuration: Configuration
  readonly #log: Logger
  readonly #version: string
  readonly #startedAt = Date.now()
  readonly #parts: AgentParts
  readonly #memory: AcceptanceLog
  readonly #store: ObjectStore
  readonly #source: DirectorySource
  readonly #network: NodeNetwork
  readonly #compiler: Compiler
  readonly #committer: Committer
  readonly #names = new Names()
  readonly #flows: FlowStore
  readonly #snapshots: SnapshotWriter
  readonly #digests = new DigestHistory()
  readonly #listeners = new Set<() => void>()
  readonly #pins: string
  #latest: Pick<DirectoryChange, "digest"> | undefined
  #plane: NodePlane | undefined
  #tables: Tables | undefined
  #ring: RingReader | undefined
  #reader: FlowReader | undefined
  #api: ApiServer | undefined
  #cni: CniServer | undefined
  #repair: NodeJS.Timeout | undefined
  #look: NodeJS.Timeout | undefined
  #listening: Promise<void> | undefined
  #full = false
  #problems: readonly Problem[] = []
  /** Problems of the objects that were logged; each is logged once while it lasts. */
  #told: ReadonlySet<string> = new Set()

  constructor(configuration: Configuration, parts: AgentParts, log: Logger, version: string) {
    this.#configuration = configuration
    this.#parts = parts
    this.#log = log
    this.#version = version
    const { runDir, node } = configuration
    this.#pins = join(runDir, "bpf")
    const state = join(runDir, "state")
    this.#memory = new AcceptanceLog({
      path: join(state, "accepted.log"),
      program: programIdentity(),
      tell: (message) => log.warn(message),
    })
    this.#store = new ObjectStore({
      now: Date.now,
      clusterPrefixes: configuration.clusterPrefixes,
      memory: this.#memory,
    })
    this.#source = new DirectorySource({
      directory: configuration.objects,
      store: this.#store,
      memory: this.#memory,
      now: Date.now,
      onChange: (change) => this.#onChange(change),
    })
    this.#network = parts.network({
      podHook: (ifindex) => this.#hooks().podHook(ifindex),
      isHooked: (ifindex) => parts.isHooked(ifindex),
      onAddresses: (pod, addresses) => this.#store.setLocal(pod, addresses && { node, addresses }),
      onChange: () => this.#committer.commit(),
    })
    const earlier = readEarlier(runDir, this.#network.attachments())
    if (earlier.names !== undefined) this.#names.learn(earlier.names)
    this.#compiler = new Compiler(node, earlier.numbers === undefined ? {} : { adopt: earlier.numbers })
    this.#flows = new FlowStore({
      texts: flowTexts,
      segments: Math.max(2, Math.ceil(configuration.flowsKept / 16_384)),
    })
    this.#snapshots = new SnapshotWriter(runDir, {
      onError: (error) =>
        log.warn({ err: error }, `Cannot write ${snapshotPath(runDir)}: what it says is older than what is enforced`),
      onRecovery: () => log.info(`${snapshotPath(runDir)} says again what is enforced`),
    })
    this.#committer = new Committer({
      plane: { apply: (next, change) => this.#hooks().apply(next, change) },
      compile: (cluster) => this.#compiler.update(cluster),
      desired: () => this.#desired(),
      onCompiled: ({ compiled }, cluster) => {
        this.#names.expect(namesIn(cluster, compiled))
        this.#reader?.wake()
      },
      onEnforced: (enforced) => this.#onEnforced(enforced),
      onFailure: ({ message, attempts }) => {
        this.#names.expect(undefined)
        this.#log.error({ attempts }, `Cannot enforce the newest state: ${message}. The state before stays in force`)
        this.#tell()
      },
      now: Date.now,
      delay: (run, ms) => {
        const timer = setTimeout(run, ms)
        return () => clearTimeout(timer)
      },
    })
  }

  /** Reads the objects, makes the node's network, loads the plane, commits, and only then answers its sockets. */
  async start(): Promise<void> {
    moments.publish({ what: "started" })
    const restored = this.#store.restore()
    if (restored > 0) this.#log.info(`${restored} accepted objects remembered`)
    moments.publish({ what: "restored" })
    await this.#source.start()
    moments.publish({ what: "read" })
    await this.#committer.commit().catch(() => {
      // Said by onFailure; it is tried again, and the sockets tell why pods cannot come yet.
    })
    // While nobody waits for an answer yet.
    settleMemory()
    moments.publish({ what: "settled" })
    await this.#listen()
    moments.publish({ what: "ready" })
    this.#look = setInterval(() => {
      this.#listen().catch((error: unknown) => this.#log.error({ err: error }, "Cannot make the agent's sockets again"))
    }, LOOK_MS)
    this.#repair = setInterval(() => {
      this.#full = true
      this.#committer.mistrust()
      this.#committer.request()
    }, REPAIR_MS)
    this.#log.info(
      { generation: this.#committer.enforced?.generation ?? 0 },
      `Agent of ${this.#configuration.node} is ready`,
    )
  }

  /** Ends in order; everything that is enforced stays enforced. */
  async stop(): Promise<void> {
    clearInterval(this.#repair)
    clearInterval(this.#look)
    await this.#listening
    await this.#cni?.close()
    await this.#source.close()
    await this.#committer.close()
    await this.#api?.close()
    await this.#memory.close()
    await this.#snapshots.close()
    this.#unload()
    this.#network.close()
    this.#log.info("Agent ended; what was enforced still is")
  }

  /** Listens on the sockets at the start, and again on those that somebody has removed. */
  #listen(): Promise<void> {
    this.#listening ??= this.#listenNow().finally(() => {
      this.#listening = undefined
    })
    return this.#listening
  }

  async #listenNow(): Promise<void> {
    const { cniSocket, runDir } = this.#configuration
    const apiSocket = join(runDir, "agent.sock")
    if (this.#cni === undefined || !existsSync(cniSocket)) {
      if (this.#cni !== undefined) this.#log.warn(`${cniSocket} was removed: making it again`)
      await this.#cni?.close()
      this.#cni = await CniServer.listen(cniSocket, this.#network)
    }
    if (this.#api === undefined || !existsSync(apiSocket)) {
      if (this.#api !== undefined) this.#log.warn(`${apiSocket} was removed: making it again`)
      await this.#api?.close()
      this.#api = await serve(apiSocket, agentService(this.#running()))
    }
  }

  #hooks(): NodePlane {
    if (this.#plane !== undefined) return this.#plane
    const why = this.#committer.failure?.message.split("\n")[0] ?? "they are not loaded yet"
    throw new Error(`Cannot reach the kernel's programs: ${why}`)
  }

  #onChange(change: DirectoryChange): void {
    if (change.problems !== this.#problems) this.#sayProblems(change.problems)
    this.#digests.note(change.digest)
    moments.publish({ what: "objects", digest: change.digest })
    const same = this.#latest?.digest === change.digest
    this.#latest = change
    if (!same) this.#committer.request()
    else this.#tell()
  }

  #sayProblems(problems: readonly Problem[]): void {
    this.#problems = problems
    const told = new Set<string>()
    for (const problem of problems) {
      const text = problemText(problem)
      told.add(text)
      if (!this.#told.has(text)) this.#log[problem.severity === "error" ? "error" : "warn"](text)
    }
    this.#told = told
  }

  /** The newest objects, with the node's network brought into their state; loads the plane the first time. */
  async #desired(): Promise<Desired | undefined> {
    const latest = this.#latest
    if (latest === undefined) return undefined
    const { node, objects } = this.#configuration
    // With the addresses of pods attached meanwhile, but not with objects that the source has not told of yet.
    const cluster = this.#store.settled
    // Without its node there is nothing to stand on: what is enforced stays, and people are told.
    if (!cluster.nodes.has(node)) throw new Error(`no Node object named ${node} is among the objects of ${objects}`)
    await this.#reconcile(cluster)
    const forwarding: Forwarding | undefined = this.#network.forwarding()
    if (forwarding === undefined) return undefined
    return { cluster, forwarding, digest: latest.digest }
  }

  /** Brings the node's network into the cluster's state; loads the plane the first time, and again for new interfaces. */
  async #reconcile(cluster: Cluster): Promise<void> {
    if (this.#plane === undefined) {
      const devices = await this.#network.setup(cluster)
      moments.publish({ what: "network" })
      this.#load(devices, cluster)
      moments.publish({ what: "loaded" })
      await this.#network.rehook()
      moments.publish({ what: "hooked" })
      return
    }
    const full = this.#full
    this.#full = false
    const { devices, devicesChanged } = await this.#network.reconcile(cluster, { full })
    if (!devicesChanged) return
    // The programs know the interfaces as constants: those of the new ones take over the tables that are pinned.
    this.#log.warn("The node's interfaces were made anew: attaching to them")
    this.#unload()
    this.#load(devices, cluster)
    this.#committer.mistrust()
  }

  #load(devices: NodeDevices, cluster: Cluster): void {
    mountBpffs(this.#pins)
    const plane = this.#parts.plane(devices, cluster, this.#pins)
    this.#plane = plane
    for (const { table, wanted, entries } of plane.keptSizes)
      this.#log.warn(
        `The table ${table} keeps its ${entries} entries until the node starts anew; ${wanted} are configured`,
      )
    this.#tables = Tables.open(this.#pins)
    this.#ring = new RingReader(plane.events)
    this.#reader = new FlowReader({
      ring: this.#ring,
      names: this.#names,
      store: this.#flows,
      clock: wallClockOffset,
      onError: (error) =>
        this.#log.error({ err: error }, "Cannot read events any more; flows are not shown until a restart"),
    })
    this.#reader.start()
  }

  /** Lets go of the plane; what it put into the kernel goes on. */
  #unload(): void {
    this.#reader?.stop()
    this.#ring?.close()
    this.#tables?.close()
    this.#plane?.close()
    this.#reader = undefined
    this.#ring = undefined
    this.#tables = undefined
    this.#plane = undefined
  }

  #onEnforced(enforced: Enforced): void {
    const { state, cluster, generation, digest } = enforced
    const { compiled, forwarding } = state
    this.#names.learn({ generation, ...namesIn(cluster, compiled) })
    this.#snapshots.write({
      node: this.#configuration.node,
      generation,
      digest,
      cluster,
      verdicts: compiled.verdicts,
      ports: forwarding.ports,
      numbers: compiled.endpoints,
      peers: forwarding.peers,
      committedAt: Date.now(),
      version: this.#version,
      plane: this.#plane?.capabilities().plane ?? "",
      routing: this.#configuration.routing,
      bigTcp: this.#network.bigTcp ?? "",
      addresses: forwarding.self.addresses,
    })
    this.#log.debug({ generation, digest, ms: this.#committer.statistics.lastDurationMs }, "Committed")
    this.#tell()
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  #running(): RunningNode {
    const agent = this
    return {
      configuration: this.#configuration,
      version: this.#version,
      startedAt: this.#startedAt,
      now: Date.now,
      store: this.#store,
      files: new ObjectFiles(this.#configuration.objects, (key) => this.#source.holder(key)),
      committer: this.#committer,
      flows: this.#flows,
      source: {
        scan: () => this.#source.scan(),
        look: (names) => this.#source.look(names),
        catchUp: () => this.#source.catchUp(),
        problems: () => this.#source.problems(),
        get ready() {
          return agent.#latest !== undefined
        },
      },
      get tables() {
        return agent.#tables
      },
      get capabilities() {
        return agent.#plane?.capabilities()
      },
      get bigTcp() {
        return agent.#network.bigTcp
      },
      read: () => this.#hooks().read(),
      onCommit: (listener) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
      digests: this.#digests,
    }
  }
}

/** What names a state has, and nothing else: they are kept for longer than it. */
function namesIn(
  { endpoints, namespaces, nodes, clusterPrefixes }: Cluster,
  { addresses, verdicts }: Compiled,
): Omit<NameSource, "generation"> {
  return { addresses, endpoints, namespaces, nodes, clusterPrefixes, verdicts }
}
