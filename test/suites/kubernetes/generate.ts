import { writeFileSync } from "node:fs"
import { kubernetesAllows, type RawObject, type RawProbe } from "../../evaluator/kubernetes.ts"
import type { Case } from "../builders.ts"
import { addresses } from "./cases/addresses.ts"
import { admission } from "./cases/admission.ts"
import { blocks } from "./cases/blocks.ts"
import { defaults } from "./cases/defaults.ts"
import { histories } from "./cases/histories.ts"
import { matrices } from "./cases/matrices.ts"
import { nodes } from "./cases/nodes.ts"
import { peers } from "./cases/peers.ts"
import { ports } from "./cases/ports.ts"
import { selectors } from "./cases/selectors.ts"

/**
 * Writes the suite: `node test/suites/kubernetes/generate.ts`. Expectations in `cases/` are written by hand, except the
 * matrices', which the independent evaluator (test/evaluator) gives. Every one written by hand is checked against
 * that evaluator here, so that two readings of the documentation stand behind it.
 */
const files: Readonly<Record<string, readonly Case[]>> = {
  addresses,
  admission,
  blocks,
  defaults,
  histories,
  matrices,
  nodes,
  peers,
  ports,
  selectors,
}

let disagreements = 0
const names = new Set<string>()
for (const [file, cases] of Object.entries(files)) {
  for (const one of cases) {
    if (names.has(one.name)) throw new Error(`two cases are named ${one.name}`)
    names.add(one.name)
    // The evaluator reads pods, not what makes them.
    if (one.tags.includes("deployment")) continue
    for (const probe of one.probes ?? []) check(one, probe as RawProbe & { readonly expect: string })
  }
  writeFileSync(new URL(`${file}.jsonl`, import.meta.url), cases.map((one) => `${JSON.stringify(one)}\n`).join(""))
}
if (disagreements > 0) throw new Error(`${disagreements} expectations differ from the independent evaluator`)
console.log(`${names.size} cases`)

function check(one: Case, probe: RawProbe & { readonly expect: string }): void {
  const verdict = kubernetesAllows(one.manifests as readonly RawObject[], probe) ? "allow" : "deny"
  if (verdict === probe.expect) return
  disagreements++
  console.error(`${one.name}: ${JSON.stringify(probe)}: the evaluator says ${verdict}`)
}
