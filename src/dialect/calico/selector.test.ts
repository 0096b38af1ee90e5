import { describe, expect, it } from "vitest"
import { type Labels, selects } from "../../model/selector.ts"
import { parseSelector, SelectorError } from "./selector.ts"

const labels: Labels = { app: "web", "k8s.io/tier": "front end", in: "x", "9-a": "y", empty: "" }

describe("what a selector selects", () => {
  it.each<[string, boolean]>([
    ["", true],
    [" \t ", true],
    ["all()", true],
    ["all( )", true],
    ["app == 'web'", true],
    ['app=="web"', true],
    ["app != 'web'", false],
    ["absent == 'web'", false],
    ["absent != 'web'", true],
    ["has(app)", true],
    ["has( app )", true],
    ["!has(app)", false],
    ["!!has(app)", true],
    ["!!!has(app)", false],
    ["app in {'db', 'web'}", true],
    ["app in {'db','web',}", true],
    ["app in {}", false],
    ["app not in {}", true],
    ["app not in {'db'}", true],
    ["app notin {'web'}", false],
    ["app not \t in {'web'}", false],
    ["absent not in {'web'}", true],
    ["!absent in {'web'}", true],
    ["!app in {'web'}", false],
    ["app contains 'e'", true],
    ["absent contains ''", false],
    ["app starts with 'we'", true],
    ["app startswith 'we'", true],
    ["app ends with 'eb'", true],
    ["app endswith 'x'", false],
    ["in == 'x'", true],
    ["in in {'x'}", true],
    ["9-a == 'y'", true],
    ["empty == ''", true],
    ['k8s.io/tier == "front end"', true],
    ["app == 'web' && has(in) || has(nothing)", true],
    ["has(nothing) || has(nothing) && app == 'web'", false],
    ["!(has(nothing) || app == 'web')", false],
    ["(app == 'web') && (!has(nothing))", true],
    ["constructor == 'x' || has(constructor)", false],
    ["app == 'it\"s'", false],
  ])("%s → %s", (text, expected) => {
    expect(selects(parseSelector(text).selector, labels)).toBe(expected)
  })
})

describe("what is no selector", () => {
  it.each([
    "app = 'web'",
    "app == web",
    "app == 'web",
    "has (app)",
    "has(app",
    "all",
    "(app == 'web'",
    "app == 'web')",
    "app == 'web' & has(in)",
    "app == 'web' | has(in)",
    "app in 'web'",
    "app in {'web'",
    "app in {,}",
    "app in {web}",
    "app inside {'web'}",
    "app containsx 'web'",
    "app\n== 'web'",
    "&& has(app)",
    "has(app) &&",
    "!",
    "== 'x'",
    "app",
    "(".repeat(500),
  ])("%s", (text) => {
    expect(() => parseSelector(text)).toThrow(SelectorError)
  })
})

it("tells that global() is used", () => {
  expect(parseSelector("global()").global).toBe(true)
  expect(parseSelector("has(app) && global()").global).toBe(true)
  expect(parseSelector("has(global)").global).toBe(false)
})
