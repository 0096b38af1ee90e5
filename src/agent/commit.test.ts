import { expect, test } from "vitest"
import type { Compiled } from "../compile/compiled.ts"
import type { Cluster } from "../model/cluster.ts"
import { parseAddress } from "../net/address.ts"
import type { Change, Forwarding, NodeState, Plane, PlaneReading } from "../plane/plane.ts"
import { Committer, type Desired, type Enforced } from "./commit.ts"

/** A plane over memory that can fail, or be held up, where a test wants it. */
class MemoryPlane implements Plane {
  readonly applied: { readonly state: NodeState; readonly change: Change | null }[] = []
  running = 0
  most = 0
  failWith: Error | undefined
  /** Each apply waits for it. */
  gate: Promise<void> = Promise.resolve()

  capabilities(): ReturnType<Plane["capabilities"]> {
    return { plane: "ebpf", features: {} }
  }

  async apply(next: NodeState, change: Change | null): Promise<number> {
    this.running++
    this.most = Math.max(this.most, this.running)
    try {
      await this.gate
      if (this.failWith !== undefined) throw this.failWith
      this.applied.push({ state: next, change })
      return this.applied.length
    } finally {
      this.running--
    }
  }

  read(): Promise<PlaneReading> {
    return Promise.reject(new Error("this plane is not read"))
  }

  async remove(): Promise<void> {
    this.applied.length = 0
  }
}

function setup() {
  const plane = new MemoryPlane()
  let digest = "d0"
  let nothing = false
  let compileError: Error | undefined
  const clusters: Cluster[] = []
  const timers: { run: () => void; ms: number; off: boolean }[] = []
  const enforced: Enforced[] = []
  let now = 1_000
  const committer = new Committer({
    plane,
    // The compiled form is a token here: its identity says which cluster it came from.
    compile: (cluster) => {
      if (compileError !== undefined) throw compileError
      clusters.push(cluster)
      return { addresses: new Map(), verdicts: [clusters.length] } as unknown as Compiled
    },
    desired: (): Desired | undefined =>
      nothing
        ? undefined
        : {
            cluster: { namespaces: new Map() } as unknown as Cluster,
            forwarding: { self: { name: "a", addresses: [parseAddress("10.0.0.1")] } } as unknown as Forwarding,
            digest,
          },
    onEnforced: (one) => enforced.push(one),
    now: () => now++,
    delay: (run, ms) => {
      const timer = { run, ms, off: false }
      timers.push(timer)
      return () => {
        timer.off = true
      }
    },
  })
  return {
    plane,
    committer,
    enforced,
    timers,
    want: (text: string) => {
      digest = text
    },
    wantNothing: (yes: boolean) => {
      nothing = yes
    },
    breakCompiler: (error: Error | undefined) => {
      compileError = error
    },
  }
}

test("requests of one turn are one commit, and it sees what is wanted when it begins", async () => {
  const { plane, committer, want } = setup()
  committer.request()
  committer.request()
  want("d1")
  const enforced = await committer.commit()
  expect(plane.applied).toHaveLength(1)
  expect(enforced.digest).toBe("d1")
  expect(committer.enforced?.generation).toBe(1)
})

test("requests while one runs join the next, one apply at a time", async () => {
  const { plane, committer, want } = setup()
  const gate = Promise.withResolvers<void>()
  plane.gate = gate.promise
  const first = committer.commit()
  await Promise.resolve().then(() => Promise.resolve())
  await new Promise(setImmediate)
  want("d2")
  const others = [committer.commit(), committer.commit(), committer.commit()]
  await new Promise(setImmediate)
  expect(plane.running).toBe(1)
  gate.resolve()
  await first
  const answers = await Promise.all(others)
  expect(plane.most).toBe(1)
  expect(plane.applied).toHaveLength(2)
  expect(answers.map((one) => one.digest)).toEqual(["d2", "d2", "d2"])
})

test("the first apply compares everything, the next gets what was applied last", async () => {
  const { plane, committer } = setup()
  await committer.commit()
  await committer.commit()
  expect(plane.applied[0]?.change).toBeNull()
  expect(plane.applied[1]?.change?.previous).toBe(plane.applied[0]?.state)
  committer.mistrust()
  await committer.commit()
  expect(plane.applied[2]?.change).toBeNull()
})

test("a failed apply keeps the last good state, says why and since when, is tried again, and then compares everything", async () => {
  const { plane, committer, enforced, timers, want } = setup()
  await committer.commit()
  want("d1")
  plane.failWith = new Error("classes need 300000 entries, 262144 are there")
  await expect(committer.commit()).rejects.toThrow("262144")
  expect(committer.enforced?.digest).toBe("d0")
  expect(committer.failure).toMatchObject({ attempts: 1, message: "classes need 300000 entries, 262144 are there" })
  const since = committer.failure?.since
  expect(timers.map((timer) => timer.ms)).toEqual([500])
  timers[0]?.run()
  await new Promise(setImmediate)
  expect(committer.failure).toMatchObject({ attempts: 2, since })
  expect(timers.map((timer) => timer.ms)).toEqual([500, 1_000])
  plane.failWith = undefined
  await committer.commit()
  expect(timers[1]?.off).toBe(true)
  expect(committer.failure).toBeUndefined()
  expect(enforced.map((one) => one.digest)).toEqual(["d0", "d1"])
  expect(plane.applied.at(-1)?.change).toBeNull()
})

test("a failing compiler is a failed commit, not a dead agent", async () => {
  const { committer, breakCompiler } = setup()
  breakCompiler(new Error("no"))
  await expect(committer.commit()).rejects.toThrow("no")
  expect(committer.enforced).toBeUndefined()
  breakCompiler(undefined)
  expect((await committer.commit()).generation).toBe(1)
})

test("closing lets the running commit end and starts no other", async () => {
  const { plane, committer } = setup()
  const gate = Promise.withResolvers<void>()
  plane.gate = gate.promise
  const running = committer.commit()
  await new Promise(setImmediate)
  committer.request()
  const closed = committer.close()
  gate.resolve()
  await closed
  await running
  await expect(committer.commit()).rejects.toThrow("the agent is ending")
  expect(plane.applied).toHaveLength(1)
})

test("who waits for a commit hears of it when nothing was enforced, whatever is in force from before", async () => {
  const { committer, want, wantNothing } = setup()
  wantNothing(true)
  await expect(committer.commit()).rejects.toThrow("does not know its objects yet")
  wantNothing(false)
  await committer.commit()
  want("d1")
  wantNothing(true)
  await expect(committer.commit()).rejects.toThrow("Cannot enforce")
  expect(committer.enforced?.digest).toBe("d0")
})
