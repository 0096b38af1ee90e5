import { create } from "@bufbuild/protobuf"
import { whyMessage } from "../agent/service/why.ts"
import { answerWhy, type WhyQuestion } from "../agent/why.ts"
import { Failure } from "../api/failure.ts"
import { type WhyResponse, WhyResponseSchema } from "../api/generated/heddle/agent/v1/agent_pb.ts"
import { readLabManifests } from "../lab/manifests.ts"
import { planLab } from "../lab/plan.ts"
import type { Cluster } from "../model/cluster.ts"
import { type Problem, problemText } from "../model/problem.ts"
import { addressBytes, addressFromBytes } from "../net/address.ts"
import { prefixBase } from "../net/prefix.ts"
import type { Address, Prefix } from "../net/types.ts"
import type { SourceText } from "../source/check.ts"
import type { LocalAddresses } from "../source/cluster-builder.ts"
import { ObjectStore } from "../source/objects.ts"

/**
 * `why` without a cluster: these manifests make it, controllers replaced by their pods, pods without a node or addresses given
 * some. Throws a `Failure` with every mistake in them; warnings are said through `tell`.
 */
export function whyFromTexts(
  texts: readonly SourceText[],
  question: WhyQuestion,
  now: () => number,
  tell: (line: string) => void,
): WhyResponse {
  const { cluster, digest, madeUp } = clusterOfTexts(texts, now, tell)
  const view = { node: "", generation: 0, digest, cluster, verdicts: [], ports: new Map() }
  const answer = answerWhy(view, question)
  const notes = madeUp ? [...answer.notes, "addresses of pods that state none are made up"] : answer.notes
  return create(WhyResponseSchema, whyMessage(view, { ...answer, notes }))
}

/** The cluster that manifests make. */
export function clusterOfTexts(
  texts: readonly SourceText[],
  now: () => number,
  tell: (line: string) => void,
): { readonly cluster: Cluster; readonly digest: string; readonly madeUp: boolean } {
  const { manifests, warnings } = read(texts)
  for (const warning of warnings) tell(problemText(warning))
  const store = new ObjectStore({ now })
  for (const object of planLab(manifests, { families: [4, 6] }).objects) store.put(object)
  const local = madeUpAddresses(store.cluster())
  for (const [key, addresses] of local) store.setLocal(key, addresses)
  return { cluster: store.settled, digest: store.digest, madeUp: local.size > 0 }
}

function read(
  texts: readonly SourceText[],
): ReturnType<typeof readLabManifests> & { readonly warnings: readonly Problem[] } {
  try {
    return readLabManifests(texts)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw new Failure("usage", error.message.replace("make a lab of", "compute from"), error.why, error.hint, {
      cause: error,
    })
  }
}

/** An address of each of its node's ranges for every pod that states none. */
function madeUpAddresses(cluster: Cluster): Map<string, LocalAddresses> {
  const taken = new Set<Address>()
  for (const endpoint of cluster.endpoints.values()) for (const address of endpoint.addresses) taken.add(address)
  const last = new Map<Prefix, number>()
  const next = (prefix: Prefix): Address => {
    for (;;) {
      const number = (last.get(prefix) ?? 9) + 1
      last.set(prefix, number)
      const address = addressIn(prefix, number)
      if (!taken.has(address)) return address
    }
  }
  const made = new Map<string, LocalAddresses>()
  for (const [key, { node, addresses }] of cluster.endpoints) {
    if (addresses.length > 0) continue
    made.set(key, { node, addresses: (cluster.nodes.get(node)?.podPrefixes ?? []).map(next) })
  }
  return made
}

function addressIn(prefix: Prefix, number: number): Address {
  const bytes = addressBytes(prefixBase(prefix))
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16)
  view.setUint32(12, view.getUint32(12) + number)
  return addressFromBytes(bytes)
}
