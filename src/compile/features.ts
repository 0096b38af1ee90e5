import type { Prefix } from "../net/types.ts"
import type { Block } from "./blocks.ts"
import { addTo, removeFrom } from "./index-sets.ts"
import { Maybe, type NamedValue, No } from "./l4.ts"
import { holds, indexKeys, keysOfWorkload, type Workload } from "./match.ts"
import type { Peer } from "./policies.ts"

/** Feature of IPv6 identities while a set treats the families differently. */
export const SIX = 1
/** Feature of the node's own sockets. */
export const SOCKET = 2

/** What a name stands for, as a feature of identities. */
export interface NameFeature {
  readonly name: string
  readonly values: readonly NamedValue[] | "maybe"
}

interface FarName {
  users: number
  readonly features: Map<string, number>
}

/** What sets in use look at, and so what tells identities apart. Numbers of features are never given twice. */
export class Features {
  #next = SOCKET + 1
  #peers = new Set<Peer>()
  #peerUsers = new Map<Peer, number>()
  #peersByKey = new Map<string, Set<Peer>>()
  #general = new Set<Peer>()
  #names = new Map<string, FarName>()
  readonly nameFeatures = new Map<number, NameFeature>()
  /** The peer of a feature. */
  readonly peerOf = new Map<number, Peer>()
  splitUsers = 0

  /** Counts one more user; true if it is the first, so that identities must be asked. */
  acquirePeer(peer: Peer): boolean {
    const users = this.#peerUsers.get(peer) ?? 0
    this.#peerUsers.set(peer, users + 1)
    if (users > 0) return false
    peer.yes = this.#next++
    peer.maybe = this.#next++
    this.peerOf.set(peer.yes, peer)
    this.peerOf.set(peer.maybe, peer)
    this.#peers.add(peer)
    const keys = indexKeys(peer.resolved)
    if (keys === undefined) this.#general.add(peer)
    for (const key of keys ?? []) addTo(this.#peersByKey, key, peer)
    return true
  }

  /** Counts one user less; the features to drop if it was the last. */
  releasePeer(peer: Peer): readonly number[] {
    const users = (this.#peerUsers.get(peer) ?? 0) - 1
    if (users > 0) {
      this.#peerUsers.set(peer, users)
      return []
    }
    this.#peerUsers.delete(peer)
    this.#peers.delete(peer)
    this.#general.delete(peer)
    for (const key of indexKeys(peer.resolved) ?? []) removeFrom(this.#peersByKey, key, peer)
    const gone = [peer.yes, peer.maybe]
    for (const feature of gone) this.peerOf.delete(feature)
    peer.yes = 0
    peer.maybe = 0
    return gone
  }

  acquireName(name: string): boolean {
    const known = this.#names.get(name)
    if (known !== undefined) {
      known.users++
      return false
    }
    this.#names.set(name, { users: 1, features: new Map() })
    return true
  }

  releaseName(name: string): readonly number[] {
    const known = this.#names.get(name)
    if (known === undefined || --known.users > 0) return []
    this.#names.delete(name)
    const gone = [...known.features.values()]
    for (const feature of gone) this.nameFeatures.delete(feature)
    return gone
  }

  /** Feature of what a name stands for at a workload; undefined when it has no such port. */
  nameFeature(name: string, workload: Workload): number | undefined {
    const known = this.#names.get(name)
    if (known === undefined) return undefined
    const own = workload.namedPorts.filter((port) => port.name === name)
    const unknown = workload.kind === "unknown"
    if (own.length === 0 && !unknown) return undefined
    const key = unknown ? "?" : [...new Set(own.map((port) => `${port.protocol}:${port.port}`))].sort().join()
    let feature = known.features.get(key)
    if (feature === undefined) {
      feature = this.#next++
      known.features.set(key, feature)
      this.nameFeatures.set(feature, { name, values: unknown ? "maybe" : own })
    }
    return feature
  }

  featuresOfName(name: string): Iterable<number> {
    return this.#names.get(name)?.features.values() ?? []
  }

  /** All features of an identity, ascending. */
  of(workload: Workload, six: boolean, chain: readonly Block[]): number[] {
    const features: number[] = []
    const inside = insideChain(chain)
    const ask = (peer: Peer): void => {
      const feature = this.peerFeature(peer, workload, inside)
      if (feature !== undefined) features.push(feature)
    }
    if (workload.kind === "unknown") for (const peer of this.#peers) ask(peer)
    else {
      for (const peer of this.#general) ask(peer)
      const asked = new Set<Peer>()
      for (const key of [...keysOfWorkload(workload), ...chain.map((block) => `B${block.prefix}`)]) {
        for (const peer of this.#peersByKey.get(key) ?? []) {
          if (asked.has(peer)) continue
          asked.add(peer)
          ask(peer)
        }
      }
    }
    for (const name of this.#names.keys()) {
      const feature = this.nameFeature(name, workload)
      if (feature !== undefined) features.push(feature)
    }
    if (six && this.splitUsers > 0) features.push(SIX)
    if (workload.socket) features.push(SOCKET)
    return features.sort((a, b) => a - b)
  }

  peerFeature(peer: Peer, workload: Workload, inside: (prefixes: ReadonlySet<Prefix>) => boolean): number | undefined {
    const truth = holds(peer.resolved, workload, inside)
    if (truth === No) return undefined
    return truth === Maybe ? peer.maybe : peer.yes
  }
}

export function insideChain(chain: readonly Block[]): (prefixes: ReadonlySet<Prefix>) => boolean {
  return (prefixes) => chain.some((block) => prefixes.has(block.prefix))
}
