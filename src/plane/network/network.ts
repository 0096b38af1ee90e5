import { join } from "node:path"
import { setImmediate } from "node:timers/promises"
import { clsactPrograms } from "../../kernel/bpf/attach.ts"
import { isKernelError } from "../../kernel/error.ts"
import type { NamespaceHandle } from "../../kernel/namespace.ts"
import { decodeLink, type Link } from "../../kernel/netlink/link.ts"
import { listLinks } from "../../kernel/netlink/requests.ts"
import type { Request } from "../../kernel/netlink/socket.ts"
import { type Asking, KernelSteps } from "../../kernel/netlink/steps.ts"
import type { Cluster } from "../../model/cluster.ts"
import { macBytes, macText } from "../../net/packet.ts"
import type { Address, Prefix } from "../../net/types.ts"
import type { Forwarding, Peer } from "../plane.ts"
import { type Attachment, Attachments, attachmentKey, hostNameOf, isHostName, ownerOf } from "./attachment.ts"
import { bigTcpMtu, limitsOf } from "./big-tcp.ts"
import { checkAttachment, type Expectation } from "./check.ts"
import { NetworkError } from "./error.ts"
import { LocalPods } from "./forwarding.ts"
import { GATEWAY_MAC, gateways, podMac } from "./gateway.ts"
import { Ipam } from "./ipam.ts"
import { limitChange, limitPair } from "./link-limits.ts"
import { LinkRemoval } from "./link-removal.ts"
import type { NodeDevices } from "./node-devices.ts"
import { NodeNamespace } from "./node-namespace.ts"
import { NodeSetup, type NodeSetupOptions, type SetupInput } from "./node-setup.ts"
import { PeerNumbers, peersOf } from "./peers.ts"
import { PodAddresses } from "./pod-addresses.ts"
import { createPair, familiesOf, isThere, nameTaken, openPodNamespace, stepsToUse } from "./pod-interface.ts"

export interface NodeNetworkOptions extends NodeSetupOptions {
  /** Path of the node's network namespace; undefined: the one this process runs in. */
  readonly netns?: string | undefined
  /** The machine's own namespace is the node. */
  readonly evenInitial?: boolean
  /** This node's ranges; empty: those of its Node object. */
  readonly podPrefixes: readonly Prefix[]
  /**
   * What attaches the pod program, which drops until the pod is known, at the node's end of a pod's pair: requests to the node's
   * namespace, made in one go. EEXIST among the answers is no failure.
   */
  readonly podHook: (ifindex: number) => readonly Request[]
  /** Whether that program is in place. */
  readonly isHooked: (ifindex: number) => boolean
  /** Told of the addresses that a pod (`NAMESPACE/NAME`) got; undefined: it has none from this network any more. */
  readonly onAddresses?: (pod: string, addresses: readonly Address[] | undefined) => void
  /** Commits the forwarding of now; resolves once it is enforced. */
  readonly onChange: () => Promise<unknown>
}

const EEXIST = 17
/** Attachments that GC deletes at a time: they share a wait, and the event loop gets its turns between. */
const GC_AT_ONCE = 32

interface Ref {
  readonly container: string
  readonly ifname: string
}

export interface AttachRequest extends Ref {
  readonly netns: string
  readonly network: string
  readonly namespace: string
  readonly pod: string
  /** Addresses that the pod must get; empty: those of its object, else from the node's ranges. */
  readonly addresses: readonly Address[]
}

/** What was made for a pod. */
export interface Attached {
  readonly hostInterface: { readonly name: string; readonly mac: string }
  readonly podInterface: { readonly name: string; readonly mac: string; readonly netns: string }
  readonly mtu: number
  readonly addresses: readonly Address[]
  readonly gateways: readonly Address[]
}

/**
 * The network of one node: its own interfaces and routes, and those of its pods. One instance per node. Calls about
 * different pods may run side by side; those about one pod wait for each other.
 */
