import { join } from "node:path"
import type { Adopted } from "../compile/compile.ts"
import type { NameSource } from "../flow/name.ts"
import { readPinned } from "./read-pinned.ts"
import { readSnapshot, type Snapshot } from "./snapshot.ts"

/** What an earlier agent of this run directory left. */
export interface Earlier {
  /** Numbers that the kernel knows: kept, so that the tables in force need no rewriting. */
  readonly numbers: Adopted | undefined
  /** Names of that generation, for events and flows that are still about it. */
  readonly names: NameSource | undefined
}

/** A pod's interface as the network of this node knows it. */
interface Interface {
  readonly namespace: string
  readonly pod: string
  readonly ifindex: number
}

/**
 * Reads the kernel's tables and the snapshot; whatever cannot be read is left out, and the agent begins anew there.
 * `interfaces`: those of this node's pods.
 */
export function readEarlier(runDir: string, interfaces: readonly Interface[]): Earlier {
  const snapshot = readSnapshot(runDir)
  if (snapshot === undefined) return { numbers: undefined, names: undefined }
  const names = namesOf(snapshot)
  try {
    const { generation, compiled, ports } = readPinned(join(runDir, "bpf"), snapshot)
    if (generation === snapshot.generation) return { numbers: { ...compiled, verdicts: snapshot.verdicts }, names }
    // Killed between the flip and the snapshot: what the kernel says is right, names from the disk may not be. Endpoints have
    // one interface each, which tells their names: with another number one would be handed what is another's until the flip.
    const { addresses, prefixes, outsideSlot, nodeSocketSlot } = compiled
    const pods = new Map(interfaces.map(({ namespace, pod, ifindex }) => [ifindex, `${namespace}/${pod}`]))
    const endpoints = new Map(
      [...ports].flatMap(([number, { ifindex }]) => {
        const name = pods.get(ifindex)
        return name === undefined ? [] : [[name, { number }] as const]
      }),
    )
    return { numbers: { addresses, prefixes, outsideSlot, nodeSocketSlot, endpoints }, names: undefined }
  } catch {
    // Nothing is pinned, or another layout: there is nothing to keep.
    return { numbers: undefined, names }
  }
}

function namesOf({ generation, cluster, verdicts }: Snapshot): NameSource {
  const addresses = new Map([
    ...[...cluster.nodes.values()].flatMap((node) => node.addresses.map((one) => [one, { node: node.name }] as const)),
    ...[...cluster.endpoints].flatMap(([endpoint, { node, addresses: own }]) =>
      own.map((one) => [one, { endpoint, node }] as const),
    ),
  ])
  const { endpoints, namespaces, nodes, clusterPrefixes } = cluster
  return { generation, addresses, endpoints, namespaces, nodes, clusterPrefixes, verdicts }
}
