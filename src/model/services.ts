import type { Address } from "../net/types.ts"
import type { Cluster, Service, ServiceBackend } from "./cluster.ts"
import type { ServiceMatch } from "./policy.ts"
import { type Labels, selects } from "./selector.ts"

/** What decides behind which services an address is: of its facts these. */
interface Subject {
  readonly address: Address
  readonly kind: "endpoint" | "node" | "networkSet" | "outside" | "unknown"
  readonly namespace?: string
  readonly labels: Labels
}

/** How an address stands to one service. */
export interface ServiceFacts {
  readonly service: Service
  /** Its entry among the service's backends. */
  readonly backend?: ServiceBackend
  /** Whether it is what the service stands for (`Match` of kind `service`, as `target`). */
  readonly target: boolean | "maybe"
}

/** Whether `of` names the service. */
export function namesService(of: ServiceMatch, service: Service): boolean {
  if (of.namespace !== undefined && of.namespace !== service.namespace) return false
  if (of.name !== undefined && of.name !== service.name) return false
  return of.labels === undefined || (service.labels !== undefined && selects(of.labels, service.labels))
}

/** Whether a service stands for pods by their labels; otherwise its backends are stated. */
export function selectsPods(service: Service): boolean {
  return service.selector !== undefined && Object.keys(service.selector).length > 0
}

/** Whether the service can be a target: one that exists, and not the API server's own, which no rule reaches as a service. */
export function isTarget(service: Service): boolean {
  return service.labels !== undefined && !(service.namespace === "default" && service.name === "kubernetes")
}

/** The services behind which the address is that has these facts. An unknown address may be a pod of every service that selects pods. */
export function behindServices(cluster: Cluster, facts: Subject): readonly ServiceFacts[] {
  const { listed, selecting } = indexOf(cluster)
  const found = new Map<Service, ServiceFacts>()
  for (const [service, backend] of listed.get(facts.address) ?? []) {
    const stated = isTarget(service) && !selectsPods(service)
    found.set(service, { service, backend, target: stated && facts.kind === "outside" })
  }
  const candidates =
    facts.kind === "unknown" ? [...selecting.values()].flat() : (selecting.get(facts.namespace ?? "") ?? [])
  for (const service of candidates) {
    const target = facts.kind === "unknown" ? "maybe" : facts.kind === "endpoint" && selectsPod(service, facts)
    if (target !== false) found.set(service, { ...found.get(service), service, target })
  }
  return [...found.values()]
}

function selectsPod({ selector = {} }: Service, facts: Subject): boolean {
  return Object.entries(selector).every(([key, value]) => selects({ kind: "in", key, values: [value] }, facts.labels))
}

interface ServiceIndex {
  readonly listed: ReadonlyMap<Address, readonly (readonly [Service, ServiceBackend])[]>
  /** By namespace. */
  readonly selecting: ReadonlyMap<string, readonly Service[]>
}

/** Indices, kept with the map of services (which never changes) they were made from. */
const indices = new WeakMap<Cluster["services"], ServiceIndex>()

function indexOf({ services }: Cluster): ServiceIndex {
  const known = indices.get(services)
  if (known !== undefined) return known
  const listed = new Map<Address, [Service, ServiceBackend][]>()
  const selecting = new Map<string, Service[]>()
  for (const service of services.values()) {
    for (const backend of service.backends) append(listed, backend.address, [service, backend])
    if (isTarget(service) && selectsPods(service)) append(selecting, service.namespace, service)
  }
  const index = { listed, selecting }
  indices.set(services, index)
  return index
}

function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const values = map.get(key)
  if (values === undefined) map.set(key, [value])
  else values.push(value)
}
