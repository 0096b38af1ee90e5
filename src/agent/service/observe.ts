import { Failure, reasonOf } from "../../api/failure.ts"
import type { AgentService } from "../../api/server.ts"
import { flowTexts } from "../../flow/decode.ts"
import { compileFilter, type FlowFilter } from "../../flow/filter.ts"
import type { Decision, FlowEnd, FlowRecord } from "../../flow/record.ts"
import type { FlowPredicate } from "../../flow/store.ts"
import type { RunningNode } from "../node.ts"

/** Flows looked at in one turn: some milliseconds, after which others may go on. */
const TURN = 8_192

/** Flows as they are kept and, when asked for, as they come. A slow reader misses flows and is told how many. */
export function observeMethod(node: RunningNode): AgentService["observe"] {
  return async function* (request, context) {
    const matches = predicate(request.filter)
    const { flows: store } = node
    const name = node.configuration.node
    let next = store.end
    let lostInRing = lostEvents(node)
    if (!request.onlyNew) {
      const since = request.sinceMs === 0n ? undefined : Number(request.sinceMs)
      const until = request.untilMs === 0n ? undefined : Number(request.untilMs)
      const kept = store.select({
        matches,
        last: request.last,
        ...(since === undefined ? {} : { since }),
        ...(until === undefined ? {} : { until }),
      })
      for (const flow of kept) yield flowResponse(flow, name)
    }
    yield { response: { case: "caughtUp" as const, value: true } }
    while (request.follow && !context.signal.aborted) {
      const read = store.read(next, matches, TURN)
      next = read.next
      if (read.missed > 0) yield lostResponse("store", BigInt(read.missed), name, "")
      for (const flow of read.flows) yield flowResponse(flow, name)
      if (next < store.end) {
        await new Promise(setImmediate)
        continue
      }
      await nextBatch(node, context.signal)
      const lost = lostEvents(node)
      for (const [kind, count] of lost) {
        const more = count - (lostInRing.get(kind) ?? 0n)
        if (more > 0n) yield lostResponse("ring", more, name, kind)
      }
      lostInRing = lost
    }
  }
}

function predicate(filter: FlowFilter | undefined): FlowPredicate {
  try {
    return compileFilter(filter ?? {}, flowTexts)
  } catch (error) {
    throw new Failure("usage", "Cannot filter flows", reasonOf(error), "heddle observe --help")
  }
}

function lostEvents(node: RunningNode): Map<string, bigint> {
  return new Map((node.tables?.lost() ?? []).map((one) => [one.name, one.packets]))
}

/** Resolves when flows were added, when a second is over (losses are told then), or when the reader is gone. */
function nextBatch(node: RunningNode, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stop()
      clearTimeout(timer)
      signal.removeEventListener("abort", done)
      resolve()
    }
    const stop = node.flows.listen(done)
    const timer = setTimeout(done, 1_000)
    signal.addEventListener("abort", done)
  })
}

function lostResponse(where: string, count: bigint, node: string, kind: string) {
  return { response: { case: "lost" as const, value: { where, count, node, kind } } }
}

function flowResponse(flow: FlowRecord, node: string) {
  return {
    response: {
      case: "flow" as const,
      value: {
        timeNs: BigInt(Math.round(flow.time * 1_000)) * 1_000n,
        node,
        kind: flow.kind,
        verdict: flow.forwarded ? "forwarded" : "dropped",
        source: endMessage(flow.source, flow.sourcePort),
        destination: endMessage(flow.destination, flow.destinationPort),
        protocol: flow.protocol,
        ...(flow.egress === undefined ? {} : { egress: decisionMessage(flow.egress) }),
        ...(flow.ingress === undefined ? {} : { ingress: decisionMessage(flow.ingress) }),
        reason: flow.reason,
        hook: flow.hook,
        generation: flow.generation,
        packets: BigInt(flow.packets),
        bytes: BigInt(flow.bytes),
        replyPackets: BigInt(flow.replyPackets),
        replyBytes: BigInt(flow.replyBytes),
        tcpFlags: flow.tcpFlags,
        icmpType: flow.icmpType,
        icmpCode: flow.icmpCode,
        direction: flow.direction,
      },
    },
  }
}

function endMessage(end: FlowEnd, port: number) {
  const { address, kind, namespace, name, node, labels } = end
  return { address, port, kind, namespace, name, node, labels: { ...labels } }
}

function decisionMessage(decision: Decision) {
  const { staged, ...decided } = decision
  return { ...decidedMessage(decided), ...(staged === undefined ? {} : { staged: decidedMessage(staged) }) }
}

function decidedMessage({ allowed, rule, origin }: Omit<Decision, "staged">) {
  return { allowed, rule, ...(origin === undefined ? {} : { origin: { ...origin } }) }
}
