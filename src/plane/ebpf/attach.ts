import { existsSync } from "node:fs"
import { join } from "node:path"
import {
  attachClsact,
  attachments,
  attachTcx,
  clsactPrograms,
  clsactRequests,
  type Direction,
  detachClsact,
  hasTcx,
} from "../../kernel/bpf/attach.ts"
import type { Program } from "../../kernel/bpf/program.ts"
import { isKernelError } from "../../kernel/error.ts"
import { currentNamespacePath, inNamespace, type NamespaceHandle, openNamespace } from "../../kernel/namespace.ts"
import { native } from "../../kernel/native.ts"
import type { Request } from "../../kernel/netlink/socket.ts"
import { KernelSteps } from "../../kernel/netlink/steps.ts"

/** The qdisc is there already. */
const EEXIST = 17

/** Interface indices of a node in its namespace; `overlay` only with routing vxlan. */
export interface Entrances {
  readonly uplink: number
  readonly heddle0: number
  readonly heddle1: number
  readonly overlay?: number | undefined
}

interface Place {
  readonly name: "uplink" | "overlay" | "heddle0" | "heddle1"
  readonly program: string
  readonly direction: Direction
}

const places: readonly Place[] = [
  { name: "uplink", program: "from_uplink", direction: "ingress" },
  { name: "overlay", program: "from_overlay", direction: "ingress" },
  { name: "heddle0", program: "to_pods", direction: "egress" },
  { name: "heddle1", program: "drop_all", direction: "ingress" },
]

export interface AttacherOptions {
  readonly program: (name: string) => Program
  /** Directory on a bpffs for the pins of links; undefined: clsact everywhere. */
  readonly pinDirectory: string | undefined
  /** The node's namespace; undefined: the calling thread's. */
  readonly namespace: NamespaceHandle | undefined
}

/** Puts the programs on the interfaces, and sees whether they are still there. */
export class Attacher {
  readonly #options: AttacherOptions
  readonly #pods = new Set<number>()
  readonly #steps = new KernelSteps()
  #own: NamespaceHandle | undefined

  constructor(options: AttacherOptions) {
    this.#options = options
  }

  /** At a pod's host side: by clsact, which does not wait for RCU. Idempotent, replaces without a gap. */
  attachPod(ifindex: number): void {
    this.#within(() => attachClsact({ ifindex, direction: "ingress", program: this.#options.program("from_pod") }))
    this.#pods.add(ifindex)
  }

  /** What `attachPod` does, as requests to the node's namespace, which the caller makes at once; EEXIST is no failure. */
  podHook(ifindex: number): readonly Request[] {
    this.#pods.add(ifindex)
    return clsactRequests({ ifindex, direction: "ingress", program: this.#options.program("from_pod") })
  }

  /** Attaches where it has not been done by this process. */
  async ensurePods(interfaces: ReadonlySet<number>): Promise<void> {
    const missing = interfaces.difference(this.#pods)
    if (missing.size > 0) await this.#attachPods(missing)
  }

  /** These are all pods' interfaces: looks where the program is, and attaches it where it is not. */
  async repairPods(interfaces: ReadonlySet<number>): Promise<void> {
    for (const known of this.#pods) if (!interfaces.has(known)) this.#pods.delete(known)
    const { id } = this.#options.program("from_pod")
    const there = await clsactPrograms(this.#steps, this.#namespace(), interfaces, "ingress")
    const missing = new Set<number>()
    for (const ifindex of interfaces) {
      if (there.get(ifindex) === id) this.#pods.add(ifindex)
      else missing.add(ifindex)
    }
    await this.#attachPods(missing)
  }

  async #attachPods(interfaces: Iterable<number>): Promise<void> {
    const rows = [...interfaces].map(async (ifindex) => {
      try {
        await this.#steps.take([{ namespace: this.#namespace(), requests: this.podHook(ifindex), tolerate: EEXIST }])
      } catch (error) {
        this.#pods.delete(ifindex)
        // The pod is gone before its state is: its interface needs no program.
        if (!isKernelError(error, "ENODEV")) throw error
      }
    })
    await Promise.all(rows)
  }

  /** The node's namespace; where none was given, the one in which this process is. */
  #namespace(): NamespaceHandle {
    this.#own ??= this.#options.namespace ?? openNamespace(currentNamespacePath)
    return this.#own
  }

  close(): void {
    if (this.#own !== this.#options.namespace) this.#own?.close()
    this.#own = undefined
  }

  /** At the node's own entrances: by TCX where the kernel has it, pinned so that they outlive this process. */
  attachEntrances(entrances: Entrances, repair = false): void {
    const { pinDirectory, program } = this.#options
    for (const place of places) {
      const ifindex = entrances[place.name]
      if (ifindex === undefined) continue
      if (repair && this.#isAttached(ifindex, place.direction, place.program)) continue
      const common = { ifindex, direction: place.direction, program: program(place.program) }
      this.#within(() => {
        if (pinDirectory === undefined || !hasTcx()) attachClsact(common)
        else attachTcx({ ...common, pin: join(pinDirectory, linkPin(place.name, ifindex)) }).close()
      })
    }
  }

  detach(entrances: Entrances, pods: Iterable<number>): void {
    const gone = (ifindex: number, direction: Direction) => {
      try {
        this.#within(() => detachClsact({ ifindex, direction }))
      } catch (error) {
        if (!isKernelError(error, "ENODEV", "ENOENT", "EINVAL")) throw error
      }
    }
    for (const ifindex of new Set([...pods, ...this.#pods])) gone(ifindex, "ingress")
    for (const place of places) {
      const ifindex = entrances[place.name]
      if (ifindex === undefined) continue
      gone(ifindex, place.direction)
      const { pinDirectory } = this.#options
      if (pinDirectory !== undefined) detachLink(join(pinDirectory, linkPin(place.name, ifindex)))
    }
    this.#pods.clear()
  }

  #isAttached(ifindex: number, direction: Direction, name: string): boolean {
    const { id } = this.#options.program(name)
    try {
      return this.#within(() => attachments(ifindex)).some(
        (attachment) => attachment.direction === direction && attachment.program.id === id,
      )
    } catch (error) {
      if (isKernelError(error, "ENODEV")) return false
      throw error
    }
  }

  #within<T>(fn: () => T): T {
    const { namespace } = this.#options
    return namespace === undefined ? fn() : inNamespace(namespace, fn)
  }
}

/** Detaches a pinned link now: the last reference that goes away would do it a little later. */
function detachLink(pin: string): void {
  if (!existsSync(pin)) return
  const fd = native().bpfObjectGet(pin)
  try {
    native().linkDetach(fd)
  } finally {
    native().close(fd)
  }
}

/** An interface that was made anew has another index, so another pin. */
export function linkPin(name: string, ifindex: number): string {
  return `link-${name}-${ifindex}`
}

export function isLinkPin(file: string): boolean {
  return file.startsWith("link-")
}
