import type { BpfMap } from "../kernel/bpf/map.ts"
import type { NodeDevices } from "../plane/network/node-devices.ts"
import type { Plane } from "../plane/plane.ts"

/** A data plane as the agent runs it: the contract, and where it takes hold of the node's interfaces. */
export interface NodePlane extends Plane {
  /** Takes hold of the node's own interfaces; again when they were made anew. */
  attach(devices: NodeDevices): void | Promise<void>
  /** Puts the program that drops until the pod is known at the node's end of a pod's pair. */
  attachPod(ifindex: number): void | Promise<void>
  isHooked(ifindex: number): boolean
  /** The ring of events. */
  readonly events: BpfMap
  /** Lets go of descriptors; what is pinned and attached goes on. */
  close(): void
}
