import type { PolicySet } from "../compile/compiled.ts"
import type { Cluster } from "../model/cluster.ts"
import type { Origin } from "../model/origin.ts"
import type { Direction, Policy } from "../model/policy.ts"
import { ruleIdText, type Verdict } from "../model/verdict.ts"
import { familyOf } from "../net/address.ts"
import { prefixBase } from "../net/prefix.ts"
import type { Family, Prefix } from "../net/types.ts"
import { type Traffic, trafficOf } from "./traffic.ts"
import { addressesOf, KEY_END, type Stretch, stretchAt, World } from "./world.ts"

/** One end of changed connections. Names: pods `NAMESPACE/NAME`, `node/NAME`, blocks, `outside`, `own-node` (a process on the pod's node). */
export type DiffEnd = readonly string[]

/** What one end said. */
export interface DiffReason {
  readonly direction: Direction
  readonly allowed: boolean
  readonly rule: string
  readonly origin?: Origin
}

export interface DiffVerdict {
  readonly allowed: boolean
  /** Of an allowed connection what both ends say, of a denied one what the denying ends say; empty: nothing is enforced. */
  readonly by: readonly DiffReason[]
}

/** Connections from any of `from` to any of `to` (never a pod to itself) whose verdict is another one. */
export interface DiffChange {
  readonly from: DiffEnd
  readonly to: DiffEnd
  readonly families: readonly Family[]
  readonly traffic: readonly Traffic[]
  readonly before: DiffVerdict
  readonly after: DiffVerdict
}

export interface PolicyDiff {
  readonly changes: readonly DiffChange[]
  /** Pods that only one of the two has; their connections are not compared. */
  readonly added: readonly string[]
  readonly removed: readonly string[]
  /** Pairs of ends of which some connection is allowed now, and of which some is denied now. */
  readonly opened: number
  readonly closed: number
}

/**
 * Which connections change their verdict between two states of a cluster, and by which rules. Ends that neither state tells
 * apart are looked at once: the cost grows with kinds of workloads, not with workloads, and never with packets.
 */
export function diffClusters(before: Cluster, after: Cluster): PolicyDiff {
  const numbers = new Map<string, number>()
  const worlds = [new World(before, numbers), new World(after, numbers)] as const
  const shared = [...before.endpoints.keys()].filter((key) => after.endpoints.has(key)).sort()
  const found = new Changes()
  const ownNodes = [before, after].some(seesOwnNode)
  for (const family of [4, 6] as const) {
    const pods = podGroups(worlds, shared, family)
    const blocks = blockGroups(worlds, family)
    const nodes = nodeGroups(worlds, family)
    const changed = new ChangedSets(worlds, [...pods, ...blocks, ...nodes])
    const senders = new Set(pods.filter((group) => changed.has(group.egress)))
    const receivers = pods.filter((group) => changed.has(group.ingress))
    for (const source of senders) {
      for (const target of [...pods, ...blocks]) comparePair(worlds, source, target, family, found)
    }
    for (const target of receivers) {
      for (const source of [...pods, ...blocks]) {
        if (!senders.has(source)) comparePair(worlds, source, target, family, found)
      }
    }
    for (const node of nodes) {
      for (const group of pods) {
        if (!changed.has(group.ingress) && !changed.has(group.egress)) continue
        // A process on the pod's own node reaches it whatever policies say, or else as compareOwnNodes tells.
        const elsewhere = group.names.filter((key) => `node/${before.endpoints.get(key)?.node}` !== node.names[0])
        if (elsewhere.length > 0) comparePair(worlds, node, { ...group, names: elsewhere }, family, found)
        const names = ownNodes ? elsewhere : group.names
        if (names.length > 0) comparePair(worlds, { ...group, names }, node, family, found)
      }
    }
  }
  if (ownNodes) compareOwnNodes(before, after, shared, found)
  const changes = found.merged()
  return {
    changes,
    added: [...after.endpoints.keys()].filter((key) => !before.endpoints.has(key)).sort(),
    removed: [...before.endpoints.keys()].filter((key) => !after.endpoints.has(key)).sort(),
    opened: pairsOf(changes.filter((change) => change.after.allowed)),
    closed: pairsOf(changes.filter((change) => !change.after.allowed)),
  }
}

type Worlds = readonly [World, World]
type Both<T> = readonly [T, T]

