import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { isMounted, mountBpffs, unmount } from "../src/kernel/mount.ts"
import {
  createNamespace,
  deleteNamespace,
  inNamespace,
  type NamespaceHandle,
  openNamespace,
} from "../src/kernel/namespace.ts"
import { Netlink } from "../src/kernel/netlink/netlink.ts"

const PREFIX = "hd-bench-"

/** A folder of this run with its namespaces and bpffs mounts; `remove` leaves nothing of it. */
export class Ground {
  readonly folder: string
  readonly #handles = new Map<string, NamespaceHandle>()
  readonly #before: (() => void)[] = []

  constructor() {
    removeLeftovers()
    this.folder = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`))
    const end = (): void => {
      this.remove()
      process.exit(130)
    }
    process.once("SIGINT", end).once("SIGTERM", end)
  }

  /** `run` ends what uses the ground, such as a process; called before the rest is taken away, also after Ctrl-C. */
  first(run: () => void): void {
    this.#before.push(run)
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  /** The namespace of that name, made when first asked for. */
  namespace(name: string): NamespaceHandle {
    const known = this.#handles.get(name)
    if (known !== undefined) return known
    createNamespace(this.path(name))
    const handle = openNamespace(this.path(name))
    this.#handles.set(name, handle)
    return handle
  }

  /** Makes a namespace that is not held open here: for the many pods of a node. `use` runs inside it. */
  pod(name: string, use: () => void = () => {}): void {
    createNamespace(this.path(name))
    const handle = openNamespace(this.path(name))
    try {
      inNamespace(handle, use)
    } finally {
      handle.close()
    }
  }

  bpffs(name: string): string {
    mountBpffs(this.path(name))
    return this.path(name)
  }

  /** Runs a shell script inside a namespace; throws with what it wrote when it fails. */
  shell(namespace: string, script: string): string {
    this.namespace(namespace)
    return execFileSync("nsenter", [`--net=${this.path(namespace)}`, "--", "sh", "-euc", script], { encoding: "utf8" })
  }

  on<T>(namespace: string, use: (netlink: Netlink) => T): T {
    const netlink = Netlink.open(this.namespace(namespace))
    try {
      return use(netlink)
    } finally {
      netlink.close()
    }
  }

  remove(): void {
    for (const run of this.#before.splice(0)) run()
    for (const handle of this.#handles.values()) handle.close()
    this.#handles.clear()
    clear(this.folder)
  }
}

function clear(folder: string): void {
  if (!existsSync(folder)) return
  for (const entry of readdirSync(folder)) {
    const path = join(folder, entry)
    if (statSync(path).isDirectory()) {
      if (isMounted(path)) unmount(path)
      else clear(path)
    } else if (isMounted(path)) deleteNamespace(path)
  }
  rmSync(folder, { recursive: true, force: true })
}

/** What a killed run left: folders whose process is gone. */
function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = name.startsWith(PREFIX) ? name.slice(PREFIX.length).split("-")[0] : undefined
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) clear(join(tmpdir(), name))
  }
}
