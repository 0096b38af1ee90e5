import { native } from "../native.ts"

/** What a test run needs besides the packet; see struct __sk_buff of include/uapi/linux/bpf.h. */
export interface TestRun {
  /** The frame from its Ethernet header on, at least 14 bytes. */
  readonly packet: Uint8Array
  /** How often the program runs over the same packet; `nanoseconds` is the mean. Default 1. */
  readonly repeat?: number
  /** Fields of struct __sk_buff. The kernel wants `ifindex` (and `ingressIfindex`) to exist in the caller's namespace. */
  readonly context?: {
    readonly ifindex?: number
    readonly ingressIfindex?: number
    readonly mark?: number
    readonly priority?: number
    /** Five words of skb->cb. */
    readonly cb?: readonly number[]
    /** Of a packet that the kernel cuts later: bytes of one segment, and how many there are. */
    readonly gsoSize?: number
    readonly gsoSegments?: number
    /** EtherType that the frame must have; the kernel takes skb->protocol from the frame. */
    readonly protocol?: number
  }
}

export interface TestResult {
  /** What the program returned: TC_ACT_*. */
  readonly result: number
  /** The frame afterwards. */
  readonly packet: Uint8Array
  /** Mean time of one run. */
  readonly nanoseconds: number
}

/** Offsets in struct __sk_buff, and its size up to `hwtstamp`. */
const SkBuff = {
  mark: 8,
  priority: 32,
  ingressIfindex: 36,
  ifindex: 40,
  cb: 48,
  gsoSegments: 164,
  gsoSize: 176,
  size: 192,
} as const

/** Largest frame that a program may make of a test packet here. */
const ROOM = 66_000

/** A loaded BPF program by its descriptor. Throws `KernelError`. */
export class Program implements Disposable {
  readonly name: string
  readonly fd: number
  /** The kernel's number of this program. */
  readonly id: number
  #open = true

  /** Takes over `fd`; `name` is the full one, since the kernel keeps fifteen characters only. */
  constructor(fd: number, name?: string) {
    const info = native().programInfo(fd)
    this.fd = fd
    this.id = info.id
    this.name = name ?? info.name
  }

  static openPinned(path: string, name?: string): Program {
    return new Program(native().bpfObjectGet(path), name)
  }

  /** BPF_PROG_TEST_RUN: runs the program over a packet without any interface. */
  testRun(run: TestRun): TestResult {
    checkProtocol(run)
    const out = new Uint8Array(ROOM)
    const context = run.context ? encodeContext(run.context) : null
    const { result, length, nanoseconds } = native().programTestRun(this.fd, run.packet, context, out, run.repeat ?? 1)
    return { result, packet: out.slice(0, length), nanoseconds }
  }

  /** Runs a program of type syscall once with `context` as its argument; returns what it returned. */
  call(context: Uint8Array = new Uint8Array(0)): number {
    return native().programTestRun(this.fd, new Uint8Array(0), context, new Uint8Array(0), 0).result
  }

  pin(path: string): void {
    native().bpfObjectPin(this.fd, path)
  }

  close(): void {
    if (this.#open) native().close(this.fd)
    this.#open = false
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** The kernel refuses a context that states the protocol; a packet that contradicts its test is a mistake of the test. */
function checkProtocol({ packet, context }: TestRun): void {
  const found = ((packet[12] ?? 0) << 8) | (packet[13] ?? 0)
  if (context?.protocol === undefined || context.protocol === found) return
  const hex = (type: number) => `0x${type.toString(16).padStart(4, "0")}`
  throw new RangeError(`Cannot run over this packet: its EtherType is ${hex(found)}, not ${hex(context.protocol)}`)
}

function encodeContext(context: NonNullable<TestRun["context"]>): Uint8Array {
  const bytes = new Uint8Array(SkBuff.size)
  const view = new DataView(bytes.buffer)
  const put = (offset: number, value: number | undefined) => view.setUint32(offset, value ?? 0, true)
  put(SkBuff.mark, context.mark)
  put(SkBuff.priority, context.priority)
  put(SkBuff.ingressIfindex, context.ingressIfindex)
  put(SkBuff.ifindex, context.ifindex)
  put(SkBuff.gsoSize, context.gsoSize)
  put(SkBuff.gsoSegments, context.gsoSegments)
  context.cb?.slice(0, 5).forEach((word, i) => {
    put(SkBuff.cb + 4 * i, word)
  })
  return bytes
}
