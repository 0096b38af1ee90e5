import { expect, test } from "vitest"
import { readManifests } from "./yaml.ts"

const values = (text: string): unknown[] => readManifests(text, "f.yaml").objects.map((object) => object.value)

test("documents, comments and empty documents", () => {
  expect(values("# nothing\n---\n---\nkind: A\n--- # second\nkind: B\n...\n")).toEqual([{ kind: "A" }, { kind: "B" }])
  expect(values("")).toEqual([])
  expect(values("a: |\n  x\n---\nb: |-\n  ---x\n")).toEqual([{ a: "x\n" }, { b: "---x" }])
  expect(values("%YAML 1.2\n---\nkind: A\n")).toEqual([{ kind: "A" }])
  expect(values("\uFEFFkind: A\r\nname: b\r\n---\r\nkind: C\r\n")).toEqual([{ kind: "A", name: "b" }, { kind: "C" }])
})

test("JSON is read, with its lines", () => {
  const { objects } = readManifests('{\n  "kind": "A",\n  "spec": {"x": [1, 2]}\n}', "f.json")
  expect(objects[0]?.value).toEqual({ kind: "A", spec: { x: [1, 2] } })
  expect(objects[0]?.originAt(["spec", "x", 1])).toEqual({ file: "f.json", line: 3, column: 21 })
})

test("lists are taken apart, their items keep their lines", () => {
  const { objects } = readManifests(
    "kind: List\nitems:\n- kind: A\n  q: 1\n- kind: List\n  items:\n  - kind: B\n---\nkind: PodList\napiVersion: v1\nitems: [{q: 2}]\n",
    "f.yaml",
  )
  expect(objects.map(({ value }) => value)).toEqual([
    { kind: "A", q: 1 },
    { kind: "B" },
    { apiVersion: "v1", kind: "Pod", q: 2 },
  ])
  expect(objects.map(({ origin }) => origin.line)).toEqual([3, 7, 11])
  expect(objects[0]?.originAt(["q"])).toEqual({ file: "f.yaml", line: 4, column: 6 })
})

test("origins: a scalar's value, a block's key, an item's first line, the nearest for what is absent; also through aliases", () => {
  const text = "a: &x\n  b:\n    - c: 1\n      d: 2\ne: *x\nf:\n"
  const [object] = readManifests(text, "f.yaml").objects
  const at = (...path: (string | number)[]) => [object?.originAt(path).line, object?.originAt(path).column]
  expect(at("a", "b")).toEqual([2, 3])
  expect(at("a", "b", 0)).toEqual([3, 7])
  expect(at("a", "b", 0, "d")).toEqual([4, 10])
  expect(at("a", "b", 0, "missing")).toEqual([3, 7])
  expect(at("e", "b", 0, "c")).toEqual([3, 10])
  expect(at("f")).toEqual([6, 1])
})

test("scalars mean what they mean to kubectl", () => {
  const text =
    'a: yes\nb: Off\nc: "yes"\nd: 010\ne: 0x1F\nf: 1_000\ng: 10:30\nh: 2001-01-01\ni: ~\nj: 1.5\nk: 0o17\nl: -7\nm: y\n1: x\n'
  expect(values(text)).toEqual([
    {
      a: true,
      b: false,
      c: "yes",
      d: 8,
      e: 31,
      f: 1000,
      g: "10:30",
      h: "2001-01-01",
      i: null,
      j: 1.5,
      k: 15,
      l: -7,
      m: true,
      "1": "x",
    },
  ])
})

test.each([
  ["kind: [a\n---\nkind: B\n", 1, /not valid YAML/],
  ['kind: "a\n---\nkind: B\n', 1, /not valid YAML/],
  ["kind: A\n  x: 1\n---\nkind: B\n", 1, /not valid YAML/],
  ["kind: A\nkind: A\n---\nkind: B\n", 2, /the same key stands twice/],
  ["a: {x: 1, x: 2}\n---\nkind: B\n", 1, /the same key stands twice/],
  ["a:\n\tb: 1\n---\nkind: B\n", 2, /tab/],
  ["a: *nobody\n---\nkind: B\n", 1, /not valid YAML/],
  ["- a\n---\nkind: B\n", 1, /must be an object with apiVersion and kind, found a list/],
  ["text\n---\nkind: B\n", 1, /found the string "text"/],
])("a broken document is reported with its line and takes no other with it: %j", (text, line, message) => {
  const { objects, problems } = readManifests(text, "f.yaml")
  expect(objects.map(({ value }) => value)).toEqual([{ kind: "B" }])
  expect(problems.length).toBeGreaterThan(0)
  expect(problems[0]?.message).toMatch(message)
  expect(problems[0]?.origin).toMatchObject({ file: "f.yaml", line })
})

test("an alias bomb is refused", () => {
  let text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
  for (let i = 1; i < 9; i++)
    text += `a${i}: &a${i} [${Array(10)
      .fill(`*a${i - 1}`)
      .join(", ")}]\n`
  const { objects, problems } = readManifests(text, "f.yaml")
  expect(objects).toEqual([])
  expect(problems).toHaveLength(1)
})