/** Ends that neither state tells apart. */
interface Group {
  readonly names: string[]
  readonly classes: Both<number>
  readonly egress: Both<PolicySet> | undefined
  readonly ingress: Both<PolicySet> | undefined
}

/** Which policy sets answer anybody otherwise than before: few, when one policy of many was changed. */
class ChangedSets {
  readonly #worlds: Worlds
  readonly #classes: readonly Both<number>[]
  readonly #known = new Map<PolicySet, Map<PolicySet, boolean>>()

  constructor(worlds: Worlds, peers: readonly Group[]) {
    this.#worlds = worlds
    this.#classes = [...new Map(peers.map(({ classes }) => [classes.join(), classes])).values()]
  }

  has(sets: Both<PolicySet> | undefined): boolean {
    if (sets === undefined) return false
    const of = this.#known.get(sets[0]) ?? new Map<PolicySet, boolean>()
    this.#known.set(sets[0], of)
    let changed = of.get(sets[1])
    if (changed === undefined) {
      changed = this.#classes.some((classes) => answersDiffer(this.#worlds, sets, classes))
      of.set(sets[1], changed)
    }
    return changed
  }
}

function answersDiffer(worlds: Worlds, sets: Both<PolicySet> | undefined, classes: Both<number>): boolean {
  if (sets === undefined) return false
  const [before, after] = worlds
  return before.answerOf(before.row(sets[0], classes[0])) !== after.answerOf(after.row(sets[1], classes[1]))
}

class Groups {
  readonly #groups = new Map<string, Group>()
  readonly #numbers = new Map<PolicySet, number>()

  add(name: string, classes: Both<number>, sets?: { egress: Both<PolicySet>; ingress: Both<PolicySet> }): void {
    const numbers = sets === undefined ? [] : [...sets.egress, ...sets.ingress].map((set) => this.#number(set))
    const key = [...classes, ...numbers].join()
    const group = this.#groups.get(key)
    if (group === undefined) {
      this.#groups.set(key, { names: [name], classes, egress: sets?.egress, ingress: sets?.ingress })
    } else if (group.names.at(-1) !== name) group.names.push(name)
  }

  #number(set: PolicySet): number {
    const known = this.#numbers.get(set)
    if (known !== undefined) return known
    this.#numbers.set(set, this.#numbers.size)
    return this.#numbers.size - 1
  }

