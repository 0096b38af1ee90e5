// Writes bpf/lib/abi.generated.h and src/kernel/abi.generated.ts from description.ts. A file whose text stays the same is left alone.
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { header } from "./header.ts"
import { module } from "./module.ts"

const root = join(import.meta.dirname, "..")

for (const [path, text] of [
  ["bpf/lib/abi.generated.h", header()],
  ["src/kernel/abi.generated.ts", module()],
] as const) {
  const file = join(root, path)
  if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text)
}
