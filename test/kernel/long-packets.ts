import { createHash } from "node:crypto"
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises"
import { openNamespace } from "../../src/kernel/namespace.ts"
import { runNft } from "../../src/kernel/nft.ts"
import { openSocket, type Socket } from "../../src/kernel/socket.ts"
import { familyOf } from "../../src/net/address.ts"
import type { Address, Family } from "../../src/net/types.ts"

const MIB = 1_048_576
/** Long enough for the congestion window to open: packets grow with it. */
const STREAM = 64 * MIB

export interface Way {
  /** Paths of network namespaces: who connects, and to whom. */
  readonly from: string
  readonly to: string
  /** Of `to`. */
  readonly address: Address
  /** Where `to` listens. */
  readonly port: number
  /** How much is sent; default 64 MiB. */
  readonly bytes?: number
  /** The one who is connected to sends, not the one who connects. */
  readonly back?: boolean
}

/** Sends a stream by TCP and returns how many packets above 64 KiB the receiver got; fails unless every byte came as it was sent. */
export async function longPackets({ from, to, address, port, bytes = STREAM, back = false }: Way): Promise<number> {
  const family = familyOf(address)
  await runNft(
    "add table inet count; delete table inet count; table inet count { chain in { type filter hook prerouting priority 0; meta length > 65536 counter; }; }",
    { namespace: back ? from : to },
  )
  const listener = socketIn(to, family)
  const client = socketIn(from, family)
  let server: Socket | undefined
  try {
    listener.bind(address, port)
    listener.listen(1)
    client.connect(address, port)
    server = await until(() => listener.accept()?.socket)
    await (back ? transfer(server, client, bytes) : transfer(client, server, bytes))
  } finally {
    for (const socket of [listener, client, server]) socket?.close()
  }
  const counted = await runNft("list table inet count", { namespace: back ? from : to })
  return Number(/packets (\d+)/.exec(counted)?.[1])
}

async function transfer(client: Socket, server: Socket, bytes: number): Promise<void> {
  const data = new Uint8Array(MIB)
  const words = new Uint32Array(data.buffer)
  const into = new Uint8Array(MIB)
  const [sent, got] = [createHash("sha256"), createHash("sha256")]
  let given = 0
  let taken = 0
  while (taken < bytes) {
    // Every piece is another: none may stand for its neighbour.
    if (given % MIB === 0 && given < bytes)
      for (let i = 0; i < words.length; i++) words[i] = Math.imul(given + i, 0x9e3779b1)
    const piece = data.subarray(given % MIB)
    const accepted = given < bytes ? client.send(piece) : 0
    sent.update(piece.subarray(0, accepted))
    given += accepted
    const received = server.receive(into)?.length
    if (received === 0) throw new Error(`The stream ended after ${taken} bytes`)
    if (received !== undefined) got.update(into.subarray(0, received))
    taken += received ?? 0
    if (accepted === 0 && received === undefined) await turn()
  }
  if (taken !== bytes || got.digest("hex") !== sent.digest("hex"))
    throw new Error(`Of ${bytes} bytes sent ${taken} came, not as they were sent`)
}

/** A TCP socket in the network namespace at `path`. */
export function socketIn(path: string, family: Family): Socket {
  const namespace = openNamespace(path)
  try {
    return openSocket({ namespace, family, type: "stream" })
  } finally {
    namespace.close()
  }
}

async function until<T>(ask: () => T | undefined): Promise<T> {
  const deadline = performance.now() + 5_000
  for (;;) {
    const answer = ask()
    if (answer !== undefined) return answer
    if (performance.now() > deadline) throw new Error("Nothing came within 5 s")
    await sleep(2)
  }
}
