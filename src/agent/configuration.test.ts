import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { Failure } from "../api/failure.ts"
import { readConfiguration } from "./configuration.ts"

const directory = mkdtempSync(join(tmpdir(), "heddle-configuration-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function file(text: string): string {
  const path = join(directory, "agent.yaml")
  writeFileSync(path, text)
  return path
}

function failure(run: () => unknown): Failure {
  try {
    run()
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
  throw new Error("wanted a Failure")
}

test("defaults follow from the node's name", () => {
  const configuration = readConfiguration({ node: "node-1" })
  expect(configuration.runDir).toBe("/run/heddle/node-1")
  expect(configuration.cniSocket).toBe("/run/heddle/node-1/cni.sock")
  expect(configuration.routing).toBe("vxlan")
})

test("flags win over the file", () => {
  const path = file("routing: native\noverlayPort: 8472\nclusterPrefixes:\n  - 10.244.0.0/16\n")
  const configuration = readConfiguration(
    { node: "a", overlayPort: "4790", nonMasquerade: "10.0.0.0/8, fd00::/8" },
    path,
  )
  expect(configuration.routing).toBe("native")
  expect(configuration.overlayPort).toBe(4790)
  expect(configuration.clusterPrefixes).toEqual(["10.244.0.0/16"])
  expect(configuration.nonMasquerade).toEqual(["10.0.0.0/8", "fd00::/8"])
})

test("an unknown setting names file and line", () => {
  const error = failure(() => readConfiguration({}, file("node: a\nrooting: native\n")))
  expect(error.kind).toBe("usage")
  expect(error.why).toMatch(/agent\.yaml:2:\d+: unknown setting rooting/)
})

test.each([
  ["routing: bgp\n", "wanted vxlan or native"],
  ["bigTcp: yes\n", "wanted auto, on or off"],
  ["overlayPort: 70000\n", "from 1 to 65535"],
  ["clusterPrefixes: [10.0.0.0/33]\n", "10.0.0.0/33"],
  ["node: UPPER\n", "a node's name"],
  ["flowRecords: 1000\n", "from 1024 to"],
  ["addressEntries: many\n", "a whole number"],
  ["- node\n", "wanted a mapping"],
])("%j is refused", (text, why) => {
  expect(failure(() => readConfiguration({}, file(text))).why).toContain(why)
})

test("tables that would take too much of the memory are refused with what there is room for", () => {
  const memory = 512 * 1_048_576
  expect(readConfiguration({ flowRecords: 262_144 }, undefined, memory).flowRecords).toBe(262_144)
  const { why } = failure(() => readConfiguration({ flowRecords: "1048576" }, undefined, memory))
  expect(why).toBe(
    "--flow-records: found 1048576, wanted at most 599186: each takes 224 bytes, and the table may take a quarter of this machine's memory",
  )
})

test("a flag that cannot be names the flag", () => {
  expect(failure(() => readConfiguration({ runDir: "" })).why).toContain("--run-dir")
})
