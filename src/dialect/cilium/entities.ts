import type { Match } from "../../model/policy.ts"
import { parsePrefix } from "../../net/prefix.ts"

const IS_ENDPOINT: Match = { kind: "is", what: "endpoint" }
const IS_NODE: Match = { kind: "is", what: "node" }
const IS_LOCAL_NODE: Match = { kind: "is", what: "localNode" }
const IS_OUTSIDE: Match = { kind: "is", what: "outside" }
/** The API servers' addresses, wherever they are: the backends of the service by which pods reach them. */
const IS_API_SERVER: Match = { kind: "service", as: "backends", of: { namespace: "default", name: "kubernetes" } }
const CLUSTER: Match = { kind: "or", of: [IS_ENDPOINT, IS_NODE, IS_API_SERVER] }

/**
 * Cilium's entities (`pkg/policy/api/entity.go`) as predicates. `init`, `health`, `unmanaged` and `ingress` are identities that nothing has
 * here: every pod is judged from its first packet, and there are no probes or proxies with addresses of their own.
 */
const entities: Readonly<Record<string, Match>> = {
  all: { kind: "any" },
  world: IS_OUTSIDE,
  "world-ipv4": { kind: "and", of: [IS_OUTSIDE, { kind: "cidr", prefixes: [parsePrefix("0.0.0.0/0")] }] },
  "world-ipv6": { kind: "and", of: [IS_OUTSIDE, { kind: "cidr", prefixes: [parsePrefix("::/0")] }] },
  cluster: CLUSTER,
  "cluster-mesh": CLUSTER,
  host: IS_LOCAL_NODE,
  "kube-apiserver": IS_API_SERVER,
  "remote-node": { kind: "and", of: [IS_NODE, { kind: "not", of: IS_LOCAL_NODE }] },
  init: { kind: "none" },
  health: { kind: "none" },
  unmanaged: { kind: "none" },
  ingress: { kind: "none" },
  none: { kind: "none" },
}

/** Entities that may be written in `fromEntities` and `toEntities`. */
export const entityNames: readonly string[] =
  // The worlds of one family are labels only: the resource definition does not list them.
  Object.keys(entities).filter((name) => !name.startsWith("world-"))

/** The predicate of an entity; `none` for one that nothing here can be. */
export function entityMatch(name: string): Match {
  return (Object.hasOwn(entities, name) ? entities[name] : undefined) ?? { kind: "none" }
}
