import type { Listen } from "../suite/state.ts"
import type { LabPaths } from "./paths.ts"
import type { LabRecord } from "./record.ts"
import type { Station } from "./responder.ts"

/** Who answers where in a lab: each pod in its namespace, each node with its host-network pods in its own, the hosts outside. */
export function stationsOf(
  paths: LabPaths,
  record: Pick<LabRecord, "nodes" | "pods" | "outside">,
  outsideListens: readonly Listen[],
): Station[] {
  const pods = record.pods.filter((pod) => !pod.hostNetwork)
  return [
    ...record.nodes.map((node) => ({
      identity: nodeIdentity(node.name),
      netns: paths.nodeNamespace(node.name),
      addresses: node.addresses,
      listens: unique([
        ...node.listens,
        ...record.pods.filter((pod) => pod.hostNetwork && pod.node === node.name).flatMap((pod) => pod.listens),
      ]),
    })),
    ...pods.map((pod) => ({
      identity: podIdentity(pod),
      netns: paths.podNamespace(pod.namespace, pod.name),
      addresses: pod.addresses,
      listens: pod.listens,
    })),
    { identity: OUTSIDE, netns: paths.outside, addresses: record.outside, listens: outsideListens },
  ]
}

export const OUTSIDE = "outside"

/** A node and its host-network pods are one for the network: who answers is the node. No pod's name has a blank. */
export function nodeIdentity(node: string): string {
  return `node ${node}`
}

export function podIdentity(pod: { readonly namespace: string; readonly name: string }): string {
  return `${pod.namespace}/${pod.name}`
}

function unique(listens: readonly Listen[]): Listen[] {
  return [...new Map(listens.map((listen) => [`${listen.port}/${listen.protocol}`, listen])).values()]
}
