import { type Case, node, world } from "../builders.ts"

/** Words in which the cases of this suite are written, beside those of `../builders.ts`. */

const alpha1 = "policy.networking.k8s.io/v1alpha1"
const alpha2 = "policy.networking.k8s.io/v1alpha2"

/** `cnp("Admin 10 deny-all", subject, {ingress: […]})`: tier, priority and name in one text. */
export function cnp(text: string, subject: object, rules: object): object {
  const [tier, priority, name] = text.split(" ")
  const spec = { tier, priority: Number(priority), subject, ...rules }
  return { apiVersion: alpha2, kind: "ClusterNetworkPolicy", metadata: { name }, spec }
}

/** `anp("10 deny-all", subject, {ingress: […]})`: priority and name in one text. */
export function anp(text: string, subject: object, rules: object): object {
  const [priority, name] = text.split(" ")
  const spec = { priority: Number(priority), subject, ...rules }
  return { apiVersion: alpha1, kind: "AdminNetworkPolicy", metadata: { name }, spec }
}

export function banp(subject: object, rules: object): object {
  const spec = { subject, ...rules }
  return { apiVersion: alpha1, kind: "BaselineAdminNetworkPolicy", metadata: { name: "default" }, spec }
}

/** Namespaces of a team: x is red, y is blue, z is green. */
export const team = (colour: string): object => ({ namespaces: { matchLabels: { team: colour } } })
export const everyone: object = { namespaces: {} }

/** `pods("red", {app: "web"})`: pods with these labels in the namespaces of the team; `""` for all namespaces. */
export function pods(colour: string, matchLabels: Record<string, string>): object {
  return {
    pods: { namespaceSelector: colour === "" ? {} : { matchLabels: { team: colour } }, podSelector: { matchLabels } },
  }
}

export const networks = (...cidrs: readonly string[]): object => ({ networks: cidrs })
export const nodes = (matchLabels: Record<string, string>): object => ({ nodes: { matchLabels } })

const rule = (action: string, side: "from" | "to", peers: readonly object[], protocols: readonly object[]): object => ({
  action,
  [side]: peers,
  ...(protocols.length === 0 ? {} : { protocols }),
})
/** A rule of v1alpha2 for ingress. */
export const from = (action: string, peer: object, ...protocols: readonly object[]): object =>
  rule(action, "from", [peer], protocols)
/** A rule of v1alpha2 for egress. */
export const to = (action: string, peer: object, ...protocols: readonly object[]): object =>
  rule(action, "to", [peer], protocols)

export const tcp = (number: number): object => ({ tcp: { destinationPort: { number } } })
export const udp = (number: number): object => ({ udp: { destinationPort: { number } } })
export const sctp = (number: number): object => ({ sctp: { destinationPort: { number } } })
export const tcpRange = (start: number, end: number): object => ({
  tcp: { destinationPort: { range: { start, end } } },
})
export const named = (destinationNamedPort: string): object => ({ destinationNamedPort })

/** A case in the standard world. */
export function inWorld(tag: string) {
  return (name: string, manifests: readonly object[], ...probes: readonly (readonly object[])[]): Case => ({
    name,
    tags: [tag],
    manifests: [...world(), ...manifests],
    probes: probes.flat(),
  })
}

/** The two nodes of the standard world with addresses and labels: node-1 in zone a, node-2 in zone b. */
export function labelledNodes(): readonly object[] {
  return ["a", "b"].map((zone, index) => {
    const plain = node(`node-${index + 1}`, [`172.18.0.${index + 11}`, `fd00:172:18::${index + 11}`])
    return { ...plain, metadata: { name: `node-${index + 1}`, labels: { zone } } }
  })
}
