import type { Node } from "../../model/cluster.ts"
import { tryParseAddress } from "../../net/address.ts"
import { tryParsePrefix } from "../../net/prefix.ts"
import { listAt, recordAt, textAt, textMapAt, textsAt } from "../read.ts"
import type { Report } from "../report.ts"

/** The model of a valid Node: its InternalIP and ExternalIP addresses and the ranges of its pods. */
export function nodeToModel(value: unknown): Node {
  const metadata = recordAt(value, "metadata")
  const addresses = listAt(recordAt(value, "status"), "addresses").flatMap((item) => {
    const type = textAt(item, "type")
    const address = tryParseAddress(textAt(item, "address") ?? "")
    return address !== undefined && (type === "InternalIP" || type === "ExternalIP") ? [address] : []
  })
  const spec = recordAt(value, "spec")
  const ranges = [...textsAt(spec, "podCIDRs"), textAt(spec, "podCIDR") ?? ""]
  return {
    name: textAt(metadata, "name") ?? "",
    labels: textMapAt(metadata, "labels"),
    addresses: [...new Set(addresses)],
    podPrefixes: [...new Set(ranges.flatMap((text) => tryParsePrefix(text) ?? []))],
  }
}

/** Addresses and ranges must be readable. */
export function validateNode(value: unknown, report: Report): void {
  for (const [index, item] of listAt(recordAt(value, "status"), "addresses").entries()) {
    const type = textAt(item, "type")
    const text = textAt(item, "address") ?? ""
    if ((type === "InternalIP" || type === "ExternalIP") && tryParseAddress(text) === undefined) {
      report.error(["status", "addresses", index, "address"], `${JSON.stringify(text)} is no IP address`)
    }
  }
  const spec = recordAt(value, "spec")
  for (const [index, text] of textsAt(spec, "podCIDRs").entries()) {
    if (tryParsePrefix(text) === undefined)
      report.error(["spec", "podCIDRs", index], `${JSON.stringify(text)} is no block`)
  }
  const single = textAt(spec, "podCIDR")
  if (single && tryParsePrefix(single) === undefined) {
    report.error(["spec", "podCIDR"], `${JSON.stringify(single)} is no block`)
  }
}
