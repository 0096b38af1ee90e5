import type { Cluster, Endpoint, Node } from "../model/cluster.ts"
import { networkSetFacts } from "../model/facts.ts"
import type { Direction, Policy } from "../model/policy.ts"
import { familyOf } from "../net/address.ts"
import { prefixBase, prefixContains, prefixContainsPrefix, prefixLength } from "../net/prefix.ts"
import type { Address, Family, Prefix } from "../net/types.ts"
import { type Block, wordsOf } from "./blocks.ts"
import { type ClusterChange, changedKeys } from "./change.ts"
import { Classes, type PeerClass } from "./classes.ts"
import type { AddressEntry, Compiled, LocalEndpoint, PolicySet, PrefixEntry } from "./compiled.ts"
import type { CompileLimits } from "./error.ts"
import { Features, SIX, SOCKET } from "./features.ts"
import { addTo, removeFrom } from "./index-sets.ts"
import type { SetBlocks, Workload } from "./match.ts"
import type { Numbering } from "./numbering.ts"
import {
  enforcedOf,
  makeProgram,
  type Peer,
  Policies,
  type PolicyEntry,
  type Program,
  type Subject,
  selected,
  stagedOf,
  TierOrder,
} from "./policies.ts"
import { type Ends, Rows } from "./rows.ts"
import { SetBuilder, type SetPrograms, setKey } from "./set.ts"
import { Slots } from "./slots.ts"
import type { Verdicts } from "./verdicts.ts"
import { VersionedMap } from "./versions.ts"
import { Workloads } from "./workloads.ts"

/** A workload or node that has addresses. */
interface Owner {
  readonly kind: "endpoint" | "node"
  readonly key: string
  readonly node: string
  readonly addresses: readonly Address[]
  readonly workload: Workload
}

/** Local endpoints of which policies see the same. */
interface Group {
  readonly key: string
  readonly four: Subject
  readonly six: Subject
  readonly members: Set<string>
  policies: Set<PolicyEntry>
  ingress: SetBuilder | undefined
  egress: SetBuilder | undefined
}

const ANY4 = "0.0.0.0" as Address
const ANY6 = "::" as Address
const noLabels = {}

/** What outlives a failed compilation. */
export interface Numbers {
  readonly slots: Numbering
  readonly endpoints: Numbering
  readonly verdicts: Verdicts
}

/** Names under which slots are numbered; addresses go by themselves. */
export const slotNames = {
  prefix: (prefix: Prefix): string => `prefix ${prefix}`,
  outside: (family: Family): string => `outside ${family}`,
  socket: (family: Family): string => `socket ${family}`,
} as const

/** The state behind a `Compiler`: every structure with what depends on it, brought up to date change by change. */
export class Core {
  #node: string
  #slotNumbers: Numbering
  #endpointNumbers: Numbering
  #verdicts: Verdicts
  #rows: Rows
  #features = new Features()
  #classes: Classes
  #slots: Slots
  #workloads = new Workloads()
  #policies: Policies
  #tierOrder = new TierOrder(new Map())
  #networkSets: readonly SetBlocks[] = []
  #ends: Readonly<Record<Direction, Ends>>

  #owners = new Map<string, Owner>()
  #claims = new Map<Address, Owner | readonly Owner[]>()
  #byNamespace = new Map<string, Set<string>>()
  #groups = new Map<string, Group>()
  #groupOf = new Map<string, Group>()
  #groupsByWorkload = new Map<Workload, Set<Group>>()
  #builders = new Map<string, SetBuilder>()
  #users = new Map<SetBuilder, Set<Group>>()
  /** Builders in the order of the published sets, and the place of each. */
  #listed: SetBuilder[] = []
  #places = new Map<SetBuilder, number>()
  /** Builders whose published sets are no longer right. */
  #stale = new Set<SetBuilder>()
  #byPeer = new Map<Peer, Set<SetBuilder>>()
  #byName = new Map<string, Set<SetBuilder>>()
  #splitters = new Set<SetBuilder>()
  #unknownBlocks = new Set<Prefix>()
  #socketWorkload: Workload | undefined

