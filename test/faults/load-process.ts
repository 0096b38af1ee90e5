import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"
import { createInterface, type Interface } from "node:readline"
import type { AskOptions, Burst, BurstReport, Report } from "./load.ts"

/** A process of load.ts in a pod's namespace. */
export class LoadProcess {
  readonly #child: ChildProcess
  readonly #lines: Interface
  readonly #failed: Promise<never>
  readonly #answers: ((line: string) => void)[] = []

  private constructor(netns: string, role: "serve" | "ask", options: unknown) {
    const script = join(import.meta.dirname, "load.ts")
    const command = [process.execPath, "--no-warnings", script, role, JSON.stringify(options)]
    this.#child = spawn("nsenter", [`--net=${netns}`, "--", ...command], { stdio: ["pipe", "pipe", "inherit"] })
    const { stdout } = this.#child
    if (stdout === null) throw new Error("no output")
    this.#lines = createInterface({ input: stdout })
    this.#lines.on("line", (line) => this.#answers.shift()?.(line))
    this.#failed = new Promise((_, reject) => {
      this.#child.once("exit", (code) => reject(new Error(`A load process in ${netns} ended with ${code}`)))
    })
    // Whoever asks it next hears of it.
    this.#failed.catch(() => undefined)
  }

  static async serve(netns: string, ports: readonly number[]): Promise<LoadProcess> {
    const process = new LoadProcess(netns, "serve", ports)
    await process.#next()
    return process
  }

  static async ask(netns: string, options: AskOptions): Promise<LoadProcess> {
    const process = new LoadProcess(netns, "ask", options)
    await process.#next()
    return process
  }

  report(): Promise<Report> {
    return this.#question("report")
  }

  burst(burst: Burst): Promise<BurstReport> {
    return this.#question(burst)
  }

  async #question<T>(question: unknown): Promise<T> {
    const answer = this.#next()
    this.#child.stdin?.write(`${JSON.stringify(question)}\n`)
    return JSON.parse(await answer) as T
  }

  #next(): Promise<string> {
    return Promise.race([new Promise<string>((resolve) => this.#answers.push(resolve)), this.#failed])
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = new Promise((resolve) => this.#child.once("exit", resolve))
    this.#child.kill("SIGKILL")
    await ended
    this.#lines.close()
  }
}
