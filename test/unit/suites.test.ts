import { readdirSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { admission } from "../../src/suite/admission.ts"
import { loadCases } from "../../src/suite/files.ts"
import { planSuite } from "../../src/suite/plan.ts"
import { compiledPlane } from "../../src/suite/plane-compiled.ts"
import { modelPlane } from "../../src/suite/plane-model.ts"
import { caseFailures } from "../../src/suite/report/failure.ts"
import { runSuite } from "../../src/suite/run.ts"

/** Every suite under test/suites, on both planes that need no cluster: all probes and admissions right. */
const root = fileURLToPath(new URL("../suites/", import.meta.url))
const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".jsonl"))

describe.each(files.sort())("%s", (file) => {
  it.each([
    ["model", modelPlane],
    ["compiled", compiledPlane],
  ] as const)("is all right by plane %s", async (_, makePlane) => {
    const histories = planSuite(loadCases([join(root, file)], () => ""))
    const failures: string[] = []
    let cases = 0
    for await (const result of runSuite(histories, makePlane(), { now: () => 0, allowUnsupported: false, admission })) {
      cases++
      failures.push(...caseFailures(result).map((failure) => `${result.case.name}: ${failure}`))
    }
    expect(failures).toEqual([])
    expect(cases).toBeGreaterThan(0)
  })
})
