import { expect, test } from "vitest"
import { emptyCluster } from "../model/cluster.ts"
import { parseAddress } from "../net/address.ts"
import { decodeSnapshot, encodeSnapshot, type Snapshot } from "./snapshot.ts"

const snapshot: Snapshot = {
  node: "node-1",
  generation: 7,
  digest: "d",
  cluster: {
    ...emptyCluster,
    nodes: new Map([
      ["node-1", { name: "node-1", labels: { a: "b" }, addresses: [parseAddress("10.0.0.1")], podPrefixes: [] }],
    ]),
  },
  verdicts: [undefined, { action: "allow", by: { kind: "noPolicy", direction: "ingress" }, log: false }],
  ports: new Map([["shop/web", { ifindex: 4, mac: new Uint8Array([2, 0, 0, 0, 0, 1]), sandbox: "s" }]]),
  numbers: new Map([["shop/web", 1]]),
  peers: new Map(),
  committedAt: 1_000,
  version: "1",
  plane: "ebpf",
  routing: "vxlan",
  addresses: ["10.0.0.1"],
}

test("what a node enforced survives the way to the disk and back, whatever its maps are made of", () => {
  const inner = new Map([["node-1", snapshot.cluster.nodes.get("node-1")]])
  const foreign = {
    get: inner.get.bind(inner),
    entries: () => inner.entries(),
  } as unknown as typeof snapshot.cluster.nodes
  const text = encodeSnapshot({ ...snapshot, cluster: { ...snapshot.cluster, nodes: foreign } })
  expect(decodeSnapshot(text)).toEqual(snapshot)
})

test("another form is not read", () => {
  expect(decodeSnapshot('{"form": 99, "snapshot": {}}')).toBeUndefined()
})
