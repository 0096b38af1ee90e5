import { expect, test } from "vitest"
import type { Facts } from "../model/facts.ts"
import type { Address } from "../net/types.ts"
import { l4Words } from "./words.ts"

const pod: Facts = {
  address: "10.0.0.1" as Address,
  kind: "endpoint",
  namespace: "shop",
  name: "web-0",
  labels: {},
  namespaceLabels: {},
  serviceAccountLabels: {},
  namedPorts: [{ name: "http", protocol: 6, port: 8080 }],
}
const ends = { source: pod, destination: pod }

test("a named port is told with what it means at its end", () => {
  const named = (name: string, protocol: number) =>
    l4Words([{ protocols: [protocol], ports: [{ kind: "named", name }] }], ends)
  expect(named("http", 6)).toBe('"http" (8080/TCP)')
  expect(named("http", 17)).toBe('"http" (shop/web-0 has it as 8080/TCP)')
  expect(named("api", 6)).toBe('"api" (shop/web-0 has no port of that name)')
})

test("without ends a name stays a name", () => {
  expect(l4Words([{ protocols: [6], ports: [{ kind: "named", name: "http" }] }])).toBe('"http"/TCP')
})
