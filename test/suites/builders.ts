import { kubernetesAllows, type RawEnd, type RawObject, type RawProbe } from "../evaluator/kubernetes.ts"

/** Words in which the cases of this suite are written; `generate.ts` turns them into JSON Lines. */

export type Labels = Record<string, string>

export interface Case {
  readonly name: string
  readonly tags: readonly string[]
  readonly group?: string
  readonly step?: number
  readonly denial?: "drop"
  readonly manifests: readonly object[]
  readonly probes?: readonly object[]
  readonly admit?: "accept" | "reject"
}

export function namespace(name: string, labels?: Labels): object {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name, ...(labels === undefined ? {} : { labels }) } }
}

/** Ports as every pod of the standard world declares them. */
export const standardPorts: readonly object[] = [
  { containerPort: 80, name: "web", protocol: "TCP" },
  { containerPort: 81, protocol: "TCP" },
  { containerPort: 53, name: "dns", protocol: "UDP" },
  { containerPort: 3868, name: "diameter", protocol: "SCTP" },
]

export interface PodOptions {
  readonly labels?: Labels
  readonly node?: string
  readonly ips?: readonly string[]
  readonly ports?: readonly object[]
  readonly phase?: string
  readonly hostNetwork?: boolean
}

/** `pod("x/a", …)`. */
export function pod(key: string, options: PodOptions): object {
  const [ns = "", name = ""] = key.split("/")
  const { labels = { pod: name }, node = "node-1", ips = [], ports = standardPorts, phase, hostNetwork } = options
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: ns, labels },
    spec: {
      nodeName: node,
      ...(hostNetwork === undefined ? {} : { hostNetwork }),
      containers: [{ name: "c", image: "echo", ports }],
    },
    status: {
      ...(phase === undefined ? {} : { phase }),
      ...(ips.length === 0 ? {} : { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }),
    },
  }
}

export function node(name: string, ips: readonly string[]): object {
  const addresses = ips.map((address) => ({ type: "InternalIP", address }))
  return { apiVersion: "v1", kind: "Node", metadata: { name }, status: { addresses } }
}

/** `policy("x/deny", {podSelector: {}, …})`; the spec is the API's own. */
export function policy(key: string, spec: object): object {
  const [ns = "", name = ""] = key.split("/")
  return { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: { name, namespace: ns }, spec }
}

export const denyIngress = (ns: string): object =>
  policy(`${ns}/deny-ingress`, { podSelector: {}, policyTypes: ["Ingress"] })
export const denyEgress = (ns: string): object =>
  policy(`${ns}/deny-egress`, { podSelector: {}, policyTypes: ["Egress"] })

/** An ingress policy with one rule. */
export const ingress = (key: string, podSelector: object, rule: object): object =>
  policy(key, { podSelector, policyTypes: ["Ingress"], ingress: [rule] })
/** An egress policy with one rule. */
export const egress = (key: string, podSelector: object, rule: object): object =>
  policy(key, { podSelector, policyTypes: ["Egress"], egress: [rule] })

export const labels = (matchLabels: Labels): object => ({ matchLabels })
export const expression = (key: string, operator: string, ...values: readonly string[]): object => ({
  matchExpressions: [{ key, operator, ...(values.length === 0 ? {} : { values }) }],
})

/** Three namespaces (teams red, blue, green) with five pods on two nodes, dual stack. */
export function world(): readonly object[] {
  return [...namespaces(), ...worldPods()]
}

export function namespaces(): readonly object[] {
  const team = { x: "red", y: "blue", z: "green" }
  return Object.entries(team).map(([name, colour]) =>
    namespace(name, { "kubernetes.io/metadata.name": name, team: colour, ...(name === "z" ? { env: "prod" } : {}) }),
  )
}

const places: Readonly<Record<string, { readonly node: 1 | 2; readonly host: number; readonly labels: Labels }>> = {
  "x/a": { node: 1, host: 10, labels: { pod: "a", app: "web", tier: "front" } },
  "x/b": { node: 2, host: 10, labels: { pod: "b", app: "db" } },
  "y/a": { node: 2, host: 11, labels: { pod: "a", app: "web", tier: "back" } },
  "y/b": { node: 1, host: 11, labels: { pod: "b", app: "db", tier: "front" } },
  "z/a": { node: 1, host: 12, labels: { pod: "a", app: "cache" } },
}

export function worldPods(change: (key: string) => PodOptions = () => ({})): readonly object[] {
  return Object.entries(places).map(([key, place]) => {
    const ips = [`10.244.${place.node}.${place.host}`, `fd00:10:244:${place.node}::${place.host}`]
    return pod(key, { labels: place.labels, node: `node-${place.node}`, ips, ...change(key) })
  })
}

/** All pods of the standard world. */
export const worldKeys = Object.keys(places)

/**
 * `allow("x/a > y/b 80")`: pod to pod; `node:NAME` is a node, an address itself an end; then port and protocol as `80`
 * (TCP), `53/UDP`, `ICMP`, `47` after a slash alone (`/47`: protocol by number); then `v4` or `v6`, and `by:RULE`.
 */
export const allow = (...texts: readonly string[]): readonly object[] => texts.map((text) => probe(text, "allow"))
export const deny = (...texts: readonly string[]): readonly object[] => texts.map((text) => probe(text, "deny"))

export function probe(text: string, expect: string): object {
  const [rest = "", by] = text.split(" by:")
  const [from = "", , to = "", port = "", family] = rest.split(" ")
  const [number = "", protocol = "TCP"] = port.split("/")
  const ported = /^\d+$/.test(number)
  return {
    from: end(from),
    to: end(to),
    ...(ported ? { port: Number(number) } : {}),
    protocol: ported ? protocol : number === "" ? Number(protocol) : number,
    ...(family === undefined ? {} : { family: family === "v6" ? "ipv6" : "ipv4" }),
    expect,
    ...(by === undefined ? {} : { by }),
  }
}

function end(text: string): RawEnd {
  if (text.startsWith("node:")) return { node: text.slice("node:".length) }
  const [ns = "", name] = text.split("/")
  return name === undefined ? { ip: text } : { ns, pod: name }
}

/** Probes with the independent evaluator's verdict. */
export function judged(manifests: readonly object[], texts: readonly string[]): readonly object[] {
  return texts.map((text) => {
    const asked = probe(text, "") as RawProbe
    return probe(text, kubernetesAllows(manifests as readonly RawObject[], asked) ? "allow" : "deny")
  })
}

/** Every pair of the pods, itself included, with every port. */
export function everyPair(keys: readonly string[], ports: readonly string[]): readonly string[] {
  return keys.flatMap((from) => keys.flatMap((to) => ports.map((port) => `${from} > ${to} ${port}`)))
}
