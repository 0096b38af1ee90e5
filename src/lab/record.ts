import { readFileSync, renameSync, utimesSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import type { Address } from "../net/types.ts"
import type { LabPaths } from "./paths.ts"
import type { ProcessId } from "./processes.ts"
import type { LabNode, LabPod } from "./state.ts"

/** `lab.json`: what the lab consists of, for later commands and for cleaning up after a crash. */
export interface LabRecord {
  readonly version: 1
  readonly name: string
  readonly routing: "vxlan" | "native"
  /** Milliseconds since the epoch. */
  readonly created: number
  /** A lab that ends with this process; absent: it stays until it is taken down. */
  readonly owner?: ProcessId
  /** The process that answers for the pods, when it is not the owner itself. */
  readonly responder?: ProcessId
  readonly nodes: readonly NodeRecord[]
  readonly pods: readonly PodRecord[]
  readonly outside: readonly Address[]
}

export interface NodeRecord extends LabNode {
  readonly agent?: ProcessId
}

export interface PodRecord extends LabPod {
  /** CNI_CONTAINERID; empty for a host-network pod. */
  readonly container: string
  /** The manifest states the addresses; otherwise its node chose them. */
  readonly stated: boolean
}

/** The record of a lab; undefined when there is none or it cannot be read (a crash while the first one was written). */
export function readRecord(paths: LabPaths): LabRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(paths.state, "utf8")) as LabRecord
    return record.version === 1 ? record : undefined
  } catch {
    return undefined
  }
}

export function writeRecord(paths: LabPaths, record: LabRecord): void {
  replaceFile(paths.state, `${JSON.stringify(record, null, 1)}\n`)
}

/**
 * Writes a file so that readers see the old text or the new one, never a part. `rested`: with a time of writing that is
 * past, so that a watcher which waits for files to come to rest need not.
 */
export function replaceFile(path: string, text: string, rested = false): void {
  // A name with a leading dot is no object's file to whoever watches the directory.
  const draft = join(dirname(path), `.${basename(path)}.${process.pid}`)
  writeFileSync(draft, text)
  const then = Date.now() / 1_000 - 1
  if (rested) utimesSync(draft, then, then)
  renameSync(draft, path)
}
