import type { CaseState, ResolvedProbe } from "./state.ts"

/** What answers the probes of a suite: the evaluator, the compiled tables, or a lab with real packets. */
export interface SuitePlane {
  /** As `--plane` names it. */
  readonly name: string
  /**
   * Brings the cluster into the state of a case and returns when every node enforces it. A state with `fresh` begins
   * anew; otherwise it follows the one before, and only the differences are applied. Returns what was refused, in words;
   * then the probes are not asked.
   */
  prepare(state: CaseState): Promise<readonly string[]>
  /** Answers in the order of the probes, one each. */
  probe(probes: readonly ResolvedProbe[]): Promise<readonly ProbeResult[]>
  close(): Promise<void>
}

export interface ProbeResult {
  /** `reject`: refused audibly (a reset or an ICMP error); `unsupported`: this plane cannot tell, see `reason`. */
  readonly got: "allow" | "deny" | "reject" | "unsupported"
  /** The deciding rule, as `ruleIdText`. */
  readonly by?: string
  /** Every rule that had a part in it: for an allowed packet those of both ends. `by` is one of them. */
  readonly deciders?: readonly string[]
  /** Who answered, as `ns/pod` or an address; Services only. */
  readonly backend?: string
  /** What became of the connection of the step before; answered when the probe asks for it. */
  readonly connection?: "kept" | "cut" | "none"
  /** Why it is unsupported, or what went wrong. */
  readonly reason?: string
}
