import { closeSync, openSync, statSync, unlinkSync } from "node:fs"
import { isKernelError } from "./error.ts"
import { native } from "./native.ts"

/** An open network namespace: as long as the descriptor is open the namespace lives. */
export interface NamespaceHandle {
  readonly fd: number
  /** Where it was opened. */
  readonly path: string
  close(): void
}

/** Path of the calling thread's network namespace. */
export const currentNamespacePath = "/proc/thread-self/ns/net"

/**
 * Makes a new network namespace with `lo` up and bind-mounts it at `path`, which must not exist yet. It is made on a
 * thread of its own: the caller stays where it is.
 */
export function createNamespace(path: string): void {
  native().createNamespace(path)
}

/** Takes the bind mount at `path` away; the namespace ends with its last process, descriptor and mount. Idempotent. */
export function deleteNamespace(path: string): void {
  try {
    native().unmount(path)
  } catch (error) {
    // EINVAL: nothing is mounted there (left by a crash before the mount); ENOENT: nothing is there.
    if (!isKernelError(error, "EINVAL", "ENOENT")) throw error
  }
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
  }
}

/** Opens the network namespace at `path` (a bind mount, or `/proc/PID/ns/net`). */
export function openNamespace(path: string): NamespaceHandle {
  const fd = openSync(path, "r")
  let open = true
  return {
    fd,
    path,
    close() {
      if (open) closeSync(fd)
      open = false
    },
  }
}

/**
 * Runs `fn` with the calling thread inside the namespace and returns to the one before, also when `fn` throws. `fn` must
 * be synchronous: what it starts and does not finish goes on outside. Files under /proc/sys/net are the namespace's.
 */
export function inNamespace<T>(handle: NamespaceHandle, fn: () => T): T {
  const addon = native()
  const home = openSync(currentNamespacePath, "r")
  try {
    addon.setNamespace(handle.fd)
    try {
      const result = fn()
      if (result instanceof Promise) {
        throw new TypeError("Cannot wait inside a namespace: the function must be synchronous; do the waiting outside")
      }
      return result
    } finally {
      addon.setNamespace(home)
    }
  } finally {
    closeSync(home)
  }
}

/** Inode number of the namespace at `path`: equal numbers are the same namespace. */
export function namespaceInode(path: string): number {
  return statSync(path).ino
}
