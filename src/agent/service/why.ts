import { Failure } from "../../api/failure.ts"
import type { AgentService } from "../../api/server.ts"
import type { Compiled } from "../../compile/compiled.ts"
import type { PlaneReading } from "../../plane/plane.ts"
import type { RunningNode } from "../node.ts"
import { type NodeView, viewOf } from "../view.ts"
import { answerWhy, type KernelTables, type WhyAnswer, type WhySide, type WhyStep } from "../why.ts"

const nobody = { namespace: "", pod: "", node: "", address: "" }

/** Why a connection may or may not come about; this node's own ends are looked up in the kernel. */
export function whyMethod(node: RunningNode): AgentService["why"] {
  return async (request) => {
    const { enforced } = node.committer
    if (enforced === undefined) {
      const why = node.committer.failure?.message ?? "nothing is enforced yet"
      throw new Failure("failed", "Cannot tell why", why, "heddle status")
    }
    const view = viewOf(node.configuration.node, enforced)
    const reading = await node.read()
    const answer = answerWhy(
      view,
      { ...request, from: request.from ?? nobody, to: request.to ?? nobody },
      kernelTables(view, reading),
    )
    return whyMessage(view, answer)
  }
}

/** What the kernel holds, with the verdicts' meanings from the state that was committed. */
export function kernelTables(view: Pick<NodeView, "verdicts">, reading: PlaneReading): KernelTables {
  const compiled: Compiled = {
    ...reading.compiled,
    nodeSocketSlot: nodeSocketSlotOf(reading),
    classCount: 0,
    verdicts: view.verdicts,
  }
  return { generation: reading.generation, compiled }
}

function nodeSocketSlotOf(reading: PlaneReading): Compiled["nodeSocketSlot"] {
  return (reading.compiled as Partial<Pick<Compiled, "nodeSocketSlot">>).nodeSocketSlot ?? { 4: 0, 6: 0 }
}

export function whyMessage(view: NodeView, answer: WhyAnswer) {
  const { allowed, packet, notes } = answer
  return {
    allowed,
    node: view.node,
    egress: sideMessage(answer.egress),
    ingress: sideMessage(answer.ingress),
    protocol: packet.protocol,
    port: packet.destinationPort,
    notes: [...notes],
    digest: view.digest,
  }
}

function sideMessage(side: WhySide) {
  const { origin, steps, nearMisses, staged, ...rest } = side
  return {
    ...rest,
    ...(staged === undefined ? {} : { staged: { ...staged } }),
    ...(origin === undefined ? {} : { origin: { ...origin } }),
    steps: steps.map(stepMessage),
    nearMisses: nearMisses.map(stepMessage),
  }
}

function stepMessage({ text, origin }: WhyStep) {
  return { text, ...(origin === undefined ? {} : { origin: { ...origin } }) }
}
