import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { currentNamespacePath } from "./namespace.ts"

/**
 * The file of a name like `net.ipv4.conf.eth0/1.forwarding`: dots part the levels, a slash stands for a dot in an interface
 * name. Throws `RangeError` for what is no such name.
 */
export function sysctlPath(name: string): string {
  if (!/^net\.[\w.@/-]+$/.test(name) || name.includes("..")) {
    throw new RangeError(`Cannot use the sysctl ${name}: wanted net.…, levels parted by dots`)
  }
  return join("/proc/sys", ...name.split(".").map((level) => level.replaceAll("/", ".")))
}

/**
 * Whether the calling thread is in the machine's own network namespace. The kernel shows the tables of the whole machine
 * (net/core/sysctl_net_core.c, net_core_table) in the initial one only; process 1 is asked too, for inside a container,
 * where it may be unreadable.
 */
export function inInitialNamespace(): boolean {
  if (existsSync("/proc/sys/net/core/netdev_budget")) return true
  try {
    return statSync(currentNamespacePath).ino === statSync("/proc/1/ns/net").ino
  } catch {
    return false
  }
}

/** Reads a sysctl under `net.` in the calling thread's namespace; undefined when the kernel has none of that name. */
export function getSysctl(name: string): string | undefined {
  try {
    return readFileSync(sysctlPath(name), "utf8").trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw error
  }
}

/**
 * Writes a sysctl under `net.` in the calling thread's namespace (`inNamespace`). Refuses in the machine's own namespace
 * unless told: a real node's agent may, the lab never.
 */
export function setSysctl(
  name: string,
  value: string | number,
  options: { readonly evenInitial?: boolean } = {},
): void {
  const path = sysctlPath(name)
  if (!options.evenInitial && inInitialNamespace()) {
    throw new Error(
      `Cannot set ${name}: this is the machine's own network namespace, which stays as it is; enter another`,
    )
  }
  if (getSysctl(name) !== String(value)) writeFileSync(path, String(value))
}
