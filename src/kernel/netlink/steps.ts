import type { KernelError } from "../error.ts"
import type { NamespaceHandle } from "../namespace.ts"
import { native } from "../native.ts"
import { sysctlPath } from "../sysctl.ts"
import { concat, decodeMessages, encodeMessage, Flag, type Message, u32, viewOf } from "./message.ts"
import { failureIn, isEnd, type Request } from "./socket.ts"

/** Requests to one network namespace, sent together. The kernel tries each, also when one before it failed; a dump goes alone. */
export interface Asking {
  readonly namespace: NamespaceHandle
  readonly requests: readonly Request[]
  /** Number of an errno that counts as success for all of them. */
  readonly tolerate?: number
}

/** Sysctls under `net.` of one network namespace; what has its value already, or is not known to the kernel, is left. */
export interface Setting {
  readonly namespace: NamespaceHandle
  readonly settings: Readonly<Record<string, string | number>>
}

export type Step = Asking | Setting

/** Kinds of records in native/steps.c. */
const Kind = { script: 0, netlink: 1, setting: 2 } as const
const ANSWER_HEADER = 12
/** Rows of steps in one batch: nobody waits for more than a few others. */
const AT_ONCE = 16

interface Waiting {
  readonly steps: readonly Step[]
  readonly records: readonly Uint8Array[]
  readonly resolve: (answers: readonly Message[][]) => void
  readonly reject: (error: unknown) => void
}

/**
 * Takes steps in network namespaces on a worker thread, because the kernel's network lock may be held by anybody for tens of
 * milliseconds. One batch is under way at a time; what is asked for meanwhile goes together in the next, which asks for the lock
 * once after the other anyway, and saves the ways to and from the worker.
 */
export class KernelSteps {
  readonly #waiting: Waiting[] = []
  #busy = false

  /**
   * Resolves with the answers to each step, one list a step (empty for settings). The first step that fails ends the row: rejects
   * with its `KernelError`. The namespaces must stay open until then.
   */
  take(steps: readonly Step[]): Promise<readonly Message[][]> {
    return new Promise((resolve, reject) => {
      // Here, so that what cannot be encoded is the failure of who asked, and of nobody else.
      const records = [record(Kind.script), ...steps.flatMap(encodeStep)]
      this.#waiting.push({ steps, records, resolve, reject })
      if (!this.#busy) this.#next()
    })
  }

  #next(): void {
    const batch = this.#waiting.splice(0, AT_ONCE)
    this.#busy = batch.length > 0
    if (!this.#busy) return
    const all = batch.flatMap(({ records }) => records)
    const told = (error: KernelError | null, answers: Uint8Array): void => {
      this.#next()
      if (error !== null) for (const { reject } of batch) reject(error)
      else distribute(batch, answers)
    }
    try {
      native().takeSteps(concat(...all), told)
    } catch (error) {
      this.#next()
      for (const { reject } of batch) reject(error)
    }
  }
}

/** The records of one step: one for all its requests, one for each setting. */
function encodeStep(step: Step): Uint8Array[] {
  const { fd } = step.namespace
  if ("settings" in step)
    return Object.entries(step.settings).map(([name, value]) => {
      const bytes = new TextEncoder().encode(`${sysctlPath(name)}\0${value}\0`)
      return record(Kind.setting, { fd, bytes })
    })
  const messages = step.requests.map(({ type, flags = 0, payload }, sequence) => {
    const ack = (flags & Flag.dump) === Flag.dump ? 0 : Flag.ack
    return aligned(encodeMessage({ type, flags: Flag.request | ack | flags, sequence, payload }))
  })
  return [record(Kind.netlink, { fd, bytes: concat(...messages), answers: messages.length, tolerated: step.tolerate })]
}

interface RecordParts {
  readonly fd: number
  readonly bytes: Uint8Array
  readonly answers?: number
  readonly tolerated?: number | undefined
}

/** Struct record. */
function record(kind: number, { fd, bytes, answers = 0, tolerated = 0 }: RecordParts = nothing): Uint8Array {
  return concat(u32(kind), u32(fd), u32(answers), u32(tolerated), u32(bytes.length), aligned(bytes))
}

const nothing: RecordParts = { fd: -1, bytes: new Uint8Array(0) }

function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.length % 4 === 0 ? bytes : concat(bytes, new Uint8Array(4 - (bytes.length % 4)))
}

/** What came for one record: datagrams, and the errno of a system call that failed. */
interface Answer {
  readonly datagrams: Uint8Array[]
  errno: number
}

function decodeAnswers(bytes: Uint8Array): Map<number, Answer> {
  const found = new Map<number, Answer>()
  const view = viewOf(bytes)
  for (let at = 0; at + ANSWER_HEADER <= bytes.length; ) {
    const step = view.getUint32(at, true)
    const length = view.getUint32(at + 8, true)
    const from = at + ANSWER_HEADER
    const answer = found.get(step) ?? { datagrams: [], errno: 0 }
    found.set(step, answer)
    answer.errno ||= view.getInt32(at + 4, true)
    if (length > 0) answer.datagrams.push(bytes.subarray(from, from + length))
    at = from + ((length + 3) & ~3)
  }
  return found
}

function distribute(batch: readonly Waiting[], bytes: Uint8Array): void {
  const found = decodeAnswers(bytes)
  let at = 0
  for (const { steps, resolve, reject } of batch) {
    const from = at
    at += steps.reduce((sum, step) => sum + recordsOf(step), 0)
    try {
      resolve(answersTo(steps, found, from))
    } catch (error) {
      reject(error)
    }
  }
}

function recordsOf(step: Step): number {
  return "settings" in step ? Object.keys(step.settings).length : 1
}

function answersTo(steps: readonly Step[], found: ReadonlyMap<number, Answer>, from: number): Message[][] {
  let at = from
  return steps.map((step) => {
    if (!("settings" in step)) return messagesOf(step, found.get(at++))
    for (const name of Object.keys(step.settings)) {
      const errno = found.get(at++)?.errno ?? 0
      if (errno !== 0) throw native().failure(`set ${name} to ${step.settings[name]}`, errno)
    }
    return []
  })
}

function messagesOf({ requests, tolerate }: Asking, answer: Answer | undefined): Message[] {
  const operation = (sequence: number): string => requests[sequence]?.operation ?? "ask the kernel"
  if (answer === undefined) throw new Error(`Cannot ${operation(0)}: no answer came from the worker`)
  const messages = answer.datagrams.flatMap(decodeMessages)
  for (const message of messages) {
    const failure = isEnd(message) ? failureIn(operation(message.sequence), message) : undefined
    if (failure !== undefined && failure.errno !== tolerate) throw failure
  }
  if (answer.errno !== 0) throw native().failure(operation(0), answer.errno)
  return messages.filter((message) => !isEnd(message))
}