  list(): Group[] {
    return [...this.#groups.values()]
  }
}

function podGroups(worlds: Worlds, keys: readonly string[], family: Family): Group[] {
  const groups = new Groups()
  for (const key of keys) {
    const sets = both(worlds, (world) => world.sets(key))
    const [old, now] = [addressesOf(worlds[0], key, family), addressesOf(worlds[1], key, family)]
    // The pod is the same, its addresses need not be: they stand for each other in their order.
    for (let i = 0; sets !== undefined && i < Math.min(old.length, now.length); i++) {
      const classes = both(worlds, (world) => {
        const address = (world === worlds[0] ? old : now)[i]
        return address && world.classOf(address)
      })
      if (classes === undefined) continue
      groups.add(key, classes, {
        egress: [sets[0].egress, sets[1].egress],
        ingress: [sets[0].ingress, sets[1].ingress],
      })
    }
  }
  return groups.list()
}

/** Each node, as workloads of other nodes see it. */
function nodeGroups(worlds: Worlds, family: Family): Group[] {
  const groups: Group[] = []
  for (const name of worlds[0].cluster.nodes.keys()) {
    const classes = both(worlds, (world) => {
      const address = world.cluster.nodes.get(name)?.addresses.find((one) => familyOf(one) === family)
      return address && world.classOf(address)
    })
    if (classes !== undefined) groups.push({ names: [`node/${name}`], classes, egress: undefined, ingress: undefined })
  }
  return groups
}

/** Blocks that either state names, and what lies outside of all of them. */
function blockGroups(worlds: Worlds, family: Family): Group[] {
  const groups = new Groups()
  groups.add(family === 4 ? "outside" : "outside (IPv6)", [
    worlds[0].classOutside(family),
    worlds[1].classOutside(family),
  ])
  const blocks = new Set<Prefix>(worlds.flatMap((world) => [...world.compiled.prefixes.keys()]))
  for (const prefix of [...blocks].sort()) {
    if (familyOf(prefixBase(prefix)) !== family) continue
    const classes = both(worlds, (world) => world.classOfBlock(prefix))
    if (classes !== undefined) groups.add(prefix, classes)
  }
  return groups.list()
}

function both<T>(worlds: Worlds, of: (world: World) => T | undefined): Both<T> | undefined {
  const [before, after] = [of(worlds[0]), of(worlds[1])]
  return before === undefined || after === undefined ? undefined : [before, after]
}

/** Rows of both ends in one state; undefined: that end enforces nothing. */
interface EndRows {
  readonly egress: readonly Stretch[] | undefined
  readonly ingress: readonly Stretch[] | undefined
}

function comparePair(worlds: Worlds, source: Group, target: Group, family: Family, found: Changes): void {
  // A pod and itself: nothing is enforced there.
  if (source.names.length === 1 && target.names.length === 1 && source.names[0] === target.names[0]) return
  if (!answersDiffer(worlds, source.egress, target.classes) && !answersDiffer(worlds, target.ingress, source.classes))
    return
  const rows = ([0, 1] as const).map((state): EndRows => {
    const world = worlds[state]
    const row = (set: PolicySet | undefined, peer: Group): readonly Stretch[] | undefined =>
      set && world.stretches(world.row(set, peer.classes[state]))
    return { egress: row(source.egress?.[state], target), ingress: row(target.ingress?.[state], source) }
  })
  const [before, after] = rows
  if (before !== undefined && after !== undefined) compareRows(before, after, source.names, target.names, family, found)
}

function compareRows(
  before: EndRows,
  after: EndRows,
  from: readonly string[],
  to: readonly string[],
  family: Family,
  found: Changes,
): void {
  const lists = [before.egress, before.ingress, after.egress, after.ingress].filter((list) => list !== undefined)
  const starts = [...new Set(lists.flatMap((list) => list.map(({ start }) => start)))].sort((a, b) => a - b)
  let run: { start: number; end: number; old: DiffVerdict; now: DiffVerdict } | undefined
  const finish = (): void => {
    if (run !== undefined) found.add(from, to, family, trafficOf(run.start, run.end), run.old, run.now)
    run = undefined
  }
  for (const [index, start] of starts.entries()) {
    const end = starts[index + 1] ?? KEY_END
    const at = lists.map((list) => stretchAt(list, start))
    if (at.every((stretch) => stretch?.bySourcePort === undefined)) {
      const [old, now] = [verdictAt(before, start, 0), verdictAt(after, start, 0)]
      if (old.allowed === now.allowed) continue
      if (run !== undefined && run.end === start && sameVerdict(run.old, old) && sameVerdict(run.now, now)) {
        run.end = end
        continue
      }
      finish()
      run = { start, end, old, now }
      continue
    }
    const base = (start >>> 16) << 16
    const cuts = new Set([base])
    for (const stretch of at) {
      for (const one of stretch?.bySourcePort ?? []) if (one.start >>> 16 === start >>> 16) cuts.add(one.start)
    }
    const sources = [...cuts].sort((a, b) => a - b)
    for (const [i, first] of sources.entries()) {
      const last = Math.min(sources[i + 1] ?? KEY_END, base + 65_536) - 1
      const [old, now] = [verdictAt(before, start, first), verdictAt(after, start, first)]
      if (old.allowed === now.allowed) continue
      const sourcePorts = [first & 0xffff, last & 0xffff] as const
      const traffic = trafficOf(start, end).map((one): Traffic => ({ ...one, sourcePorts }))
      found.add(from, to, family, traffic, old, now)
    }
  }
  finish()
}

/** Reasons of equal verdicts are one object each. */
function sameVerdict(a: DiffVerdict, b: DiffVerdict): boolean {
  return a.by.length === b.by.length && a.by.every((reason, i) => reason === b.by[i])
}

function verdictAt(rows: EndRows, key: number, sourceKey: number): DiffVerdict {
  const reasons = (["egress", "ingress"] as const).flatMap((direction): DiffReason[] => {
    const list = rows[direction]
    const stretch = list && stretchAt(list, key)
    const nested = stretch?.bySourcePort
    const verdict = nested === undefined ? stretch?.verdict : stretchAt(nested, sourceKey)?.verdict
    return verdict === undefined ? [] : [reasonOf(verdict, direction)]
  })
  const denying = reasons.filter((reason) => !reason.allowed)
  return denying.length === 0 ? { allowed: true, by: reasons } : { allowed: false, by: denying }
}

const reasons = new WeakMap<Verdict, DiffReason>()

function reasonOf(verdict: Verdict, direction: Direction): DiffReason {
  const known = reasons.get(verdict)
  if (known !== undefined) return known
  const { by } = verdict
  const reason: DiffReason = {
    direction,
    allowed: verdict.action === "allow",
    rule: ruleIdText(by),
    ...("origin" in by ? { origin: by.origin } : {}),
  }
  reasons.set(verdict, reason)
  return reason
}

/** Whether a rule may tell a workload's own node from others, or keep its processes out. */
function seesOwnNode(cluster: Cluster): boolean {
  return [...cluster.policies.values()].some(
    (policy: Policy) =>
      JSON.stringify([policy.ingress, policy.egress]).includes('"localNode"') ||
      (policy.group === "cilium.io" && (policy.ingress?.rules ?? []).some((rule) => rule.action === "deny")),
  )
}

function compareOwnNodes(before: Cluster, after: Cluster, shared: readonly string[], found: Changes): void {
  for (const name of before.nodes.keys()) {
    const here = shared.filter((key) => [before, after].every((cluster) => cluster.endpoints.get(key)?.node === name))
    if (here.length === 0 || !after.nodes.has(name)) continue
    const numbers = new Map<string, number>()
    const worlds = [new World(before, numbers, name), new World(after, numbers, name)] as const
    for (const family of [4, 6] as const) {
      const sockets = new Groups()
      sockets.add("own-node", [worlds[0].classOfSocket(family), worlds[1].classOfSocket(family)])
      const addresses = nodeGroups(worlds, family).filter((group) => group.names.includes(`node/${name}`))
      for (const pods of podGroups(worlds, here, family)) {
        for (const socket of sockets.list()) comparePair(worlds, socket, pods, family, found)
        for (const node of addresses) comparePair(worlds, pods, { ...node, names: ["own-node"] }, family, found)
      }
    }
  }
}

interface Draft {
  readonly from: readonly string[]
  readonly to: readonly string[]
  readonly families: readonly Family[]
  readonly traffic: readonly Traffic[]
  readonly before: DiffVerdict
  readonly after: DiffVerdict
}

/** Changes as they are found, put together where they differ in one thing only. */
class Changes {
  readonly #found: Draft[] = []

