import { join } from "node:path"
import type { KernelSteps } from "../../kernel/netlink/steps.ts"
import { runNft } from "../../kernel/nft.ts"
import type { Cluster } from "../../model/cluster.ts"
import { familyOf } from "../../net/address.ts"
import type { Address, Family, Prefix } from "../../net/types.ts"
import type { Peer } from "../plane.ts"
import { type BigTcp, type BigTcpMode, decideBigTcp, limitsOf, wayOf } from "./big-tcp.ts"
import { NetworkError } from "./error.ts"
import { everything } from "./gateway.ts"
import { LinkLimits, limitChange } from "./link-limits.ts"
import { masqueradeScript, removalScript } from "./masquerade.ts"
import { IPV6_LEAST, podMtu } from "./mtu.ts"
import {
  type DeviceOptions,
  ensureDevices,
  HEDDLE0,
  HEDDLE1,
  type NodeDevices,
  nodeSettings,
  OVERLAY,
  removeDevices,
} from "./node-devices.ts"
import type { NodeNamespace } from "./node-namespace.ts"
import { applyRoutes, changeRoutes, foreignDestinations, removeRoutes } from "./node-routes.ts"
import { NodeSettings } from "./node-settings.ts"
import { PodRoutes } from "./pod-routes.ts"
import { isRecord, readState, writeState } from "./state-file.ts"

export interface NodeSetupOptions {
  readonly node: string
  readonly stateDirectory: string
  /** Interface to the other nodes; undefined: that of the node's own address, else of the default route. */
  readonly uplink: string | undefined
  readonly routing: "vxlan" | "native"
  readonly overlayPort: number
  /** MTU of the way to the other nodes; undefined: the uplink's. */
  readonly mtu: number | undefined
  readonly nonMasquerade: readonly Prefix[]
  /** Whether TCP packets above 64 KiB are used; default: auto. */
  readonly bigTcp?: BigTcpMode | undefined
}

/** What the node needs besides its pods' own interfaces. */
export interface SetupInput {
  readonly cluster: Cluster
  readonly peers: ReadonlyMap<string, Peer>
  /** This node's ranges. */
  readonly ranges: readonly Prefix[]
}

/** Interfaces, routes, settings and masquerade of one node: desired against actual, repaired, never anybody else's. */
export class NodeSetup {
  readonly #namespace: NodeNamespace
  readonly #steps: KernelSteps
  readonly #options: NodeSetupOptions
  readonly #settings: NodeSettings
  readonly #limits: LinkLimits
  readonly #podRoutes = new PodRoutes()
  readonly #portFile: string
  #devices: NodeDevices | undefined
  #bigTcp: BigTcp | undefined
  #uplink: { readonly name: string; readonly mtu: number } | undefined
  #mtu = 0
  #sources: Partial<Record<Family, Address>> = {}
  #foreign: ReadonlySet<Prefix> = new Set()
  /** The node's addresses for which its routes are right; undefined: they may not be. */
  #own: string | undefined
  #script: string | undefined
  #nft: Promise<void> = Promise.resolve()

  constructor(namespace: NodeNamespace, steps: KernelSteps, options: NodeSetupOptions) {
    this.#namespace = namespace
    this.#steps = steps
    this.#options = options
    this.#settings = new NodeSettings(namespace, join(options.stateDirectory, "sysctls.json"))
    this.#limits = new LinkLimits(namespace.netlink, join(options.stateDirectory, "link-limits.json"))
    this.#portFile = join(options.stateDirectory, "overlay.json")
  }

  /** Undefined until `ensure` was done once. */
  get devices(): NodeDevices | undefined {
    return this.#devices
  }

  /** Whether TCP packets above 64 KiB are used; undefined until `ensure` was done once. */
  get bigTcp(): BigTcp | undefined {
    return this.#bigTcp
  }

  /** MTU for pods made from now on. */
  get mtu(): number {
    return this.#mtu
  }

