import { describe, expect, it } from "vitest"
import { SuiteError } from "./format.ts"
import { guessSyntax, readCases } from "./read.ts"

const probe = { from: { ns: "x", pod: "a" }, to: { ns: "y", pod: "b" }, port: 80, protocol: "TCP", expect: "allow" }
const one = { name: "one", probes: [probe] }

function mistakes(text: string, syntax: "jsonl" | "json" | "yaml" = "jsonl"): readonly string[] {
  try {
    readCases(text, "f", syntax)
    return []
  } catch (error) {
    if (!(error instanceof SuiteError)) throw error
    return error.message.split("\n")
  }
}

describe("readCases", () => {
  it("reads a case with all that an end and a probe may say", () => {
    const probes = [
      {
        ...probe,
        sourcePort: 5000,
        family: "ipv6",
        by: "x/p",
        backends: ["x/a", "10.0.0.1"],
        sticky: true,
        via: "node-1",
      },
      { from: { node: "node-1" }, to: { ip: "10.0.0.1" }, protocol: "ICMP", icmpType: 3, icmpCode: 1, expect: "deny" },
      {
        from: { ip: "fd00::1" },
        to: { ns: "y", service: "s" },
        protocol: 17,
        port: 0,
        expect: "deny",
        connection: "cut",
      },
    ]
    const line = { name: "n", tags: ["t"], group: "g", step: 3, denial: "drop", manifests: [{ kind: "Pod" }], probes }
    const [read] = readCases(JSON.stringify(line), "f", "jsonl")
    expect(read).toMatchObject({ name: "n", tags: ["t"], group: "g", step: 3, denial: "drop" })
    expect(read?.probes[0]).toMatchObject({
      protocol: 6,
      port: 80,
      sourcePort: 5000,
      family: 6,
      by: "x/p",
      sticky: true,
    })
    expect(read?.probes[1]).toMatchObject({
      protocol: 1,
      icmpType: 3,
      icmpCode: 1,
      from: { kind: "node", node: "node-1" },
    })
    expect(read?.probes[2]).toMatchObject({
      protocol: 17,
      port: 0,
      connection: "cut",
      to: { kind: "service", service: "s" },
    })
    expect(read?.raw).toEqual(line)
  })

  it("gives JSON Lines their lines, and does not count empty ones", () => {
    const cases = readCases(`${JSON.stringify(one)}\n\n${JSON.stringify({ ...one, name: "two" })}\n`, "f", "jsonl")
    expect(cases.map((read) => [read.name, read.origin.line])).toEqual([
      ["one", 1],
      ["two", 3],
    ])
  })

  it("reads YAML documents and lists, with the line of every manifest and its parts", () => {
    const text = [
      "name: one",
      "manifests:",
      "  - kind: Pod",
      "    metadata: {name: a}",
      "probes: []",
      "---",
      "- name: two",
      "  probes: []",
      "- name: three",
      "  probes: []",
      "",
    ].join("\n")
    const cases = readCases(text, "f.yaml", "yaml")
    expect(cases.map((read) => read.name)).toEqual(["one", "two", "three"])
    const manifest = cases[0]?.manifests[0]
    expect(manifest?.origin.line).toBe(3)
    expect(manifest?.originAt(["metadata", "name"])).toEqual({ file: "f.yaml", line: 4, column: 22 })
    expect(manifest?.originAt(["spec", "hostNetwork"]).line).toBe(3)
    expect(cases[2]?.origin.line).toBe(9)
  })

  it("reads one JSON case or a list of them", () => {
    expect(readCases(JSON.stringify(one, null, 2), "f", "json")).toHaveLength(1)
    const list = readCases(`[\n${JSON.stringify(one)},\n${JSON.stringify(one)}\n]`, "f", "json")
    expect(list.map((read) => read.origin.line)).toEqual([2, 3])
  })

  it("names file, line, place and what is wanted, all mistakes at once", () => {
    const bad = { name: "", probes: [{ ...probe, expect: "pass", from: { pod: "a" }, protocol: "TPC" }] }
    const found = mistakes(`${JSON.stringify(one)}\n{"name": \n${JSON.stringify(bad)}`)
    expect(found[0]).toMatch(/^f:2: Cannot read the case: not JSON/)
    expect(found.slice(1)).toEqual([
      'f:3: Cannot read the case: found "", wanted a non-empty string (at name)',
      "f:3: Cannot read the end: found fields pod, wanted {ns, pod}, {node} or {ip} (at probes[0].from)",
      'f:3: Cannot read the probe: protocol "TPC" is none of ICMP, TCP, UDP, ICMPv6, SCTP or a number 0–255 (at probes[0].protocol)',
      'f:3: Cannot read the case: found "pass", wanted allow or deny (at probes[0].expect)',
    ])
  })

  it("refuses a misspelt field and keeps an unrelated one", () => {
    expect(mistakes(JSON.stringify({ ...one, manifest: [] }))[0]).toContain(
      'unknown field "manifest"; did you mean "manifests"?',
    )
    expect(mistakes(JSON.stringify({ name: "n", probes: [{ ...probe, familiy: "ipv6" }] }))[0]).toContain(
      'did you mean "family"?',
    )
    const [read] = readCases(JSON.stringify({ ...one, comment: "why" }), "f", "jsonl")
    expect(read?.raw["comment"]).toBe("why")
  })

  it("takes protocols in any case and null as absent", () => {
    const line = { name: "n", group: null, step: null, probes: [{ ...probe, protocol: "udp", by: null, family: null }] }
    const [read] = readCases(JSON.stringify(line), "f", "jsonl")
    expect(read?.group).toBeUndefined()
    expect(read?.probes[0]).toMatchObject({ protocol: 17, port: 80 })
    expect(read?.probes[0]).not.toHaveProperty("by")
  })

  it.each([
    [{ ...probe, port: undefined }, 'need a "port"'],
    [{ ...probe, port: 65536 }, "wanted a whole number from 0 to 65535"],
    [{ ...probe, protocol: "ICMP" }, "has no ports"],
    [{ ...probe, icmpType: 8 }, "for ICMP and ICMPv6 alone"],
    [{ ...probe, protocol: 256 }, "wanted a whole number from 0 to 255"],
    [{ ...probe, expect: undefined }, '"expect" is missing'],
    [{ ...probe, from: { ns: "x", service: "s" } }, "found fields ns,service"],
    [{ ...probe, family: "inet6" }, "wanted ipv4 or ipv6"],
  ])("refuses %j", (wrong, message) => {
    expect(mistakes(JSON.stringify({ name: "n", probes: [wrong] })).join("\n")).toContain(message)
  })

  it("wants something to check", () => {
    expect(mistakes('{"name": "n"}')[0]).toContain('neither "probes" nor "admit"')
    expect(mistakes('{"name": "n", "admit": "accept"}')[0]).toContain("has no manifests")
    expect(mistakes('{"name": "n", "manifests": [{}], "admit": "accept"}')).toEqual([])
  })
})

describe("guessSyntax", () => {
  it("tells one JSON value from lines of JSON and from YAML", () => {
    expect(guessSyntax('{"a": 1}\n')).toBe("json")
    expect(guessSyntax('{"a": 1}\n{"a": 2}\n')).toBe("jsonl")
    expect(guessSyntax('[\n{"a": 1}]')).toBe("json")
    expect(guessSyntax("name: a\n")).toBe("yaml")
  })
})
