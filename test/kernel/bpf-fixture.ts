import { Compiler } from "../../src/compile/compile.ts"
import type { Compiled } from "../../src/compile/compiled.ts"
import type { CompileLimits } from "../../src/compile/error.ts"
import { type Event, event } from "../../src/kernel/abi.generated.ts"
import { RingReader } from "../../src/kernel/bpf/ring.ts"
import { inNamespace, type NamespaceHandle } from "../../src/kernel/namespace.ts"
import { Netlink } from "../../src/kernel/netlink/netlink.ts"
import { type Cluster, type Endpoint, emptyCluster } from "../../src/model/cluster.ts"
import type { L4Match, Match, Policy, Rule } from "../../src/model/policy.ts"
import { policyKey } from "../../src/model/policy.ts"
import { parseAddress } from "../../src/net/address.ts"
import { EtherType, ethernet, macBytes } from "../../src/net/packet.ts"
import { parsePrefix } from "../../src/net/prefix.ts"
import type { Address } from "../../src/net/types.ts"
import { EbpfPlane, type EbpfPlaneOptions } from "../../src/plane/ebpf/plane.ts"
import type { NodeState } from "../../src/plane/plane.ts"
import { Ground } from "./native-fixture.ts"

export const GATEWAY_MAC = "02:68:64:00:00:01"
export const origin = { file: "test", line: 1, column: 1 }

/** TC_ACT_* of include/uapi/linux/pkt_cls.h. */
export const Action = { ok: 0, shot: 2, redirect: 7 } as const

export const A = (text: string): Address => parseAddress(text)

/** Pods by name: node, addresses, labels `app=NAME` besides those given. */
export interface PodSpec {
  readonly node?: string
  readonly addresses: readonly string[]
  readonly labels?: Record<string, string>
  readonly namespace?: string
}

export function pods(specs: Readonly<Record<string, PodSpec>>): Map<string, Endpoint> {
  const found = new Map<string, Endpoint>()
  for (const [name, spec] of Object.entries(specs)) {
    const namespace = spec.namespace ?? "default"
    found.set(`${namespace}/${name}`, {
      namespace,
      name,
      node: spec.node ?? "one",
      addresses: spec.addresses.map(A),
      labels: { app: name, ...spec.labels },
      serviceAccount: "default",
      namedPorts: [],
    })
  }
  return found
}

export function app(...names: string[]): Match {
  return { kind: "labels", of: "self", selector: { kind: "in", key: "app", values: names } }
}

export function block(...prefixes: string[]): Match {
  return { kind: "cidr", prefixes: prefixes.map((text) => parsePrefix(text)) }
}

export interface RuleSpec {
  readonly peer?: Match
  readonly l4?: readonly L4Match[]
  readonly action?: Rule["action"]
}

export function tcpPort(first: number, last = first): L4Match {
  return { protocols: [6], ports: [{ kind: "range", first, last }] }
}

export function policy(
  name: string,
  subject: Match,
  sides: { ingress?: readonly RuleSpec[]; egress?: readonly RuleSpec[] },
): Policy {
  const side = (section: string, rules: readonly RuleSpec[] | undefined) =>
    rules && {
      isolates: true,
      rules: rules.map(
        ({ peer = { kind: "any" }, l4 = [], action = "allow" }, index): Rule => ({
          action,
          peer,
          l4,
          section,
          index,
          origin,
        }),
      ),
    }
  const ingress = side("ingress", sides.ingress)
  const egress = side("egress", sides.egress)
  return {
    group: "networking.k8s.io",
    kind: "NetworkPolicy",
    namespace: "default",
    name,
    tier: "default",
    order: 1_000,
    tieBreak: "",
    subject: { kind: "and", of: [{ kind: "is", what: "endpoint" }, subject] },
    mode: "enforced",
    origin,
    ...(ingress ? { ingress } : {}),
    ...(egress ? { egress } : {}),
  }
}

export const nodes = {
  one: ["192.0.2.1", "2001:db8::1"],
  two: ["192.0.2.2", "2001:db8::2"],
}

export function cluster(endpoints: Map<string, Endpoint>, policies: readonly Policy[]): Cluster {
  return {
    ...emptyCluster,
    namespaces: new Map(
      [...new Set([...endpoints.values()].map((each) => each.namespace))].map((name) => [name, { name, labels: {} }]),
    ),
    nodes: new Map(
      Object.entries(nodes).map(([name, addresses]) => [
        name,
        { name, labels: {}, addresses: addresses.map(A), podPrefixes: [] },
      ]),
    ),
    endpoints,
    policies: new Map(policies.map((each) => [policyKey(each), each])),
    clusterPrefixes: [parsePrefix("10.0.0.0/16"), parsePrefix("fd00::/48")],
  }
}

