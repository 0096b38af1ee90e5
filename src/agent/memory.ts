import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { native } from "../kernel/native.ts"

/*
 * Reading a cluster and compiling it for the first time leaves several times as much garbage as state, and Node.js gives none of it
 * back: V8 keeps its pages in a pool as long as the process is busy now and then, and malloc keeps its own; and of Node's program
 * half the pages are used by starting alone. An agent starts once and then follows small changes for months: what it settles to counts.
 */

/**
 * Gives back what starting took, and makes V8 keep little from then on: the young generation stays at some MB (a commit allocates
 * less than that), the old one is collected when it has grown by a fifth, and free pages go back to the kernel while the agent is at
 * rest. Collects everything at once, which blocks for some 250 ms with 12,000 objects: to be called when nobody waits yet.
 */
export function settleMemory(): void {
  setFlagsFromString("--semi-space-growth-factor=1")
  setFlagsFromString("--optimize-for-size")
  setFlagsFromString("--heap-growing-percent=20")
  collectAll()
  native().trimMemory()
}

function collectAll(): void {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as (options: object) => void
  setFlagsFromString("--no-expose-gc")
  // The last resort is the one kind of collection that empties the pool of free pages.
  collect({ type: "major", execution: "sync", flavor: "last-resort" })
}
