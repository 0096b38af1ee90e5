import type { Snapshot } from "./snapshot.ts"
import type { KernelTables } from "./why.ts"
export async function readPinned(_pins: string, _snapshot: Snapshot): Promise<KernelTables> {
  throw new Error("not yet")
}
