import type { Case } from "../builders.ts"
import { calicoWorld } from "../calico/builders.ts"

/** A case in which policies of several languages meet, in the standard world. */
export function item(
  languages: readonly string[],
  name: string,
  objects: readonly object[],
  ...probes: readonly (readonly object[])[]
): Case {
  return { name, tags: ["mixed", ...languages], manifests: [...calicoWorld(), ...objects], probes: probes.flat() }
}
