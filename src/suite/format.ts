import type { ManifestObject } from "../model/manifest.ts"
import type { Origin } from "../model/origin.ts"
import type { ProtocolNumber } from "../net/types.ts"

/** The form of policy test suites (docs/design.md, 6.1): cases, probes, and the ends between which a probe goes. */

/** A JSON object as it was read. */
export type JsonObject = { readonly [key: string]: unknown }

/** One Kubernetes object of a case, and where it and its parts were written. */
export interface Manifest extends ManifestObject {
  readonly value: JsonObject
}

/** One end of a probe. */
export type End =
  | { readonly kind: "pod"; readonly namespace: string; readonly pod: string }
  /** A process on the node; as target, the node's addresses. */
  | { readonly kind: "node"; readonly node: string }
  /** A pod's, node's or Service's address means that one; any other is a host outside the cluster. */
  | { readonly kind: "ip"; readonly ip: string }
  /** A Service's cluster address; only as target. */
  | { readonly kind: "service"; readonly namespace: string; readonly service: string }

export interface Probe {
  readonly from: End
  readonly to: End
  readonly protocol: ProtocolNumber
  /** 0–65535; absent for protocols without ports. */
  readonly port?: number
  readonly sourcePort?: number
  /** ICMP and ICMPv6; default: echo request. */
  readonly icmpType?: number
  readonly icmpCode?: number
  /** Absent: that of the address named, else of the pods' first address. */
  readonly family?: 4 | 6
  readonly expect: "allow" | "deny"
  /** The rule that should decide, in full or shortened (`by.ts`). */
  readonly by?: string
  /** All that may answer, as `ns/pod` or an address. */
  readonly backends?: readonly string[]
  /** The same probe comes several times in a row and one backend answers all. */
  readonly sticky?: boolean
  /** What became of the connection that the same probe opened in the step before. */
  readonly connection?: "kept" | "cut"
  /** The node at which a packet to a balancer's or external address comes in. */
  readonly via?: string
  /** The probe as it was read. */
  readonly raw: JsonObject
}

export interface SuiteCase {
  readonly name: string
  readonly tags: readonly string[]
  /** Cases of one group are steps of one history. */
  readonly group?: string
  readonly step: number
  /** What satisfies `deny`: `any` of silence, a reset or an ICMP error; or only silence (`drop`). */
  readonly denial: "any" | "drop"
  readonly manifests: readonly Manifest[]
  readonly probes: readonly Probe[]
  /** Whether the last manifest shall be taken or refused. */
  readonly admit?: "accept" | "reject"
  readonly origin: Origin
  /** The case as it was read; `-o jsonl` gives it back with the answers added. */
  readonly raw: JsonObject
}

/** A mistake in the suite itself (not in a manifest of it). */
export interface SuiteProblem {
  readonly origin: Origin
  readonly message: string
}

/** Thrown when a suite cannot be read; carries all mistakes found. */
export class SuiteError extends Error {
  readonly code = "suite"
  readonly problems: readonly SuiteProblem[]
  constructor(problems: readonly SuiteProblem[]) {
    super(problems.map((p) => `${p.origin.file}:${p.origin.line}: ${p.message}`).join("\n"))
    this.problems = problems
  }
}
