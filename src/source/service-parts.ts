import {
  backendsOfPods,
  mergedBackends,
  type SelectablePod,
  type ServiceDeclaration,
  type SliceDeclaration,
  selectsPod,
} from "../dialect/kubernetes/index.ts"
import type { Service } from "../model/cluster.ts"

/**
 * What stands behind each Service, from Services, EndpointSlices and pods as they change. Slices are the truth; a Service without
 * any gets them from its pods.
 */
export class ServiceParts {
  readonly #declared = new Map<string, ServiceDeclaration>()
  /** Names of declared services that select pods, by namespace. */
  readonly #selecting = new Map<string, Set<string>>()
  /** Slices by their key, by service. */
  readonly #slices = new Map<string, Map<string, SliceDeclaration>>()
  readonly #pods = new Map<string, Map<string, SelectablePod>>()
  readonly #changed = new Set<string>()

  declare(before: ServiceDeclaration | undefined, after: ServiceDeclaration | undefined): void {
    if (before !== undefined) {
      this.#declared.delete(keyOf(before))
      this.#selecting.get(before.namespace)?.delete(before.name)
      this.#changed.add(keyOf(before))
    }
    if (after === undefined) return
    this.#declared.set(keyOf(after), after)
    if (after.selector !== undefined) entry(this.#selecting, after.namespace, () => new Set<string>()).add(after.name)
    this.#changed.add(keyOf(after))
  }

  slice(key: string, before: SliceDeclaration | undefined, after: SliceDeclaration | undefined): void {
    if (before !== undefined && before.service !== "") {
      const service = `${before.namespace}/${before.service}`
      const slices = this.#slices.get(service)
      slices?.delete(key)
      if (slices?.size === 0) this.#slices.delete(service)
      this.#changed.add(service)
    }
    if (after === undefined || after.service === "") return
    const service = `${after.namespace}/${after.service}`
    entry(this.#slices, service, () => new Map<string, SliceDeclaration>()).set(key, after)
    this.#changed.add(service)
  }

  pod(key: string, before: SelectablePod | undefined, after: SelectablePod | undefined): void {
    if (before !== undefined) this.#podsIn(before.namespace).delete(key)
    if (after !== undefined) this.#podsIn(after.namespace).set(key, after)
    for (const pod of [before, after]) {
      if (pod === undefined) continue
      for (const name of this.#selecting.get(pod.namespace) ?? []) {
        const service = `${pod.namespace}/${name}`
        const declared = this.#declared.get(service)
        if (declared !== undefined && !this.#slices.has(service) && selectsPod(declared, pod))
          this.#changed.add(service)
      }
    }
    if (before !== undefined && this.#podsIn(before.namespace).size === 0) this.#pods.delete(before.namespace)
  }

  /** Services that may have changed since the last call; undefined for one that is gone. */
  changes(): ReadonlyMap<string, Service | undefined> {
    const changes = new Map([...this.#changed].map((key) => [key, this.#service(key)]))
    this.#changed.clear()
    return changes
  }

  #podsIn(namespace: string): Map<string, SelectablePod> {
    return entry(this.#pods, namespace, () => new Map<string, SelectablePod>())
  }

  #service(key: string): Service | undefined {
    const declared = this.#declared.get(key)
    const slices = this.#slices.get(key)
    if (declared === undefined && slices === undefined) return undefined
    const [namespace = "", name = ""] = key.split("/")
    const ofPods = () =>
      declared === undefined ? [] : backendsOfPods(declared, this.#pods.get(namespace)?.values() ?? [])
    const entries = slices === undefined ? ofPods() : [...slices.values()].flatMap((slice) => slice.backends)
    return {
      namespace,
      name,
      ...(declared === undefined ? {} : { labels: declared.labels }),
      ...(declared?.selector === undefined ? {} : { selector: declared.selector }),
      backends: mergedBackends(entries),
    }
  }
}

function keyOf({ namespace, name }: ServiceDeclaration): string {
  return `${namespace}/${name}`
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
