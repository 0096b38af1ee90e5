import { expect, test } from "vitest"
import { kernelVersion, probeFeatures } from "../../src/kernel/features.ts"

test("every feature says what was found, what is wanted and why it matters", async () => {
  const features = await probeFeatures()
  expect(features.map((feature) => feature.name)).toEqual([
    "kernel",
    "BTF",
    "BPF maps and ring buffer",
    "TCX",
    "bpf_timer",
    "bpf_redirect_peer",
    "BIG TCP",
    "nftables",
  ])
  for (const feature of features) {
    for (const text of [feature.found, feature.wanted, feature.why]) expect(text).not.toBe("")
    if (feature.required) expect(feature, feature.name).toMatchObject({ ok: true })
  }
  const [major, minor] = kernelVersion()
  const hasTcx = major > 6 || (major === 6 && minor >= 6)
  expect(features.find((feature) => feature.name === "TCX")?.ok).toBe(hasTcx)
})
