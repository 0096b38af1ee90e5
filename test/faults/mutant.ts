import { execFileSync } from "node:child_process"
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { packageRoot } from "../../src/lab/package.ts"

/** A mechanism taken out of the programs: what stands in `file` (below bpf/), and what stands there instead. */
export interface Mutation {
  readonly name: string
  readonly changes: readonly (readonly [file: string, from: string, to: string])[]
}

/** Where variants of the package are built; nothing of it is shipped. */
export function variantFolder(name: string): string {
  return join(packageRoot(), "build", "faults", `${name}-${process.pid}`)
}

/** Removes what this process, and processes that are no more, have built. */
export function removeVariants(): void {
  const folder = join(packageRoot(), "build", "faults")
  mkdirSync(folder, { recursive: true })
  for (const name of readdirSync(folder)) {
    const pid = Number(name.split("-").at(-1))
    if (pid === process.pid || !isRunning(pid)) rmSync(join(folder, name), { recursive: true, force: true })
  }
}

/** Compiles the programs with the mutation and returns the object's path. The layout stays: running tables are adopted. */
export function mutantObject(mutation: Mutation): string {
  const folder = variantFolder(mutation.name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  cpSync(join(packageRoot(), "bpf"), join(folder, "bpf"), { recursive: true })
  for (const [file, from, to] of mutation.changes) replaceOnce(join(folder, "bpf", file), from, to)
  return compileObject(folder)
}

/** Replaces a text that must stand in the file exactly once, so that a test notices when the code it breaks has moved. */
export function replaceOnce(path: string, from: string, to: string): void {
  const text = readFileSync(path, "utf8")
  const count = text.split(from).length - 1
  if (count !== 1)
    throw new Error(`Cannot change ${path}: ${JSON.stringify(from)} stands there ${count} times, wanted once`)
  writeFileSync(
    path,
    text.replace(from, () => to),
  )
}

/** Compiles `bpf/prog/heddle.bpf.c` of a copied tree, as scripts/build-bpf does. */
export function compileObject(folder: string): string {
  const object = join(folder, "heddle.bpf.o")
  const headers = `/usr/include/${process.arch === "x64" ? "x86_64" : "aarch64"}-linux-gnu`
  const flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", `-I${headers}`, `-I${join(folder, "bpf", "lib")}`]
  execFileSync("clang-19", [...flags, "-c", join(folder, "bpf", "prog", "heddle.bpf.c"), "-o", object])
  return object
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
