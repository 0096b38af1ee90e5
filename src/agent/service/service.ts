import type { AgentService } from "../../api/server.ts"
import type { RunningNode } from "../node.ts"
import { listMethods } from "./lists.ts"
import { applyMethod, awaitMethod, deleteMethod, getMethod } from "./objects.ts"
import { observeMethod } from "./observe.ts"
import { statusMethod } from "./status.ts"
import { whyMethod } from "./why.ts"

/** Everything that people can ask an agent. */
export function agentService(node: RunningNode): AgentService {
  return {
    status: statusMethod(node),
    apply: applyMethod(node),
    delete: deleteMethod(node),
    get: getMethod(node),
    await: awaitMethod(node),
    ...listMethods(node),
    why: whyMethod(node),
    observe: observeMethod(node),
  }
}
