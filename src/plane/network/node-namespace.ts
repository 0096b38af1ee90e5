import {
  currentNamespacePath,
  inNamespace,
  type NamespaceHandle,
  namespaceInode,
  openNamespace,
} from "../../kernel/namespace.ts"
import { Netlink } from "../../kernel/netlink/netlink.ts"
import { getSysctl, inInitialNamespace, setSysctl } from "../../kernel/sysctl.ts"
import { NetworkError } from "./error.ts"

/** Settings under `net.`, by their names; undefined leaves one as it is. */
export type Settings = Readonly<Record<string, string | number>>

/** Name of a link's setting: dots in the link's own name are written as slashes. */
export function linkSetting(family: "ipv4" | "ipv6", link: string, setting: string): string {
  return `net.${family}.conf.${link.replaceAll(".", "/")}.${setting}`
}

/** The node's network namespace: an open route socket there, and its sysctls. */
export class NodeNamespace {
  readonly path: string
  readonly inode: number
  readonly handle: NamespaceHandle
  readonly netlink: Netlink

  /**
   * `path`: default the one this process runs in. The machine's own namespace is refused unless
   * `evenInitial`: an agent on a real node may manage it, a lab never.
   */
  constructor(path: string = currentNamespacePath, evenInitial = false) {
    this.path = path
    this.inode = namespaceInode(path)
    this.handle = openNamespace(path)
    try {
      if (!evenInitial && inNamespace(this.handle, inInitialNamespace))
        throw new NetworkError(
          "invalidConfiguration",
          `Cannot use ${path} as the node's network: it is the machine's own namespace`,
          "Set netns to another one; on a real node, allow the machine's own explicitly",
        )
      this.netlink = Netlink.open(this.handle)
    } catch (error) {
      this.handle.close()
      throw error
    }
  }

  /** Runs `fn`, which must be synchronous, inside. */
  inside<T>(fn: () => T): T {
    return inNamespace(this.handle, fn)
  }

  /** Sets what differs and returns the values before. A setting that the kernel does not have (no IPv6) is left out. */
  set(settings: Settings): Settings {
    return this.inside(() => applySettings(settings))
  }

  close(): void {
    this.netlink.close()
    this.handle.close()
  }
}

/** Sets what differs in the calling thread's namespace, which the caller has chosen; returns the values before. */
export function applySettings(settings: Settings): Settings {
  const before: Record<string, string> = {}
  for (const [name, value] of Object.entries(settings)) {
    const found = getSysctl(name)
    if (found === undefined || found === String(value)) continue
    // Whose namespace this is was checked when it was opened.
    setSysctl(name, value, { evenInitial: true })
    before[name] = found
  }
  return before
}
