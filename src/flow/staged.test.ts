import { expect, test } from "vitest"
import type { RuleId, Verdict } from "../model/verdict.ts"
import type { Address } from "../net/types.ts"
import { flowTexts } from "./decode.ts"
import { compileFilter } from "./filter.ts"
import { Names } from "./name.ts"
import { type FlowInput, FlowStore } from "./store.ts"

const origin = { file: "staged.yaml", line: 7, column: 3 }
const open: RuleId = { kind: "noPolicy", direction: "ingress" }
const lock: RuleId = {
  kind: "rule",
  tier: "default",
  policy: { group: "projectcalico.org", kind: "StagedNetworkPolicy", namespace: "shop", name: "lock" },
  direction: "ingress",
  section: "ingress",
  index: 0,
  origin,
}
const verdict = (staged?: Verdict["staged"]): Verdict => ({
  action: "allow",
  by: open,
  log: false,
  ...(staged === undefined ? {} : { staged }),
})

const names = new Names()
const end = names.resolve("192.0.2.1" as Address)
const start = flowTexts.kinds.indexOf("start")
const drop = flowTexts.kinds.indexOf("drop")

function flow(changes: Partial<FlowInput>): FlowInput {
  return {
    time: 1,
    kind: start,
    reason: 0,
    hook: 0,
    direction: 0,
    protocol: 6,
    tcpFlags: 0,
    flowFlags: 0,
    source: end,
    destination: end,
    sourcePort: 1,
    destinationPort: 2,
    sourceEndpoint: 0,
    destinationEndpoint: 0,
    egress: undefined,
    ingress: undefined,
    generation: 1,
    ifindex: 0,
    packets: 1,
    bytes: 1,
    replyPackets: 0,
    replyBytes: 0,
    ...changes,
  }
}

function kept(flows: readonly FlowInput[], filter: Parameters<typeof compileFilter>[0]): number[] {
  const store = new FlowStore({ texts: flowTexts })
  for (const [i, one] of flows.entries()) store.append({ ...one, time: i })
  return store.select({ matches: compileFilter(filter, flowTexts) }).map((one) => one.time)
}

test("a decision carries what staged policies would have decided", () => {
  expect(names.decision(verdict({ action: "deny", by: lock }))).toEqual({
    allowed: true,
    rule: "no-policy ingress",
    staged: { allowed: false, rule: "default/StagedNetworkPolicy shop/lock ingress[0]", origin },
  })
  expect(names.decision(verdict())).toEqual({ allowed: true, rule: "no-policy ingress" })
})

test("asked for staged, only flows that would be decided otherwise are shown", () => {
  const flows = [
    flow({ ingress: names.decision(verdict({ action: "deny", by: lock })) }),
    // Another rule, the same answer: nothing changes for the flow.
    flow({ ingress: names.decision(verdict({ action: "allow", by: lock })) }),
    flow({ ingress: names.decision(verdict()) }),
    flow({}),
  ]
  expect(kept(flows, { staged: true })).toEqual([0])
  expect(kept(flows, {})).toEqual([0, 1, 2, 3])
})

test("link chatter is multicast and router solicitations that were dropped, nothing else", () => {
  const reason = (name: string): number => flowTexts.reasons.indexOf(name)
  const flows = [
    flow({ kind: drop, reason: reason("multicast"), protocol: 17 }),
    flow({ kind: drop, reason: reason("link-local"), protocol: 58, destinationPort: 133 << 8 }),
    flow({ kind: drop, reason: reason("policy"), protocol: 58, destinationPort: 128 << 8 }),
    flow({ protocol: 17 }),
  ]
  expect(kept(flows, { noChatter: true })).toEqual([2, 3])
})
