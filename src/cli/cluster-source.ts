import type { SeenFlow } from "../analyse/flows.ts"
import { Failure } from "../api/failure.ts"
import type { Flow } from "../api/generated/heddle/agent/v1/agent_pb.ts"
import type { Cluster } from "../model/cluster.ts"
import { type ManifestObject, manifestAt } from "../model/manifest.ts"
import { type Problem, problemText } from "../model/problem.ts"
import { tryParseAddress } from "../net/address.ts"
import { admit } from "../source/admit.ts"
import { identify, ObjectStore, objectKey } from "../source/objects.ts"
import type { AgentOptions } from "./command.ts"
import { targetsOf, timeoutOf } from "./command.ts"
import type { Io } from "./io.ts"
import { clientOf } from "./target.ts"

/** The objects that a running cluster has in force, as its first node that answers tells them. */
export async function objectsInForce(options: AgentOptions): Promise<ManifestObject[]> {
  const timeout = timeoutOf(options)
  let refused: unknown
  for (const target of targetsOf(options)) {
    try {
      const { objects } = await clientOf(target, timeout).call("get", { kind: "", name: "", namespace: "" })
      return objects.map(({ json, origin }) =>
        manifestAt(JSON.parse(json), {
          file: origin?.file ?? "cluster",
          line: origin?.line ?? 1,
          column: origin?.column ?? 1,
        }),
      )
    } catch (error) {
      refused = error
    }
  }
  throw refused
}

/** Throws a `Failure` with every mistake in what was read. */
export function refuseMistakes(
  verb: string,
  read: readonly { readonly objects: readonly ManifestObject[]; readonly problems: readonly Problem[] }[],
): void {
  const problems = read.flatMap((one) => [...one.problems, ...one.objects.flatMap((object) => admit(object).problems)])
  const errors = problems.filter((problem) => problem.severity === "error")
  if (errors.length === 0) return
  const mistakes = errors.length === 1 ? "one mistake" : `${errors.length} mistakes`
  const hint = "correct them; heddle policy check FILE says the same"
  throw new Failure("usage", `Cannot ${verb}: ${mistakes} in the manifests`, errors.map(problemText).join("\n"), hint)
}

/** The objects, with the changed ones in the places of those they replace. */
export function replaced(objects: readonly ManifestObject[], changed: readonly ManifestObject[]): ManifestObject[] {
  const all = new Map<string, ManifestObject>()
  for (const object of [...objects, ...changed]) {
    const ref = identify(object)
    if (ref !== undefined) all.set(objectKey(ref), object)
  }
  return [...all.values()]
}

/** The cluster that objects make: those in force, and the changed ones in their places. */
export function clusterOf(
  io: Io,
  objects: readonly ManifestObject[],
  changed: readonly ManifestObject[] = [],
): Cluster {
  const store = new ObjectStore({ now: io.now })
  const there = new Set<string>()
  for (const object of objects) {
    const ref = identify(object)
    if (ref !== undefined) there.add(objectKey(ref))
    store.put(object)
  }
  for (const object of changed) {
    const ref = identify(object)
    // Where a pod runs and what its addresses are, the cluster knows and a file does not.
    if (ref !== undefined && ["Pod", "Node"].includes(ref.kind) && there.has(objectKey(ref))) continue
    store.put(object)
  }
  return store.cluster()
}

/** Connections that the nodes remember, of the newest `last` events of each. */
export async function seenFlows(io: Io, options: AgentOptions, last: number): Promise<SeenFlow[]> {
  const request = {
    follow: false,
    last,
    sinceMs: 0n,
    untilMs: 0n,
    filter: { kinds: ["start", "drop", "judged"] },
    onlyNew: false,
  }
  const seen: SeenFlow[] = []
  for (const target of targetsOf(options)) {
    for await (const { response } of clientOf(target).observe(request, io.interrupted)) {
      if (response.case !== "flow") continue
      const flow = seenFlow(response.value)
      if (flow !== undefined) seen.push(flow)
    }
  }
  return seen
}

function seenFlow(flow: Flow): SeenFlow | undefined {
  // A packet of no connection that was dropped for another reason is nothing that policy decides.
  if (flow.verdict === "dropped" && flow.reason !== "policy") return undefined
  const source = tryParseAddress(flow.source?.address ?? "")
  const destination = tryParseAddress(flow.destination?.address ?? "")
  if (source === undefined || destination === undefined) return undefined
  const { protocol, icmpType, icmpCode } = flow
  const icmp = protocol === 1 || protocol === 58
  return {
    packet: {
      source,
      destination,
      protocol,
      sourcePort: icmp ? 0 : (flow.source?.port ?? 0),
      destinationPort: icmp ? 0 : (flow.destination?.port ?? 0),
      ...(icmp ? { icmpType, icmpCode } : {}),
    },
    count: flow.kind === "drop" ? Number(flow.packets) || 1 : 1,
  }
}
