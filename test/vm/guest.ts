// Runs inside the virtual machine: the plane with its real loader on Debian's kernel. Prints one JSON object of findings.
import { release } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { EventKind, reasonNames } from "../../src/kernel/abi.generated.ts"
import { attachments, hasTcx } from "../../src/kernel/bpf/attach.ts"
import { inNamespace } from "../../src/kernel/namespace.ts"
import { Netlink } from "../../src/kernel/netlink/netlink.ts"
import { KernelSteps } from "../../src/kernel/netlink/steps.ts"
import { type Ends, echo, ip, TcpFlag, tcp, udp } from "../../src/net/packet.ts"
import { decideBigTcp, limitsOf } from "../../src/plane/network/big-tcp.ts"
import { limitChange } from "../../src/plane/network/link-limits.ts"
import { LinkRemoval } from "../../src/plane/network/link-removal.ts"
import { NodeNamespace } from "../../src/plane/network/node-namespace.ts"
import { createPair, stepsToUse } from "../../src/plane/network/pod-interface.ts"
import { A, app, cluster, pods, policy, TestNode, tcpPort } from "../kernel/bpf-fixture.ts"
import { longPackets } from "../kernel/long-packets.ts"

const timeouts = { tcpSyn: 1, tcpEstablished: 1, tcpClosing: 1, udp: 1, udpReplied: 1, icmp: 1 }
const node = new TestNode({ timeouts })
const findings: Record<string, unknown> = { kernel: release(), tcx: hasTcx() }

const wanted = cluster(
  pods({
    web: { addresses: ["10.0.1.1", "fd00::1:1"] },
    client: { addresses: ["10.0.1.2", "fd00::1:2"] },
    stranger: { addresses: ["10.0.1.3", "fd00::1:3"] },
    far: { node: "two", addresses: ["10.0.2.1", "fd00::2:1"] },
  }),
  [policy("web", app("web"), { ingress: [{ peer: app("client"), l4: [tcpPort(80)] }] })],
)

function segment(from: string, to: string, flags: number, source: number, destination: number): Uint8Array {
  const ends: Ends = { source: A(from), destination: A(to) }
  return ip({ ...ends, protocol: 6 }, tcp({ sourcePort: source, destinationPort: destination, flags }, ends))
}

/** Two namespaces joined by a pair that is born with limits for long packets, and what they send each other. */
async function bigTcp(): Promise<unknown> {
  const [near, far] = ["near", "far"].map((name) => node.ground.namespace(name))
  if (near === undefined || far === undefined) throw new Error("no namespaces")
  const netlink = Netlink.open(near)
  const limits = limitsOf(196_608)
  const pair = netlink.addVeth({ name: "near", limits, up: true, peer: { name: "far", namespace: far, up: true } })
  const addresses = { "4": ["10.9.0.1", "10.9.0.2"], "6": ["fd00:9::1", "fd00:9::2"] } as const
  const there = Netlink.open(far)
  const long: Record<string, boolean> = {}
  for (const [family, [one, other]] of Object.entries(addresses)) {
    const rest = { prefixLength: family === "4" ? 24 : 64, noDad: true }
    netlink.addAddress({ ifindex: pair.index, address: A(one), ...rest })
    there.addAddress({ ifindex: pair.peer ?? 0, address: A(other), ...rest })
    const way = { from: join(node.ground.folder, "near"), to: join(node.ground.folder, "far"), address: A(other) }
    long[family] = (await longPackets({ ...way, port: 7_777, bytes: 16 * 1_048_576 })) > 0
  }
  const { told } = decideBigTcp({ mode: "on", routing: "native", way: [pair], mtu: 1500 })
  const isSettled = limitChange(pair, limits) === undefined
  netlink.close()
  there.close()
  return { told, isSettled, long }
}

