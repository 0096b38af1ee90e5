import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { pod } from "../../test/suites/builders.ts"
import { manifestAt } from "../model/manifest.ts"
import { ObjectStore } from "./objects.ts"

const origin = { file: "f.yaml", line: 1, column: 1 }
const store = (): ObjectStore => new ObjectStore({ now: () => 0 })
const service = (spec: object, labels: object = {}): object => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { namespace: "x", name: "s", labels },
  spec,
})
const slice = (name: string, endpoints: readonly object[], ports: readonly object[], of = "s"): object => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { namespace: "x", name, labels: of === "" ? {} : { "kubernetes.io/service-name": of } },
  addressType: "IPv4",
  endpoints,
  ports,
})
const web = [{ port: 80, targetPort: 8080 }]
const app = { selector: { app: "a" }, ports: web }
const a = pod("x/a", {
  labels: { app: "a" },
  ips: ["10.244.1.1", "fd00::1"],
  ports: [{ name: "w", containerPort: 81 }],
})
const b = pod("x/b", { labels: { app: "b" }, ips: ["10.244.1.2"] })

function backends(...objects: readonly object[]): string[] | undefined {
  const made = store()
  for (const value of objects) made.put(manifestAt(value, origin))
  return backendsIn(made)
}

function backendsIn(made: ObjectStore): string[] | undefined {
  return made
    .cluster()
    .services.get("x/s")
    ?.backends.map(({ address, ports }) => `${address} ${ports.map((one) => `${one.protocol}:${one.port}`).join()}`)
}

describe("what stands behind a service", () => {
  test.each<[string, readonly object[], string[] | undefined]>([
    ["no service, no slices", [a], undefined],
    ["its pods, at its target ports", [service(app), a, b], ["10.244.1.1 6:8080", "fd00::1 6:8080"]],
    [
      "a port without target is its own",
      [service({ selector: { app: "b" }, ports: [{ port: 53, protocol: "UDP" }] }), b],
      ["10.244.1.2 17:53"],
    ],
    [
      "a target by name is each pod's",
      [service({ selector: { app: "a" }, ports: [{ port: 80, targetPort: "w" }] }), a],
      ["10.244.1.1 6:81", "fd00::1 6:81"],
    ],
    [
      "a name that the pod does not declare is no port",
      [service({ selector: { app: "b" }, ports: [{ port: 80, targetPort: "w" }] }), b],
      ["10.244.1.2 "],
    ],
    [
      "a name of another protocol is no port",
      [service({ selector: { app: "a" }, ports: [{ port: 80, targetPort: "w", protocol: "UDP" }] }), a],
      ["10.244.1.1 ", "fd00::1 "],
    ],
    [
      "pods of other namespaces are none of its",
      [service(app), pod("y/a", { labels: { app: "a" }, ips: ["10.244.1.9"] })],
      [],
    ],
    [
      "a pod that has ended is none",
      [service(app), pod("x/c", { labels: { app: "a" }, ips: ["10.244.1.3"], phase: "Succeeded" })],
      [],
    ],
    [
      "a host-network pod is one at its node's address",
      [service(app), pod("x/h", { labels: { app: "a" }, ips: ["172.18.0.1"], hostNetwork: true })],
      ["172.18.0.1 6:8080"],
    ],
    ["no selector and no slices: nothing", [service({ ports: web }), a], []],
    ["an empty selector selects nothing", [service({ selector: {}, ports: web }), a], []],
    [
      "a name elsewhere has nothing behind it",
      [service({ type: "ExternalName", externalName: "example.com", selector: { app: "a" } }), a],
      [],
    ],
    [
      "slices instead of pods",
      [service(app), a, slice("1", [{ addresses: ["10.244.1.2"] }], [{ port: 80 }])],
      ["10.244.1.2 6:80"],
    ],
    ["an empty slice too", [service(app), a, slice("1", [], [{ port: 80 }])], []],
    [
      "slices without the service",
      [slice("1", [{ addresses: ["10.244.1.2"] }], [{ port: 80, protocol: "SCTP" }])],
      ["10.244.1.2 132:80"],
    ],
    ["slices of nothing", [slice("1", [{ addresses: ["10.244.1.2"] }], [{ port: 80 }], "")], undefined],
    [
      "several slices add up, ready or not",
      [
        slice("1", [{ addresses: ["10.244.1.2"], conditions: { ready: false } }], [{ port: 80 }]),
        slice(
          "2",
          [{ addresses: ["10.244.1.1"] }, { addresses: ["10.244.1.2"] }],
          [{ port: 53, protocol: "UDP" }, { port: 80 }],
        ),
      ],
      ["10.244.1.1 6:80,17:53", "10.244.1.2 6:80,17:53"],
    ],
    [
      "a port without a number is none, an address that cannot be read neither",
      [slice("1", [{ addresses: ["10.244.1.2"] }, { addresses: ["db.example.com"] }], [{ name: "p" }])],
      ["10.244.1.2 "],
    ],
  ])("%s", (_name, objects, expected) => {
    expect(backends(...objects)).toEqual(expected)
  })
})

test("a service that does not change stays the same value, and so does the map", () => {
  const made = store()
  for (const value of [service(app), a]) made.put(manifestAt(value, origin))
  const before = made.cluster()
  made.put(manifestAt(b, origin))
  expect(made.cluster().services).toBe(before.services)
  made.put(manifestAt(pod("x/c", { labels: { app: "a" }, ips: ["10.244.1.3"] }), origin))
  expect(made.cluster().services).not.toBe(before.services)
})

test("any history of objects leads to what they make from scratch", () => {
  const objects = [
    service(app),
    service({ ports: web }),
    service({ selector: { app: "b" }, ports: [{ port: 80, targetPort: "w" }] }, { role: "db" }),
    slice("1", [{ addresses: ["10.244.1.2"] }], [{ port: 80 }]),
    slice("1", [{ addresses: ["10.244.1.1"] }], [{ port: 81 }], "t"),
    slice("2", [{ addresses: ["192.0.2.1"] }], [{ port: 443 }]),
    a,
    pod("x/a", { labels: { app: "b" }, ips: ["10.244.1.1"] }),
    b,
  ]
  const step = fc.record({ object: fc.nat(objects.length - 1), remove: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const made = store()
      const there = new Map<string, object>()
      for (const { object, remove } of steps) {
        const value = objects[object] as { readonly kind: string; readonly metadata: { readonly name: string } }
        const { ref } = made.put(manifestAt(value, origin))
        const key = `${value.kind}/${value.metadata.name}`
        there.delete(key)
        if (remove && ref !== undefined) made.delete(ref)
        else there.set(key, value)
        if (object % 3 === 0) made.cluster()
      }
      const fresh = store()
      for (const value of there.values()) fresh.put(manifestAt(value, origin))
      expect(new Map(made.cluster().services)).toEqual(new Map(fresh.cluster().services))
    }),
    { seed: 20_261_121 },
  )
})
