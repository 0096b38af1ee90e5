import { setTimeout as sleep } from "node:timers/promises"
import type { Moment, Seen } from "../inside.ts"
import { median, type Times, times } from "../measure.ts"
import { podManifest, policyManifest, type Size } from "../objects.ts"
import type { MeasuredAgent } from "./agent.ts"

/** One change as both sides saw it; all times in ms of the same clock. */
interface Change {
  readonly tag: number
  readonly digest: string
  readonly sent: number
  readonly known: number
}

/** Ms of changes, each seen from three places. */
interface Changes {
  /** From the agent's having read the head of the request to the flip: the goal's measure. */
  readonly receivedToFlip: Times
  /** From the client's sending, its connecting and waiting for the agent's attention included. */
  readonly sentToFlip: Times
  /** Until the client was told so by `await`. */
  readonly sentToKnown: Times
}

const now = (): number => Number(process.hrtime.bigint()) / 1e6

/** How many changes of pods go with so many of policies. */
export function podChanges(count: number): number {
  return Math.max(5, Math.round(count / 4))
}

/** Policy changes, and pods that come, go and are relabelled, through the agent's service. */
export class ChangeBench {
  readonly #agent: MeasuredAgent
  readonly #size: Size
  /** Requests are told apart inside the agent by their time limits: 60 s and so many ms. */
  #tag = 60_000

  constructor(agent: MeasuredAgent, size: Size) {
    this.#agent = agent
    this.#size = size
  }

  async run(count: number): Promise<Record<string, unknown>> {
    for (let i = 0; i < 5; i++) await this.#policy(i, 9_000 + i)
    const few = podChanges(count)
    const newcomer = (i: number) => podManifest(this.#size.remote + i, "b")
    return {
      policyAlone: await this.#alone("policy-alone", count, (i) =>
        this.#policy((i * 7) % this.#size.policies, 10_000 + i),
      ),
      policyBackToBack: await this.#backToBack(count),
      remotePodComes: await this.#alone("pod-comes", few, (i) => this.#apply(newcomer(i))),
      remotePodGoes: await this.#alone("pod-goes", few, (i) => this.#delete(newcomer(i))),
      localPodRelabelled: await this.#alone("pod-relabelled", few, (i) => this.#apply(podManifest(i, "a", "another"))),
      localPodRelabelledBack: await this.#alone("pod-back", few, (i) => this.#apply(podManifest(i, "a"))),
    }
  }

  /** One at a time, with a pause in which the node comes to rest. */
  async #alone(phase: string, count: number, change: (i: number) => Promise<Change>): Promise<unknown> {
    await this.#agent.begin({ loop: true })
    const changes: Change[] = []
    for (let i = 0; i < count; i++) {
      changes.push(await change(i))
      await sleep(40)
    }
    return summary(changes, await this.#agent.end(phase))
  }

  /** Four callers, each with its next change as soon as the last one is enforced. */
  async #backToBack(count: number): Promise<unknown> {
    await this.#agent.begin({ loop: true })
    const changes: Change[] = []
    const from = now()
    await Promise.all(
      [0, 1, 2, 3].map(async (caller) => {
        for (let i = 0; i < count / 4; i++)
          changes.push(await this.#policy((i * 4 + caller) % this.#size.policies, 20_000 + i))
      }),
    )
    const aSecond = changes.length / ((now() - from) / 1_000)
    return { ...summary(changes, await this.#agent.end("policy-back-to-back")), aSecond }
  }

  #policy(number: number, port: number): Promise<Change> {
    return this.#apply(policyManifest(number, port))
  }

  #apply(manifest: unknown): Promise<Change> {
    return this.#change("apply", manifest)
  }

  #delete(manifest: unknown): Promise<Change> {
    return this.#change("delete", manifest)
  }

  async #change(method: "apply" | "delete", manifest: unknown): Promise<Change> {
    const manifests = [{ file: "change.json", text: JSON.stringify(manifest) }]
    const tag = this.#tag++
    const sent = now()
    const { digest, problems, results } = await this.#agent.client.call(method, { manifests }, tag)
    const problem = problems[0] ?? results.flatMap((one) => one.problems)[0]
    if (problem !== undefined) throw new Error(`${method} was refused: ${problem.message}`)
    const { reached, error } = await this.#agent.client.call("await", { digest, timeoutMs: 10_000 })
    if (!reached) throw new Error(`a change was not enforced: ${error}`)
    return { tag, digest, sent, known: now() }
  }
}

function summary(changes: readonly Change[], seen: Seen): Changes & Record<string, unknown> {
  const received = new Map(seen.received.filter(({ method }) => method !== "await").map(({ tag, at }) => [tag, at]))
  const flips = flipsByDigest(seen.moments)
  const accepted = new Map(seen.moments.flatMap(({ what, digest, at }) => (what === "objects" ? [[digest, at]] : [])))
  const found = changes.map((change) => {
    const at = { received: received.get(change.tag), flipped: flips(change.digest) }
    if (at.received === undefined || at.flipped === undefined)
      throw new Error(`the agent told nothing of a change: ${JSON.stringify({ change, at })}`)
    return { ...change, received: at.received, flipped: at.flipped }
  })
  return {
    receivedToFlip: times(found.map((one) => one.flipped - one.received)),
    sentToFlip: times(found.map((one) => one.flipped - one.sent)),
    sentToKnown: times(found.map((one) => one.known - one.sent)),
    ofIt: {
      "received to accepted": median(found.map((one) => (accepted.get(one.digest) ?? Number.NaN) - one.received)),
      ...stages(seen.moments),
    },
    ...health(seen),
  }
}

/** When the first generation that holds the objects with this digest came into force. */
function flipsByDigest(moments: readonly Moment[]): (digest: string) => number | undefined {
  const order = new Map<string, number>()
  const flips = new Map<number, number>()
  const applied: { readonly nth: number; readonly at: number }[] = []
  for (const [nth, { what, digest, generation = 0, at }] of moments.entries()) {
    if (what === "objects" && digest !== undefined) order.set(digest, nth)
    if (what === "flipped") flips.set(generation, at)
    if (what === "applied" && digest !== undefined)
      applied.push({ nth: order.get(digest) ?? -1, at: flips.get(generation) ?? Number.NaN })
  }
  return (digest) => {
    const wanted = order.get(digest)
    return wanted === undefined ? undefined : applied.find(({ nth }) => nth >= wanted)?.at
  }
}

/** Medians in ms of the stages of a commit, and how many commits there were. */
export function stages(moments: readonly Moment[]): Record<string, number> {
  const names = ["objects", "begun", "desired", "compiled", "flipped", "applied"]
  const all: Record<string, number[]> = {}
  let last: Moment | undefined
  for (const moment of moments) {
    const stage = names.indexOf(moment.what)
    if (stage < 0) continue
    if (stage > 0 && last?.what === names[stage - 1]) {
      const name = `${last?.what} to ${moment.what}`
      all[name] = [...(all[name] ?? []), moment.at - (last?.at ?? 0)]
    }
    last = moment
  }
  const medians = Object.entries(all).map(([name, values]) => [name, median(values)] as const)
  return { commits: moments.filter(({ what }) => what === "applied").length, ...Object.fromEntries(medians) }
}

/** How the agent's process was while that went on. */
export function health({ loopDelay, gc, cpuMs, waitedForCpuMs }: Seen): Record<string, unknown> {
  return { loopDelayMs: loopDelay, gcMs: gc, cpuMs, waitedForCpuMs }
}
