import { join } from "node:path"
import { attachments } from "../kernel/bpf/attach.ts"
import type { BpfMap } from "../kernel/bpf/map.ts"
import { inNamespace, type NamespaceHandle, openNamespace } from "../kernel/namespace.ts"
import type { Request } from "../kernel/netlink/socket.ts"
import type { Cluster } from "../model/cluster.ts"
import { familyOf } from "../net/address.ts"
import { EbpfPlane, type KeptSize } from "../plane/ebpf/plane.ts"
import { NodeNetwork, type NodeNetworkOptions } from "../plane/network/network.ts"
import type { NodeDevices } from "../plane/network/node-devices.ts"
import type { Plane } from "../plane/plane.ts"
import type { Configuration } from "./configuration.ts"

/** A data plane as the agent runs it: the contract, and how it takes hold of pods. */
export interface NodePlane extends Plane {
  /**
   * What puts the program that drops until the pod is known at the node's end of a pod's pair: requests to the node's namespace,
   * which the caller makes at once. EEXIST is no failure.
   */
  podHook(ifindex: number): readonly Request[]
  /** Tables that keep another size than the configuration says. */
  readonly keptSizes: readonly KeptSize[]
  /** The ring of events. */
  readonly events: BpfMap
  /** Lets go of descriptors; what is pinned and attached goes on. */
  close(): void
}

/** The parts of an agent that touch the kernel. */
export interface AgentParts {
  readonly network: (
    hooks: Pick<NodeNetworkOptions, "podHook" | "isHooked" | "onAddresses" | "onChange">,
  ) => NodeNetwork
  /** Loads the plane for these interfaces and attaches it at the node's entrances. */
  readonly plane: (devices: NodeDevices, cluster: Cluster, pins: string) => NodePlane
  /** Whether a pod's pair has the plane's program. */
  readonly isHooked: (ifindex: number) => boolean
}

/** The parts that the real agent has: the pods' network, and the eBPF plane. */
export function kernelParts(configuration: Configuration): AgentParts {
  const { node, runDir, netns, uplink, routing, overlayPort, mtu, bigTcp, nonMasquerade, podPrefixes, machineNetwork } =
    configuration
  const { flowRecords, addressEntries } = configuration
  const namespace: NamespaceHandle | undefined = netns === undefined ? undefined : openNamespace(netns)
  return {
    network: (hooks) =>
      new NodeNetwork({
        ...{ node, netns, uplink, routing, overlayPort, mtu, bigTcp, nonMasquerade, podPrefixes },
        evenInitial: machineNetwork,
        stateDirectory: join(runDir, "state", "network"),
        ...hooks,
      }),
    plane: (devices, cluster, pins) => {
      const first = cluster.nodes.get(node)?.addresses[0]
      const overlayFamily = first === undefined ? undefined : familyOf(first)
      const plane = EbpfPlane.open({
        pinDirectory: pins,
        routing,
        overlayPort,
        overlayFamily,
        entrances: devices,
        entries: { flows: flowRecords, addrs: addressEntries },
        namespace,
      })
      try {
        plane.attachEntrances()
      } catch (error) {
        plane.close()
        throw error
      }
      return plane
    },
    isHooked: (ifindex) => {
      const look = (): boolean => {
        try {
          return attachments(ifindex).some(
            ({ direction, program }) => direction === "ingress" && program.name.startsWith("from_pod"),
          )
        } catch {
          // The interface is gone: nothing is attached to it.
          return false
        }
      }
      return namespace === undefined ? look() : inNamespace(namespace, look)
    },
  }
}
