import { writeFileSync } from "node:fs"
import type { RawObject, RawProbe } from "../../evaluator/kubernetes.ts"
import { policyApiAllows } from "../../evaluator/policy-api.ts"
import type { Case } from "../builders.ts"
import { admission } from "./cases/admission.ts"
import { alpha1 } from "./cases/alpha1.ts"
import { closed } from "./cases/closed.ts"
import { histories } from "./cases/histories.ts"
import { matrices } from "./cases/matrices.ts"
import { peers } from "./cases/peers.ts"
import { ports } from "./cases/ports.ts"
import { tiers } from "./cases/tiers.ts"

/**
 * Writes the suite: `node test/suites/policy-api/generate.ts`. Expectations in `cases/` are written by hand from the
 * comments of the API's types, except the matrices', which the independent evaluator (test/evaluator) gives. Every one
 * written by hand is checked against that evaluator here.
 */
const files: Readonly<Record<string, readonly Case[]>> = {
  admission,
  alpha1,
  closed,
  histories,
  matrices,
  peers,
  ports,
  tiers,
}

let disagreements = 0
const names = new Set<string>()
for (const [file, cases] of Object.entries(files)) {
  for (const one of cases) {
    if (names.has(one.name)) throw new Error(`two cases are named ${one.name}`)
    names.add(one.name)
    for (const probe of one.probes ?? []) check(one, probe as RawProbe & { readonly expect: string })
  }
  writeFileSync(new URL(`${file}.jsonl`, import.meta.url), cases.map((one) => `${JSON.stringify(one)}\n`).join(""))
}
if (disagreements > 0) throw new Error(`${disagreements} expectations differ from the independent evaluator`)
console.log(`${names.size} cases`)

function check(one: Case, probe: RawProbe & { readonly expect: string }): void {
  const verdict = policyApiAllows(one.manifests as readonly RawObject[], probe) ? "allow" : "deny"
  if (verdict === probe.expect) return
  disagreements++
  console.error(`${one.name}: ${JSON.stringify(probe)}: the evaluator says ${verdict}`)
}
