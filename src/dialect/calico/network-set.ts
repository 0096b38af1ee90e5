import type { NetworkSet } from "../../model/cluster.ts"
import { parseAddress, tryParseAddress } from "../../net/address.ts"
import { parsePrefix, prefixOf } from "../../net/prefix.ts"
import { recordAt, textAt, textMapAt, textsAt } from "../read.ts"

/** A valid NetworkSet or GlobalNetworkSet → the model; bare addresses become blocks of one. */
export function networkSetToModel(value: unknown): NetworkSet {
  const metadata = recordAt(value, "metadata")
  const kind = textAt(value, "kind") ?? ""
  return {
    kind,
    namespace: kind === "NetworkSet" ? (textAt(metadata, "namespace") ?? "default") : "",
    name: textAt(metadata, "name") ?? "",
    labels: textMapAt(metadata, "labels"),
    prefixes: textsAt(recordAt(value, "spec"), "nets").map((net) =>
      tryParseAddress(net) === undefined ? parsePrefix(net) : prefixOf(parseAddress(net), net.includes(":") ? 128 : 32),
    ),
  }
}
