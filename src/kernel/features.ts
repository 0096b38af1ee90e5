import { existsSync, readFileSync } from "node:fs"
import { hasTcx } from "./bpf/attach.ts"
import { BpfMap, MapType } from "./bpf/map.ts"
import type { Link } from "./netlink/link.ts"
import { Netlink } from "./netlink/netlink.ts"
import { runCommand } from "./process.ts"

/** One thing that the planes need or like, for `heddle doctor`. */
export interface Feature {
  readonly name: string
  readonly ok: boolean
  /** Without it the eBPF plane cannot work; else it works less well. */
  readonly required: boolean
  readonly found: string
  readonly wanted: string
  readonly why: string
}

/** Looks at the running kernel; changes nothing that outlives the call. */
export async function probeFeatures(): Promise<Feature[]> {
  return [kernel(), btf(), ringBuffer(), tcx(), timer(), redirectPeer(), bigTcp(), await nftables()]
}

/** Version of the running kernel, e.g. [6, 1]. */
export function kernelVersion(): readonly [major: number, minor: number] {
  const release = readFileSync("/proc/sys/kernel/osrelease", "utf8").trim()
  const [major, minor] = release.split(".").map((part) => Number.parseInt(part, 10))
  return [major ?? 0, minor ?? 0]
}

function atLeast(major: number, minor: number): boolean {
  const [hasMajor, hasMinor] = kernelVersion()
  return hasMajor > major || (hasMajor === major && hasMinor >= minor)
}

function kernel(): Feature {
  return {
    name: "kernel",
    ok: atLeast(6, 1),
    required: true,
    found: kernelVersion().join("."),
    wanted: "6.1 or newer",
    why: "the programs are tested from 6.1 on; older verifiers refuse them",
  }
}

function btf(): Feature {
  const ok = existsSync("/sys/kernel/btf/vmlinux")
  return {
    name: "BTF",
    ok,
    required: true,
    found: ok ? "/sys/kernel/btf/vmlinux" : "none",
    wanted: "CONFIG_DEBUG_INFO_BTF",
    why: "timers and typed maps are checked by the kernel's type information",
  }
}

function ringBuffer(): Feature {
  const refused = attempt(() => {
    BpfMap.create({ type: MapType.ringbuf, name: "probe", keySize: 0, valueSize: 0, entries: 4096 }).close()
  })
  return {
    name: "BPF maps and ring buffer",
    ok: refused === undefined,
    required: true,
    found: refused ?? "yes",
    wanted: "bpf(2) may make a ring buffer (Linux 5.8, CAP_BPF)",
    why: "all tables are maps, and flows and drops come through the ring buffer",
  }
}

function tcx(): Feature {
  let ok = false
  const refused = attempt(() => {
    ok = hasTcx()
  })
  return {
    name: "TCX",
    ok,
    required: false,
    found: ok ? "yes" : (refused ?? "no"),
    wanted: "Linux 6.6",
    why: "a packet costs 50–100 ns less than by clsact, which is used otherwise",
  }
}

function timer(): Feature {
  return {
    name: "bpf_timer",
    ok: atLeast(5, 15),
    required: true,
    found: `kernel ${kernelVersion().join(".")}`,
    wanted: "Linux 5.15",
    why: "flow records age in the kernel, without any process of ours",
  }
}

function redirectPeer(): Feature {
  return {
    name: "bpf_redirect_peer",
    ok: atLeast(5, 10),
    required: true,
    found: `kernel ${kernelVersion().join(".")}`,
    wanted: "Linux 5.10",
    why: "packets are handed into the pod without passing the host's stack",
  }
}

/** Told by any link: what the kernel does not know it leaves out. */
function bigTcp(): Feature {
  let lo: Link | undefined
  const refused = attempt(() => {
    const netlink = Netlink.open()
    try {
      lo = netlink.link("lo")
    } finally {
      netlink.close()
    }
  })
  const ok = lo?.gsoIpv4MaxSize !== undefined
  return {
    name: "BIG TCP",
    ok,
    required: false,
    found: ok ? "IPv4 and IPv6" : (refused ?? "IPv6"),
    wanted: "Linux 6.3",
    why: "TCP packets above 64 KiB take the CPU that streams cost to less than half; heddle status says where they are used",
  }
}

async function nftables(): Promise<Feature> {
  const found = await runCommand(["nft", "--version"]).then(
    (result) => (result.code === 0 ? result.stdout.trim() : result.stderr.trim()),
    () => "no nft program",
  )
  return {
    name: "nftables",
    ok: found.startsWith("nftables"),
    required: true,
    found,
    wanted: "nft 1.0.6 or newer",
    why: "masquerading to the outside is done by nftables",
  }
}

/** Text of what `fn` throws; undefined when it does not. */
function attempt(fn: () => void): string | undefined {
  try {
    fn()
    return undefined
  } catch (error) {
    return error instanceof Error ? (error.message.split("\n")[0] ?? "refused") : String(error)
  }
}
