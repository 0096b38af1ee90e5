import { existsSync, unlinkSync } from "node:fs"
import { isKernelError } from "../error.ts"
import type { NamespaceHandle } from "../namespace.ts"
import { native } from "../native.ts"
import { Netlink } from "../netlink/netlink.ts"
import {
  addClsact,
  clsactRequest,
  deleteClsactFilter,
  filterIn,
  filterRequest,
  findFilterRequest,
  interfaceIn,
  listClsactFilters,
  replaceClsactFilter,
} from "../netlink/qdisc.ts"
import type { Request } from "../netlink/socket.ts"
import type { KernelSteps } from "../netlink/steps.ts"
import type { Program } from "./program.ts"

const ENOENT = 2

export type Direction = "ingress" | "egress"

/** BPF_TCX_INGRESS and BPF_TCX_EGRESS of include/uapi/linux/bpf.h (Linux 6.6); Debian 12's headers lack them. */
const tcxTypes: Readonly<Record<Direction, number>> = { ingress: 46, egress: 47 }

/** A program attached to an interface. */
export interface Attachment {
  readonly kind: "clsact" | "tcx"
  readonly direction: Direction
  readonly program: { readonly id: number; readonly name: string; readonly tag: string }
}

export interface AttachOptions {
  /** Index in the calling thread's network namespace. */
  readonly ifindex: number
  readonly direction: Direction
  readonly program: Program
}

/**
 * Attaches by a clsact filter, in place of the one that this function attached before, without a moment between. Acts in
 * the calling thread's namespace (`inNamespace`). Does not wait for RCU, unlike TCX.
 */
export function attachClsact(options: AttachOptions): void {
  withNetlink((netlink) => {
    addClsact(netlink, options.ifindex)
    replaceClsactFilter(netlink, options)
  })
}

/**
 * What `attachClsact` does, as requests that `KernelSteps` can make in the interface's namespace; EEXIST among the answers means
 * that the qdisc was there. The program must stay open until they are done.
 */
export function clsactRequests(options: AttachOptions): readonly Request[] {
  return [clsactRequest(options.ifindex), filterRequest(options)]
}

/** How many interfaces are asked about together: the kernel's answers to all of them lie in one socket's buffer. */
const TOGETHER = 32

/**
 * Numbers of the programs that `attachClsact` attached, by interface of that namespace; those without one are left out. Asked on
 * a worker, a thousand interfaces in a few milliseconds.
 */
export async function clsactPrograms(
  steps: KernelSteps,
  namespace: NamespaceHandle,
  interfaces: Iterable<number>,
  direction: Direction,
): Promise<Map<number, number>> {
  const found = new Map<number, number>()
  const ask = async (some: readonly number[]): Promise<void> => {
    const requests = some.map((ifindex) => findFilterRequest({ ifindex, direction }))
    try {
      for (const message of (await steps.take([{ namespace, requests, tolerate: ENOENT }])).flat())
        for (const { id } of filterIn(message)) found.set(interfaceIn(message), id)
    } catch (error) {
      // An interface that is gone, or without a qdisc, hides the others' answers.
      if (some.length > 1) for (const ifindex of some) await ask([ifindex])
      else if (!isKernelError(error, "ENODEV", "EINVAL")) throw error
    }
  }
  const all = [...interfaces]
  // One row after the other, so that nobody waits long for the worker or for the event loop.
  for (let i = 0; i < all.length; i += TOGETHER) await ask(all.slice(i, i + TOGETHER))
  return found
}

/** Takes away what `attachClsact` attached; does nothing when it is gone. The clsact qdisc stays. */
export function detachClsact(options: { readonly ifindex: number; readonly direction: Direction }): void {
  withNetlink((netlink) => deleteClsactFilter(netlink, options))
}

function withNetlink<T>(use: (netlink: Netlink) => T): T {
  const netlink = Netlink.open()
  try {
    return use(netlink)
  } finally {
    netlink.close()
  }
}

/** A TCX link; closing it detaches unless it is pinned. */
export interface TcxLink {
  readonly fd: number
  close(): void
}

/**
 * Attaches by a TCX link (Linux ≥ 6.6). With `pin`, a link that is pinned there gets the new program in place, else the
 * new link is pinned. Takes some 13 ms under the network lock. `ifindex` is of the calling thread's namespace.
 */
export function attachTcx(options: AttachOptions & { readonly pin?: string }): TcxLink {
  const { pin, program } = options
  const addon = native()
  if (pin !== undefined && existsSync(pin)) {
    const fd = addon.bpfObjectGet(pin)
    try {
      addon.linkUpdate(fd, program.fd)
      return tcxLink(fd)
    } catch (error) {
      addon.close(fd)
      // ENOLINK: its interface is gone, and the pin holds nothing any more.
      if (!isKernelError(error, "ENOLINK")) throw error
      unlinkSync(pin)
    }
  }
  const fd = addon.linkCreate(program.fd, options.ifindex, tcxTypes[options.direction])
  try {
    if (pin !== undefined) addon.bpfObjectPin(fd, pin)
    return tcxLink(fd)
  } catch (error) {
    addon.close(fd)
    throw error
  }
}

function tcxLink(fd: number): TcxLink {
  let open = true
  return {
    fd,
    close() {
      if (open) native().close(fd)
      open = false
    },
  }
}

/** Whether the kernel has TCX: it knows the attach type. Changes nothing. */
export function hasTcx(): boolean {
  try {
    native().programQuery(1, tcxTypes.ingress)
    return true
  } catch (error) {
    // ENODEV: the attach type is known, the interface is not.
    if (isKernelError(error, "ENODEV")) return true
    if (isKernelError(error, "EINVAL", "EOPNOTSUPP")) return false
    throw error
  }
}

/** All BPF programs at the traffic-control hooks of an interface of the calling thread's namespace. */
export function attachments(ifindex: number): Attachment[] {
  const tcx = hasTcx()
  return (["ingress", "egress"] as const).flatMap((direction) => {
    const filters = withNetlink((netlink) => listClsactFilters(netlink, { ifindex, direction }))
    return [
      ...filters.map((program): Attachment => ({ kind: "clsact", direction, program })),
      ...(tcx ? tcxAttachments(ifindex, direction) : []),
    ]
  })
}

function tcxAttachments(ifindex: number, direction: Direction): Attachment[] {
  return native()
    .programQuery(ifindex, tcxTypes[direction])
    .map((id) => {
      const fd = native().programById(id)
      const { name, tag } = native().programInfo(fd)
      native().close(fd)
      return { kind: "tcx", direction, program: { id, name, tag } }
    })
}
