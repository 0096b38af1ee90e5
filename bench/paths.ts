import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { Compiler } from "../src/compile/compile.ts"
import { attachClsact } from "../src/kernel/bpf/attach.ts"
import { loadObject } from "../src/kernel/bpf/object.ts"
import { inNamespace, openNamespace } from "../src/kernel/namespace.ts"
import { setSysctl } from "../src/kernel/sysctl.ts"
import type { Endpoint } from "../src/model/cluster.ts"
import { EbpfPlane } from "../src/plane/ebpf/plane.ts"
import { NodeNetwork } from "../src/plane/network/network.ts"
import type { Ground } from "./ground.ts"
import { clusterOf, endpointOf, nodeOf, peerEndpoints, policiesOf } from "./rules.ts"

export const root = join(import.meta.dirname, "..")
export const yardstick = join(root, "build/bench/yardstick.bpf.o")
export const ageingPrograms = join(root, "build/bench/ageing.bpf.o")
const MTU = 1_500
const BIG = 196_608

/** Two pods, and the addresses of the one that serves. */
export interface Path {
  readonly name: string
  readonly client: string
  readonly server: string
  readonly address: { readonly 4: string; readonly 6: string }
}

const clientAddresses = ["10.1.0.5", "fd00:1::5"]
const serverAddresses = ["10.1.0.6", "fd00:1::6"]
const remoteAddresses = ["10.2.0.6", "fd00:2::6"]
const nodeAddresses = { a: ["192.0.2.1", "2001:db8::1"], b: ["192.0.2.2", "2001:db8::2"] }

/** Many short connections want many ports, and no wait for those just closed. */
function preparePod(ground: Ground, name: string): void {
  inNamespace(ground.namespace(name), () => {
    setSysctl("net.ipv4.ip_local_port_range", "1024 65000")
    setSysctl("net.ipv4.tcp_tw_reuse", 1)
    setSysctl("net.ipv6.conf.default.accept_dad", 0)
    // One slow start for all: nothing of an earlier run's connections stays.
    setSysctl("net.ipv4.tcp_no_metrics_save", 1)
  })
}

export interface HeddleOptions {
  readonly routing: "native" | "vxlan"
  readonly rules: number
  /** The server is at another node. */
  readonly remote?: boolean
  readonly bigTcp?: boolean
  /** The compiled programs, if not the product's. */
  readonly object?: string
  /** Flows without an answer that one pod may have; default: the product's. */
  readonly halfOpenLimit?: number
}

/** A path through the real node network and eBPF plane, and what was made for it. */
export interface HeddlePath extends Path {
  readonly planes: readonly EbpfPlane[]
  /** Where each plane's tables are pinned. */
  readonly pins: readonly string[]
  /** Interfaces of the pods at the first node. */
  readonly ifindex: { readonly client: number; readonly server: number }
  readonly close: () => void
}