  #addresses = new VersionedMap<Address, AddressEntry>()
  #prefixes = new VersionedMap<Prefix, PrefixEntry>()
  #endpoints = new VersionedMap<string, LocalEndpoint>()
  #classArray = new Uint16Array(1)
  #sets: readonly PolicySet[] = []
  #setUps = false

  constructor(node: string, numbers: Numbers, limits: CompileLimits) {
    this.#node = node
    this.#slotNumbers = numbers.slots
    this.#endpointNumbers = numbers.endpoints
    this.#verdicts = numbers.verdicts
    this.#policies = new Policies(this.#verdicts)
    this.#rows = new Rows(this.#verdicts, limits)
    this.#classes = new Classes(limits.classes)
    this.#slots = new Slots(this.#classes, this.#features)
    const ends = (direction: Direction): Ends => ({
      noPolicy: this.#verdicts.hold({ kind: "noPolicy", direction }),
      unknownPeer: this.#verdicts.hold({ kind: "unknownPeer", direction }),
      nodeToOwnPod: this.#verdicts.hold({ kind: "nodeToOwnPod", direction }),
    })
    this.#ends = { ingress: ends("ingress"), egress: ends("egress") }
  }

  update(before: Cluster, after: Cluster, change: ClusterChange): Compiled {
    const touched = new Set<Address>()
    const dirtyGroups = new Set<Group>()
    const dirtyEndpoints = new Set<string>()

    // Who is there.
    const changedNamespaces = changedKeys(before.namespaces, after.namespaces, change.namespaces).filter(
      (name) => before.namespaces.get(name)?.labels !== after.namespaces.get(name)?.labels,
    )
    const changedAccounts = changedKeys(before.serviceAccounts, after.serviceAccounts, change.serviceAccounts)
    const endpointKeys = new Set(changedKeys(before.endpoints, after.endpoints, change.endpoints))
    for (const name of changedNamespaces) for (const key of this.#byNamespace.get(name) ?? []) endpointKeys.add(key)
    for (const account of changedAccounts) {
      const [namespace = "", name = ""] = account.split("/")
      for (const key of this.#byNamespace.get(namespace) ?? []) {
        if (after.endpoints.get(key)?.serviceAccount === name) endpointKeys.add(key)
      }
    }
    const nodeKeys = changedKeys(before.nodes, after.nodes, change.nodes)
    const released: Workload[] = []
    for (const key of endpointKeys) {
      const endpoint = after.endpoints.get(key)
      const gone = before.endpoints.get(key)
      if (gone !== undefined) removeFrom(this.#byNamespace, gone.namespace, key)
      if (endpoint !== undefined) addTo(this.#byNamespace, endpoint.namespace, key)
      this.#own(`e${key}`, endpoint && this.#endpointOwner(after, key, endpoint), touched, released)
      if (gone?.node === this.#node || endpoint?.node === this.#node) dirtyEndpoints.add(key)
    }
    for (const name of nodeKeys) {
      const node = after.nodes.get(name)
      this.#own(`n${name}`, node && this.#nodeOwner(node), touched, released)
    }

    // What applies.
    const setsChanged = this.#updateNetworkSets(before, after, change, changedNamespaces.length > 0)
    const tiersChanged = changedKeys(before.tiers, after.tiers, change.tiers).length > 0
    if (tiersChanged) this.#tierOrder = new TierOrder(after.tiers)
    const policyKeys = new Set(changedKeys(before.policies, after.policies, change.policies))
    if (setsChanged) {
      for (const [key, entry] of this.#policies.entries) if (entry.usesNetworkSets) policyKeys.add(key)
    }
    const addressedBefore = this.#policies.addressedCount > 0
    const stagedTargets = this.#stagedTargets()
    const oldEntries = this.#updatePolicies(policyKeys, after.policies, dirtyGroups)
    const regroup = addressedBefore !== this.#policies.addressedCount > 0
    const replaced = this.#stagedTargets()
    if (tiersChanged || !sameSets(stagedTargets, replaced)) {
      for (const group of this.#groups.values()) dirtyGroups.add(group)
    }

    // Who enforces what.
    if (regroup) for (const key of this.#groupOf.keys()) dirtyEndpoints.add(key)
    for (const key of dirtyEndpoints) this.#assignGroup(key, after, dirtyGroups)
    const retired: SetBuilder[] = []
    const fresh: SetBuilder[] = []
    for (const group of dirtyGroups) this.#rebuildGroup(group, replaced, fresh, retired)

    // What is looked at, and so what tells addresses apart.
    const newPeers: Peer[] = []
    const newNames: string[] = []
    const addedBlocks: Block[] = []
    const removedBlocks: Block[] = []
    const droppedFeatures: number[] = []
    const dismissed: SetBuilder[] = []
    const splitBefore = this.#features.splitUsers > 0
    for (const builder of fresh) this.#admit(builder, newPeers, newNames, addedBlocks)
    for (const builder of retired) {
      if (!this.#users.has(builder)) this.#dismiss(builder, dismissed, droppedFeatures, removedBlocks)
    }
    const blocksChanged = addedBlocks.length + removedBlocks.length > 0
    if (blocksChanged) this.#slots.rehome(addedBlocks, removedBlocks)
    for (const peer of newPeers) {
      if (peer.yes !== 0) this.#slots.admitPeer(peer, (keys) => this.#workloads.withKeys(keys), this.#workloads.unknown)
    }
    for (const name of newNames) this.#slots.admitName(name)
    const splitNow = this.#features.splitUsers > 0
    if (splitNow && !splitBefore) this.#slots.admitSplit()
    if (splitBefore && !splitNow) droppedFeatures.push(SIX)
    this.#updateFixedSlots(after)
    if (blocksChanged || before.clusterPrefixes !== after.clusterPrefixes || !this.#setUps) {
      this.#updatePrefixes(after, addedBlocks, removedBlocks)
    }
    this.#setUps = true
    const addressChanges = new Map<Address, AddressEntry | undefined>()
    for (const address of touched) this.#updateAddress(address, addressChanges, dirtyEndpoints)
    for (const feature of droppedFeatures) this.#classes.drop(feature)
    for (const workload of released) this.#workloads.release(workload)
    for (const entry of oldEntries) this.#policies.release(entry)

    // The matrix.
    const { created, gone, moved } = this.#classes.settle()
    this.#updateCells(created, gone, fresh)
    // Only now, so that rows which go on being used keep their numbers.
    for (const builder of dismissed) builder.release()

    // The value.
    for (const identity of moved) for (const slot of identity.slots) this.#slots.dirty.add(slot)
    this.#publishClasses()
    this.#addresses = this.#addresses.with(addressChanges)
    this.#publishEndpoints(dirtyEndpoints, dirtyGroups)
    return {
      addresses: this.#addresses,
      prefixes: this.#prefixes,
      outsideSlot: this.#pair("outside"),
      nodeSocketSlot: this.#pair("socket"),
      classes: this.#classArray,
      classCount: this.#classes.end,
      endpoints: this.#endpoints,
      sets: this.#publishSets(dismissed),
      rows: this.#rows.publish(),
      verdicts: this.#verdicts.publish(),
    }
  }

  #endpointOwner(cluster: Cluster, key: string, endpoint: Endpoint): Owner {
    const { namespace, serviceAccount, node, addresses } = endpoint
    const workload = this.#workloads.ofEndpoint(
      endpoint,
      cluster.namespaces.get(namespace)?.labels ?? noLabels,
      cluster.serviceAccounts.get(`${namespace}/${serviceAccount}`)?.labels ?? noLabels,
    )
    return { kind: "endpoint", key, node, addresses, workload }
  }

  #nodeOwner(node: Node): Owner {
    const workload = this.#workloads.ofNode(node, node.name === this.#node, false)
    return { kind: "node", key: node.name, node: node.name, addresses: node.addresses, workload }
  }

  /** Replaces an owner of addresses. */
  #own(key: string, owner: Owner | undefined, touched: Set<Address>, released: Workload[]): void {
    const before = this.#owners.get(key)
    if (before !== undefined) {
      released.push(before.workload)
      for (const address of before.addresses) {
        touched.add(address)
        const claims = this.#claims.get(address)
        if (claims === before) this.#claims.delete(address)
        else
          this.#setClaims(
            address,
            claimants(claims).filter((other) => other !== before),
          )
      }
    }
    if (owner === undefined) {
      this.#owners.delete(key)
      return
    }
    this.#owners.set(key, owner)
    for (const address of owner.addresses) {
      touched.add(address)
      const others = this.#claims.get(address)
      if (others === undefined) this.#claims.set(address, owner)
      else if (others !== owner) this.#setClaims(address, [...claimants(others).filter((one) => one !== owner), owner])
    }
  }

  #setClaims(address: Address, owners: readonly Owner[]): void {
    const only = owners[0]
    if (only === undefined) this.#claims.delete(address)
    else this.#claims.set(address, owners.length === 1 ? only : owners)
  }

  /** A node before a workload, then the least name: as in model/facts.ts. */
  #ownerOf(address: Address): Owner | undefined {
    const claims = this.#claims.get(address)
    if (claims === undefined || !Array.isArray(claims)) return claims as Owner | undefined
    const all = claims as readonly Owner[]
    return all.reduce((best, other) => (precedes(other, best) ? other : best))
  }

  #updateNetworkSets(before: Cluster, after: Cluster, change: ClusterChange, namespacesChanged: boolean): boolean {
    const keys = changedKeys(before.networkSets, after.networkSets, change.networkSets)
    const namespaced = (): boolean => [...after.networkSets.values()].some((set) => set.namespace !== "")
    if (keys.length === 0 && !(namespacesChanged && namespaced())) return false
    this.#networkSets = [...after.networkSets.values()].map((set) => ({
      // The address of a set's facts is of no consequence: conditions on sets speak of labels and namespaces.
      facts: networkSetFacts(after, set, ANY4),
      prefixes: set.prefixes,
    }))
    return true
  }

  #stagedTargets(): Set<string> {
    if (this.#policies.stagedCount === 0) return new Set()
    const staged = [...this.#policies.entries.values()].filter((entry) => entry.policy.mode !== "enforced")
    return new Set(staged.map((entry) => entry.target))
  }

  #updatePolicies(
    keys: Iterable<string>,
    policies: ReadonlyMap<string, Policy>,
    dirtyGroups: Set<Group>,
  ): PolicyEntry[] {
    const oldEntries: PolicyEntry[] = []
    for (const key of keys) {
      const policy = policies.get(key)
      const old = this.#policies.remove(key)
      const entry = policy && this.#policies.add(key, policy, this.#networkSets)
      if (old !== undefined) oldEntries.push(old)
      for (const group of this.#groupsFor([old, entry])) {
        const had = old !== undefined && group.policies.delete(old)
        const has = entry !== undefined && selectsGroup(entry, group)
        if (has) group.policies.add(entry)
        if (had || has) dirtyGroups.add(group)
      }
    }
    return oldEntries
  }

  /** Groups that one of these policies may select: all that it does, and few others. */
  #groupsFor(entries: readonly (PolicyEntry | undefined)[]): Iterable<Group> {
    const groups = new Set<Group>()
    for (const entry of entries) {
      if (entry === undefined) continue
      if (entry.keys === undefined) return this.#groups.values()
      for (const workload of this.#workloads.withKeys(entry.keys))
        for (const group of this.#groupsByWorkload.get(workload) ?? []) groups.add(group)
    }
    return groups
  }

  #assignGroup(key: string, cluster: Cluster, dirtyGroups: Set<Group>): void {
    const before = this.#groupOf.get(key)
    const endpoint = cluster.endpoints.get(key)
    const owner = this.#owners.get(`e${key}`)
    const local = endpoint?.node === this.#node && owner !== undefined
    const group = local ? this.#group(owner, dirtyGroups) : undefined
    if (group === before) return
    if (before !== undefined) {
      before.members.delete(key)
      dirtyGroups.add(before)
    }
    if (group === undefined) this.#groupOf.delete(key)
    else {
      group.members.add(key)
      this.#groupOf.set(key, group)
    }
  }

  #group(owner: Owner, dirtyGroups: Set<Group>): Group {
    const { workload, addresses } = owner
    const first = (family: Family): Address | undefined => addresses.find((address) => familyOf(address) === family)
    const [four, six] = [first(4), first(6)]
    // Addresses matter only to policies that speak of blocks at the near end.
    const ownAddresses =
      this.#policies.addressedCount > 0 ? `${four} ${six}` : `${four !== undefined} ${six !== undefined}`
    const key = `${workload.id} ${ownAddresses}`
    let group = this.#groups.get(key)
    if (group === undefined) {
      const subject = (address: Address | undefined): Subject => ({
        workload,
        inside: (prefixes) => address !== undefined && [...prefixes].some((prefix) => prefixContains(prefix, address)),
      })
      const [ofFour, ofSix] = [subject(four ?? six), subject(six ?? four)]
      group = {
        key,
        four: ofFour,
        six: ofSix,
        members: new Set(),
        policies: new Set(),
        ingress: undefined,
        egress: undefined,
      }
      for (const entry of this.#policies.candidates(workload)) if (selectsGroup(entry, group)) group.policies.add(entry)
      this.#groups.set(key, group)
      addTo(this.#groupsByWorkload, workload, group)
      dirtyGroups.add(group)
    }
    return group
  }

  #rebuildGroup(group: Group, replaced: ReadonlySet<string>, fresh: SetBuilder[], retired: SetBuilder[]): void {
    const old = [group.ingress, group.egress]
    if (group.members.size === 0) {
      this.#groups.delete(group.key)
      removeFrom(this.#groupsByWorkload, group.four.workload, group)
      group.ingress = undefined
      group.egress = undefined
    } else {
      const sorted = [...group.policies].sort(this.#tierOrder.compare)
      group.ingress = this.#builder(group, "ingress", sorted, replaced, fresh)
      group.egress = this.#builder(group, "egress", sorted, replaced, fresh)
    }
    for (const builder of old) {
      if (builder === undefined || builder === group.ingress || builder === group.egress) continue
      removeFrom(this.#users, builder, group)
      retired.push(builder)
    }
  }

  #builder(
    group: Group,
    direction: Direction,
    sorted: readonly PolicyEntry[],
    replaced: ReadonlySet<string>,
    fresh: SetBuilder[],
  ): SetBuilder {
    const here = sorted.filter((entry) => entry[direction] !== undefined)
    const programs = (
      pick: (subject: Subject) => PolicyEntry[],
    ): { four: SetPrograms["four"]; six: SetPrograms["six"] } => {
      const own = (subject: Subject): PolicyEntry[] => pick(subject).filter((entry) => selected(entry, subject))
      const four = own(group.four)
      const six = this.#policies.addressedCount > 0 ? own(group.six) : four
      const programOf = (entries: readonly PolicyEntry[], family: Family, subject: Subject): Program =>
        makeProgram(entries, this.#tierOrder, direction, family, subject)
      const program = programOf(four, 4, group.four)
      const alike = six === four && !four.some((entry) => entry[direction]?.families)
      return { four: program, six: alike ? program : programOf(six, 6, group.six) }
    }
    const enforced = programs(() => enforcedOf(here))
    const staged = this.#policies.stagedCount > 0 ? programs(() => stagedOf(here, replaced)) : undefined
    const differs =
      staged !== undefined && (staged.four.key !== enforced.four.key || staged.six.key !== enforced.six.key)
    const all: SetPrograms = { ...enforced, staged: differs ? staged : undefined }
    const key = setKey(direction, all)
    let builder = this.#builders.get(key)
    if (builder === undefined) {
      const parts = { features: this.#features, rows: this.#rows, ends: this.#ends[direction], stale: this.#stale }
      builder = new SetBuilder(key, direction, all, parts)
      this.#builders.set(key, builder)
      fresh.push(builder)
    }
    addTo(this.#users, builder, group)
    return builder
  }

  #admit(builder: SetBuilder, newPeers: Peer[], newNames: string[], addedBlocks: Block[]): void {
    for (const peer of builder.peers) {
      addTo(this.#byPeer, peer, builder)
      if (!this.#features.acquirePeer(peer)) continue
      newPeers.push(peer)
      for (const prefix of peer.blocks) {
        const block = this.#slots.blocks.acquire(prefix)
        if (block !== undefined) addedBlocks.push(block)
      }
    }
    for (const name of builder.names) {
      addTo(this.#byName, name, builder)
      if (this.#features.acquireName(name)) newNames.push(name)
    }
    if (builder.split) {
      this.#splitters.add(builder)
      this.#features.splitUsers++
    }
  }

  #dismiss(builder: SetBuilder, dismissed: SetBuilder[], droppedFeatures: number[], removedBlocks: Block[]): void {
    // A builder may be retired by several groups.
    if (!this.#builders.delete(builder.key)) return
    this.#stale.delete(builder)
    dismissed.push(builder)
    for (const peer of builder.peers) {
      removeFrom(this.#byPeer, peer, builder)
      const features = this.#features.releasePeer(peer)
      if (features.length === 0) continue
      droppedFeatures.push(...features)
      for (const prefix of peer.blocks) {
        const block = this.#slots.blocks.release(prefix)
        if (block !== undefined) removedBlocks.push(block)
      }
    }
    for (const name of builder.names) {
      removeFrom(this.#byName, name, builder)
      droppedFeatures.push(...this.#features.releaseName(name))
    }
    if (this.#splitters.delete(builder)) this.#features.splitUsers--
  }

  /** Slots that stand for no address: outside every block, and the node's own sockets. */
  #updateFixedSlots(cluster: Cluster): void {
    const labels = cluster.nodes.get(this.#node)?.labels ?? noLabels
    if (this.#socketWorkload?.labels === labels) return
    const socket = this.#workloads.ofNode({ labels }, true, true)
    if (this.#socketWorkload !== undefined) this.#workloads.release(this.#socketWorkload)
    this.#socketWorkload = socket
    for (const [family, address] of [
      [4, ANY4],
      [6, ANY6],
    ] as const) {
      const words = wordsOf(address)
      const outside = { words, family, workload: this.#workloads.outside, most: -1 }
      this.#slots.set(this.#slotNumbers.take(slotNames.outside(family)), outside)
      this.#slots.set(this.#slotNumbers.take(slotNames.socket(family)), { words, family, workload: socket, most: 128 })
    }
  }

  #pair(name: "outside" | "socket"): { readonly 4: number; readonly 6: number } {
    return { 4: this.#slotNumbers.take(slotNames[name](4)), 6: this.#slotNumbers.take(slotNames[name](6)) }
  }

  #updatePrefixes(cluster: Cluster, added: readonly Block[], removed: readonly Block[]): void {
    const changes = new Map<Prefix, PrefixEntry | undefined>()
    const ranges = new Set(cluster.clusterPrefixes)
    const rangesChanged =
      ranges.size !== this.#unknownBlocks.size || [...ranges].some((p) => !this.#unknownBlocks.has(p))
    const concerned = new Set<Prefix>([...added, ...removed].map((block) => block.prefix))
    if (rangesChanged) {
      for (const prefix of [...this.#prefixes.keys(), ...ranges]) concerned.add(prefix)
      this.#unknownBlocks = ranges
    }
    for (const prefix of concerned) {
      const name = slotNames.prefix(prefix)
      if (!this.#slots.blocks.all.has(prefix) && !ranges.has(prefix)) {
        if (!this.#prefixes.has(prefix)) continue
        changes.set(prefix, undefined)
        this.#slots.delete(this.#slotNumbers.take(name))
        this.#slotNumbers.drop(name)
        continue
      }
      const unknown = [...ranges].some((range) => prefixContainsPrefix(range, prefix))
      const slot = this.#slotNumbers.take(name)
      const base = prefixBase(prefix)
      const workload = unknown ? this.#workloads.unknown : this.#workloads.outside
      this.#slots.set(slot, { words: wordsOf(base), family: familyOf(base), workload, most: prefixLength(prefix) })
      const entry = this.#prefixes.get(prefix)
      if (entry?.slot !== slot || entry.unknown !== unknown) changes.set(prefix, { slot, unknown })
    }
    this.#prefixes = this.#prefixes.with(changes)
  }

  #updateAddress(address: Address, changes: Map<Address, AddressEntry | undefined>, dirtyEndpoints: Set<string>): void {
    const owner = this.#ownerOf(address)
    const before = this.#addresses.get(address)
    if (before?.endpoint !== undefined && this.#groupOf.has(before.endpoint)) dirtyEndpoints.add(before.endpoint)
    if (owner === undefined) {
      if (before === undefined) return
      changes.set(address, undefined)
      this.#slots.delete(before.slot)
      this.#slotNumbers.drop(address)
      return
    }
    const slot = this.#slotNumbers.take(address)
    if (before === undefined || this.#slots.workloadOf(slot) !== owner.workload) {
      this.#slots.set(slot, { words: wordsOf(address), family: familyOf(address), workload: owner.workload, most: 128 })
    }
    const endpoint = owner.kind === "endpoint" ? owner.key : undefined
    if (
      before?.slot === slot &&
      before.endpoint === endpoint &&
      before.node === owner.node &&
      before.kind === owner.kind
    ) {
      return
    }
    const entry = { slot, node: owner.node, kind: owner.kind }
    changes.set(address, endpoint === undefined ? entry : { ...entry, endpoint })
    if (endpoint !== undefined && this.#groupOf.has(endpoint)) dirtyEndpoints.add(endpoint)
  }

  #updateCells(created: readonly PeerClass[], gone: readonly PeerClass[], fresh: readonly SetBuilder[]): void {
    const isFresh = new Set(fresh)
    for (const peerClass of gone) {
      // Who saw it then may not see its features any more, but then it is fresh or gone itself.
      for (const builder of this.#seers(peerClass.features)) if (!isFresh.has(builder)) builder.clear(peerClass)
    }
    for (const peerClass of created) {
      for (const builder of this.#seers(peerClass.features)) if (!isFresh.has(builder)) builder.set(peerClass)
    }
    for (const builder of fresh) {
      if (this.#builders.get(builder.key) === builder) this.#fill(builder)
    }
  }

  #fill(builder: SetBuilder): void {
    const classes = new Set(builder.direction === "ingress" ? this.#classes.withFeature(SOCKET) : [])
    const include = (feature: number): void => {
      for (const peerClass of this.#classes.withFeature(feature)) classes.add(peerClass)
    }
    for (const peer of builder.peers) {
      include(peer.yes)
      include(peer.maybe)
    }
    for (const name of builder.names) for (const feature of this.#features.featuresOfName(name)) include(feature)
    if (builder.split) include(SIX)
    builder.fill(classes)
  }

  /** Sets to which one of the features makes a difference. */
  #seers(features: readonly number[]): Set<SetBuilder> {
    const seers = new Set<SetBuilder>()
    const include = (builders: Iterable<SetBuilder> | undefined): void => {
      for (const builder of builders ?? []) seers.add(builder)
    }
    for (const feature of features) {
      const peer = this.#features.peerOf.get(feature)
      const name = this.#features.nameFeatures.get(feature)
      if (peer !== undefined) include(this.#byPeer.get(peer))
      else if (name !== undefined) include(this.#byName.get(name.name))
      else if (feature === SIX) include(this.#splitters)
      else if (feature === SOCKET) include([...this.#builders.values()].filter((b) => b.direction === "ingress"))
    }
    return seers
  }

  #publishClasses(): void {
    const { dirty } = this.#slots
    if (dirty.size === 0 && this.#classArray.length >= this.#slotNumbers.end) return
    const next = new Uint16Array(Math.max(this.#classArray.length, this.#slotNumbers.end))
    next.set(this.#classArray)
    for (const slot of dirty) next[slot] = this.#slots.classOf(slot)
    dirty.clear()
    this.#classArray = next
  }

  #publishEndpoints(dirtyEndpoints: ReadonlySet<string>, dirtyGroups: ReadonlySet<Group>): void {
    const keys = new Set(dirtyEndpoints)
    for (const group of dirtyGroups) for (const key of group.members) keys.add(key)
    // Cells may have changed under groups that did not.
    for (const builder of this.#stale)
      for (const group of this.#users.get(builder) ?? []) for (const key of group.members) keys.add(key)
    const changes = new Map<string, LocalEndpoint | undefined>()
    for (const key of keys) {
      const group = this.#groupOf.get(key)
      const before = this.#endpoints.get(key)
      if (group?.ingress === undefined || group.egress === undefined) {
        if (before !== undefined) {
          changes.set(key, undefined)
          this.#endpointNumbers.drop(key)
        }
        continue
      }
      const known = dirtyEndpoints.has(key) ? undefined : before?.addresses
      const addresses = known ?? this.#ownAddresses(key)
      const next: LocalEndpoint = {
        number: this.#endpointNumbers.take(key),
        addresses,
        ingress: group.ingress.publish(),
        egress: group.egress.publish(),
      }
      if (before === undefined || !sameEndpoint(before, next)) changes.set(key, next)
    }
    this.#endpoints = this.#endpoints.with(changes)
  }

  /** Those of its addresses that are not another's. */
  #ownAddresses(key: string): readonly Address[] {
    const { addresses } = this.#owners.get(`e${key}`) ?? { addresses: [] }
    return addresses.filter((address) => this.#addresses.get(address)?.endpoint === key)
  }

  #publishSets(dismissed: readonly SetBuilder[]): readonly PolicySet[] {
    if (this.#stale.size + dismissed.length === 0) return this.#sets
    const sets = this.#sets.slice()
    for (const builder of dismissed) {
      const place = this.#places.get(builder)
      if (place === undefined) continue
      // The last one takes its place.
      const last = this.#listed.pop() ?? builder
      const set = sets.pop()
      this.#places.set(last, place)
      this.#places.delete(builder)
      if (last === builder || set === undefined) continue
      this.#listed[place] = last
      sets[place] = set
    }
    for (const builder of this.#stale) {
      const place = this.#places.get(builder) ?? this.#listed.push(builder) - 1
      this.#places.set(builder, place)
      sets[place] = builder.publish()
    }
    this.#stale.clear()
    this.#sets = sets
    return sets
  }
}

function claimants(claims: Owner | readonly Owner[] | undefined): readonly Owner[] {
  if (claims === undefined) return []
  return Array.isArray(claims) ? (claims as readonly Owner[]) : [claims as Owner]
}

function precedes(a: Owner, b: Owner): boolean {
  return a.kind === b.kind ? a.key < b.key : a.kind === "node"
}

function selectsGroup(entry: PolicyEntry, group: Group): boolean {
  return selected(entry, group.four) || (entry.addressed && selected(entry, group.six))
}

function sameEndpoint(a: LocalEndpoint, b: LocalEndpoint): boolean {
  return (
    a.number === b.number &&
    a.ingress === b.ingress &&
    a.egress === b.egress &&
    a.addresses.length === b.addresses.length &&
    a.addresses.every((address, i) => address === b.addresses[i])
  )
}

function sameSets(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((key) => b.has(key))
}
