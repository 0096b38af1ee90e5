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
  readonly sourcePort?: number
  readonly port: number
}

export interface SenderTask {
  readonly streams: readonly Stream[]
  /** Word 0: the test sets it to 1 to end this; word 1 + i: packets of stream i that went out. */
  readonly shared: SharedArrayBuffer
}

/**
 * A segment with RST is judged by itself: where it belongs to no connection it makes no record, so every single one asks
 * the policy. A datagram with fixed ports is always of the same flow.
 */
function packetsOf(stream: Stream): Uint8Array[] {
  const ends = { source: parseAddress(stream.from), destination: parseAddress(stream.to) }
  if (stream.protocol === 17)
    return [udp({ sourcePort: stream.sourcePort ?? 1, destinationPort: stream.port }, ends, Buffer.from("x"))]
  return Array.from({ length: 64 }, (_, i) =>
    tcp({ sourcePort: 10_000 + i, destinationPort: stream.port, flags: TcpFlag.rst }, ends),
  )
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
  for (let turn = 0; Atomics.load(words, 0) === 0; turn++) {
    for (const [socket, packets, to, word] of lines) {
      const packet = packets[turn % packets.length]
      if (packet !== undefined && socket.sendTo(packet, to, 0) > 0) Atomics.add(words, word, 1)
    }
  }
}

if (!isMainThread) run(workerData as SenderTask)