/** Nodes on a wire with the real network and plane; pods by the real ADD. */
export async function heddlePath(ground: Ground, name: string, options: HeddleOptions): Promise<HeddlePath> {
  const { routing, rules, remote = false } = options
  const at = (part: string): string => `${name}-${part}`
  const nodes = [
    nodeOf("a", nodeAddresses.a, ["10.1.0.0/24", "fd00:1::/64"]),
    nodeOf("b", nodeAddresses.b, ["10.2.0.0/24", "fd00:2::/64"]),
  ]
  const serving = remote ? remoteAddresses : serverAddresses
  const pods: readonly Endpoint[] = [
    endpointOf("client", "a", clientAddresses),
    endpointOf("server", remote ? "b" : "a", serving),
  ]
  const cluster = clusterOf(nodes, [...pods, ...peerEndpoints(rules, "b")], policiesOf(rules, "client", "server"))
  wire(ground, name, remote ? ["a", "b"] : ["a"])
  for (const pod of pods) preparePod(ground, at(pod.name))
  const planes: EbpfPlane[] = []
  const pins: string[] = []
  const closing: (() => void)[] = []
  const ifindex = { client: 0, server: 0 }
  for (const node of remote ? nodes : nodes.slice(0, 1)) {
    const path = ground.path(at(node.name))
    let plane: EbpfPlane | undefined
    const compiler = new Compiler(node.name)
    const network: NodeNetwork = new NodeNetwork({
      ...{ node: node.name, netns: path, stateDirectory: ground.path(at(`state-${node.name}`)), uplink: "eth0" },
      ...{ routing, overlayPort: 4789, mtu: undefined, podPrefixes: [], nonMasquerade: [] },
      bigTcp: options.bigTcp ? "on" : "off",
      podHook: (ifindex) => plane?.podHook(ifindex) ?? [],
      isHooked: () => true,
      onChange: async () => {
        const forwarding = network.forwarding()
        if (plane === undefined || forwarding === undefined) throw new Error("the plane is not loaded")
        await plane.apply({ compiled: compiler.update(cluster), forwarding }, null)
      },
    })
    const entrances = await network.setup(cluster)
    const pinDirectory = ground.bpffs(at(`bpf-${node.name}`))
    pins.push(pinDirectory)
    plane = EbpfPlane.open({
      ...{ pinDirectory, routing, overlayPort: 4789, entrances },
      ...{ object: options.object, halfOpenLimit: options.halfOpenLimit },
      namespace: openNamespace(path),
    })
    const loaded = plane
    planes.push(loaded)
    closing.push(() => {
      loaded.close()
      network.close()
    })
    plane.attachEntrances()
    for (const pod of pods.filter((one) => one.node === node.name))
      await network.add({
        ...{ container: `c-${pod.name}`, ifname: "eth0", netns: ground.path(at(pod.name)), network: "pods" },
        ...{ namespace: "default", pod: pod.name, addresses: [] },
      })
    const ports = network.forwarding()?.ports
    ifindex.client ||= ports?.get("default/client")?.ifindex ?? 0
    ifindex.server ||= ports?.get("default/server")?.ifindex ?? 0
  }
  return {
    name,
    client: ground.path(at("client")),
    server: ground.path(at("server")),
    address: { 4: serving[0] ?? "", 6: serving[1] ?? "" },
    ...{ planes, pins, ifindex },
    close: () => {
      for (const one of closing) one()
    },
  }
}

/** A bridge that joins the nodes' eth0, with routes and neighbours as a provider's network would have them. */
function wire(ground: Ground, name: string, nodes: readonly ("a" | "b")[]): void {
  const at = (part: string): string => `${name}-${part}`
  ground.namespace(at("wire"))
  ground.shell(at("wire"), "ip link add wire type bridge && ip link set wire up")
  for (const node of nodes) {
    const [four, six] = nodeAddresses[node]
    ground.namespace(at(node))
    inNamespace(ground.namespace(at(node)), () => setSysctl("net.ipv6.conf.default.accept_dad", 0))
    ground.on(at("wire"), (netlink) => {
      netlink.addVeth({ name: node, up: true, peer: { name: "eth0", namespace: ground.namespace(at(node)), up: true } })
    })
    ground.shell(at("wire"), `ip link set dev ${node} master wire`)
    ground.shell(
      at(node),
      `ip address add ${four}/24 dev eth0; ip -6 address add ${six}/64 dev eth0 nodad; ip link set eth0 up
       ip route add default via 192.0.2.254; ip -6 route add default via 2001:db8::fe`,
    )
  }
}

/** Every interface there takes segments of 192 KB of TCP (BIG TCP), both families. */
function allowBig(ground: Ground, namespace: string): void {
  ground.on(namespace, (netlink) => {
    const sizes = { gsoMaxSize: BIG, groMaxSize: BIG, gsoIpv4MaxSize: BIG, groIpv4MaxSize: BIG }
    for (const link of netlink.links().filter((one) => one.kind === "veth")) netlink.setLink(link.index, sizes)
  })
}

export interface PlainOptions {
  readonly remote?: "routed" | "vxlan"
  readonly bigTcp?: boolean
}

