import { mkdirSync, readFileSync } from "node:fs"
import { native } from "./native.ts"

/** Mounts a BPF file system of its own at `path`, which is created when missing; does nothing when one is there. */
export function mountBpffs(path: string): void {
  mkdirSync(path, { recursive: true })
  if (mountType(path) === "bpf") return
  native().mount("bpf", path, "bpf", 0, "mode=0700")
}

/** Unmounts what is mounted at `path` last (lazily, so that open files do not hinder). Throws EINVAL if nothing is. */
export function unmount(path: string): void {
  native().unmount(path)
}

/** Whether something is mounted exactly at `path`, as this process's mount namespace sees it. */
export function isMounted(path: string): boolean {
  return mountType(path) !== undefined
}

/** File system type of the topmost mount at `path`, e.g. `bpf`; undefined when `path` is no mount point. */
export function mountType(path: string): string | undefined {
  let type: string | undefined
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    // proc_pid_mountinfo(5): id parent major:minor root mountpoint options optional... - type source options
    const fields = line.split(" ")
    const point = fields[4]
    if (point !== undefined && withoutEscapes(point) === path) type = fields[fields.indexOf("-", 6) + 1]
  }
  return type
}

/** Undoes the octal escapes of mountinfo (space, tab, newline, backslash). */
function withoutEscapes(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
