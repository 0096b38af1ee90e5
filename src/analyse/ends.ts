import type { Cluster, Endpoint } from "../model/cluster.ts"

/** Labels that tell one pod of a workload from its sisters and say nothing of what it is. */
const NOT_TELLING =
  /^(pod-template-hash|controller-revision-hash|statefulset\.kubernetes\.io\/|apps\.kubernetes\.io\/pod-index|batch\.kubernetes\.io\/|job-name$|controller-uid$)/

/**
 * A set of pods as people would name it: `shop/*`, `shop/app=web (3 pods)`, `shop/web-0`; one text for each namespace, the
 * pods by name where no label says which they are.
 */
export function podsText(keys: readonly string[], cluster: Cluster): string[] {
  const byNamespace = new Map<string, string[]>()
  for (const key of keys) {
    const namespace = key.slice(0, key.indexOf("/"))
    const list = byNamespace.get(namespace)
    if (list === undefined) byNamespace.set(namespace, [key])
    else list.push(key)
  }
  const size = new Map<string, number>()
  for (const { namespace } of cluster.endpoints.values()) size.set(namespace, (size.get(namespace) ?? 0) + 1)
  if (keys.length > 1 && keys.length === cluster.endpoints.size) return ["every pod"]
  return [...byNamespace].flatMap(([namespace, members]) => {
    const [only] = members
    if (members.length === 1 && only !== undefined) return [only]
    if (members.length === size.get(namespace)) return [`${namespace}/* (${members.length} pods)`]
    const label = labelOf(members, namespace, cluster)
    if (label !== undefined) return [`${namespace}/${label} (${members.length} pods)`]
    const shown = members.slice(0, 3)
    return [...shown, ...(members.length > 3 ? [`${members.length - 3} more in ${namespace}`] : [])]
  })
}

/** A label that these pods of a namespace have and its others do not. */
function labelOf(members: readonly string[], namespace: string, cluster: Cluster): string | undefined {
  const inside = new Set(members)
  const first = cluster.endpoints.get(members[0] ?? "")
  const candidates = Object.entries(first?.labels ?? {}).filter(([key]) => !NOT_TELLING.test(key))
  const has = (endpoint: Endpoint, key: string, value: string): boolean =>
    Object.hasOwn(endpoint.labels, key) && endpoint.labels[key] === value
  const others: Endpoint[] = []
  const ours: Endpoint[] = []
  for (const [key, endpoint] of cluster.endpoints) {
    if (endpoint.namespace === namespace) (inside.has(key) ? ours : others).push(endpoint)
  }
  const found = candidates.find(
    ([key, value]) => ours.every((one) => has(one, key, value)) && !others.some((one) => has(one, key, value)),
  )
  return found && `${found[0]}=${found[1]}`
}
