import fc from "fast-check"
import { expect, test } from "vitest"
import { isRecord } from "../model/manifest.ts"
import type { FieldPath } from "../model/problem.ts"
import { parseJson } from "./json.ts"
import { readManifests } from "./yaml.ts"

const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie("value"), { maxLength: 4 }),
    tie("map"),
  ),
  map: fc.dictionary(fc.stringMatching(/^[a-z"\\ {,:[\]]{1,8}$/), tie("value"), { maxKeys: 4, noNullPrototype: true }),
})).map

function pathsOf(value: unknown, path: FieldPath = []): FieldPath[] {
  const children = Array.isArray(value)
    ? value.map((item, index) => pathsOf(item, [...path, index]))
    : isRecord(value)
      ? Object.entries(value).map(([key, item]) => pathsOf(item, [...path, key]))
      : []
  return [path, [...path, "none"], ...children.flat()]
}

test("JSON is read as the YAML that it is, each field at the same place", () => {
  fc.assert(
    fc.property(
      value,
      fc.constantFrom(undefined, 1, 2, "\t"),
      fc.constantFrom("", "---  ", "---\n", "a: b\n---\n"),
      (map, space, before) => {
        const json = JSON.stringify({ kind: "x", ...(map as object) }, undefined, space)
        const [fast] = readManifests(`${before}${json}`, "f").objects.slice(-1)
        // A comment makes it YAML for sure.
        const [slow] = readManifests(`${before}${json} # yaml`, "f").objects.slice(-1)
        expect(fast?.value).toEqual(slow?.value)
        for (const path of pathsOf(fast?.value))
          expect([path, fast?.originAt(path)]).toEqual([path, slow?.originAt(path)])
      },
    ),
  )
})

test.each([
  ['{"a":1,"a":2}'],
  ['{"a": {"b": 1, "c": [], "b": 1}}'],
  ['{"a":1,"\\u0061":2}'],
  ['{"a": [ {"x":1}, {"x":1,\n"x":2} ]}'],
])("a key that stands twice is a mistake: %s", (text) => {
  expect(parseJson(text)).toBeUndefined()
  expect(readManifests(text, "f").problems).toMatchObject([{ message: "the same key stands twice in one map" }])
})

test("what is no JSON is not taken for it", () => {
  for (const text of ["{a: 1}", '{"a": 1} # x', '{"a": 01}', '{"a": 1} {"b": 2}', '{"a": '])
    expect(parseJson(text)).toBeUndefined()
  expect(parseJson('{"a": 1.0, "b": "\\u00e9"}')).toEqual({ value: { a: 1, b: "é" } })
})
