import type { Address } from "../../net/types.ts"

/** Which attachment: a sandbox may be attached more than once, under different interface names. */
export interface AttachmentRef {
  /** CNI_CONTAINERID. */
  readonly container: string
  /** CNI_IFNAME. */
  readonly ifname: string
}

export interface AttachRequest extends AttachmentRef {
  /** Path of the pod's network namespace. */
  readonly netns: string
  /** Name of the network in the CNI configuration; GC speaks about one network. */
  readonly network: string
  readonly namespace: string
  readonly pod: string
  /** Addresses that the pod must get; empty: the network chooses. */
  readonly addresses: readonly Address[]
}

/** What was made for a pod, as CNI's result tells it. */
export interface Attached {
  readonly hostInterface: { readonly name: string; readonly mac: string }
  readonly podInterface: { readonly name: string; readonly mac: string; readonly netns: string }
  readonly mtu: number
  /** Each as the only one of its subnet: /32 or /128. */
  readonly addresses: readonly Address[]
  /** The pod's default routes; one for each family it has. */
  readonly gateways: readonly Address[]
}

export interface CheckRequest extends AttachmentRef {
  readonly netns: string
  /** The addresses that `prevResult` gives this interface. */
  readonly addresses: readonly Address[]
  /** Next hops of its default routes; a later plugin of a chain may have changed those of ADD. */
  readonly gateways: readonly Address[]
}

/**
 * What CNI asks of a node's network. `del` succeeds when there is nothing to delete; `add` resolves when the pod's own
 * policy is enforced; `status` throws when `add` could not work. Errors carry one of the words of `CniCode` as `code`.
 */
export interface PodNetwork {
  add(request: AttachRequest): Promise<Attached>
  del(ref: AttachmentRef): Promise<void>
  check(request: CheckRequest): Promise<void>
  gc(network: string, valid: readonly AttachmentRef[]): Promise<void>
  status(): Promise<void>
}
