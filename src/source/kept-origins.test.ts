import { expect, test } from "vitest"
import { keepOrigins, readKeptOrigins } from "./kept-origins.ts"
import { readManifests } from "./yaml.ts"

const text = `# a comment
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {}
  ingress:
    - ports:
        - port: 80
`

test("an object written by a tool leads back to the lines that a person wrote", () => {
  const [object] = readManifests(text, "shop.yaml").objects
  if (object === undefined) throw new Error("wanted an object")
  const read = readManifests(keepOrigins(object), "objects/copy.json")
  expect(read.problems).toEqual([])
  const [copy] = read.objects
  expect(copy?.value).toEqual(object.value)
  expect(copy?.origin).toEqual(object.origin)
  for (const path of [[], ["spec", "ingress", 0], ["spec", "ingress", 0, "ports", 0, "port"], ["spec", "none"]]) {
    expect(copy?.originAt(path)).toEqual(object.originAt(path))
  }
})

test("a file that was edited by hand is read as any other", () => {
  const [object] = readManifests(text, "shop.yaml").objects
  if (object === undefined) throw new Error("wanted an object")
  const edited = keepOrigins(object).replace('"kind"', "kind")
  expect(readKeptOrigins(edited)).toBeUndefined()
  expect(readManifests(edited, "copy.json").objects).toHaveLength(1)
  expect(readKeptOrigins(text)).toBeUndefined()
})
