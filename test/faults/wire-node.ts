import { readFileSync } from "node:fs"
import { Compiler } from "../../src/compile/compile.ts"
import { inNamespace, type NamespaceHandle } from "../../src/kernel/namespace.ts"
import { Netlink } from "../../src/kernel/netlink/netlink.ts"
import { setSysctl } from "../../src/kernel/sysctl.ts"
import type { Cluster } from "../../src/model/cluster.ts"
import { parseAddress } from "../../src/net/address.ts"
import { macBytes } from "../../src/net/packet.ts"
import { parsePrefix } from "../../src/net/prefix.ts"
import type { Address } from "../../src/net/types.ts"
import { EbpfPlane, type EbpfPlaneOptions } from "../../src/plane/ebpf/plane.ts"
import type { EndpointPort, NodeState } from "../../src/plane/plane.ts"
import { GATEWAY_MAC, nodes } from "../kernel/bpf-fixture.ts"
import { Ground } from "../kernel/native-fixture.ts"

const gateway = parseAddress("169.254.1.1")

export interface WirePod {
  readonly namespace: NamespaceHandle
  readonly address: Address
  readonly port: EndpointPort
}

/** Node "one" with the plane in this process and pods on real interfaces, so that the plane's options are the test's to choose. */
export class WireNode {
  readonly ground = new Ground()
  readonly namespace: NamespaceHandle
  readonly pods = new Map<string, WirePod>()
  readonly #compiler = new Compiler("one")
  readonly #options: EbpfPlaneOptions
  plane: EbpfPlane

  constructor(pods: Readonly<Record<string, string>>, options: Partial<EbpfPlaneOptions> = {}) {
    this.namespace = this.ground.namespace("node")
    const netlink = Netlink.open(this.namespace)
    const uplink = netlink.addVeth({ name: "uplink", peer: { name: "wire" } })
    const heddle0 = netlink.addVeth({ name: "heddle0", peer: { name: "heddle1" } })
    const overlay = netlink.addVxlan({ name: "overlay", port: 4789, external: true, mac: macBytes(GATEWAY_MAC) })
    this.#options = {
      pinDirectory: this.ground.bpffs(),
      routing: "vxlan",
      overlayPort: 4789,
      entrances: {
        uplink: uplink.index,
        heddle0: heddle0.index,
        heddle1: heddle0.peer ?? 0,
        overlay: overlay.index,
      },
      namespace: this.namespace,
      ...options,
    }
    this.plane = EbpfPlane.open(this.#options)
    Object.entries(pods).forEach(([name, text], i) => {
      this.pods.set(`default/${name}`, this.#addPod(netlink, name, parseAddress(text), i + 1))
    })
    netlink.close()
  }

  #addPod(netlink: Netlink, name: string, address: Address, number: number): WirePod {
    const namespace = this.ground.namespace(name)
    const mac = Uint8Array.of(2, 0, 0, 0, 0, number)
    const link = netlink.addVeth({
      name: `pod${number}`,
      mac: macBytes(GATEWAY_MAC),
      peer: { name: "eth0", namespace, mac },
    })
    this.plane.attachPod(link.index)
    netlink.setLink(link.index, { up: true })
    // Nothing but the test's own packets shall be counted.
    inNamespace(namespace, () => setSysctl("net.ipv6.conf.eth0.disable_ipv6", 1))
    const inside = Netlink.open(namespace)
    try {
      const ifindex = inside.link("eth0")?.index ?? 0
      inside.setLink(ifindex, { up: true })
      inside.addAddress({ ifindex, address, prefixLength: 32 })
      inside.addRoute({ destination: parsePrefix("169.254.1.1/32"), ifindex, scope: "link" })
      inside.addRoute({ destination: parsePrefix("0.0.0.0/0"), gateway, ifindex, onlink: true })
      inside.addNeighbour({ ifindex, address: gateway, mac: macBytes(GATEWAY_MAC), permanent: true })
    } finally {
      inside.close()
    }
    return { namespace, address, port: { ifindex: link.index, mac, sandbox: `sandbox-${name}` } }
  }

  pod(name: string): WirePod {
    const found = this.pods.get(`default/${name}`)
    if (found === undefined) throw new Error(`no pod ${name}`)
    return found
  }

  compile(cluster: Cluster): NodeState {
    const compiled = this.#compiler.update(cluster)
    const ports = [...compiled.endpoints.keys()].flatMap((name) => {
      const pod = this.pods.get(name)
      return pod === undefined ? [] : [[name, pod.port] as const]
    })
    return {
      compiled,
      forwarding: {
        ports: new Map(ports),
        peers: new Map([["two", { number: 7, address: parseAddress("192.0.2.2") }]]),
        self: { name: "one", addresses: nodes.one.map((text) => parseAddress(text)) },
        nonMasquerade: [],
      },
    }
  }

  /** IPv4 packets that came in by the stack of a pod, or of the node when none is named. */
  received(name?: string): number {
    const namespace = name === undefined ? this.namespace : this.pod(name).namespace
    const text = inNamespace(namespace, () => readFileSync("/proc/thread-self/net/snmp", "utf8"))
    const [titles = "", values = ""] = text.split("\n").filter((line) => line.startsWith("Ip:"))
    return Number(values.split(" ")[titles.split(" ").indexOf("InReceives")])
  }

  remove(): void {
    this.plane.close()
    this.ground.remove()
  }
}
