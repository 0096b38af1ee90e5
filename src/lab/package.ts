import { existsSync } from "node:fs"
import { dirname, join } from "node:path"

/** Root of the package that holds this file, in a checkout as in the bundle (`dist/heddle.mjs`). */
export function packageRoot(): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    if (existsSync(join(folder, "package.json")) || dirname(folder) === folder) return folder
  }
}

/** Command line of `heddle` itself for processes that the lab starts: the bundle when this is it, else the sources. */
export function heddleCommand(): readonly string[] {
  const bundle = join(packageRoot(), "dist", "heddle.mjs")
  const sources = join(packageRoot(), "src", "cli", "main.ts")
  const inBundle = import.meta.filename === bundle || !existsSync(sources)
  return [process.execPath, inBundle ? bundle : sources]
}

/** The CNI plugin, as a container runtime would start it. */
export function cniPlugin(): string {
  const path = join(packageRoot(), "build", "heddle-cni")
  if (existsSync(path)) return path
  throw new Error(`Cannot make pods: there is no CNI plugin at ${path}. Run scripts/build`)
}
