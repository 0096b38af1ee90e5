import { type Case, node, type PodOptions, pod, world } from "../builders.ts"

/** Words for Calico's policies; tags name the section of the semantics that each case stands for (`calico-2.3`). */

export const nodeIps = {
  "node-1": ["172.18.0.11", "fd00:172:18::11"],
  "node-2": ["172.18.0.12", "fd00:172:18::12"],
} as const

/** The standard world with nodes that state their addresses. */
export function calicoWorld(): readonly object[] {
  return [...Object.entries(nodeIps).map(([name, ips]) => node(name, ips)), ...world()]
}

function object(kind: string, key: string, spec: object, labels?: Readonly<Record<string, string>>): object {
  const [first = "", second] = key.split("/")
  const metadata = second === undefined ? { name: first } : { name: second, namespace: first }
  return {
    apiVersion: "projectcalico.org/v3",
    kind,
    metadata: labels === undefined ? metadata : { ...metadata, labels },
    spec,
  }
}

/** `np("x/web", {selector: …})`: a NetworkPolicy of Calico's. */
export const np = (key: string, spec: object): object => object("NetworkPolicy", key, spec)
export const gnp = (name: string, spec: object): object => object("GlobalNetworkPolicy", name, spec)
export const staged = (kind: string, key: string, spec: object): object => object(`Staged${kind}`, key, spec)
export const tier = (name: string, spec: object): object => object("Tier", name, spec)
export const networkSet = (key: string, nets: readonly string[], labels: Readonly<Record<string, string>>): object =>
  object(key.includes("/") ? "NetworkSet" : "GlobalNetworkSet", key, { nets }, labels)

/** The same object under the group that stores it. */
export const stored = (value: object): object => ({ ...value, apiVersion: "crd.projectcalico.org/v1" })

/** A policy for pod x/a with these ingress (or egress) rules, which isolates. */
export const into = (...rules: readonly object[]): object =>
  np("x/p", { selector: "pod == 'a'", types: ["Ingress"], ingress: rules })
export const outOf = (...rules: readonly object[]): object =>
  np("x/p", { selector: "pod == 'a'", types: ["Egress"], egress: rules })
/** The same as global policies. */
export const intoAll = (...rules: readonly object[]): object =>
  gnp("p", { selector: "pod == 'a'", namespaceSelector: "team == 'red'", types: ["Ingress"], ingress: rules })

/** A rule with the action, for example `rule("Allow", {source: {selector: …}})`. */
export const rule = (action: "Allow" | "Deny" | "Pass" | "Log", match: object = {}): object => ({ action, ...match })
export const from = (source: object): object => rule("Allow", { source })
export const to = (destination: object): object => rule("Allow", { destination })
/** Every pod's ingress, in whatever namespace. */
export const everyone = { selector: "all()", types: ["Ingress"] }

export function account(namespace: string, name: string, labels: Readonly<Record<string, string>>): object {
  return { apiVersion: "v1", kind: "ServiceAccount", metadata: { namespace, name, labels } }
}

/** A pod that runs as a service account. */
export function podAs(key: string, serviceAccountName: string, options: PodOptions): object {
  const made = pod(key, options) as { readonly spec: object }
  return { ...made, spec: { ...made.spec, serviceAccountName } }
}

/** A case of a section of the semantics, in the standard world. */
export function item(
  section: string,
  name: string,
  objects: readonly object[],
  ...probes: readonly (readonly object[])[]
): Case {
  return {
    name,
    tags: ["calico", `calico-${section}`],
    manifests: [...calicoWorld(), ...objects],
    probes: probes.flat(),
  }
}