/** Two pods' interfaces made as CNI ADD makes them, with the real program, and deleted together. */
async function interfaces(): Promise<unknown> {
  node.ground.namespace("own")
  const own = new NodeNamespace(join(node.ground.folder, "own"))
  const steps = new KernelSteps()
  const removal = new LinkRemoval(own.handle)
  const names = ["hd00000000000a", "hd00000000000b"]
  const made = await Promise.all(
    names.map(async (hostName, i) => {
      const pod = node.ground.namespace(hostName)
      const addresses = [A(`10.8.0.${i + 1}`), A(`fd00:8::${i + 1}`)]
      const wanted = { ifname: "eth0", mac: Uint8Array.of(2, 0, 0, 0, 0, i), mtu: 1450, addresses, hostName }
      const pair = await createPair(steps, own, pod, wanted)
      await steps.take(stepsToUse(own, pod, wanted, pair, node.plane.podHook(pair.ifindex)))
      const netlink = Netlink.open(pod)
      const end = netlink.link("eth0")
      const found = {
        isUp: end?.up && end.carrier,
        addresses: netlink.addresses().flatMap((one) => (one.ifindex === end?.index ? [one.address] : [])),
        routes: ([4, 6] as const).flatMap((family) => netlink.routes({ family, table: 254 })).length,
        hooks: inNamespace(own.handle, () => attachments(pair.ifindex)).map((one) => one.program.name),
      }
      netlink.close()
      return found
    }),
  )
  const before = own.netlink.links().length
  await Promise.all(names.map((name) => removal.delete(name)))
  const left = own.netlink.links().map((link) => link.name)
  own.close()
  return { made, before, left }
}

try {
  node.plane.attachEntrances()
  node.plane.attachPod(node.port("default/web").ifindex)
  await node.enforce(wanted)
  findings["attached"] = inNamespace(node.namespace, () =>
    Object.values(node.entrances).map((ifindex) =>
      attachments(ifindex).map(({ kind, direction }) => `${kind} ${direction}`),
    ),
  ).flat()
  const results: Record<string, number> = {}
  for (const [family, client, web, stranger, far] of [
    ["4", "10.0.1.2", "10.0.1.1", "10.0.1.3", "10.0.2.1"],
    ["6", "fd00::1:2", "fd00::1:1", "fd00::1:3", "fd00::2:1"],
  ] as const) {
    results[`syn${family}`] = node.send("default/client", segment(client, web, TcpFlag.syn, 40_000, 80))
    results[`answer${family}`] = node.send("default/web", segment(web, client, TcpFlag.syn | TcpFlag.ack, 80, 40_000))
    results[`denied${family}`] = node.send("default/stranger", segment(stranger, web, TcpFlag.syn, 40_000, 80))
    results[`spoofed${family}`] = node.send("default/stranger", segment(client, web, TcpFlag.syn, 40_001, 80))
    const ends = { source: A(client), destination: A(far) }
    results[`overlay${family}`] = node.send(
      "default/client",
      ip({ ...ends, protocol: 17 }, udp({ sourcePort: 1, destinationPort: 2 }, ends)),
    )
    const ping = echo({ id: 1, sequence: 1 }, { source: A(client), destination: A(stranger) })
    const protocol = family === "4" ? 1 : 58
    results[`echo${family}`] = node.send(
      "default/client",
      ip({ source: A(client), destination: A(stranger), protocol }, ping),
    )
  }
  findings["results"] = results
  findings["flows"] = [...node.plane.flows()].length
  findings["drops"] = node.events().flatMap((each) => (each.reason === 0 ? [] : [reasonNames[each.reason]]))
  const before = node.plane.sweep().ticks
  for (let i = 0; i < 150 && [...node.plane.flows()].length > 0; i++) await sleep(100)
  findings["flowsLater"] = [...node.plane.flows()].length
  findings["ended"] = node.events().filter((each) => each.kind === EventKind.flowEnd).length
  findings["ticks"] = node.plane.sweep().ticks - before
  const { rows } = (await node.plane.read()).compiled
  findings["rows"] = rows.length
  findings["bigTcp"] = await bigTcp()
  findings["interfaces"] = await interfaces()
} finally {
  node.remove()
}
process.stdout.write(`${JSON.stringify(findings)}\n`)