export class NodeNetwork {
  readonly #options: NodeNetworkOptions
  readonly #namespace: NodeNamespace
  readonly #setup: NodeSetup
  readonly #pods: LocalPods
  readonly #attachments: Attachments
  readonly #ipam: Ipam
  readonly #podAddresses: PodAddresses
  readonly #numbers: PeerNumbers
  readonly #steps = new KernelSteps()
  readonly #removal: LinkRemoval
  readonly #underWay = new Map<string, Promise<unknown>>()
  #cluster: Cluster | undefined
  #peers: { readonly nodes: Cluster["nodes"]; readonly peers: ReadonlyMap<string, Peer> } | undefined

  /** Reads the state that an earlier agent left; changes nothing in the kernel. */
  constructor(options: NodeNetworkOptions) {
    this.#options = options
    this.#namespace = new NodeNamespace(options.netns, options.evenInitial)
    this.#removal = new LinkRemoval(this.#namespace.handle)
    this.#setup = new NodeSetup(this.#namespace, this.#steps, options)
    this.#pods = new LocalPods(options.onAddresses ?? (() => undefined))
    this.#attachments = new Attachments(join(options.stateDirectory, "attachments"), (before, after) => {
      this.#pods.change(before, after)
      if (before !== undefined && before.phase !== "leaving")
        for (const one of before.addresses) this.#setup.detach(one)
      if (after !== undefined && after.phase !== "leaving") for (const one of after.addresses) this.#setup.attach(one)
    })
    this.#ipam = new Ipam({
      file: join(options.stateDirectory, "ipam.json"),
      inUse: [...this.#attachments.all()].flatMap((one) => one.addresses.map((a) => [a, ownerOf(one)] as const)),
    })
    this.#podAddresses = new PodAddresses(this.#ipam, options.node)
    this.#numbers = new PeerNumbers(join(options.stateDirectory, "peers.json"))
  }

  /** Makes the node's interfaces, routes and rules, and clears away what a crash left. Returns what to attach to. */
  async setup(cluster: Cluster): Promise<NodeDevices> {
    await this.#clearRemains()
    await this.reconcile(cluster, { full: true })
    this.#podAddresses.prepare()
    return this.#devices()
  }

  /**
   * Follows a changed cluster; `full` also repairs what someone else changed, but for the programs, which the plane's own full
   * compare sees to. `devicesChanged`: interfaces were made anew,
   * and the plane must attach to those that it now finds in `devices`.
   */
  async reconcile(
    cluster: Cluster,
    { full = false }: { readonly full?: boolean } = {},
  ): Promise<{ readonly devices: NodeDevices; readonly devicesChanged: boolean }> {
    this.#cluster = cluster
    this.#ipam.setRanges(this.#ranges(cluster))
    this.#podAddresses.follow(cluster)
    const devicesChanged = await this.#setup.ensure(this.#input(cluster), full)
    if (full) await this.#repairAttachments()
    return { devices: this.#devices(), devicesChanged }
  }

  /** Attaches the pod program wherever it is missing. To be called once the plane is loaded. */
  async rehook(): Promise<void> {
    const { handle } = this.#namespace
    const attached = this.attachments().flatMap(({ phase, ifindex }) => (phase === "attached" ? [ifindex] : []))
    const hooked = await clsactPrograms(this.#steps, handle, attached, "ingress")
    const bare = attached.filter((ifindex) => !hooked.has(ifindex)).map((ifindex) => this.#options.podHook(ifindex))
    const rows = bare.flatMap((requests) =>
      requests.length === 0 ? [] : [{ namespace: handle, requests, tolerate: EEXIST }],
    )
    await Promise.all(rows.map((row) => this.#hook(row)))
  }

  async #hook(row: Asking): Promise<void> {
    try {
      await this.#steps.take([row])
    } catch (error) {
      // The pod is gone, and its DEL, or the next repair, notices.
      if (!isKernelError(error, "ENODEV")) throw error
    }
  }

  /** The state for the plane; undefined before the first `reconcile`. */
  forwarding(): Forwarding | undefined {
    const cluster = this.#cluster
    if (cluster === undefined) return undefined
    const { node, nonMasquerade } = this.#options
    const self = { name: node, addresses: cluster.nodes.get(node)?.addresses ?? [] }
    return { ports: this.#pods.ports, peers: this.#peersIn(cluster), self, nonMasquerade }
  }

  /** Whether TCP packets above 64 KiB are used, and why, for people; undefined before the first `reconcile`. */
  get bigTcp(): string | undefined {
    return this.#setup.bigTcp?.told
  }

  /** The attachments as they are now. */
  attachments(): readonly Attachment[] {
    return [...this.#attachments.all()]
  }

  /** CNI ADD: resolves when the pod's own policy is enforced; until then its hook drops. Undoes itself on failure. */
  add(request: AttachRequest): Promise<Attached> {
    return this.#oneByOne(request, () => this.#add(request))
  }

  async #add(request: AttachRequest): Promise<Attached> {
    const { ifname, netns } = request
    const cluster = this.#ready()
    const { handle, inode } = openPodNamespace(netns, this.#namespace)
    try {
      const earlier = this.#attachments.get(request)
      if (earlier !== undefined) {
        if (await isThere(this.#steps, handle, ifname)) throw nameTaken(ifname, netns)
        await this.#detach(earlier)
      }
      const making = this.#plan(request, inode, cluster)
      await this.#make(making, handle)
      return attachedOf(making)
    } finally {
      handle.close()
    }
  }

  /** Takes the addresses and writes down what is about to be made. */
  #plan(request: AttachRequest, netnsInode: number, cluster: Cluster): Attachment {
    const { container, ifname, netns, network, namespace, pod } = request
    const addresses = this.#podAddresses.take(request, ownerOf(request), cluster, this.#attachments.ofPod(request))
    const first = addresses[0]
    const making: Attachment = {
      ...{ phase: "making", container, ifname, netns, netnsInode, network, namespace, pod, addresses },
      ...{ mac: first === undefined ? "" : macText(podMac(first)), mtu: this.#setup.mtu },
      ...{ hostName: hostNameOf(request), ifindex: 0 },
    }
    try {
      this.#attachments.put(making)
    } catch (cause) {
      this.#forget(making)
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new NetworkError("tryAgain", `Cannot note the pod's attachment: ${why}`, "Make room on the disk", { cause })
    }
    return making
  }

  async #make(making: Attachment, handle: NamespaceHandle): Promise<void> {
    const { ifname, mtu, addresses, hostName } = making
    const bytes = this.#setup.bigTcp?.bytes
    const big = bytes === undefined ? {} : { limits: limitsOf(bytes), ipv6Mtu: bigTcpMtu(mtu) }
    const wanted = { ifname, mac: macBytes(making.mac), mtu, addresses, hostName, ...big }
    try {
      const pair = await createPair(this.#steps, this.#namespace, handle, wanted)
      const hook = this.#options.podHook(pair.ifindex)
      const attached: Attachment = { ...making, ifindex: pair.ifindex, phase: "attached" }
      // The plane learns of the pod while its interface is taken into use. On the disk it is being made until both are done.
      this.#attachments.expect(attached)
      const inUse = this.#steps.take(stepsToUse(this.#namespace, handle, wanted, pair, hook))
      const outcomes = await Promise.allSettled([inUse, this.#commit()])
      for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason
      this.#attachments.put(attached)
    } catch (error) {
      await this.#detach(this.#attachments.get(making) ?? making)
      throw error
    }
  }

  /** CNI DEL: succeeds when there is nothing to delete. The addresses are free once the plane has forgotten them. */
  del(ref: Ref): Promise<void> {
    return this.#oneByOne(ref, async () => {
      const attachment = this.#attachments.get(ref)
      if (attachment === undefined) await this.#removal.delete(hostNameOf(ref))
      else await this.#detach(attachment)
    })
  }

  /** CNI CHECK: throws `NetworkError` for the first thing that is not as ADD made it. */
  async check(request: Ref & Omit<Expectation, "isHooked">): Promise<void> {
    const attachment = this.#attachments.get(request)
    if (attachment?.phase !== "attached")
      throw new NetworkError(
        "unknownContainer",
        `Cannot check ${request.container}: nothing of it is attached as ${request.ifname}`,
        "The pod was deleted, or belongs to another node",
      )
    checkAttachment(this.#namespace, attachment, { ...request, isHooked: this.#options.isHooked })
  }

  /** CNI GC: deletes this network's attachments that are not in `valid`, as many as can be; throws the first failure. */
  async gc(network: string, valid: readonly Ref[]): Promise<void> {
    const keep = new Set(valid.map(attachmentKey))
    const stale = this.attachments().filter((one) => one.network === network && !keep.has(attachmentKey(one)))
    const idle = stale.filter((one) => !this.#underWay.has(attachmentKey(one)))
    const results: PromiseSettledResult<void>[] = []
    for (let i = 0; i < idle.length; i += GC_AT_ONCE)
      results.push(...(await Promise.allSettled(idle.slice(i, i + GC_AT_ONCE).map((one) => this.del(one)))))
    await this.#deleteOrphans()
    const failed = results.find((result) => result.status === "rejected")
    if (failed !== undefined) throw failed.reason
  }

  /** CNI STATUS: throws when ADD could not work. */
  async status(): Promise<void> {
    try {
      this.#ready()
    } catch (error) {
      if (!(error instanceof NetworkError)) throw error
      throw new NetworkError("unavailable", error.message, error.details)
    }
  }

  /** Takes everything out of the node, the pods' interfaces too: without a plane nobody would judge their packets. */
  async remove(): Promise<void> {
    await this.#removal.deleteAll(this.attachments().map((one) => one.hostName))
    for (const attachment of this.attachments()) this.#forget(attachment)
    await this.#deleteOrphans()
    await this.#setup.remove()
  }

  /** Lets go of the namespace; what was made stays. */
  close(): void {
    this.#ipam.flush()
    this.#namespace.close()
  }

  #ready(): Cluster {
    const cluster = this.#cluster
    if (cluster !== undefined && this.#setup.devices !== undefined) return cluster
    throw new NetworkError(
      "tryAgain",
      "Cannot attach pods yet: the agent does not know its cluster",
      "It is starting, or waits for its objects: heddle status tells",
    )
  }

  #devices(): NodeDevices {
    const { devices } = this.#setup
    if (devices === undefined) throw new Error("Cannot tell the node's interfaces: setup has not been done")
    return devices
  }

  #ranges(cluster: Cluster): readonly Prefix[] {
    const { podPrefixes, node } = this.#options
    return podPrefixes.length > 0 ? podPrefixes : (cluster.nodes.get(node)?.podPrefixes ?? [])
  }

  /** The same map as long as the nodes are the same: the plane need not look at every address again. */
  #peersIn(cluster: Cluster): ReadonlyMap<string, Peer> {
    if (this.#peers?.nodes !== cluster.nodes) {
      const { node, routing } = this.#options
      this.#peers = { nodes: cluster.nodes, peers: peersOf(cluster, node, routing, this.#numbers) }
    }
    return this.#peers.peers
  }

  #input(cluster: Cluster): SetupInput {
    return { cluster, peers: this.#peersIn(cluster), ranges: this.#ranges(cluster) }
  }

  /** Its interface goes at once, its addresses when the plane has let go of them. */
  async #detach(attachment: Attachment): Promise<void> {
    await this.#removal.delete(attachment.hostName)
    if (attachment.phase === "making") {
      this.#forget(attachment)
      return
    }
    this.#attachments.leave(attachment)
    try {
      await this.#commit()
    } catch {
      // The addresses stay taken until a later commit succeeds; the pod is gone all the same, and DEL must not fail.
    }
  }

  /** Commits, and frees what had left before the commit began. */
  async #commit(): Promise<void> {
    const left = [...this.#attachments.leaving]
    try {
      await this.#options.onChange()
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new NetworkError("tryAgain", `Cannot enforce the pod's policy: ${why}`, "heddle status tells more", {
        cause,
      })
    }
    for (const one of left) if (this.#attachments.get(one) === one) this.#forget(one)
  }

  #forget(attachment: Attachment): void {
    for (const address of attachment.addresses) this.#ipam.release(address, ownerOf(attachment))
    this.#attachments.delete(attachment)
  }

  /** Attachments that were being made when an agent died: the runtime never got an answer and will ask anew. */
  async #clearRemains(): Promise<void> {
    const half = this.attachments().filter((one) => one.phase === "making" && !this.#underWay.has(attachmentKey(one)))
    await this.#removal.deleteAll(half.map((one) => one.hostName))
    for (const attachment of half) this.#forget(attachment)
    await this.#deleteOrphans()
  }

  async #deleteOrphans(): Promise<void> {
    const isOurs = (link: Link): boolean =>
      isHostName(link.name) && link.kind === "veth" && macText(link.mac) === macText(GATEWAY_MAC)
    const links = await this.#links()
    // Known by now: what was made meanwhile is among the links, and noted before it was made.
    const known = new Set(this.attachments().map((one) => one.hostName))
    const orphans = links.filter((link) => isOurs(link) && !known.has(link.name))
    // By index: what has the same name by the time that they are deleted is another.
    await this.#removal.deleteAll(orphans.map((link) => link.index))
  }

  async #links(): Promise<readonly Link[]> {
    const [found = []] = await this.#steps.take([{ namespace: this.#namespace.handle, requests: [listLinks()] }])
    const links: Link[] = []
    for (const message of found) {
      links.push(decodeLink(message))
      // A thousand at once would hold the event loop up for tens of milliseconds.
      if (links.length % 100 === 0) await setImmediate()
    }
    return links
  }

  /** A pair ends with the pod's namespace, also when nobody called DEL. */
  async #repairAttachments(): Promise<void> {
    const attached = this.attachments().filter((one) => one.phase === "attached")
    const there = new Map((await this.#links()).map((link) => [link.name, link]))
    const gone = attached.filter((one) => there.get(one.hostName)?.index !== one.ifindex)
    for (const one of gone)
      if (!this.#underWay.has(attachmentKey(one)) && this.#attachments.get(one) === one) this.#attachments.leave(one)
    await this.#repairLimits(attached, there)
    // Not awaited: the commit may be waiting for this reconcile.
    if (this.#attachments.leaving.size > 0) void this.#commit().catch(() => undefined)
  }

  /** Brings the pods that are here to the packet limits of now: they were made under another setting or by another version. */
  async #repairLimits(attached: readonly Attachment[], there: ReadonlyMap<string, Link>): Promise<void> {
    const bytes = this.#setup.bigTcp?.bytes
    const wanted = limitsOf(bytes)
    for (const attachment of attached) {
      const link = there.get(attachment.hostName)
      const change = link?.index === attachment.ifindex ? limitChange(link, wanted) : undefined
      if (link === undefined || change === undefined || this.#attachments.get(attachment) !== attachment) continue
      const ipv6Mtu = bytes === undefined ? undefined : bigTcpMtu(attachment.mtu)
      limitPair(this.#namespace, attachment, { host: link, limits: change, ipv6Mtu })
      // Each costs a visit to the pod's namespace, and there may be a thousand.
      await setImmediate()
    }
  }

  async #oneByOne<T>(ref: Ref, act: () => Promise<T>): Promise<T> {
    const key = attachmentKey(ref)
    const before = this.#underWay.get(key) ?? Promise.resolve()
    const run = before.then(act, act)
    this.#underWay.set(key, run)
    try {
      return await run
    } finally {
      if (this.#underWay.get(key) === run) this.#underWay.delete(key)
    }
  }
}

function attachedOf({ hostName, ifname, mac, netns, mtu, addresses }: Attachment): Attached {
  return {
    hostInterface: { name: hostName, mac: macText(GATEWAY_MAC) },
    podInterface: { name: ifname, mac, netns },
    mtu,
    addresses,
    gateways: familiesOf(addresses).map((family) => gateways[family]),
  }
}
