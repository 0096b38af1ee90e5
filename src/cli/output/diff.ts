import type { DiffChange, DiffVerdict, PolicyDiff } from "../../analyse/diff.ts"
import { podsText } from "../../analyse/ends.ts"
import type { FlowChange } from "../../analyse/flows.ts"
import { trafficListText } from "../../analyse/traffic.ts"
import { packetWords } from "../../compile/words.ts"
import type { Cluster } from "../../model/cluster.ts"
import type { Address } from "../../net/types.ts"
import type { Paint } from "./colour.ts"
import { count, originText } from "./text.ts"

/** What changes, for people: closed connections first, each with the rules before and after. */
export function diffText(
  diff: PolicyDiff,
  flows: readonly FlowChange[] | undefined,
  cluster: Cluster,
  paint: Paint,
): string {
  const lines = diff.changes.flatMap((change) => changeLines(change, cluster, paint))
  for (const flow of flows ?? []) lines.push(...flowLines(flow, cluster, paint))
  if (diff.added.length > 0) lines.push(`new, and not compared: ${podsText(diff.added, cluster).join(", ")}`)
  if (diff.removed.length > 0) lines.push(`gone, and not compared: ${diff.removed.join(", ")}`)
  return lines.map((line) => `${line}\n`).join("")
}

/** `2 changes: 3 pairs opened, 1 closed; 5 of the flows seen`. */
export function diffSummary(diff: PolicyDiff, flows: readonly FlowChange[] | undefined): string {
  const seen =
    flows === undefined ? "" : `; ${count(flows.length, "connection")} of those seen would be decided otherwise`
  if (diff.changes.length === 0) return `no connection changes its verdict${seen}`
  return `${count(diff.opened, "pair")} opened, ${count(diff.closed, "pair")} closed${seen}`
}

function changeLines(change: DiffChange, cluster: Cluster, paint: Paint): string[] {
  const sign = change.after.allowed ? paint("green", "+ allowed") : paint("red", "- denied ")
  const only = change.families.length === 1 && !impliesFamily(change) ? ` (IPv${change.families[0]})` : ""
  const ends = `${endsText(change.from, cluster, "other nodes")} -> ${endsText(change.to, cluster, "nodes")}`
  return [
    `${sign}  ${ends}  ${trafficListText(change.traffic)}${only}`,
    ...verdictLines("before", change.before),
    ...verdictLines("after ", change.after),
  ]
}

/** Whether a block at an end says which family it is. */
function impliesFamily(change: DiffChange): boolean {
  return [...change.from, ...change.to].some((name) => name.startsWith("outside") || /^[0-9a-f:.]+\/\d+$/.test(name))
}

function verdictLines(when: string, verdict: DiffVerdict | FlowChange["before"]): string[] {
  const word = verdict.allowed ? "allowed" : "denied"
  if (verdict.by.length === 0) return [`    ${when} ${word}: nothing is enforced`]
  return verdict.by.map(({ rule, origin }, i) => {
    const place = originText(origin)
    return `    ${i === 0 ? `${when} ${word} by` : "".padEnd(when.length + word.length + 4)} ${rule}${place === "" ? "" : ` (${place})`}`
  })
}

function endsText(names: readonly string[], cluster: Cluster, nodesWord: string): string {
  const pods = names.filter((name) => cluster.endpoints.has(name))
  const nodes = names.filter((name) => name.startsWith("node/") && !cluster.endpoints.has(name))
  const others = names.filter((name) => !cluster.endpoints.has(name) && !nodes.includes(name)).map(otherText)
  if (nodes.length > 0) others.push(`${nodesWord} (${nodes.map((name) => name.slice("node/".length)).join(", ")})`)
  const shown = others.length > 6 ? [...others.slice(0, 5), `${others.length - 5} more`] : others
  return [...podsText(pods, cluster), ...shown].join(", ")
}

function otherText(name: string): string {
  if (name === "own-node") return "a process on its own node"
  return name === "outside"
    ? "anywhere else outside"
    : name === "outside (IPv6)"
      ? "anywhere else outside (IPv6)"
      : name
}

function flowLines(flow: FlowChange, cluster: Cluster, paint: Paint): string[] {
  const sign = flow.after.allowed
    ? paint("green", "+ seen, would be allowed")
    : paint("red", "- seen, would be denied ")
  const { packet } = flow
  const ends = `${addressText(packet.source, cluster)} -> ${addressText(packet.destination, cluster)}`
  return [
    `${sign}  ${ends}  ${packetWords(packet)} (${flow.count}x)`,
    ...verdictLines("before", flow.before),
    ...verdictLines("after ", flow.after),
  ]
}

function addressText(address: Address, cluster: Cluster): string {
  for (const [key, endpoint] of cluster.endpoints) if (endpoint.addresses.includes(address)) return key
  for (const node of cluster.nodes.values()) if (node.addresses.includes(address)) return `node/${node.name}`
  return address
}