/** The same pods and node without us: the kernel's own forwarding. */
export function plainPath(ground: Ground, name: string, options: PlainOptions = {}): Path {
  const { remote } = options
  const at = (part: string): string => `${name}-${part}`
  const serving = remote ? remoteAddresses : serverAddresses
  if (remote) wire(ground, name, ["a", "b"])
  const mtu = remote === "vxlan" ? MTU - 50 : MTU
  plainPod(ground, name, "a", "client", clientAddresses, mtu)
  plainPod(ground, name, remote ? "b" : "a", "server", serving, mtu)
  for (const [node, other, third] of remote
    ? ([
        ["a", "b", 2],
        ["b", "a", 1],
      ] as const)
    : []) {
    const [four, six] = nodeAddresses[other]
    if (remote === "routed") {
      ground.shell(
        at(node),
        `ip route add 10.${third}.0.0/24 via ${four}; ip -6 route add fd00:${third}::/64 via ${six}`,
      )
      continue
    }
    const own = third === 2 ? 1 : 2
    ground.shell(
      at(node),
      `ip link add overlay address 02:00:00:00:00:0${own} type vxlan id 7 dstport 4789 remote ${four} local ${nodeAddresses[node][0]} noudpcsum
       ip link set overlay mtu ${mtu} up
       ip route add 10.${third}.0.0/24 dev overlay via 10.${third}.0.1 onlink
       ip neigh replace 10.${third}.0.1 lladdr 02:00:00:00:00:0${third} dev overlay nud permanent
       ip -6 route add fd00:${third}::/64 dev overlay via fd00:${third}::1 onlink
       ip neigh replace fd00:${third}::1 lladdr 02:00:00:00:00:0${third} dev overlay nud permanent`,
    )
  }
  if (options.bigTcp) for (const part of ["a", "client", "server"]) allowBig(ground, at(part))
  return {
    name,
    client: ground.path(at("client")),
    server: ground.path(at("server")),
    address: { 4: serving[0] ?? "", 6: serving[1] ?? "" },
  }
}

function plainPod(
  ground: Ground,
  name: string,
  node: string,
  pod: string,
  addresses: readonly string[],
  mtu: number,
): void {
  const at = (part: string): string => `${name}-${part}`
  const [four, six] = addresses
  ground.namespace(at(node))
  preparePod(ground, at(pod))
  ground.on(at(node), (netlink) =>
    netlink.addVeth({
      name: pod,
      mtu,
      up: true,
      peer: { name: "eth0", namespace: ground.namespace(at(pod)), up: true },
    }),
  )
  const macs = {
    pod: ground.shell(at(pod), "ip -o link show eth0 | sed 's/.*ether //;s/ .*//'").trim(),
    node: ground.shell(at(node), `ip -o link show ${pod} | sed 's/.*ether //;s/ .*//'`).trim(),
  }
  ground.shell(
    at(pod),
    `ip address add ${four}/32 dev eth0; ip -6 address add ${six}/128 dev eth0 nodad
     ip neigh replace 169.254.1.1 lladdr ${macs.node} dev eth0 nud permanent
     ip neigh replace fe80::1 lladdr ${macs.node} dev eth0 nud permanent
     ip route add 169.254.1.1 dev eth0 scope link; ip route add default via 169.254.1.1 dev eth0 onlink
     ip -6 route add default via fe80::1 dev eth0 onlink`,
  )
  ground.shell(
    at(node),
    `ip route add ${four} dev ${pod}; ip -6 route add ${six} dev ${pod}
     ip neigh replace ${four} lladdr ${macs.pod} dev ${pod} nud permanent
     ip neigh replace ${six} lladdr ${macs.pod} dev ${pod} nud permanent`,
  )
  inNamespace(ground.namespace(at(node)), () => {
    setSysctl("net.ipv4.ip_forward", 1)
    setSysctl("net.ipv6.conf.all.forwarding", 1)
  })
}

