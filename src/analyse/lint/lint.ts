import type { Cluster } from "../../model/cluster.ts"
import type { ManifestObject } from "../../model/manifest.ts"
import { lintAccidents } from "./accidents.ts"
import { lintConflicts } from "./conflicts.ts"
import { LintContext } from "./context.ts"
import { compareFindings, type Finding } from "./finding.ts"
import { lintPorts } from "./ports.ts"
import { lintSelectors } from "./selectors.ts"
import { lintShadows } from "./shadows.ts"

/**
 * What is valid in these policies and probably not meant, by file and line. `objects` are what the cluster was made of; what cannot
 * be told without pods is not said when there are none.
 */
export function lint(cluster: Cluster, objects: readonly ManifestObject[]): Finding[] {
  const context = new LintContext(cluster, objects)
  return [
    ...lintSelectors(context),
    ...lintAccidents(context),
    ...lintPorts(context),
    ...lintConflicts(context),
    ...lintShadows(context),
  ].sort(compareFindings)
}
