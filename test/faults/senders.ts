import { join } from "node:path"
import { Worker } from "node:worker_threads"
import type { SenderTask, Stream } from "./sender.ts"

/** Threads that send streams of packets, one thread for each list of streams. */
export class Senders {
  readonly #workers: Worker[]
  readonly #words: readonly Uint32Array[]

  constructor(tasks: readonly (readonly Stream[])[]) {
    const shared = tasks.map((streams) => new SharedArrayBuffer(4 * (streams.length + 1)))
    this.#words = shared.map((buffer) => new Uint32Array(buffer))
    this.#workers = tasks.map((streams, i) => {
      const task: SenderTask = { streams, shared: shared[i] ?? new SharedArrayBuffer(8) }
      return new Worker(join(import.meta.dirname, "sender.ts"), { workerData: task })
    })
  }

  /** Packets that went out so far as stream `stream` of any thread. */
  sent(stream: number): number {
    return this.#words.reduce((sum, words) => sum + (words[stream + 1] ?? 0), 0)
  }

  /** Resolves when all threads have ended by themselves. */
  async done(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve))))
  }

  async stop(): Promise<void> {
    const done = this.done()
    for (const words of this.#words) Atomics.store(words, 0, 1)
    await done
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const words of this.#words) Atomics.store(words, 0, 1)
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
  }
}
