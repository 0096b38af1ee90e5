import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"

/** Identifies the program that runs, to the byte; undefined when it runs from its sources, of which any may have changed. */
export function programIdentity(): string | undefined {
  const file = import.meta.filename
  if (!file.endsWith(".mjs")) return undefined
  return createHash("sha256").update(readFileSync(file)).digest("hex").slice(0, 32)
}
