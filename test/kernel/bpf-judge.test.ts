import fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { Compiled } from "../../src/compile/compiled.ts"
import { judge } from "../../src/compile/judge.ts"
import { constants, type Event, EventKind } from "../../src/kernel/abi.generated.ts"
import type { Packet } from "../../src/model/packet.ts"
import type { L4Match, Match, Policy } from "../../src/model/policy.ts"
import { familyOf } from "../../src/net/address.ts"
import { type Ends, icmp, icmp6, ip, sctp, sctpInit, tcp, udp } from "../../src/net/packet.ts"
import type { Address } from "../../src/net/types.ts"
import { A, Action, app, block, cluster, pods, policy, type RuleSpec, TestNode } from "./bpf-fixture.ts"

/** Runs of random policies; a run judges PACKETS packets both ways. */
const RUNS = 60
const PACKETS = 200

const specs = {
  a: { addresses: ["10.0.1.1", "fd00::1:1"] },
  b: { addresses: ["10.0.1.2", "fd00::1:2"] },
  c: { addresses: ["10.0.1.3", "fd00::1:3"] },
  far: { node: "two", addresses: ["10.0.2.1", "fd00::2:1"] },
}
const outside = ["198.51.100.7", "203.0.113.5", "203.0.113.200", "2001:db8:f::5", "2001:db8:f:1::5", "2001:db9::1"]
const others = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "10.0.9.9", "fd00::9:9", ...outside]

let node: TestNode
beforeAll(() => {
  // Nearly every row of a named peer leans on what everybody meets.
  node = new TestNode({}, { layered: 2 })
})
afterAll(() => node?.remove())

const peer: fc.Arbitrary<Match> = fc.oneof(
  fc.constant<Match>({ kind: "any" }),
  fc.subarray(["a", "b", "c", "far"], { minLength: 1 }).map((names) => app(...names)),
  fc
    .subarray(
      [
        "203.0.113.0/24",
        "203.0.113.192/26",
        "0.0.0.0/0",
        "10.0.0.0/16",
        "10.0.1.2/32",
        "2001:db8:f::/48",
        "::/0",
        "fd00::/16",
      ],
      { minLength: 1 },
    )
    .map((prefixes) => block(...prefixes)),
)
const ports = [1, 79, 80, 81, 443, 8_000, 65_535]
const range = fc.tuple(fc.constantFrom(...ports), fc.constantFrom(...ports)).map(([x, y]) => ({
  kind: "range" as const,
  first: Math.min(x, y),
  last: Math.max(x, y),
}))
const l4: fc.Arbitrary<L4Match> = fc.oneof(
  fc.record({
    protocols: fc.subarray([6, 17, 132], { minLength: 1 }),
    ports: fc.array(range, { minLength: 1, maxLength: 3 }),
  }),
  fc.record({ protocols: fc.subarray([1, 6, 17, 47, 58, 132], { minLength: 1 }) }),
  fc.record({
    protocols: fc.constant([6]),
    ports: fc.array(range, { minLength: 1, maxLength: 2 }),
    sourcePorts: fc.array(range, { minLength: 1, maxLength: 2 }),
  }),
  fc.record({
    protocols: fc.constant([1]),
    icmp: fc.record({ type: fc.constantFrom(8, 3, 13), code: fc.constantFrom(0, 1) }),
  }),
)
const rule: fc.Arbitrary<RuleSpec> = fc.record({
  peer,
  l4: fc.array(l4, { maxLength: 2 }),
  action: fc.constantFrom("allow", "allow", "allow", "deny"),
})
const policies: fc.Arbitrary<Policy[]> = fc
  .array(
    fc.record({
      subject: fc.subarray(["a", "b", "c"], { minLength: 1 }),
      ingress: fc.option(fc.array(rule, { maxLength: 3 }), { nil: undefined }),
      egress: fc.option(fc.array(rule, { maxLength: 3 }), { nil: undefined }),
    }),
    { maxLength: 4 },
  )
  .map((list) =>
    list.map(({ subject, ingress, egress }, i) =>
      policy(`p${i}`, app(...subject), { ...(ingress ? { ingress } : {}), ...(egress ? { egress } : {}) }),
    ),
  )

interface Sent {
  readonly packet: Packet
  readonly hook: "from_pod" | "from_uplink"
  readonly from?: string
}

