import { expect, test } from "vitest"
import { nearestWord } from "./suggest.ts"

const fields = ["from", "ports", "podSelector", "namespaceSelector", "policyTypes", "tcp", "udp", "sctp", "pods"]

test.each([
  ["podSelectr", "podSelector"],
  ["podselector", "podSelector"],
  ["form", "from"],
  ["port", "ports"],
  ["tpc", "tcp"],
  ["podz", "pods"],
  ["nameSpaceSelektor", "namespaceSelector"],
  ["policytype", "policyTypes"],
  ["icmp", undefined],
  ["workloads", undefined],
  ["a", undefined],
  ["", undefined],
])("%s → %s", (found, expected) => {
  expect(nearestWord(found, fields)).toBe(expected)
})
