import { describe, expect, it } from "vitest"
import { namesRule } from "./by.ts"
import { planSuite } from "./plan.ts"
import type { ProbeResult, SuitePlane } from "./plane.ts"
import { readCases } from "./read.ts"
import { jsonReport } from "./report/json.ts"
import { jsonlReport } from "./report/jsonl.ts"
import { junitReport } from "./report/junit.ts"
import { Counter, type Report } from "./report/report.ts"
import { tapReport } from "./report/tap.ts"
import { textReport } from "./report/text.ts"
import { type CaseResult, runSuite } from "./run.ts"

const ends = { from: { ns: "x", pod: "a" }, to: { ns: "x", pod: "b" }, port: 80, protocol: "TCP" }
const manifests = ["a", "b"].map((name) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "x" },
  spec: {},
}))

/** Answers each probe in turn. */
function scripted(answers: readonly ProbeResult[], refused: readonly string[] = []): SuitePlane {
  return { name: "scripted", prepare: async () => refused, probe: async () => answers, close: async () => {} }
}

async function run(
  parts: object,
  answers: readonly ProbeResult[],
  allowUnsupported = false,
  refused: readonly string[] = [],
) {
  const text = JSON.stringify({ name: "a <case> #1", manifests, ...parts })
  const plane = scripted(answers, refused)
  const admission = () => ({ admitted: "reject" as const, errors: ["f:1: wrong"] })
  const results: CaseResult[] = []
  for await (const result of runSuite(planSuite(readCases(text, "f", "jsonl")), plane, {
    now: () => 0,
    allowUnsupported,
    admission,
  })) {
    results.push(result)
  }
  const [result] = results
  if (result === undefined) throw new Error("no result")
  return result
}

const passes = async (parts: object, ...answers: readonly ProbeResult[]) => (await run(parts, answers)).passed

describe("what satisfies a probe", () => {
  const expectDeny = { probes: [{ ...ends, expect: "deny" }] }

  it("deny by silence or refusal, and with denial drop by silence alone", async () => {
    expect(await passes(expectDeny, { got: "deny" })).toBe(true)
    expect(await passes(expectDeny, { got: "reject" })).toBe(true)
    expect(await passes(expectDeny, { got: "allow" })).toBe(false)
    expect(await passes({ ...expectDeny, denial: "drop" }, { got: "deny" })).toBe(true)
    expect(await passes({ ...expectDeny, denial: "drop" }, { got: "reject" })).toBe(false)
  })

  it("allow by nothing else", async () => {
    const probes = [{ ...ends, expect: "allow" }]
    expect(await passes({ probes }, { got: "allow" })).toBe(true)
    expect(await passes({ probes }, { got: "reject" })).toBe(false)
  })

  it("unsupported only where that is allowed", async () => {
    const answer: ProbeResult = { got: "unsupported", reason: "no such thing" }
    expect((await run(expectDeny, [answer])).probes[0]?.failure).toBe("unsupported: no such thing")
    expect((await run(expectDeny, [answer], true)).passed).toBe(true)
  })

  it("nothing where the suite is wrong about the ends", async () => {
    const probes = [{ ...ends, to: { ns: "x", pod: "nobody" }, expect: "deny" }]
    const result = await run({ probes }, [{ got: "unsupported", reason: "the case has no pod x/nobody" }], true)
    expect(result.probes[0]?.failure).toBe("cannot be asked: the case has no pod x/nobody")
  })

  it("the rule named, at either end of an allowed packet", async () => {
    const probes = [{ ...ends, expect: "allow", by: "x/out" }]
    const deciders = ["default/NetworkPolicy x/out egress[0]", "no-policy ingress"]
    expect(await passes({ probes }, { got: "allow", by: "no-policy ingress", deciders })).toBe(true)
    expect(await passes({ probes }, { got: "allow", by: "no-policy ingress" })).toBe(false)
  })

  it("one of the backends, and the same one where it is sticky", async () => {
    const probes = [1, 2].map(() => ({ ...ends, expect: "allow", backends: ["x/a", "x/b"], sticky: true }))
    expect(await passes({ probes }, { got: "allow", backend: "x/a" }, { got: "allow", backend: "x/a" })).toBe(true)
    expect(await passes({ probes }, { got: "allow", backend: "x/a" }, { got: "allow", backend: "x/b" })).toBe(false)
    expect(await passes({ probes }, { got: "allow", backend: "x/c" }, { got: "allow", backend: "x/c" })).toBe(false)
  })

  it("what became of the connection", async () => {
    const probes = [{ ...ends, expect: "deny", connection: "cut" }]
    expect(await passes({ probes }, { got: "deny", connection: "cut" })).toBe(true)
    expect(await passes({ probes }, { got: "deny", connection: "none" })).toBe(false)
    expect(await passes({ probes }, { got: "deny" })).toBe(false)
  })

  it("nothing when a manifest of the case was refused", async () => {
    const result = await run(expectDeny, [{ got: "deny" }], false, ["f:1: unknown kind"])
    expect(result.passed).toBe(false)
    expect(result.probes[0]?.result).toEqual({
      got: "unsupported",
      reason: "a manifest of the case was refused: f:1: unknown kind",
    })
  })

  it("the admission asked for", async () => {
    expect(await passes({ admit: "reject" })).toBe(true)
    expect(await passes({ admit: "accept" })).toBe(false)
  })
})