const shape = fc.record({
  protocol: fc.constantFrom(6, 17, 132, 1, 47),
  sourcePort: fc.constantFrom(...ports, 5, 40_000),
  destinationPort: fc.constantFrom(...ports, 2, 8_080),
  icmp: fc.constantFrom([8, 0], [13, 0], [13, 1]),
})
const local = ["a", "b", "c"] as const
const sends: fc.Arbitrary<Sent[]> = fc.array(
  fc
    .record({
      from: fc.constantFrom(...local),
      six: fc.boolean(),
      to: fc.constantFrom(...Object.keys(specs), ...others),
      outside: fc.option(fc.constantFrom(...outside), { freq: 4, nil: undefined }),
      shape,
    })
    .map(({ from, six, to, outside: origin, shape: s }): Sent => {
      const own = (name: keyof typeof specs) => A(specs[name].addresses[six ? 1 : 0] ?? "")
      const named = to in specs ? own(to as keyof typeof specs) : A(to)
      const family = origin === undefined ? familyOf(named) : familyOf(A(origin))
      const at = (name: keyof typeof specs) => A(specs[name].addresses[family === 6 ? 1 : 0] ?? "")
      const target: Address = origin !== undefined ? at(local.find((each) => each === to) ?? from) : named
      const source = origin === undefined ? at(from) : A(origin)
      const protocol = s.protocol === 1 && family === 6 ? 58 : s.protocol
      const [icmpType, icmpCode] = family === 6 && s.icmp[0] === 8 ? [128, 0] : (s.icmp as [number, number])
      const hasPorts = [6, 17, 132].includes(protocol)
      return {
        hook: origin === undefined ? "from_pod" : "from_uplink",
        from,
        packet: {
          source,
          destination: target,
          protocol,
          sourcePort: hasPorts ? s.sourcePort : 0,
          destinationPort: hasPorts ? s.destinationPort : 0,
          ...(protocol === 1 || protocol === 58 ? { icmpType: icmpType ?? 0, icmpCode: icmpCode ?? 0 } : {}),
        },
      }
    }),
  { minLength: PACKETS, maxLength: PACKETS },
)

function bytesOf(packet: Packet, id: number): Uint8Array {
  const ends: Ends = packet
  const fields = packet
  const rest = Uint8Array.of(id >> 8, id & 0xff, 0, 0)
  const message = { type: packet.icmpType ?? 0, code: packet.icmpCode ?? 0, rest }
  switch (packet.protocol) {
    case 6:
      return ip({ ...ends, protocol: 6 }, tcp(fields, ends))
    case 17:
      return ip({ ...ends, protocol: 17 }, udp(fields, ends))
    case 132:
      return ip({ ...ends, protocol: 132 }, sctp(fields, sctpInit(1)))
    case 1:
      return ip({ ...ends, protocol: 1 }, icmp(message))
    case 58:
      return ip({ ...ends, protocol: 58 }, icmp6(message, ends))
    default:
      return ip({ ...ends, protocol: packet.protocol }, new Uint8Array(8))
  }
}

/** The verdicts that an event names, as texts, for comparison with judge(). */
function told(compiled: Compiled, event: Event): { egress: unknown; ingress: unknown } {
  const verdict = (outcome: number) => {
    const id = outcome & constants.OUTCOME_ID_MASK
    return id === constants.VERDICT_NOT_ENFORCED ? undefined : compiled.verdicts[id]
  }
  return { egress: verdict(event.sourceOutcome), ingress: verdict(event.destinationOutcome) }
}

test("the kernel decides each of thousands of random packets as judge() does, by the same rule", async () => {
  await fc.assert(
    fc.asyncProperty(policies, sends, async (list, packets) => {
      const { compiled } = await node.enforce(cluster(pods(specs), list))
      // Each packet must be a first packet: records of the batch before are gone with their interfaces' flows.
      await node.plane.endFlowsOf(new Set(local.map((name) => node.port(`default/${name}`).ifindex)))
      const seen = new Set<string>()
      let id = 1
      for (const { packet, hook, from } of packets) {
        const { source, destination, protocol, sourcePort, destinationPort, icmpType, icmpCode } = packet
        if (source === destination) continue
        const flow = [[source, sourcePort].join(), [destination, destinationPort].join()].sort().join() + protocol
        const key = protocol === 1 || protocol === 58 ? `${flow}${icmpType}/${icmpCode}${id}` : flow
        if (seen.has(key)) continue
        seen.add(key)
        node.events()
        const frame = node.frame(bytesOf(packet, id++))
        const ifindex = hook === "from_pod" ? node.port(`default/${from}`).ifindex : node.entrances.uplink
        const { result } = node.run(hook, frame, ifindex)
        const expected = judge(compiled, packet)
        const allowed = expected.egress.action === "allow" && expected.ingress.action === "allow"
        const where = JSON.stringify(packet)
        const unknown = destination === "10.0.9.9" || destination === "fd00::9:9"
        expect(result === Action.shot, where).toBe(!allowed || unknown)
        // The end of a record before, then what was decided now.
        const event = node.events().find((each) => each.kind !== EventKind.flowEnd)
        if (!event || (allowed && event.kind === EventKind.drop)) continue
        const { egress, ingress } = told(compiled, event)
        if (expected.egress.by.kind !== "notEnforced") expect(egress, where).toEqual(expected.egress)
        if (expected.egress.action === "allow" && expected.ingress.by.kind !== "notEnforced")
          expect(ingress, where).toEqual(expected.ingress)
      }
    }),
    { numRuns: RUNS, endOnFailure: true },
  )
})
