import { existsSync } from "node:fs"
import { examples, type Register } from "../command.ts"
import { painter } from "../output/colour.ts"
import { formatOf, jsonText } from "../output/print.ts"
import { count } from "../output/text.ts"

/** One thing that was looked at. */
interface Check {
  readonly name: string
  readonly ok: boolean
  readonly required: boolean
  readonly found: string
  readonly wanted: string
  readonly why: string
  /** What to run next. */
  readonly next: string
}

const nextSteps: Readonly<Record<string, string>> = {
  kernel: "install a newer kernel: apt install linux-image-amd64",
  BTF: "use a distribution kernel (Debian's has it)",
  nftables: "apt install nftables",
}

export const registerDoctor: Register = (program, session) => {
  const { io } = session
  const command = program
    .command("doctor")
    .description("Look at this machine: what is found, what is wanted, why it matters, what to run next")
    .option("-o, --output <format>", "table or json")
    .action(async (options: { readonly output?: string }) => {
      const format = formatOf(options.output, ["table", "json"], "table")
      const checks = await look()
      if (format === "json") io.out(jsonText(checks))
      else {
        const paint = painter(io.colour.out)
        for (const check of checks) {
          const mark = check.ok
            ? paint("green", "ok  ")
            : check.required
              ? paint("red", "FAIL")
              : paint("yellow", "less")
          io.out(`${mark}  ${check.name}: ${check.found}\n`)
          if (check.ok) continue
          io.out(`        wanted: ${check.wanted}\n        why:    ${check.why}\n        next:   ${check.next}\n`)
        }
      }
      const failed = checks.filter((check) => check.required && !check.ok).length
      io.err(failed === 0 ? "everything that is needed is there\n" : `${count(failed, "thing")} missing\n`)
      if (failed > 0) session.exitCode = 1
    })
  examples(command, [
    ["heddle doctor", "before the first lab"],
    ["heddle doctor -o json", "for a script"],
  ])
}

async function look(): Promise<Check[]> {
  const checks: Check[] = [
    node(),
    root(),
    toolCheck("nsenter", "util-linux", "lab exec and the lab's processes enter namespaces by it"),
  ]
  const features = await addon()
  checks.push(...features)
  return checks
}

function node(): Check {
  const major = Number(process.versions.node.split(".")[0])
  return {
    name: "Node.js",
    ok: major >= 24,
    required: true,
    found: process.version,
    wanted: "24 or newer",
    why: "the addon is built against its headers",
    next: "run bin/heddle of a built checkout, which brings its own",
  }
}

function root(): Check {
  const ok = process.geteuid?.() === 0
  return {
    name: "root",
    ok,
    required: false,
    found: ok ? "yes" : "no",
    wanted: "root, or CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_BPF",
    why: "labs and agents make namespaces, links and BPF programs; suites, policy check and why --from-file need none",
    next: "sudo heddle doctor",
  }
}

function toolCheck(name: string, pack: string, why: string): Check {
  const found = (process.env["PATH"] ?? "").split(":").find((directory) => existsSync(`${directory}/${name}`))
  return {
    name,
    ok: found !== undefined,
    required: true,
    found: found === undefined ? "not found" : `${found}/${name}`,
    wanted: `${name} on the PATH`,
    why,
    next: `apt install ${pack}`,
  }
}

/** What the kernel can do; asked through the addon, whose absence is the first thing to say. */
async function addon(): Promise<Check[]> {
  const base = {
    name: "addon",
    required: true,
    wanted: "build/heddle.node",
    why: "everything that touches the kernel goes through it",
    next: "make build",
  }
  try {
    const [{ native }, { probeFeatures }] = await Promise.all([
      import("../../kernel/native.ts"),
      import("../../kernel/features.ts"),
    ])
    native()
    const features = await probeFeatures()
    const checks = features.map(
      (feature): Check => ({
        ...feature,
        next: nextSteps[feature.name] ?? "sudo heddle doctor; if it stays, use a newer kernel",
      }),
    )
    return [{ ...base, ok: true, found: "loaded" }, ...checks]
  } catch (error) {
    return [
      { ...base, ok: false, found: error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error) },
    ]
  }
}
