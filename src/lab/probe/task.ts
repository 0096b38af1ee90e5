import type { Address, ProtocolNumber } from "../../net/types.ts"

/** One packet or connection to be tried with real sockets. */
export interface ProbeTask {
  readonly from: {
    /** Path of the namespace in which the sender is. */
    readonly netns: string
    /** The sender's own address; it is bound to. */
    readonly address: Address
  }
  readonly to: {
    /** Path of the namespace in which the receiver is; needed where only arrival can be seen (see `arrival.ts`). */
    readonly netns: string
    readonly address: Address
    /** Who may answer; an answer of anybody else is a misdelivery. Empty: anybody. */
    readonly identities: readonly string[]
  }
  readonly protocol: ProtocolNumber
  /** Destination port of TCP, UDP and SCTP. */
  readonly port?: number
  readonly sourcePort?: number
  /** ICMP and ICMPv6; absent: echo request. */
  readonly icmpType?: number
  readonly icmpCode?: number
  /** How long silence is waited for: short where it is expected. */
  readonly expect: "allow" | "deny"
}

export interface Outcome {
  /**
   * `allow`: the right one answered (or the packet arrived). `reject`: a reset or ICMP error. `deny`: silence.
   * `failed`: it could not be tried, or somebody else answered; `reason` says.
   */
  readonly got: "allow" | "deny" | "reject" | "failed"
  /** Who answered, if it said. */
  readonly peer?: string
  readonly reason?: string
  /** Sender's port (ICMP echo: identifier), to find its flow; 0 where there is none. */
  readonly sourcePort: number
}

/** A try that is under way or a connection that stays open after it. */
export interface Attempt {
  /** Ends it and closes its sockets. */
  close(): void
}

/** A flow that stays open after its first answer, to be asked again later. */
export interface KeptFlow extends Attempt {
  /** Sends on the same flow again and tells what comes back. */
  again(expect: "allow" | "deny", done: (outcome: Outcome) => void): void
}

/** How long silence must last to count, in ms, when it is expected. */
export const SILENCE_MS = 250
/** How long an expected answer is waited for, in ms; half of it with a fresh socket. */
export const PATIENCE_MS = 3_000
/** When an unanswered packet is sent again, in ms after the first. */
export const RESEND_MS: readonly number[] = [100, 350, 800, 1_200]

export function patience(expect: "allow" | "deny"): number {
  return expect === "deny" ? SILENCE_MS : PATIENCE_MS / 2
}
