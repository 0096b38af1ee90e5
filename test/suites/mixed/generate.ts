import { writeFileSync } from "node:fs"
import type { Case } from "../builders.ts"
import { histories } from "./cases/histories.ts"
import { order } from "./cases/order.ts"
import { peers } from "./cases/peers.ts"
import { unions } from "./cases/unions.ts"

/** Writes the suite of mixed languages: `node test/suites/mixed/generate.ts`. All expectations are written by hand, those of `order` as one list. */
const files: Readonly<Record<string, readonly Case[]>> = { histories, order, peers, unions }

const names = new Set<string>()
for (const [file, cases] of Object.entries(files)) {
  for (const one of cases) {
    if (names.has(one.name)) throw new Error(`two cases are named ${one.name}`)
    names.add(one.name)
  }
  writeFileSync(new URL(`${file}.jsonl`, import.meta.url), cases.map((one) => `${JSON.stringify(one)}\n`).join(""))
}
console.log(`${names.size} cases`)
