import { Failure } from "../../api/failure.ts"
import { examples, type Register } from "../command.ts"
import { repeatable } from "../repeatable.ts"

interface Options {
  readonly plane: string
  readonly output: string
  readonly allowUnsupported?: boolean
  readonly filter?: string
  readonly tag?: string[]
}

export const registerTest: Register = (program, session) => {
  const { io } = session
  const command = program
    .command("test")
    .description(
      "Run policy test suites: who may talk to whom, judged by the model, the compiled tables, or real packets",
    )
    .argument("<suites...>", "files (JSON Lines or YAML), directories, or - for standard input")
    .option("--plane <name>", "model or compiled (no root, no cluster); ebpf (real packets in a lab)", "model")
    .option("-o, --output <format>", "text, json, jsonl, junit or tap", "text")
    .option("--filter <text>", "only cases whose name contains it")
    .option("--tag <name>", "only cases with one of these tags", repeatable)
    .option("--allow-unsupported", "a case that the plane cannot do is no failure")
    .action(async (suites: string[], options: Options) => {
      const { runTest } = await import("../../suite/command.ts")
      const input = suites.includes("-") ? await io.stdin() : ""
      const code = await runTest(
        {
          suites,
          plane: options.plane,
          output: options.output,
          allowUnsupported: options.allowUnsupported ?? false,
          tags: options.tag ?? [],
          ...(options.filter === undefined ? {} : { filter: options.filter }),
        },
        {
          out: io.out,
          err: io.err,
          standardInput: () => input,
          now: () => performance.now(),
          planes: { ebpf: ebpfPlane },
        },
      )
      session.exitCode = code
    })
  examples(command, [
    ["heddle test test/suites/", "every suite of a directory by the reference evaluator"],
    ["heddle test suite.jsonl --plane compiled", "by the tables that the kernel gets"],
    ["heddle test suite.jsonl --plane ebpf", "by real packets (needs root)"],
    ["heddle test suite.jsonl -o jsonl", "every case back, with what was got"],
  ])
}

async function ebpfPlane(): Promise<import("../../suite/plane.ts").SuitePlane> {
  if (process.geteuid?.() !== 0) {
    throw new Failure(
      "failed",
      "Cannot send real packets",
      "a lab needs root",
      "run it as root, or choose --plane model or compiled",
    )
  }
  const { labPlane } = await import("../../lab/suite-plane.ts")
  return labPlane()
}
