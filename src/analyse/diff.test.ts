import fc from "fast-check"
import { expect, test } from "vitest"
import * as arbitrary from "../../test/arbitrary/cluster.ts"
import { evaluate } from "../compile/evaluate.ts"
import { type Cluster, emptyCluster } from "../model/cluster.ts"
import type { Packet } from "../model/packet.ts"
import { familyOf, tryParseAddress } from "../net/address.ts"
import { parsePrefix, prefixContains, prefixLength } from "../net/prefix.ts"
import type { Address, Prefix } from "../net/types.ts"
import { type DiffChange, diffClusters } from "./diff.ts"
import { World } from "./world.ts"

/** Every workload with at most one address of each family, which nobody else has. */
function plain(parts: arbitrary.Parts): arbitrary.Parts {
  const taken = new Set<Address>(parts.nodes.flatMap((node) => node.addresses))
  const endpoints = parts.endpoints.map((endpoint) => {
    const kept = new Map<number, Address>()
    for (const address of endpoint.addresses) {
      if (taken.has(address) || kept.has(familyOf(address))) continue
      taken.add(address)
      kept.set(familyOf(address), address)
    }
    return { ...endpoint, addresses: [...kept.values()] }
  })
  return { ...parts, endpoints: endpoints.filter((endpoint) => endpoint.addresses.length > 0) }
}

function covers(
  changes: readonly DiffChange[],
  packet: Packet,
  from: readonly string[],
  to: readonly string[],
): boolean {
  const key = (packet.protocol << 16) | keyLow(packet)
  return changes.some(
    (change) =>
      change.families.includes(familyOf(packet.source)) &&
      change.from.some((name) => from.includes(name)) &&
      change.to.some((name) => to.includes(name)) &&
      change.traffic.some(
        (one) =>
          one.firstProtocol <= packet.protocol &&
          packet.protocol <= one.lastProtocol &&
          (one.ports === undefined || (one.ports[0] <= (key & 0xffff) && (key & 0xffff) <= one.ports[1])) &&
          (one.sourcePorts === undefined ||
            (one.sourcePorts[0] <= packet.sourcePort && packet.sourcePort <= one.sourcePorts[1])),
      ),
  )
}

function keyLow(packet: Packet): number {
  if (packet.protocol === 1) return ((packet.icmpType ?? 8) << 8) | (packet.icmpCode ?? 0)
  if (packet.protocol === 58) return ((packet.icmpType ?? 128) << 8) | (packet.icmpCode ?? 0)
  return [6, 17, 132].includes(packet.protocol) ? packet.destinationPort : 0
}

/** The name under which a change would speak of this end; undefined for what it does not speak of. */
function nameOf(cluster: Cluster, blocks: readonly Prefix[], address: Address, other: Address, socket: boolean) {
  for (const [key, endpoint] of cluster.endpoints) if (endpoint.addresses.includes(address)) return key
  const peer = [...cluster.endpoints.values()].find((endpoint) => endpoint.addresses.includes(other))
  for (const node of cluster.nodes.values()) {
    if (!node.addresses.includes(address)) continue
    if (peer?.node !== node.name) return socket ? undefined : `node/${node.name}`
    return socket ? "own-node" : undefined
  }
  if (socket || cluster.clusterPrefixes.some((prefix) => prefixContains(prefix, address))) return undefined
  const around = blocks.filter((prefix) => prefixContains(prefix, address))
  const longest = around.sort((a, b) => prefixLength(b) - prefixLength(a))[0]
  return longest ?? (familyOf(address) === 4 ? "outside" : "outside (IPv6)")
}

test("a diff names exactly the connections whose verdict changed", () => {
  let changed = 0
  fc.assert(
    fc.property(
      arbitrary.parts,
      arbitrary.parts,
      fc.array(arbitrary.question, { minLength: 4, maxLength: 4 }),
      (one, two, questions) => {
        const base = plain(one)
        const before = arbitrary.clusterOf(base)
        const after = arbitrary.clusterOf({ ...base, policies: two.policies, tiers: two.tiers })
        const { changes } = diffClusters(before, after)
        const blocks = [before, after].flatMap((cluster) => [...new World(cluster).compiled.prefixes.keys()])
        for (const packet of arbitrary.packetsOf(questions)) {
          const socket = packet.fromNodeSocket === true
          const source = nameOf(before, blocks, packet.source, packet.destination, socket)
          const target = nameOf(before, blocks, packet.destination, packet.source, false)
          if (source === undefined || target === undefined || source === target) continue
          const differs = evaluate(before, packet).allowed !== evaluate(after, packet).allowed
          if (differs) changed++
          const what = `${source} to ${target} ${JSON.stringify(packet)}`
          expect([what, covers(changes, packet, [source], [target])]).toEqual([what, differs])
        }
      },
    ),
    { seed: 20_261_121, numRuns: 150 },
  )
  expect(changed).toBeGreaterThan(1_000)
})

const address = (text: string): Address => tryParseAddress(text) ?? (text as Address)

test("opened and closed pairs are told with the rules before and after", () => {
  const pod = (name: string, ip: string) => ({
    namespace: "shop",
    name,
    node: "n",
    addresses: [address(ip)],
    labels: { app: name },
    serviceAccount: "default",
    namedPorts: [],
  })
  const before: Cluster = {
    ...emptyCluster,
    endpoints: new Map([
      ["shop/web", pod("web", "10.0.0.1")],
      ["shop/db", pod("db", "10.0.0.2")],
    ]),
    clusterPrefixes: [parsePrefix("10.0.0.0/24")],
  }
  const origin = { file: "deny.yaml", line: 1, column: 1 }
  const after: Cluster = {
    ...before,
    policies: new Map([
      [
        "p",
        {
          group: "networking.k8s.io",
          kind: "NetworkPolicy",
          namespace: "shop",
          name: "deny",
          tier: "default",
          order: 1_000,
          tieBreak: "",
          subject: { kind: "labels", of: "self", selector: { kind: "in", key: "app", values: ["db"] } },
          ingress: { isolates: true, rules: [] },
          mode: "enforced",
          origin,
        },
      ],
    ]),
  }
  const diff = diffClusters(before, after)
  expect([diff.opened, diff.closed]).toEqual([0, 2])
  expect(diff.changes[0]?.to).toEqual(["shop/db"])
  expect(diff.changes.map((change) => change.after.by.map((by) => by.rule))).toContainEqual([
    "default/NetworkPolicy shop/deny default-deny ingress",
  ])
  expect(diff.changes[0]?.after.by[0]?.origin).toEqual(origin)
})
