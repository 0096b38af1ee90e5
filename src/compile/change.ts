import { changedKeys as differingKeys } from "../model/sharded-map.ts"

type Collection = "namespaces" | "serviceAccounts" | "endpoints" | "nodes" | "networkSets" | "tiers" | "policies"

/**
 * Keys whose values may differ between two clusters. A collection that is given lists all that differ in it (more does no
 * harm); one that is left out is compared, which costs what changed between versions of one `ShardedMap`, else its size.
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
  return [...differingKeys(before, after)]
}