/** A node "one" with its interfaces in a namespace of its own, and the plane on it. Its links are down: packets are test runs. */
export class TestNode {
  readonly ground = new Ground()
  readonly namespace: NamespaceHandle
  readonly podNamespace: NamespaceHandle
  readonly entrances: { uplink: number; heddle0: number; heddle1: number; overlay: number }
  readonly options: EbpfPlaneOptions
  plane: EbpfPlane
  #ring: RingReader
  readonly #compiler: Compiler
  readonly #ports = new Map<string, { ifindex: number; mac: Uint8Array }>()

  constructor(options: Partial<EbpfPlaneOptions> = {}, limits: Partial<CompileLimits> = {}) {
    this.#compiler = new Compiler("one", { limits })
    this.namespace = this.ground.namespace("node")
    this.podNamespace = this.ground.namespace("pods")
    const netlink = Netlink.open(this.namespace)
    const uplink = netlink.addVeth({ name: "uplink", peer: { name: "wire" } })
    const heddle0 = netlink.addVeth({ name: "heddle0", peer: { name: "heddle1" } })
    const overlay = netlink.addVxlan({ name: "overlay", port: 4789, external: true, mac: macBytes(GATEWAY_MAC) })
    netlink.close()
    this.entrances = {
      uplink: uplink.index,
      heddle0: heddle0.index,
      heddle1: heddle0.peer ?? 0,
      overlay: overlay.index,
    }
    this.options = {
      pinDirectory: this.ground.bpffs(),
      routing: "vxlan",
      overlayPort: 4789,
      entrances: this.entrances,
      namespace: this.namespace,
      ...options,
    }
    this.plane = EbpfPlane.open(this.options)
    this.#ring = new RingReader(this.plane.events)
  }

  /** Interface of a pod, made when first asked for. */
  port(name: string): { ifindex: number; mac: Uint8Array } {
    const known = this.#ports.get(name)
    if (known) return known
    const number = this.#ports.size + 1
    const netlink = Netlink.open(this.namespace)
    const mac = Uint8Array.of(2, 0, 0, 0, 0, number)
    const link = netlink.addVeth({
      name: `pod${number}`,
      mac: macBytes(GATEWAY_MAC),
      peer: { name: `p${number}`, namespace: this.podNamespace, mac },
    })
    netlink.close()
    const port = { ifindex: link.index, mac }
    this.#ports.set(name, port)
    return port
  }

  /** Desired state of node "one": every local pod has an interface, unless named in `unplugged`. */
  state(compiled: Compiled, unplugged: readonly string[] = []): NodeState {
    const ports = new Map(
      [...compiled.endpoints.keys()]
        .filter((name) => !unplugged.includes(name))
        .map((name) => [name, { ...this.port(name), sandbox: `sandbox-${name}` }]),
    )
    return {
      compiled,
      forwarding: {
        ports,
        peers: new Map([["two", { number: 7, address: A("192.0.2.2") }]]),
        self: { name: "one", addresses: nodes.one.map(A) },
        nonMasquerade: [],
      },
    }
  }

  async enforce(wanted: Cluster): Promise<NodeState> {
    const state = this.state(this.#compiler.update(wanted))
    await this.plane.apply(state, null)
    this.events()
    return state
  }

  /** Runs a program over a frame as if it came in by that interface. */
  run(
    program: string,
    frame: Uint8Array,
    ifindex: number,
    gso: { readonly gsoSize?: number; readonly gsoSegments?: number } = {},
  ): { result: number; packet: Uint8Array; nanoseconds: number } {
    return inNamespace(this.namespace, () =>
      this.plane.program(program).testRun({ packet: frame, context: { ifindex, ingressIfindex: ifindex, ...gso } }),
    )
  }

  /** A pod sends an IP packet. */
  send(pod: string, packet: Uint8Array): number {
    return this.run("from_pod", this.frame(packet), this.port(pod).ifindex).result
  }

  frame(packet: Uint8Array): Uint8Array {
    const type = (packet[0] ?? 0) >> 4 === 6 ? EtherType.ipv6 : EtherType.ipv4
    return ethernet({ source: "02:00:00:00:00:09", destination: GATEWAY_MAC, type }, packet)
  }

  /** Events since the last call. */
  events(): Event[] {
    const found: Event[] = []
    while (this.#ring.read((view, offset) => found.push(event.read(view, offset)), 1_000) > 0);
    return found
  }

  /** Another process takes over: same pins. */
  restart(options: Partial<EbpfPlaneOptions> = {}): void {
    this.#ring.close()
    this.plane.close()
    this.plane = EbpfPlane.open({ ...this.options, ...options })
    this.#ring = new RingReader(this.plane.events)
  }

  remove(): void {
    this.#ring.close()
    this.plane.close()
    this.ground.remove()
  }
}
