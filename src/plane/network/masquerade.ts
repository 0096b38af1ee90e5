import { constants } from "../../kernel/abi.generated.ts"
import { prefixFamily, prefixLength } from "../../net/prefix.ts"
import type { Prefix } from "../../net/types.ts"
import { HEDDLE0 } from "./node-devices.ts"

export interface MasqueradeOptions {
  /** Ranges of pods: what comes from there to the node itself is not tracked. */
  readonly pods: readonly Prefix[]
  /** Further destinations to which pods keep their own address. */
  readonly direct: readonly Prefix[]
  /** UDP port of the overlay, whose packets are not tracked: each connection between pods would have an entry of its own. */
  readonly overlayPort?: number | undefined
}

/** Every host end of a pod: `hd` and hexadecimal digits; no other interface of Heddle's begins so. */
const PODS = '"hd*"'

/**
 * The script for nft: one table of our own, replaced as a whole in one transaction. A pod's packet to the outside gets the
 * node's address; all else between pods and the node's stack, and the tunnel, is kept out of conntrack.
 */
export function masqueradeScript({ pods, direct, overlayPort }: MasqueradeOptions): string {
  const kept = [...pods, ...direct]
  const tunnel = overlayPort === undefined ? "" : `    udp dport ${overlayPort} notrack accept\n`
  return `table inet heddle
delete table inet heddle
table inet heddle {
${set("pods4", "ipv4_addr", pods, 4)}${set("pods6", "ipv6_addr", pods, 6)}${set("direct4", "ipv4_addr", kept, 4)}${set("direct6", "ipv6_addr", kept, 6)}\
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
${tunnel}\
    meta mark ${constants.ANSWER_MARK} iifname ${PODS} notrack
    iifname ${PODS} ip daddr @direct4 notrack
    iifname ${PODS} ip6 daddr @direct6 notrack
    fib daddr type local iifname ${PODS} notrack
    fib daddr type local ip saddr @pods4 notrack
    fib daddr type local ip6 saddr @pods6 notrack
  }
  chain output {
    type filter hook output priority raw; policy accept;
${tunnel}\
    oifname "${HEDDLE0}" notrack
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    iifname ${PODS} ip daddr != @direct4 masquerade
    iifname ${PODS} ip6 daddr != @direct6 masquerade
  }
}
`
}

/** Takes the table away, whether it is there or not. */
export const removalScript = "table inet heddle\ndelete table inet heddle\n"

function set(name: string, type: string, prefixes: readonly Prefix[], family: 4 | 6): string {
  const own = [...new Set(prefixes)].filter((prefix) => prefixFamily(prefix) === family)
  // An interval set cannot hold everything as 0.0.0.0/0 (nft 1.0.6); two halves are the same.
  const halves = family === 4 ? ["0.0.0.0/1", "128.0.0.0/1"] : ["::/1", "8000::/1"]
  const elements = own.some((prefix) => prefixLength(prefix) === 0) ? halves : own.toSorted()
  const line = elements.length === 0 ? "" : `    elements = { ${elements.join(", ")} }\n`
  return `  set ${name} {\n    type ${type}; flags interval; auto-merge\n${line}  }\n`
}
