import { isMainThread, workerData } from "node:worker_threads"
import { openNamespace } from "../../src/kernel/namespace.ts"
import { openSocket, type Socket } from "../../src/kernel/socket.ts"
import { parseAddress } from "../../src/net/address.ts"
import { TcpFlag, tcp, udp } from "../../src/net/packet.ts"

/** One stream of packets, sent from a pod's namespace over and over. */
export interface Stream {
  readonly netns: string
  readonly from: string
  readonly to: string
  readonly protocol: 6 | 17
  readonly port: number
  /** The first of `flows` source ports; default 10,000. */
  readonly sourcePort?: number
  /** How many source ports take turns; default 64, of UDP 1. */
  readonly flows?: number
  /**
   * Flags of the segments that each source port sends in turn. Default: RST alone, which is judged by itself: where it
   * belongs to no connection it makes no record, so every single one asks the policy.
   */
  readonly flags?: readonly number[]
  /** Ends by itself when every packet has gone out once. */
  readonly once?: boolean
}

export interface SenderTask {
  readonly streams: readonly Stream[]
  /** Word 0: the test sets it to 1 to end this; word 1 + i: packets of stream i that went out. */
  readonly shared: SharedArrayBuffer
}

function packetsOf({
  from,
  to,
  protocol,
  port,
  sourcePort = 10_000,
  flows,
  flags = [TcpFlag.rst],
}: Stream): Uint8Array[] {
  const ends = { source: parseAddress(from), destination: parseAddress(to) }
  const count = flows ?? (protocol === 17 ? 1 : 64)
  return Array.from({ length: count }, (_, i) => sourcePort + i).flatMap((own) => {
    const ports = { sourcePort: own, destinationPort: port }
    if (protocol === 17) return [udp(ports, ends, Buffer.from("x"))]
    return flags.map((each) => tcp({ ...ports, flags: each }, ends))
  })
}

function run({ streams, shared }: SenderTask): void {
  const words = new Uint32Array(shared)
  const lines = streams.map((stream, i): [Socket, Uint8Array[], Parameters<Socket["sendTo"]>[1], number] => {
    const namespace = openNamespace(stream.netns)
    const socket = openSocket({ namespace, family: 4, type: "raw", protocol: stream.protocol })
    // What comes in is nobody's to read here.
    socket.option("receiveBuffer", 0)
    return [socket, packetsOf(stream), parseAddress(stream.to), i + 1]
  })
  const last = streams.every((stream) => stream.once)
    ? Math.max(...lines.map(([, packets]) => packets.length))
    : Infinity
  for (let turn = 0; turn < last && Atomics.load(words, 0) === 0; turn++) {
    for (const [socket, packets, to, word] of lines) {
      const packet = packets[turn % packets.length]
      if (packet !== undefined && socket.sendTo(packet, to, 0) > 0) Atomics.add(words, word, 1)
    }
  }
}

if (!isMainThread) run(workerData as SenderTask)
