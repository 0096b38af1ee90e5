import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { isMounted, mountBpffs, unmount } from "../../src/kernel/mount.ts"
import { createNamespace, deleteNamespace, type NamespaceHandle, openNamespace } from "../../src/kernel/namespace.ts"

const PREFIX = "hd-native-"

/** Takes away what a killed test run left: folders whose process is gone, with the mounts inside. */
function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = name.startsWith(PREFIX) ? name.slice(PREFIX.length).split("-")[0] : undefined
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue
    const folder = join(tmpdir(), name)
    for (const entry of readdirSync(folder)) {
      if (isMounted(join(folder, entry))) unmount(join(folder, entry))
    }
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A folder with namespaces and a bpffs of its own; `remove` leaves nothing of it. */
export class Ground {
  readonly folder = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`))
  readonly #namespaces: { path: string; handle: NamespaceHandle }[] = []

  constructor() {
    removeLeftovers()
  }

  namespace(name: string): NamespaceHandle {
    const path = join(this.folder, name)
    createNamespace(path)
    const handle = openNamespace(path)
    this.#namespaces.push({ path, handle })
    return handle
  }

  bpffs(): string {
    const path = join(this.folder, "bpf")
    mountBpffs(path)
    return path
  }

  /** Compiles a C source of this folder and returns the object's path. */
  compile(source: string): string {
    const out = join(this.folder, source.replace(/\.c$/, ".o"))
    const include = `/usr/include/${process.arch === "x64" ? "x86_64" : "aarch64"}-linux-gnu`
    const flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-I", include, "-Wno-unused-value"]
    execFileSync("clang-19", [...flags, "-c", join(import.meta.dirname, source), "-o", out])
    return out
  }

  remove(): void {
    for (const { path, handle } of this.#namespaces) {
      handle.close()
      deleteNamespace(path)
    }
    const bpffs = join(this.folder, "bpf")
    if (isMounted(bpffs)) unmount(bpffs)
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export function words(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer)
}

export function word(bytes: Uint8Array | undefined, index = 0): number | undefined {
  if (!bytes) return undefined
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(4 * index, true)
}
