import { type Case, node, world } from "../builders.ts"

/** Words for Cilium policies; the numbers in tags (`item-35`) are those of the semantics that each case stands for. */

export const nodeIps = {
  "node-1": ["172.18.0.11", "fd00:172:18::11"],
  "node-2": ["172.18.0.12", "fd00:172:18::12"],
} as const

/** The standard world with nodes that state their addresses. */
export function ciliumWorld(): readonly object[] {
  return [...Object.entries(nodeIps).map(([name, ips]) => node(name, ips)), ...world()]
}

/** `cnp("x/web", {endpointSelector: …})`; a list of specs becomes `specs`. */
export function cnp(key: string, spec: object | readonly object[]): object {
  const [namespace = "", name = ""] = key.split("/")
  const body = Array.isArray(spec) ? { specs: spec } : { spec }
  return { apiVersion: "cilium.io/v2", kind: "CiliumNetworkPolicy", metadata: { name, namespace }, ...body }
}

export function ccnp(name: string, spec: object | readonly object[]): object {
  const body = Array.isArray(spec) ? { specs: spec } : { spec }
  return { apiVersion: "cilium.io/v2", kind: "CiliumClusterwideNetworkPolicy", metadata: { name }, ...body }
}

export function cidrGroup(name: string, cidrs: readonly string[], labels?: Readonly<Record<string, string>>): object {
  const metadata = { name, ...(labels === undefined ? {} : { labels }) }
  return { apiVersion: "cilium.io/v2", kind: "CiliumCIDRGroup", metadata, spec: { externalCIDRs: cidrs } }
}

export const podA = { matchLabels: { pod: "a" } }
export const podB = { matchLabels: { pod: "b" } }
/** A selector of pods of a namespace by its name. */
export const inNamespace = (name: string, labels: object = {}): object => ({
  matchLabels: { "k8s:io.kubernetes.pod.namespace": name, ...labels },
})

/** `ports("80/TCP", "8000-8010/UDP", "web", "0/ANY")`: one port rule. */
export function ports(...texts: readonly string[]): readonly object[] {
  return [
    {
      ports: texts.map((text) => {
        const [range = "", protocol] = text.split("/")
        const numeric = /^\d+-\d+$/.test(range)
        const [port = "", end] = numeric ? range.split("-") : [range]
        return {
          ...(port === "" ? {} : { port }),
          ...(end === undefined ? {} : { endPort: Number(end) }),
          ...(protocol === undefined ? {} : { protocol }),
        }
      }),
    },
  ]
}

/** A case of one or more items of the numbered semantics. */
export function item(
  items: number | readonly number[],
  name: string,
  policies: readonly object[],
  ...probes: readonly (readonly object[])[]
): Case {
  const numbers = typeof items === "number" ? [items] : items
  const tags = ["cilium", ...numbers.map((number) => `item-${number}`)]
  return { name, tags, manifests: [...ciliumWorld(), ...policies], probes: probes.flat() }
}
