import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Everything of the machine's own that a lab must leave as it was, by what it is; each value a text to be compared. */
export type MachineSnapshot = Readonly<Record<string, string>>

/** Counters and clocks: they change by themselves. */
const restless = /nf_conntrack_count|\/random\/|\/route\/(gc|error|redirect)|tcp_fastopen_key|stable_secret|flush$/

/**
 * Reads the machine's own network namespace (where this process is), its mounts, cgroups and BPF attachments. Of labs only
 * those with names that `own` matches count: somebody else may work on this machine meanwhile.
 */
export function snapshotMachine(own: RegExp): MachineSnapshot {
  const counts = (text: string): boolean => {
    // Other tests mount there; a lab never does.
    if (text.startsWith(`${tmpdir()}/`)) return false
    const lab = /\/run\/heddle\/lab\/([^/ ]+)/.exec(text)?.[1]
    return lab === undefined || own.test(lab)
  }
  return {
    links: run("ip", ["-d", "-o", "link", "show"]).replace(/ numtxqueues.*$/gm, ""),
    addresses: run("ip", ["-o", "addr", "show"]).replace(/valid_lft.*$/gm, ""),
    routes4: run("ip", ["-4", "route", "show", "table", "all"]),
    routes6: run("ip", ["-6", "route", "show", "table", "all"]).replace(/ expires \S+/g, ""),
    rules: run("ip", ["-4", "rule"]) + run("ip", ["-6", "rule"]),
    queueing: run("tc", ["qdisc", "show"]),
    nftables: run("nft", ["list", "ruleset"]),
    iptables: withoutCounters(run("iptables-save", [])) + withoutCounters(run("ip6tables-save", [])),
    programs: run("bpftool", ["net", "show"]),
    sysctls: sysctls("/proc/sys/net").join("\n"),
    cgroups: cgroups("/sys/fs/cgroup").sort().join("\n"),
    mounts: mounts().filter(counts).join("\n"),
    namespaces: list("/run/netns").join("\n"),
    processes: processes()
      .filter((words) => words.includes("/run/heddle/lab/") && counts(words))
      .join("\n"),
  }
}

/** Of these a lab may leave some behind, but what others had and take away themselves is not its doing. */
const onlyComing: ReadonlySet<string> = new Set(["cgroups", "processes"])

/** What differs between two snapshots, a sentence for each kind of thing; empty when nothing does. */
export function differences(before: MachineSnapshot, after: MachineSnapshot): string[] {
  return Object.keys(before).flatMap((kind) => {
    const old = new Set((before[kind] ?? "").split("\n"))
    const now = new Set((after[kind] ?? "").split("\n"))
    const came = [...now].filter((line) => !old.has(line))
    const went = [...old].filter((line) => !now.has(line))
    if (came.length === 0 && (went.length === 0 || onlyComing.has(kind))) return []
    return [`${kind}: came ${JSON.stringify(came.slice(0, 5))}, went ${JSON.stringify(went.slice(0, 5))}`]
  })
}

function run(program: string, words: readonly string[]): string {
  try {
    return execFileSync(program, words, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1 << 26 })
  } catch (error) {
    // Absent or refusing, it does so before and after.
    return `${program}: ${(error as { code?: unknown; status?: unknown }).code ?? (error as { status?: unknown }).status}`
  }
}

function withoutCounters(rules: string): string {
  return rules.replace(/^#.*$/gm, "").replace(/\[\d+:\d+\]/g, "")
}

function sysctls(directory: string): string[] {
  return list(directory).flatMap((name) => {
    const path = join(directory, name)
    if (restless.test(path)) return []
    try {
      return statSync(path).isDirectory() ? sysctls(path) : [`${path}=${readFileSync(path, "utf8").trim()}`]
    } catch {
      return [] // write-only
    }
  })
}

/** Cgroups in which nobody is: what a program that has ended leaves. */
function cgroups(directory: string): string[] {
  try {
    const below = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    const empty = readFileSync(join(directory, "cgroup.procs"), "utf8") === ""
    return [...(empty ? [directory] : []), ...below.flatMap((entry) => cgroups(join(directory, entry.name)))]
  } catch {
    // The directory of the hierarchies itself is none; or it went meanwhile.
    return list(directory).flatMap((name) => (isDirectory(join(directory, name)) ? cgroups(join(directory, name)) : []))
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}

function mounts(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point !== "")
    .sort()
}

/** Agents of labs, whoever's, by their command lines. */
function processes(): string[] {
  return list("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").join(" ")
        return words.includes(" agent --node ") ? [words] : []
      } catch {
        return []
      }
    })
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory).sort()
  } catch {
    return []
  }
}
