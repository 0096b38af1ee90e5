import type { AgentClient } from "../api/client.ts"
import { evaluate } from "../compile/evaluate.ts"
import { ruleIdText } from "../model/verdict.ts"
import type { Address } from "../net/types.ts"
import { identify } from "../source/objects.ts"
import { judged } from "../suite/by.ts"
import { probeKey } from "../suite/connections.ts"
import type { ProbeResult, SuitePlane } from "../suite/plane.ts"
import type { CaseState, Listen, ResolvedEnd, ResolvedProbe } from "../suite/state.ts"
import { StateStore } from "../suite/store.ts"
import { clearAbandoned, clearLab, lockPatiently } from "./clear.ts"
import { DeciderWatch } from "./deciders.ts"
import { Lab } from "./lab.ts"
import type { LabLock } from "./lock.ts"
import { onEndSignal, requireRoot } from "./manage.ts"
import { LabPaths } from "./paths.ts"
import { Prober } from "./probe/prober.ts"
import type { Outcome, ProbeTask } from "./probe/task.ts"
import { Reactor } from "./reactor.ts"
import { Responder } from "./responder.ts"
import type { LabState } from "./state.ts"
import { nodeIdentity, OUTSIDE } from "./stations.ts"

export interface LabPlaneOptions {
  /** Default: vxlan. */
  readonly routing?: "vxlan" | "native"
  /** Name of the lab; it exists only while the plane does. */
  readonly name?: string
  readonly progress?: (text: string) => void
}

type Asked = Extract<ResolvedProbe, { kind: "ask" }>

/**
 * `heddle test --plane ebpf`: every probe is a real packet between network namespaces whose nodes are enforced by real
 * agents. The lab is made at the first case and kept until `close`; from case to case only the differences are applied.
 */
export async function labPlane(options: LabPlaneOptions = {}): Promise<SuitePlane> {
  requireRoot()
  const paths = new LabPaths(options.name ?? `test-${process.pid}`)
  const lock = await lockPatiently(paths.name, 0)
  await clearAbandoned()
  return new LabPlane(paths, lock, options)
}

class LabPlane implements SuitePlane {
  readonly name = "ebpf"
  readonly #paths: LabPaths
  readonly #lock: LabLock
  readonly #options: LabPlaneOptions
  readonly #reactor = new Reactor((error) => this.#errors.push(error))
  readonly #responder = new Responder(this.#reactor)
  readonly #prober = new Prober(this.#reactor)
  readonly #errors: unknown[] = []
  readonly #forgetSignals: () => void
  #store = new StateStore()
  #lab: Lab | undefined
  /** Counts states of one history; flows are kept from one to the next. */
  #step = 0
  #keep = false

  constructor(paths: LabPaths, lock: LabLock, options: LabPlaneOptions) {
    this.#paths = paths
    this.#lock = lock
    this.#options = options
    this.#reactor.start()
    this.#forgetSignals = onEndSignal(() => clearLab(paths))
  }