  /**
   * Makes everything as it shall be. `full` compares all with the kernel; else only what follows from a changed input is
   * touched. True when interfaces were made anew, so that programs must be attached to them.
   */
  async ensure(input: SetupInput, full: boolean): Promise<boolean> {
    const before = this.#devices
    if (full || this.#uplink === undefined) this.#uplink = this.#findUplink(input.cluster)
    const mtu = this.#wantedMtu(input, this.#uplink.mtu)
    if (full || before === undefined || mtu !== this.#mtu) this.#ensureDevices(this.#uplink.name, mtu)
    await this.#ensureRoutes(input, full || before === undefined)
    await this.#ensureMasquerade(input, full)
    return JSON.stringify(before) !== JSON.stringify(this.#devices)
  }

  /** A pod that is here has, or no longer has, the address: the next `ensure` sees to its route. */
  attach(address: Address): void {
    this.#podRoutes.attach(address)
  }

  detach(address: Address): void {
    this.#podRoutes.detach(address)
  }

  async remove(): Promise<void> {
    removeRoutes(this.#namespace.netlink)
    removeDevices(this.#namespace)
    await this.#runNft(removalScript)
    this.#settings.restore()
    this.#limits.restore()
    this.#devices = undefined
    this.#script = undefined
  }

  #ensureDevices(uplink: string, mtu: number): void {
    const { routing, overlayPort } = this.#options
    const state = readState(this.#portFile)
    const known = isRecord(state) && typeof state["port"] === "number" ? state["port"] : undefined
    const options: DeviceOptions = { uplink, routing, overlayPort, mtu, knownPort: known }
    this.#settings.preserve(uplink)
    this.#settings.apply(nodeSettings([], routing === "native" ? [uplink] : []))
    const devices = ensureDevices(this.#namespace, options)
    const own = devices.overlay === undefined ? [HEDDLE0, HEDDLE1] : [HEDDLE0, HEDDLE1, OVERLAY]
    this.#namespace.set(nodeSettings(own, []))
    if (known !== overlayPort) writeState(this.#portFile, { port: overlayPort })
    this.#devices = devices
    this.#mtu = mtu
    this.#ensureLimits(uplink)
  }

  /** What the node's sockets and its stack send to pods leaves by heddle0, whose limits are the pods'. */
  #ensureLimits(uplink: string): void {
    const { netlink } = this.#namespace
    const { routing, bigTcp: mode = "auto" } = this.#options
    const link = netlink.link(uplink)
    const own = netlink.link(HEDDLE0)
    if (link === undefined || own === undefined) return
    const way = wayOf(link, () => netlink.links())
    const bigTcp = decideBigTcp({ mode, routing, way, mtu: this.#mtu })
    if (bigTcp.bytes === undefined) this.#limits.restore()
    else this.#limits.raise(way, bigTcp.bytes)
    const change = limitChange(own, limitsOf(bigTcp.bytes))
    if (change !== undefined) netlink.setLink(own.index, change)
    this.#bigTcp = bigTcp
  }

  #wantedMtu({ cluster, peers, ranges }: SetupInput, uplinkMtu: number): number {
    const { routing } = this.#options
    const path = this.#options.mtu ?? uplinkMtu
    // As `addressOfPeer` chooses, also for peers that are to come.
    const ends = [cluster.nodes.get(this.#options.node)?.addresses[0], ...[...peers.values()].map((one) => one.address)]
    const outer = ends.some((address) => address !== undefined && familyOf(address) === 6) ? 6 : 4
    const mtu = podMtu(path, routing, outer)
    if (mtu >= IPV6_LEAST || !ranges.some((prefix) => prefix.includes(":"))) return mtu
    throw new NetworkError(
      "invalidConfiguration",
      `Cannot give pods IPv6: their MTU would be ${mtu} and IPv6 needs ${IPV6_LEAST}`,
      `Raise the uplink's MTU (${path}), or set routing to native`,
    )
  }

  #findUplink(cluster: Cluster): { readonly name: string; readonly mtu: number } {
    const name = this.#options.uplink ?? this.#uplinkOf(cluster)
    return { name, mtu: this.#namespace.netlink.link(name)?.mtu ?? 1500 }
  }

  #uplinkOf(cluster: Cluster): string {
    const { netlink } = this.#namespace
    const own = new Set(cluster.nodes.get(this.#options.node)?.addresses)
    const index =
      netlink.addresses().find(({ address }) => own.has(address))?.ifindex ??
      ([4, 6] as const)
        .flatMap((family) => netlink.routes({ family, table: 254 }))
        .find((route) => route.destination === everything[4] || route.destination === everything[6])?.ifindex
    const link = index === undefined ? undefined : netlink.linkByIndex(index)
    if (link !== undefined) return link.name
    throw new NetworkError(
      "invalidConfiguration",
      "Cannot find the node's uplink: no interface has the node's address, and there is no default route",
      `Set uplink, or give the Node ${this.#options.node} an address that this machine has`,
    )
  }

  async #ensureRoutes(input: SetupInput, full: boolean): Promise<void> {
    const ifindex = this.#devices?.heddle0
    if (ifindex === undefined) return
    const { netlink } = this.#namespace
    const own = input.cluster.nodes.get(this.#options.node)?.addresses ?? []
    // Routes name the node's address as source: with another one they must be made anew.
    const all = full || own.join() !== this.#own
    if (all) {
      this.#foreign = foreignDestinations(netlink)
      const usable = netlink.addresses().filter((one) => !one.tentative)
      const here = own.filter((address) => usable.some((one) => one.address === address))
      this.#sources = sourcesOf(here)
    }
    const changed = this.#podRoutes.update(input.cluster, input.ranges, this.#foreign)
    const to = { ifindex, sources: this.#sources }
    // Until it is done nothing is known: a failure must not leave a route out for good.
    this.#own = undefined
    if (all || changed === undefined) applyRoutes(netlink, { ...to, destinations: this.#podRoutes.all() })
    else await changeRoutes(this.#steps, this.#namespace.handle, to, changed, (one) => this.#podRoutes.has(one))
    this.#own = own.join()
  }

  async #ensureMasquerade({ cluster, ranges }: SetupInput, full: boolean): Promise<void> {
    const pods = [...new Set([...cluster.clusterPrefixes, ...ranges])]
    const { nonMasquerade: direct, routing, overlayPort } = this.#options
    const script = masqueradeScript({ pods, direct, overlayPort: routing === "vxlan" ? overlayPort : undefined })
    if (script === this.#script && !full) return
    await this.#runNft(script)
    this.#script = script
  }

  /** One after the other: a later state must not be overtaken by an earlier one. */
  #runNft(script: string): Promise<void> {
    const run = this.#nft.then(async () => {
      await runNft(script, { namespace: this.#namespace.path })
    })
    this.#nft = run.catch(() => undefined)
    return run
  }
}

function sourcesOf(addresses: readonly Address[]): Partial<Record<Family, Address>> {
  const four = addresses.find((address) => familyOf(address) === 4)
  const six = addresses.find((address) => familyOf(address) === 6)
  return { ...(four === undefined ? {} : { 4: four }), ...(six === undefined ? {} : { 6: six }) }
}
