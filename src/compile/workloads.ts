import type { Endpoint, NamedPort, Node } from "../model/cluster.ts"
import type { Labels } from "../model/selector.ts"
import { addTo, removeFrom } from "./index-sets.ts"
import { keysOfWorkload, type Workload } from "./match.ts"

/** Workloads interned by what rules can see of them, with the index by which peers find candidates. */
export class Workloads {
  #byKey = new Map<string, { readonly workload: Workload; uses: number }>()
  #keys = new Map<Workload, string>()
  #index = new Map<string, Set<Workload>>()
  #texts = new WeakMap<object, string>()
  #next = 1
  readonly outside: Workload
  readonly unknown: Workload

  constructor() {
    this.outside = this.acquire(bare("outside"))
    this.unknown = this.acquire(bare("unknown"))
  }

  ofEndpoint(endpoint: Endpoint, namespaceLabels: Labels, serviceAccountLabels: Labels): Workload {
    const { namespace, labels, serviceAccount, namedPorts } = endpoint
    const fields = { namespace, labels, namespaceLabels, serviceAccount, serviceAccountLabels, namedPorts }
    return this.acquire({ ...bare("endpoint"), ...fields })
  }

  ofNode(node: Pick<Node, "labels">, localNode: boolean, socket: boolean): Workload {
    return this.acquire({ ...bare("node"), labels: node.labels, localNode, socket })
  }

  acquire(fields: Omit<Workload, "id">): Workload {
    const key = [
      fields.kind,
      fields.localNode ? "local" : "",
      fields.socket ? "socket" : "",
      fields.namespace ?? "",
      fields.serviceAccount ?? "",
      this.#labelsText(fields.labels),
      this.#labelsText(fields.namespaceLabels),
      this.#labelsText(fields.serviceAccountLabels),
      this.#portsText(fields.namedPorts),
    ].join("\n")
    const known = this.#byKey.get(key)
    if (known !== undefined) {
      known.uses++
      return known.workload
    }
    const workload = { ...fields, id: this.#next++ }
    this.#byKey.set(key, { workload, uses: 1 })
    this.#keys.set(workload, key)
    for (const index of keysOfWorkload(workload)) if (!index.includes("\0")) addTo(this.#index, index, workload)
    return workload
  }

  release(workload: Workload): void {
    const key = this.#keys.get(workload) ?? ""
    const known = this.#byKey.get(key)
    if (known === undefined || --known.uses > 0) return
    this.#byKey.delete(key)
    this.#keys.delete(workload)
    for (const index of keysOfWorkload(workload)) if (!index.includes("\0")) removeFrom(this.#index, index, workload)
  }

  /** Workloads that have one of the keys of `indexKeys`, and few others; block keys are the caller's. */
  withKeys(keys: readonly string[]): Set<Workload> {
    const found = new Set<Workload>()
    for (const key of keys) {
      let best: ReadonlySet<Workload> | undefined
      for (const part of key.split("\0")) {
        const having = this.#index.get(part) ?? nobody
        if (best === undefined || having.size < best.size) best = having
      }
      for (const workload of best ?? nobody) found.add(workload)
    }
    return found
  }

  #labelsText(labels: Labels): string {
    let text = this.#texts.get(labels)
    if (text === undefined) {
      text = ""
      // Lengths make it unambiguous, whatever the texts hold.
      for (const key of Object.keys(labels).sort()) {
        const value = labels[key] ?? ""
        text += `${key.length}:${key}${value.length}:${value}`
      }
      this.#texts.set(labels, text)
    }
    return text
  }

  #portsText(ports: readonly NamedPort[]): string {
    let text = this.#texts.get(ports)
    if (text === undefined) {
      text = ports.map(portText).sort().join()
      this.#texts.set(ports, text)
    }
    return text
  }
}

const nobody: ReadonlySet<Workload> = new Set()

function portText(port: NamedPort): string {
  return `${port.protocol}:${port.port}=${port.name}`
}

function bare(kind: Workload["kind"]): Omit<Workload, "id"> {
  return {
    kind,
    localNode: false,
    socket: false,
    namespace: undefined,
    labels: {},
    namespaceLabels: {},
    serviceAccount: undefined,
    serviceAccountLabels: {},
    namedPorts: [],
  }
}
