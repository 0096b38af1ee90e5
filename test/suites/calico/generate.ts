import { writeFileSync } from "node:fs"
import type { Case } from "../builders.ts"
import { admission } from "./cases/admission.ts"
import { matches } from "./cases/matches.ts"
import { planes } from "./cases/planes.ts"
import { selectors } from "./cases/selectors.ts"
import { services } from "./cases/services.ts"
import { stagedCases } from "./cases/staged.ts"
import { subjects } from "./cases/subjects.ts"
import { tiers } from "./cases/tiers.ts"

/** Writes the suite of Calico policies: `node test/suites/calico/generate.ts`. All expectations are written by hand. */
const files: Readonly<Record<string, readonly Case[]>> = {
  admission,
  matches,
  planes,
  selectors,
  services,
  staged: stagedCases,
  subjects,
  tiers,
}

const names = new Set<string>()
for (const [file, cases] of Object.entries(files)) {
  for (const one of cases) {
    if (names.has(one.name)) throw new Error(`two cases are named ${one.name}`)
    names.add(one.name)
  }
  writeFileSync(new URL(`${file}.jsonl`, import.meta.url), cases.map((one) => `${JSON.stringify(one)}\n`).join(""))
}
console.log(`${names.size} cases`)