  async prepare(state: CaseState): Promise<readonly string[]> {
    this.#store = new StateStore()
    const refused = this.#store.apply({ ...state, fresh: true })
    if (refused.length > 0) return refused
    if (state.fresh) this.#prober.forget()
    else this.#prober.forget((name) => !name.startsWith(`${this.#step} `))
    this.#step++
    this.#keep = state.case.group !== undefined
    this.#lab ??= await Lab.create(this.#paths, {
      routing: this.#options.routing ?? "vxlan",
      answering: { set: (stations) => Promise.resolve(this.#responder.set(stations)) },
      ...(this.#options.progress === undefined ? {} : { progress: this.#options.progress }),
    })
    await this.#lab.apply(labState(state))
    return []
  }

  async probe(probes: readonly ResolvedProbe[]): Promise<readonly ProbeResult[]> {
    const asked = probes.filter((probe) => probe.kind === "ask")
    // First what was open before: a new flow on the same ports would take its place.
    const connections = new Map<Asked, ProbeResult["connection"]>()
    await Promise.all(
      asked.map(async (probe) => {
        const { connection, raw } = probe.probe
        if (connection === undefined) return
        const name = `${this.#step - 1} ${probeKey(raw)}`
        const outcome = await this.#prober.again(name, connection === "kept" ? "allow" : "deny")
        connections.set(probe, outcome === undefined ? "none" : outcome.got === "allow" ? "kept" : "cut")
      }),
    )
    this.#prober.forget((name) => !name.startsWith(`${this.#step} `))
    const wanted = asked.some((probe) => probe.probe.by !== undefined)
    const watch = wanted ? await DeciderWatch.start(this.#clients(asked)) : undefined
    const outcomes = await this.#prober.run(asked.map((probe) => this.#task(probe)))
    const results = new Map<ResolvedProbe, ProbeResult>()
    await Promise.all(
      asked.map(async (probe, i) => {
        const connection = connections.get(probe)
        const result = await this.#result(probe, outcomes[i], probe.probe.by === undefined ? undefined : watch)
        results.set(probe, connection === undefined ? result : { ...result, connection })
      }),
    )
    await watch?.close()
    return probes.map((probe) => {
      const unanswered: ProbeResult = { got: "unsupported", reason: "the probe gave no answer" }
      return probe.kind === "ask" ? (results.get(probe) ?? unanswered) : probe.result
    })
  }

  async close(): Promise<void> {
    this.#prober.close()
    this.#responder.close()
    await this.#reactor.close()
    await this.#lab?.down()
    this.#forgetSignals()
    await this.#lock.release()
  }

  #task(probe: Asked): ProbeTask & { readonly keep?: string } {
    const { port, sourcePort, icmpType, icmpCode, expect, raw } = probe.probe
    return {
      from: { netns: this.#netns(probe.source), address: probe.source.address },
      to: {
        netns: this.#netns(probe.target),
        address: probe.target.address,
        identities: [identityOf(probe.target)],
      },
      // ICMP and ICMPv6 are one for the suite; the packet says which it became.
      protocol: probe.packet.protocol,
      expect,
      ...(port === undefined ? {} : { port }),
      ...(sourcePort === undefined ? {} : { sourcePort }),
      ...(icmpType === undefined ? {} : { icmpType: probe.packet.icmpType ?? icmpType }),
      ...(icmpCode === undefined ? {} : { icmpCode: probe.packet.icmpCode ?? icmpCode }),
      ...(this.#keep ? { keep: `${this.#step} ${probeKey(raw)}` } : {}),
    }
  }

  #netns(end: ResolvedEnd): string {
    const { place } = end
    if (place.kind === "outside") return this.#paths.outside
    if (place.kind === "node") return this.#paths.nodeNamespace(place.node)
    const [namespace = "", name = ""] = place.key.split("/")
    return this.#paths.podNamespace(namespace, name)
  }

  /**
   * What the packet met. Where the suite asks who decided, the kernel's own word counts; otherwise the evaluator names it,
   * if it came to the same answer.
   */
  async #result(probe: Asked, outcome: Outcome | undefined, watch: DeciderWatch | undefined): Promise<ProbeResult> {
    if (outcome === undefined) return { got: "unsupported", reason: "the probe gave no answer" }
    if (outcome.got === "failed") return { got: "unsupported", reason: outcome.reason ?? "the probe could not be sent" }
    const seen: ProbeResult =
      outcome.got === "allow" || outcome.reason === undefined
        ? { got: outcome.got }
        : { got: outcome.got, reason: outcome.reason }
    if (probe.within) return { ...seen, by: "same-endpoint" }
    const { egress, ingress } = evaluate(this.#store.cluster, probe.packet)
    const expected = judged(egress, ingress)
    if ((expected.got === "allow") !== (outcome.got === "allow")) return seen
    const { by, deciders } = expected
    const computed = { ...seen, ...(by === undefined ? {} : { by }), ...(deciders === undefined ? {} : { deciders }) }
    if (watch === undefined) return computed
    const { source, destination, protocol, destinationPort } = probe.packet
    const { sourcePort } = outcome
    const told = await watch.of(
      { source, sourcePort, destination, destinationPort, protocol },
      { egress: egress.by.kind !== "notEnforced", ingress: ingress.by.kind !== "notEnforced" },
    )
    // The kernel tells at most so many drops a second; where it told nothing, the evaluator's word stays.
    const rules = [told.egress?.rule ?? ruleIdText(egress.by), told.ingress?.rule ?? ruleIdText(ingress.by)]
    if (outcome.got === "allow") return { ...computed, deciders: rules }
    const denied = [told.egress, told.ingress].find((end) => end?.allowed === false)
    return denied === undefined ? computed : { ...computed, by: denied.rule }
  }

  /** The agents of the nodes that judge any end of these. */
  #clients(asked: readonly Asked[]): AgentClient[] {
    const nodes = new Set(
      asked.flatMap(({ source, target }) =>
        [source.place, target.place].flatMap((place) => (place.kind === "outside" ? [] : [place.node])),
      ),
    )
    const lab = this.#lab
    return lab === undefined ? [] : [...nodes].map((node) => lab.client(node))
  }
}

function identityOf(end: ResolvedEnd): string {
  const { place } = end
  return place.kind === "outside" ? OUTSIDE : place.kind === "node" ? nodeIdentity(place.node) : place.key
}

/** The lab that a case wants. */
function labState(state: CaseState): LabState {
  return {
    nodes: new Map(
      [...state.nodes].map(([name, { addresses, podPrefixes, listens }]) => [
        name,
        { name, addresses, podPrefixes, listens },
      ]),
    ),
    pods: new Map(
      [...state.pods].map(([key, { namespace, name, node, addresses, hostNetwork, listens }]) => [
        key,
        { namespace, name, node, addresses, hostNetwork, listens },
      ]),
    ),
    objects: state.objects.filter((object) => identify(object) !== undefined),
    outside: foreign(state),
    outsideListens: askedOutside(state),
  }
}

/** An address that is a pod's in this step is none of a host outside. */
function foreign(state: CaseState): Address[] {
  const own = new Set([...state.pods.values(), ...state.nodes.values()].flatMap((each) => each.addresses))
  return state.outside.filter((address) => !own.has(address))
}

function askedOutside(state: CaseState): Listen[] {
  const found = new Map<string, Listen>()
  for (const probe of state.probes) {
    if (probe.kind !== "ask" || probe.target.place.kind !== "outside") continue
    const { port, protocol } = probe.probe
    if (port !== undefined) found.set(`${port}/${protocol}`, { protocol, port })
  }
  return [...found.values()]
}
