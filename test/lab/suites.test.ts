import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { labPlane } from "../../src/lab/suite-plane.ts"
import { runTest } from "../../src/suite/command.ts"

/** Every case of our own Kubernetes suites with real packets. */
const directory = join(import.meta.dirname, "..", "suites", "kubernetes")
const suites = existsSync(directory) ? readdirSync(directory).filter((name) => /\.(jsonl|ya?ml)$/.test(name)) : []

describe("suites by --plane ebpf", () => {
  test("there are suites", () => expect(suites.length).toBeGreaterThan(0))

  test("every probe of every case meets what it should", async () => {
    let out = ""
    const code = await runTest(
      { suites: [directory], plane: "ebpf", output: "text", allowUnsupported: false, tags: [] },
      {
        out: (text) => {
          out += text
        },
        err: (text) => {
          out += text
        },
        standardInput: () => "",
        now: () => performance.now(),
        planes: { ebpf: () => labPlane() },
      },
    )
    expect(code, out.slice(-4_000)).toBe(0)
  })
})