describe("namesRule", () => {
  const rule = "default/NetworkPolicy shop/web ingress[0]"
  it.each([
    [rule, rule, true],
    ["NetworkPolicy shop/web ingress[0]", rule, true],
    ["NetworkPolicy shop/web", rule, true],
    ["default/NetworkPolicy shop/web", rule, true],
    ["shop/web", rule, true],
    ["web", rule, true],
    ["shop/web ingress[0]", rule, true],
    ["shop/web ingress[1]", rule, false],
    ["shop/we", rule, false],
    ["other/web", rule, false],
    ["shop", rule, false],
    ["shop/deny default-deny ingress", "default/NetworkPolicy shop/deny default-deny ingress", true],
    ["no-policy", "no-policy ingress", true],
    ["no-policy egress", "no-policy ingress", false],
    ["admin", "kube-admin/ClusterNetworkPolicy admin ingress[2]", true],
  ])("%s for %s: %s", (wanted, text, answer) => {
    expect(namesRule(wanted, text)).toBe(answer)
  })
})

describe("reports", () => {
  const by = "default/NetworkPolicy x/p ingress[0]"
  const probes = [
    { ...ends, expect: "deny", note: "kept" },
    { ...ends, expect: "allow" },
  ]
  const printed = async (report: Report): Promise<string> => {
    const result = await run({ probes }, [
      { got: "allow", by },
      { got: "allow", by },
    ])
    const counter = new Counter()
    counter.add(result)
    return report.result(result) + report.end(counter.summary("scripted", 1234))
  }

  it("text: a line per failed probe with the rule, and a summary with the wall time", async () => {
    expect(await printed(textReport())).toBe(
      `FAIL a <case> #1 (f:1)\n  x/a → x/b 80/TCP: expected deny, got allow by ${by}\nFAILED: 0 of 1 cases right, 1 of 2 probes, plane scripted, 1.23 s\n`,
    )
  })

  it("jsonl: the case back with the answers", async () => {
    const line = JSON.parse(await printed(jsonlReport())) as { probes: readonly object[] }
    expect(line).toMatchObject({ name: "a <case> #1", manifests })
    expect(line.probes[0]).toEqual({ ...ends, expect: "deny", note: "kept", got: "allow", by, failed: true })
    expect(line.probes[1]).toEqual({ ...ends, expect: "allow", got: "allow", by })
  })

  it("json: counts and wall time", async () => {
    const object = JSON.parse(await printed(jsonReport())) as object
    expect(object).toMatchObject({
      passed: false,
      plane: "scripted",
      cases: 1,
      casesFailed: 1,
      probes: 2,
      probesFailed: 1,
      milliseconds: 1234,
    })
  })

  it("junit: escaped XML", async () => {
    const xml = await printed(junitReport())
    expect(xml).toContain(
      '<testcase name="a &lt;case&gt; #1" classname="f" file="f" line="1" time="0.000"><failure message="x/a → x/b',
    )
    expect(xml).toContain('tests="1" failures="1"')
  })

  it("tap: a test point with its failures as comments", async () => {
    expect(await printed(tapReport())).toBe(
      `TAP version 14\nnot ok 1 - a <case> \\#1\n# x/a → x/b 80/TCP: expected deny, got allow by ${by}\n1..1\n`,
    )
  })
})
