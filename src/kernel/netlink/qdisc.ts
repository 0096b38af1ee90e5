import { KernelError } from "../error.ts"
import {
  attribute,
  concat,
  decodeAttributes,
  Flag,
  type Message,
  nested,
  readText,
  readU32,
  text,
  u32,
  viewOf,
} from "./message.ts"
import type { Netlink } from "./netlink.ts"
import type { Request } from "./socket.ts"

/** Message types of include/uapi/linux/rtnetlink.h; attributes of pkt_sched.h and pkt_cls.h. */
const TrafficMessage = { newQdisc: 36, newFilter: 44, deleteFilter: 45, getFilter: 46 } as const
const Tca = { kind: 1, options: 2 } as const
const TcaBpf = { fd: 6, name: 7, flags: 8, tag: 10, id: 11 } as const
const DIRECT_ACTION = 1
const CLSACT_HANDLE = 0xffff_0000
const CLSACT_PARENT = 0xffff_fff1
const parents = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const
/** Before every other filter: nobody may let a packet pass ahead of our judgement. */
const PRIORITY = 1
/** Tells our filter from others of the same priority: "hd". */
const HANDLE = 0x6864
/** ETH_P_ALL in network order. */
const ALL_PROTOCOLS = 0x0300
const TCMSG_SIZE = 20

export interface FilterPlace {
  readonly ifindex: number
  readonly direction: "ingress" | "egress"
}

export interface BpfFilter {
  /** The kernel's number of the program. */
  readonly id: number
  readonly name: string
  /** Hash of the instructions, hexadecimal. */
  readonly tag: string
}

/** Makes the clsact qdisc; does nothing when it is there. */
export function addClsact(netlink: Netlink, ifindex: number): void {
  try {
    netlink.socket.change(clsactRequest(ifindex))
  } catch (error) {
    if (!(error instanceof KernelError && error.code === "EEXIST")) throw error
  }
}

/** Makes the clsact qdisc. EEXIST when it is there. */
export function clsactRequest(ifindex: number): Request {
  return {
    operation: `add the clsact qdisc to interface ${ifindex}`,
    type: TrafficMessage.newQdisc,
    flags: Flag.create | Flag.exclusive,
    payload: concat(header(ifindex, CLSACT_HANDLE, CLSACT_PARENT, 0), attribute(Tca.kind, text("clsact"))),
  }
}

export type FilterOptions = FilterPlace & { readonly program: { readonly fd: number; readonly name: string } }

/** Puts the program in the place of the one before in one step (RCU), or attaches it. */
export function replaceClsactFilter(netlink: Netlink, options: FilterOptions): void {
  netlink.socket.change(filterRequest(options))
}

/** What `replaceClsactFilter` asks for. The program must stay open until it is done. */
export function filterRequest(options: FilterOptions): Request {
  const { ifindex, direction, program } = options
  return {
    operation: `attach ${program.name} to the ${direction} of interface ${ifindex}`,
    type: TrafficMessage.newFilter,
    flags: Flag.create | Flag.replace,
    payload: concat(
      place(options, HANDLE),
      attribute(Tca.kind, text("bpf")),
      nested(
        Tca.options,
        attribute(TcaBpf.fd, u32(program.fd)),
        attribute(TcaBpf.name, text(program.name)),
        attribute(TcaBpf.flags, u32(DIRECT_ACTION)),
      ),
    ),
  }
}

/** True when our filter was there. */
export function deleteClsactFilter(netlink: Netlink, options: FilterPlace): boolean {
  try {
    netlink.socket.change({
      operation: `detach our filter from the ${options.direction} of interface ${options.ifindex}`,
      type: TrafficMessage.deleteFilter,
      payload: concat(place(options, HANDLE), attribute(Tca.kind, text("bpf"))),
    })
    return true
  } catch (error) {
    // EINVAL: there is no clsact qdisc.
    if (error instanceof KernelError && ["ENOENT", "EINVAL", "ENODEV"].includes(error.code)) return false
    throw error
  }
}

/** All BPF filters there, ours and others'. */
export function listClsactFilters(netlink: Netlink, options: FilterPlace): BpfFilter[] {
  const found: BpfFilter[] = []
  const messages = netlink.socket.dump({
    operation: `list the filters of interface ${options.ifindex}`,
    type: TrafficMessage.getFilter,
    payload: header(options.ifindex, 0, parents[options.direction], 0),
  })
  // A dump names each priority once without a handle, before its filters.
  for (const message of messages) if (viewOf(message.payload).getUint32(8, true) !== 0) found.push(...filterIn(message))
  return found
}

/** Asks for our filter alone. ENOENT when it is not there, EINVAL without a clsact qdisc, ENODEV without the interface. */
export function findFilterRequest(options: FilterPlace): Request {
  return {
    operation: `find our filter at the ${options.direction} of interface ${options.ifindex}`,
    type: TrafficMessage.getFilter,
    payload: concat(place(options, HANDLE), attribute(Tca.kind, text("bpf"))),
  }
}

/** The interface that a filter's message is about. */
export function interfaceIn(message: Message): number {
  return viewOf(message.payload).getUint32(4, true)
}

/** The BPF filter that a message tells of; none when it tells of another kind. */
export function filterIn(message: Message): BpfFilter[] {
  const attributes = decodeAttributes(message.payload.subarray(TCMSG_SIZE))
  const inside = attributes.get(Tca.options)
  if (readText(attributes.get(Tca.kind)) !== "bpf" || !inside) return []
  const bpf = decodeAttributes(inside)
  return [
    {
      id: readU32(bpf.get(TcaBpf.id)) ?? 0,
      name: readText(bpf.get(TcaBpf.name)) ?? "",
      tag: Buffer.from(bpf.get(TcaBpf.tag) ?? []).toString("hex"),
    },
  ]
}

function place(options: FilterPlace, handle: number): Uint8Array {
  return header(options.ifindex, handle, parents[options.direction], (PRIORITY << 16) | ALL_PROTOCOLS)
}

/** Struct tcmsg. */
function header(ifindex: number, handle: number, parent: number, info: number): Uint8Array {
  return concat(u32(0), u32(ifindex), u32(handle), u32(parent), u32(info))
}
