import { VersionedMap } from "../../compile/versions.ts"
import { macBytes } from "../../net/packet.ts"
import type { Address } from "../../net/types.ts"
import type { EndpointPort } from "../plane.ts"
import type { Attachment } from "./attachment.ts"

/**
 * This node's pods by `NAMESPACE/NAME`, kept as attachments come and go: the plane's view of their interfaces, and the addresses
 * that they have before their objects say so. A pod that has two sandboxes for a moment (the runtime makes the new one before it
 * deletes the old) is behind the newer, which has the higher interface index.
 */
export class LocalPods {
  readonly #tell: (pod: string, addresses: readonly Address[] | undefined) => void
  /** By pod, and by interface index. */
  readonly #attached = new Map<string, Map<number, Attachment>>()
  readonly #changed = new Set<string>()
  #ports = new VersionedMap<string, EndpointPort>()

  /** `tell` hears of every change of a pod's addresses; undefined: it has none from this network any more. */
  constructor(tell: (pod: string, addresses: readonly Address[] | undefined) => void) {
    this.#tell = tell
  }

  /** Takes `after` in the place of `before`. */
  change(before: Attachment | undefined, after: Attachment | undefined): void {
    if (before?.phase === "attached") this.#attached.get(podOf(before))?.delete(before.ifindex)
    if (after?.phase === "attached") {
      const sandboxes = this.#attached.get(podOf(after)) ?? new Map<number, Attachment>()
      this.#attached.set(podOf(after), sandboxes.set(after.ifindex, after))
    }
    for (const one of [before, after]) {
      if (one?.phase !== "attached") continue
      const pod = podOf(one)
      if (this.#attached.get(pod)?.size === 0) this.#attached.delete(pod)
      this.#changed.add(pod)
      this.#tell(pod, this.#newest(pod)?.addresses)
    }
  }

  /** The interface of each pod: the same map as long as nothing changes, else a version of the one before. */
  get ports(): ReadonlyMap<string, EndpointPort> {
    const changes = new Map<string, EndpointPort | undefined>()
    for (const pod of this.#changed) changes.set(pod, portOf(this.#newest(pod), this.#ports.get(pod)))
    this.#changed.clear()
    this.#ports = this.#ports.with(changes)
    return this.#ports
  }

  #newest(pod: string): Attachment | undefined {
    const sandboxes = this.#attached.get(pod)
    return sandboxes?.get(Math.max(...sandboxes.keys()))
  }
}

function podOf({ namespace, pod }: Attachment): string {
  return `${namespace}/${pod}`
}

function portOf(attachment: Attachment | undefined, before: EndpointPort | undefined): EndpointPort | undefined {
  if (attachment === undefined) return undefined
  const { ifindex, mac, container } = attachment
  const port = { ifindex, mac: macBytes(mac), sandbox: container }
  const same = before?.ifindex === ifindex && before.sandbox === container && Buffer.compare(before.mac, port.mac) === 0
  return same ? before : port
}
