import { expect, test } from "vitest"
import { readManifests } from "../../source/yaml.ts"
import { yamlText } from "./print.ts"

test("YAML that is printed can be read again by Kubernetes, which takes a bare y or on for true", async () => {
  const value = { kind: "ConfigMap", data: { a: "y", b: "on", c: "012", d: "1_000", e: "~", f: "plain", g: "1:30" } }
  const { objects, problems } = readManifests(await yamlText(value), "printed")
  expect(problems).toEqual([])
  expect(objects.map((object) => object.value)).toEqual([value])
})
