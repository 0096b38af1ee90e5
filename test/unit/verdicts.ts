import { evaluate } from "../../src/compile/evaluate.ts"
import type { Cluster } from "../../src/model/cluster.ts"
import { manifestAt } from "../../src/model/manifest.ts"
import type { Packet } from "../../src/model/packet.ts"
import { ruleIdText, type Verdict } from "../../src/model/verdict.ts"
import { parseAddress } from "../../src/net/address.ts"
import { parsePrefix } from "../../src/net/prefix.ts"
import { Protocol } from "../../src/net/types.ts"
import { ObjectStore } from "../../src/source/objects.ts"

/** Pods' ranges of the clusters below: an address in them that nobody has is unknown. */
export const podRanges = [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/48")]

/** The cluster that these objects make; throws the reasons if one is refused. */
export function clusterOf(objects: readonly object[]): Cluster {
  const store = new ObjectStore({ now: () => 0, clusterPrefixes: podRanges })
  for (const [index, value] of objects.entries()) {
    const { outcome, problems } = store.put(manifestAt(value, { file: "objects", line: index + 1, column: 1 }))
    if (outcome === "refused") throw new Error(problems.map(({ path, message }) => `${path}: ${message}`).join("; "))
  }
  return store.cluster()
}

/** The first packet of a connection: `80` or `53/UDP`. Ends are pods as `x/a`, or addresses. */
export function packetOf(cluster: Cluster, from: string, to: string, port = "80/TCP"): Packet {
  const address = (end: string) => cluster.endpoints.get(end)?.addresses[0] ?? parseAddress(end)
  const [number = "", name = "TCP"] = port.split("/")
  const protocol = Protocol[name as keyof typeof Protocol]
  return {
    source: address(from),
    destination: address(to),
    protocol,
    sourcePort: 40_000,
    destinationPort: Number(number),
  }
}

/** `allow`, or `deny BY` with the rule that decided at the end that denies. */
export function verdict(cluster: Cluster, from: string, to: string, port?: string): string {
  const { allowed, egress, ingress } = evaluate(cluster, packetOf(cluster, from, to, port))
  if (allowed) return "allow"
  return verdictText(egress.action === "deny" ? egress : ingress)
}

/** The verdict of one end with all that is recorded beside it. */
export function verdictText({ action, by, log, staged }: Verdict): string {
  const second = staged === undefined ? "" : `, staged ${staged.action} ${ruleIdText(staged.by)}`
  return `${action} ${ruleIdText(by)}${log ? ", logged" : ""}${second}`
}
