import { execFileSync } from "node:child_process"
import { expect, test } from "vitest"

/** A start that leaves much garbage and little state, then years of small changes. MB. */
const program = `
  import { readFileSync } from "node:fs"
  import { getHeapSpaceStatistics } from "node:v8"
  import { setTimeout as sleep } from "node:timers/promises"
  import { settleMemory } from "${import.meta.dirname}/../../src/agent/memory.ts"
  const mb = (bytes) => Math.round(bytes / 1048576)
  const status = () => readFileSync("/proc/self/status", "utf8")
  const resident = (what) => Number(status().split(what + ":")[1].trim().split(" ")[0]) >> 10
  const anonymous = () => resident("RssAnon")
  const young = () => mb(getHeapSpaceStatistics().find((space) => space.space_name === "new_space").physical_space_size)
  const make = (count) => Array.from({ length: count }, (_, i) => ({ name: "pod-" + i, labels: { app: "app-" + i } }))
  let state = make(20_000)
  let garbage = Array.from({ length: 20 }, () => make(50_000))
  const started = anonymous()
  const startedFiles = resident("RssFile")
  garbage = undefined
  settleMemory()
  const settled = anonymous()
  for (let change = 0; change < 600; change++) {
    // What a change replaces has lived long.
    state = [...state.slice(2_000), ...make(2_000)]
    if (change % 20 === 0) await sleep(1)
  }
  const files = resident("RssFile") / startedFiles
  console.log(JSON.stringify({ started, settled, changed: anonymous(), young: young(), files }))
`

test("an agent that has started gives back what it took for that, and changes do not take it again", () => {
  const output = execFileSync(process.execPath, ["--no-warnings", "--input-type=module-typescript", "-e", program], {
    encoding: "utf8",
  })
  const { started, settled, changed, young, files } = JSON.parse(output)
  console.log(
    `anonymous memory: ${started} MB when started, ${settled} settled, ${changed} after 600 changes; young generation ${young} MB; of the program's pages ${Math.round(100 * files)} %`,
  )
  expect(settled).toBeLessThan(started / 2)
  expect(changed).toBeLessThan(settled + 60)
  expect(files).toBeLessThan(0.8)
  expect(young).toBeLessThanOrEqual(8)
})
