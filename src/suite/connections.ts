import type { JsonObject } from "./format.ts"
import type { ProbeResult } from "./plane.ts"
import type { ResolvedProbe } from "./state.ts"

/**
 * What becomes of a connection when verdicts change, by the rule of docs/design.md 3.4 P5: its next packet is judged anew in
 * its original orientation; a denial cuts it and nothing else does. One tracker serves one history.
 */
export class ConnectionTracker {
  #open = new Set<string>()
  #next = new Set<string>()

  /** Begins a history anew. */
  reset(): void {
    this.#open = new Set()
    this.#next = new Set()
  }

  /** Begins the next step of a history. */
  advance(): void {
    this.#open = this.#next
    this.#next = new Set()
  }

  /** The answer with `connection` added where the probe asks for it. */
  track(resolved: ResolvedProbe, result: ProbeResult): ProbeResult {
    const key = probeKey(resolved.probe.raw)
    if (result.got === "allow") this.#next.add(key)
    if (resolved.probe.connection === undefined) return result
    const connection = !this.#open.has(key) ? "none" : result.got === "allow" ? "kept" : "cut"
    return { ...result, connection }
  }
}

/** Who asks whom for what: a probe without what it expects. */
export function probeKey(raw: JsonObject): string {
  const { from, to, protocol, port, sourcePort, icmpType, icmpCode, family, via } = raw
  return JSON.stringify([from, to, protocol, port, sourcePort, icmpType, icmpCode, family, via])
}
