import { writeFileSync } from "node:fs"
import type { Case } from "../builders.ts"
import { admission } from "./cases/admission.ts"
import { denials } from "./cases/deny.ts"
import { entities } from "./cases/entities.ts"
import { histories } from "./cases/histories.ts"
import { l4 } from "./cases/ports.ts"
import { selectors } from "./cases/selectors.ts"
import { services } from "./cases/services.ts"
import { wildcards } from "./cases/wildcards.ts"

/** Writes the suite of Cilium policies: `node test/suites/cilium/generate.ts`. All expectations are written by hand. */
const files: Readonly<Record<string, readonly Case[]>> = {
  admission,
  denials,
  entities,
  histories,
  l4,
  selectors,
  services,
  wildcards,
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