/** Plain forwarding with one program on each pod's hook that hands every packet to the other pod, unseen. */
export function redirectPath(ground: Ground, name: string): Path {
  const path = plainPath(ground, name)
  const node = `${name}-a`
  const links = ground.on(node, (netlink) => netlink.links())
  const index = (pod: string): number => links.find((link) => link.name === pod)?.index ?? 0
  for (const [from, to] of [
    ["client", "server"],
    ["server", "client"],
  ] as const) {
    const constants = { peer_ifindex: new Uint8Array(Uint32Array.of(index(to)).buffer) }
    const loaded = loadObject({ file: yardstick, constants, layout: "bench", inner: { outer: "shards", count: 64 } })
    const program = loaded.programs.get("redirect")
    if (program === undefined) throw new Error("the yardstick has no program redirect; run bench/build")
    inNamespace(ground.namespace(node), () => attachClsact({ ifindex: index(from), direction: "ingress", program }))
    loaded.close()
  }
  return path
}

/**
 * Plain forwarding with a policy as iptables modes of this field shape it: reverse path checked in raw, established
 * connections first, then a chain for each pod and direction with sets of the addresses allowed, and a mark for accepted.
 */
export function iptablesPath(ground: Ground, name: string): Path {
  const path = plainPath(ground, name)
  const families = [
    { family: "inet", tool: "iptables-legacy-restore", client: clientAddresses[0], server: serverAddresses[0] },
    { family: "inet6", tool: "ip6tables-legacy-restore", client: clientAddresses[1], server: serverAddresses[1] },
  ]
  for (const { family, tool, client, server } of families) {
    const v = family === "inet" ? 4 : 6
    ground.shell(
      `${name}-a`,
      `ipset create clients${v} hash:net family ${family}; ipset add clients${v} ${client}
       ipset create servers${v} hash:net family ${family}; ipset add servers${v} ${server}
       ${tool} <<'RULES'
*raw
:PREROUTING ACCEPT [0:0]
:pods-raw - [0:0]
-A PREROUTING -j pods-raw
-A pods-raw -j MARK --set-xmark 0x0/0xf0000
-A pods-raw -i client -j MARK --set-xmark 0x40000/0x40000
-A pods-raw -i server -j MARK --set-xmark 0x40000/0x40000
-A pods-raw -m mark --mark 0x40000/0x40000 -m rpfilter --invert -j DROP
COMMIT
*filter
:FORWARD ACCEPT [0:0]
:pods - [0:0]
:from - [0:0]
:to - [0:0]
:from-client - [0:0]
:from-server - [0:0]
:to-client - [0:0]
:to-server - [0:0]
-A FORWARD -j pods
-A FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT
-A pods -j MARK --set-xmark 0x0/0xe0000
-A pods -i client -j from
-A pods -i server -j from
-A pods -o client -j to
-A pods -o server -j to
-A from -i client -g from-client
-A from -i server -g from-server
-A to -o client -g to-client
-A to -o server -g to-server
-A from-client -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A from-client -m conntrack --ctstate INVALID -j DROP
-A from-client -j MARK --set-xmark 0x0/0x10000
-A from-client -m set --match-set servers${v} dst -j MARK --set-xmark 0x10000/0x10000
-A from-client -m mark --mark 0x10000/0x10000 -j RETURN
-A from-client -j DROP
-A to-server -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A to-server -m conntrack --ctstate INVALID -j DROP
-A to-server -j MARK --set-xmark 0x0/0x10000
-A to-server -m set --match-set clients${v} src -j MARK --set-xmark 0x10000/0x10000
-A to-server -m mark --mark 0x10000/0x10000 -j RETURN
-A to-server -j DROP
-A from-server -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A from-server -j DROP
-A to-client -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A to-client -j DROP
COMMIT
RULES`,
    )
  }
  return path
}

export type Mode = "rr" | "crr" | "stream" | "udp"

/** What the load generator prints. */
export interface Load {
  readonly count: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly bytes: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
}

let nextPort = 7_000

/** One run on one CPU. Throws what the generator says when the path does not work. */
export async function load(path: Path, mode: Mode, family: 4 | 6, milliseconds: number, cpu = 1): Promise<Load> {
  nextPort = nextPort > 9_000 ? 7_000 : nextPort + 1
  const program = join(root, "build/bench/load")
  const words = [mode, path.client, path.server, path.address[family], nextPort, milliseconds, cpu].map(String)
  const { stdout } = await promisify(execFile)(program, words, { timeout: milliseconds + 20_000 })
  return JSON.parse(stdout) as Load
}
