import { Failure } from "../../api/failure.ts"
import type { AgentService } from "../../api/server.ts"
import { policyKey } from "../../model/policy.ts"
import { effectiveRules } from "../effective.ts"
import { endpointRows, findEndpoint, identityRows, policyCounts } from "../lists.ts"
import type { RunningNode } from "../node.ts"
import type { Tables } from "../tables.ts"
import { viewOf } from "../view.ts"
import { policyRef, problemMessage } from "./message.ts"

type Lists = Pick<
  AgentService,
  "listEndpoints" | "listIdentities" | "listPolicies" | "listMaps" | "readMap" | "showPolicy"
>

export function listMethods(node: RunningNode): Lists {
  return {
    listEndpoints: async () => {
      const { enforced } = node.committer
      if (enforced === undefined) return { endpoints: [] }
      const rows = await endpointRows(viewOf(node.configuration.node, enforced), enforced.state.compiled.endpoints)
      return {
        endpoints: rows.map((row) => ({
          ...row,
          addresses: [...row.addresses],
          ingress: [...row.ingress],
          egress: [...row.egress],
          labels: { ...row.labels },
        })),
      }
    },
    listIdentities: () => {
      const { enforced } = node.committer
      if (enforced === undefined) return { generation: 0, identities: [] }
      const rows = identityRows(enforced.cluster, enforced.state.compiled)
      return {
        generation: enforced.generation,
        identities: rows.map((row) => ({
          ...row,
          slots: [...row.slots],
          addresses: [...row.addresses],
          names: [...row.names],
          labels: { ...row.labels },
        })),
      }
    },
    listPolicies: async () => ({ policies: await policies(node) }),
    listMaps: () => ({ maps: tablesOf(node).list(used(node)) }),
    readMap: ({ name, limit }) => tablesOf(node).entries(name, limit === 0 ? 1_000 : limit),
    showPolicy: ({ namespace, name }) => {
      const cluster = node.committer.enforced?.cluster ?? node.store.settled
      const endpoint = findEndpoint(cluster, namespace, name)
      if (endpoint === undefined) {
        const shown = namespace === "" ? name : `${namespace}/${name}`
        const same = [...cluster.endpoints.values()]
          .filter((one) => one.name === name)
          .map((one) => `${one.namespace}/${one.name}`)
        throw new Failure(
          "notFound",
          `Cannot show what ${shown} enforces`,
          same.length > 1
            ? `several pods have that name: ${same.join(", ")}`
            : "there is no such pod with addresses of its own",
          same.length > 0 ? `heddle policy show ${same[0]}` : "heddle endpoint list",
        )
      }
      const rules = effectiveRules(cluster, endpoint).map(({ origin, ...rule }) => ({
        ...rule,
        ...(origin === undefined ? {} : { origin: { ...origin } }),
      }))
      return {
        namespace: endpoint.namespace,
        name: endpoint.name,
        node: endpoint.node,
        addresses: [...endpoint.addresses],
        rules,
      }
    },
  }
}

async function policies(node: RunningNode) {
  const cluster = node.committer.enforced?.cluster ?? node.store.settled
  const refusals = new Map(
    node.store.refusals().map(({ ref, refusal }) => [`${ref.kind}/${ref.namespace}/${ref.name}`, refusal]),
  )
  const counts = await policyCounts(cluster, node.configuration.node)
  return counts
    .sort((a, b) => (policyKey(a.policy) < policyKey(b.policy) ? -1 : 1))
    .map(({ policy, selected, selectedHere }) => {
      const refusal = refusals.get(`${policy.kind}/${policy.namespace}/${policy.name}`)
      return {
        ref: policyRef(policy),
        tier: policy.tier,
        order: String(policy.order),
        state: refusal === undefined ? "accepted" : "refused",
        problems: (refusal?.problems ?? []).map(problemMessage),
        selected,
        selectedHere,
        ingressRules: policy.ingress?.rules.length ?? 0,
        egressRules: policy.egress?.rules.length ?? 0,
        isolatesIngress: policy.ingress?.isolates === true,
        isolatesEgress: policy.egress?.isolates === true,
        origin: { ...policy.origin },
        mode: policy.mode,
      }
    })
}

function tablesOf(node: RunningNode): Tables {
  if (node.tables !== undefined) return node.tables
  throw new Failure(
    "failed",
    "Cannot read the kernel's tables",
    node.committer.failure?.message ?? "the plane is not loaded yet",
    "heddle status",
  )
}

/** Entries in use of the tables that are arrays, as the compiled state has them (of the live side). */
function used(node: RunningNode): Record<string, number> {
  const compiled = node.committer.enforced?.state.compiled
  if (compiled === undefined) return {}
  return {
    live: 1,
    classes: Math.ceil(compiled.classes.length / 4),
    sets: compiled.endpoints.size * 2,
    cells: Math.ceil((compiled.sets.length * compiled.classCount) / 4),
    rows: compiled.rows.length,
    intervals: compiled.rows.reduce((sum, row) => sum + row.starts.length, 0),
    sweep: 1,
    prefix_lengths: new Set([...compiled.prefixes.keys()].map((prefix) => prefix.slice(prefix.indexOf("/")))).size,
    drops: node.tables?.drops().length ?? 0,
  }
}
