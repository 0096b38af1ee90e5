type Collection = "namespaces" | "serviceAccounts" | "endpoints" | "nodes" | "networkSets" | "tiers" | "policies"

/**
 * Keys whose values may differ between two clusters. A collection that is given lists all that differ in it (more does no
 * harm); one that is left out is compared whole, which costs its size.
 */
export type ClusterChange = { readonly [C in Collection]?: Iterable<string> }

/** Keys of a collection whose values differ (`===`). */
export function changedKeys<V>(
  before: ReadonlyMap<string, V>,
  after: ReadonlyMap<string, V>,
  hint: Iterable<string> | undefined,
): string[] {
  if (before === after) return []
  if (hint !== undefined) return [...new Set(hint)].filter((key) => before.get(key) !== after.get(key))
  const keys: string[] = []
  for (const [key, value] of after) if (before.get(key) !== value) keys.push(key)
  if (before.size !== after.size || keys.length > 0) {
    for (const key of before.keys()) if (!after.has(key)) keys.push(key)
  }
  return keys
}
