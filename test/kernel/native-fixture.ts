import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { isMounted, mountBpffs, unmount } from "../../src/kernel/mount.ts"
import { createNamespace, deleteNamespace, type NamespaceHandle, openNamespace } from "../../src/kernel/namespace.ts"

/** A folder with namespaces and a bpffs of its own; `remove` leaves nothing of it. */
export class Ground {
  readonly folder = mkdtempSync(join(tmpdir(), "hd-native-"))
  readonly #namespaces: { path: string; handle: NamespaceHandle }[] = []

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
    mkdirSync(this.folder, { recursive: true })
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