  add(
    from: readonly string[],
    to: readonly string[],
    family: Family,
    traffic: readonly Traffic[],
    before: DiffVerdict,
    after: DiffVerdict,
  ): void {
    this.#found.push({ from, to, families: [family], traffic, before, after })
  }

  merged(): DiffChange[] {
    const byTraffic = join(this.#found, "traffic", (a, b) => [...a, ...b])
    const byFamily = join(byTraffic, "families", (a, b) => union(a, b))
    const bySource = join(byFamily, "from", (a, b) => union(a, b).sort())
    const byTarget = join(bySource, "to", (a, b) => union(a, b).sort())
    return byTarget.sort((a, b) => Number(a.after.allowed) - Number(b.after.allowed) || compare(a.to[0], b.to[0]))
  }
}

function join<K extends "traffic" | "families" | "from" | "to">(
  drafts: readonly Draft[],
  field: K,
  merge: (a: Draft[K], b: Draft[K]) => Draft[K],
): Draft[] {
  const merged = new Map<string, Draft>()
  for (const draft of drafts) {
    const key = JSON.stringify({ ...draft, [field]: 0 })
    const known = merged.get(key)
    merged.set(key, known === undefined ? draft : { ...known, [field]: merge(known[field], draft[field]) })
  }
  return [...merged.values()]
}

function union<T>(a: readonly T[], b: readonly T[]): T[] {
  return [...new Set([...a, ...b])]
}

function compare(a: string | undefined, b: string | undefined): number {
  return (a ?? "") < (b ?? "") ? -1 : a === b ? 0 : 1
}

function pairsOf(changes: readonly DiffChange[]): number {
  const pairs = new Set<string>()
  let many = 0
  for (const { from, to } of changes) {
    // Counting exactly is for people; beyond a million they want the order of magnitude.
    if (from.length * to.length > 1_000_000) many += from.length * to.length
    else for (const a of from) for (const b of to) if (a !== b) pairs.add(`${a} ${b}`)
  }
  return pairs.size + many
}
