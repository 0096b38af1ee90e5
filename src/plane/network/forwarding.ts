import type { Cluster } from "../../model/cluster.ts"
import { macBytes } from "../../net/packet.ts"
import type { Prefix } from "../../net/types.ts"
import type { EndpointPort, Forwarding, Peer } from "../plane.ts"
import type { Attachment } from "./attachment.ts"

export interface ForwardingInput {
  readonly cluster: Cluster
  readonly node: string
  readonly attachments: Iterable<Attachment>
  readonly peers: ReadonlyMap<string, Peer>
  readonly nonMasquerade: readonly Prefix[]
}

/**
 * The plane's view of interfaces and nodes. A pod that has two sandboxes for a moment (the runtime makes the new one
 * before it deletes the old) is behind the newer, which has the higher interface index.
 */
export function forwardingOf({ cluster, node, attachments, peers, nonMasquerade }: ForwardingInput): Forwarding {
  const ports = new Map<string, EndpointPort>()
  for (const attachment of attachments) {
    if (attachment.phase !== "attached") continue
    const { namespace, pod, ifindex, mac, container } = attachment
    const key = `${namespace}/${pod}`
    const other = ports.get(key)
    if (other !== undefined && other.ifindex > ifindex) continue
    ports.set(key, { ifindex, mac: macBytes(mac), sandbox: container })
  }
  return { ports, peers, self: { name: node, addresses: cluster.nodes.get(node)?.addresses ?? [] }, nonMasquerade }
}
