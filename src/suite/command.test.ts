import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { runTest, type TestOptions } from "./command.ts"
import type { SuitePlane } from "./plane.ts"

const pods = ["a", "b"].map((name) => ({
  ...{ apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "x", labels: { pod: name } } },
  spec: { nodeName: "n1", containers: [{ name: "c", image: "i" }] },
}))
const policy = {
  ...{ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: { name: "deny", namespace: "x" } },
  spec: { podSelector: { matchLabels: { pod: "b" } } },
}
const probe = (expected: string): object => ({
  ...{ from: { ns: "x", pod: "a" }, to: { ns: "x", pod: "b" }, port: 80, protocol: "TCP", expect: expected },
})
const right = { name: "right", tags: ["good"], manifests: [...pods, policy], probes: [probe("deny")] }
const wrong = { name: "wrong", manifests: [...pods, policy], probes: [probe("allow")] }
const lines = (...cases: readonly object[]): string => cases.map((one) => `${JSON.stringify(one)}\n`).join("")

let directory = ""
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "suite-"))
})
afterEach(() => rmSync(directory, { recursive: true }))

async function run(options: Partial<TestOptions>, input = "", planes: Record<string, () => Promise<SuitePlane>> = {}) {
  const out: string[] = []
  const err: string[] = []
  const world = {
    out: (text: string) => void out.push(text),
    err: (text: string) => void err.push(text),
    standardInput: () => input,
    now: () => 0,
    planes,
  }
  const defaults = { suites: ["-"], plane: "model", output: "text", allowUnsupported: false, tags: [] }
  const code = await runTest({ ...defaults, ...options }, world)
  return { code, out: out.join(""), err: err.join("") }
}

describe("heddle test", () => {
  it.each(["model", "compiled"])("judges by plane %s: exit code 0 when all is right, 1 when not", async (plane) => {
    expect(await run({ plane }, lines(right))).toEqual({
      code: 0,
      out: `ok: 1 of 1 cases right, 1 of 1 probes, plane ${plane}, 0.00 s\n`,
      err: "",
    })
    const { code, out } = await run({ plane }, lines(right, wrong))
    expect(code).toBe(1)
    expect(out).toContain(
      "FAIL wrong (stdin:2)\n  x/a → x/b 80/TCP: expected allow, got deny by default/NetworkPolicy x/deny default-deny ingress\n",
    )
  })

  it("reads files and directories in every syntax", async () => {
    writeFileSync(join(directory, "a.jsonl"), lines(right))
    writeFileSync(join(directory, "b.json"), JSON.stringify([right]))
    writeFileSync(join(directory, "c.yaml"), `---\n${JSON.stringify(right, null, 2)}\n---\nname: empty\nprobes: []\n`)
    writeFileSync(join(directory, "notes.txt"), "not a suite")
    expect((await run({ suites: [directory] })).out).toContain("4 of 4 cases right")
    expect((await run({ suites: [join(directory, "a.jsonl"), "-"] }, lines(right))).out).toContain("2 of 2 cases right")
  })

  it("chooses cases by name and tag, and all steps of a group with one of them", async () => {
    expect((await run({ filter: "RIGHT" }, lines(right, wrong))).out).toContain("1 of 1 cases")
    expect((await run({ tags: ["good"] }, lines(right, wrong))).out).toContain("1 of 1 cases")
    const steps = [0, 1].map((step) => ({ ...right, name: `step ${step}`, group: "g", step }))
    expect((await run({ filter: "step 1" }, lines(...steps, wrong))).out).toContain("2 of 2 cases")
  })

  it("explains wrong usage and a wrong suite, with exit code 2", async () => {
    expect(await run({ plane: "no" }, "")).toMatchObject({
      code: 2,
      err: expect.stringContaining("choose from model, compiled"),
    })
    expect(await run({ output: "no" }, "")).toMatchObject({
      code: 2,
      err: expect.stringContaining("text, json, jsonl, junit, tap"),
    })
    expect(await run({ suites: [] })).toMatchObject({ code: 2 })
    expect(await run({ suites: [join(directory, "no")] })).toMatchObject({
      code: 2,
      err: expect.stringContaining("no such file"),
    })
    expect(await run({}, "")).toMatchObject({ code: 2, err: expect.stringContaining("it has no cases") })
    expect(await run({ filter: "no" }, lines(right))).toMatchObject({
      code: 2,
      err: expect.stringContaining("none of its 1 cases"),
    })
    expect(await run({}, '{"name": "x"}')).toMatchObject({ code: 2, err: expect.stringMatching(/^stdin:1: /) })
  })

  it("counts a refused manifest as failed, or as unsupported where that is allowed", async () => {
    const unknown = { ...right, manifests: [...pods, { ...policy, apiVersion: "networking.k8s.io/v9" }] }
    const refused = await run({}, lines(unknown))
    expect(refused.code).toBe(1)
    expect(refused.out).toMatch(/refused manifest: stdin:1:\d+: error:/)
    expect((await run({ allowUnsupported: true }, lines(unknown))).code).toBe(0)
  })

  it("answers cases of admission with the reasons", async () => {
    const bad = { ...policy, spec: { podSelectr: {} } }
    const admit = { name: "misspelt", manifests: [bad], admit: "reject" }
    const { code, out } = await run({ output: "jsonl" }, lines(admit))
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ admitted: "reject", errors: [expect.stringContaining("podSelectr")] })
  })

  it("uses and closes the planes it is given", async () => {
    const calls: string[] = []
    const plane: SuitePlane = {
      name: "packets",
      prepare: async (state) => {
        calls.push(`prepare ${state.case.name}`)
        return []
      },
      probe: async (probes) => probes.map(() => ({ got: "reject" })),
      close: async () => void calls.push("close"),
    }
    expect((await run({ plane: "packets" }, lines(right), { packets: async () => plane })).code).toBe(0)
    expect(calls).toEqual(["prepare right", "close"])
  })
})
